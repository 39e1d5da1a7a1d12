import { spawn } from 'node:child_process';

const MARK = 'REMORA_BENCH_NETWORK';

/** Whether this process has a network of its own; in it all of 10.0.0.0/8 is this machine, and nothing gets out. */
export const inOwnNetwork = process.env[MARK] === '1';

/**
 * Runs this program again in a network namespace of its own, where what is sent to `services` goes to `outbound`, as a
 * pod's connections go to its sidecar (REDIRECT). Gives its exit code. The namespace ends with the last process in it. Needs root.
 */
export function inNewNetwork(services: string, outbound: number): Promise<number> {
  const setUp = [
    'ip link set lo up',
    'ip route add local 10.0.0.0/8 dev lo',
    `iptables -t nat -A OUTPUT -p tcp -d ${services} -j REDIRECT --to-ports ${outbound}`,
    'exec "$@"',
  ];
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn('unshare', ['--net', 'sh', '-ec', setUp.join('\n'), 'sh', ...argv], {
    stdio: 'inherit',
    env: { ...process.env, [MARK]: '1' },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 130));
  });
}
