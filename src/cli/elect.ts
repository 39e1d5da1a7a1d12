import { hostname } from 'node:os';
import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { ConfigError } from '../base/errors.ts';
import { LogRoot } from '../base/log.ts';
import type { SocketAddress } from '../model/address.ts';
import { type KubeFlags, kubeAccess } from './kube-access.ts';
import { logLevel, parseAddress } from './proxy.ts';
import { VERSION } from './version.ts';

interface ElectFlags extends KubeFlags {
  readonly lease: string;
  readonly identity: string;
  readonly http: SocketAddress;
  readonly logLevel: string;
}

export function electCommand(): Command {
  return new Command('elect')
    .description('takes part in a leader election for a program beside it, and answers over HTTP who leads')
    .requiredOption('--lease <name>', '`name` or `namespace/name` of the Lease')
    .option('--kubeconfig <file>', 'the cluster of this kubeconfig')
    .option('--context <name>', 'context of the kubeconfig, if not its current one')
    .option('--in-cluster', 'the cluster that this is a pod of')
    .option('--identity <name>', 'who this is; no two may have the same', hostname())
    .option('--http <address>', 'address that answers', parseAddress, { host: '127.0.0.1', port: 4040 })
    .option('--log-level <level>', 'log level', 'info')
    .addHelpText('after', '\nExample:\n  remora elect --in-cluster --lease my-app\n  curl localhost:4040/leader')
    .action(runElect);
}

async function runElect(flags: ElectFlags): Promise<void> {
  const kube = await kubeAccess(flags);
  if (kube === null) throw new ConfigError('no cluster: name one with --kubeconfig FILE or --in-cluster');
  const parts = flags.lease.split('/');
  const lease = parts.at(-1) ?? '';
  if (parts.length > 2 || lease === '' || flags.identity === '') {
    throw new ConfigError('--lease is `name` or `namespace/name`, and --identity must not be empty');
  }
  const { Elector } = await import('../control/runtime/elect.ts');
  const log = new LogRoot(systemClock, (line) => process.stderr.write(line), logLevel(flags.logLevel)).logger();
  const namespace = parts.length === 2 ? (parts[0] ?? '') : kube.namespace;
  const { identity, http } = flags;
  const elector = new Elector({ kube, clock: systemClock, log, namespace, lease, identity, http, version: VERSION });
  await elector.start();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void elector.close().then(() => process.exit(0)));
  }
}
