// Issue 5, section 4: the rules, in a network namespace of their own, with real connections.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { output, Program, until } from './support/process.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const PEER = `${ROOT}test/system/support/netns-peer.py`;
const REMORA = [process.execPath, `${ROOT}dist/remora.js`, 'iptables'];
/** The pod, and everything else. */
const POD = `remora-pod-${process.pid}`;
const WORLD = `remora-world-${process.pid}`;
const V4 = { pod: '10.77.0.2', world: '10.77.0.1' };
const V6 = { pod: 'fd77::2', world: 'fd77::1' };
const PROXY = 1337;
const APP = 1000;

async function run(command: string, ...args: string[]): Promise<string> {
  const { code, text } = await output(command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${text}`);
  return text;
}

const inside = (namespace: string, ...args: string[]): Promise<string> =>
  run('ip', 'netns', 'exec', namespace, ...args);
const remora = (...flags: string[]): Promise<string> => inside(POD, ...REMORA, ...flags);

async function serving(namespace: string, verb: 'serve' | 'dns', ...specs: string[]): Promise<Program> {
  const args = ['netns', 'exec', namespace, 'python3', PEER, verb, ...specs];
  const program = new Program(`${verb} in ${namespace}`, 'ip', args);
  await until(`${verb} in ${namespace}`, () => {
    if (!program.alive) throw new Error(program.stderr);
    return program.stdout.includes('ready');
  });
  return program;
}

interface Ask {
  readonly as?: number;
  readonly group?: number;
  readonly from?: string;
  readonly udp?: boolean;
}

/** Who answered: the name of the server that got the connection. */
async function ask(namespace: string, host: string, port: number, options: Ask = {}): Promise<string> {
  const { as = APP, group = as, from = '', udp = false } = options;
  const args = ['python3', PEER, 'ask', String(as), String(group), host, String(port), from, udp ? 'udp' : 'tcp'];
  return (await inside(namespace, ...args)).trim().split(' ')[0]!;
}

async function allOf(asked: Readonly<Record<string, Promise<string>>>): Promise<Record<string, string>> {
  const answers = await Promise.all(Object.values(asked));
  return Object.fromEntries(Object.keys(asked).map((name, i) => [name, answers[i]!]));
}

/** Every rule of the pod, without counters. */
async function rules(backend: string): Promise<string> {
  const texts = await Promise.all(
    ['iptables', 'ip6tables'].map((program) => inside(POD, `${program}-${backend}-save`)),
  );
  return texts
    .join('')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\[\d+:\d+\]/g, '');
}

beforeAll(async () => {
  for (const namespace of [POD, WORLD]) {
    await run('ip', 'netns', 'add', namespace);
    await inside(namespace, 'ip', 'link', 'set', 'lo', 'up');
  }
  await run('ip', 'link', 'add', 'eth0', 'netns', POD, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', WORLD);
  for (const [namespace, side] of [
    [POD, 'pod'],
    [WORLD, 'world'],
  ] as const) {
    await inside(namespace, 'ip', 'addr', 'add', `${V4[side]}/24`, 'dev', 'eth0');
    await inside(namespace, 'ip', 'addr', 'add', `${V6[side]}/64`, 'dev', 'eth0', 'nodad');
    await inside(namespace, 'ip', 'link', 'set', 'eth0', 'up');
  }
  await Promise.all([
    serving(POD, 'serve', 'outbound:15001', 'app:8080', 'app:8081', 'health:15021'),
    // As the proxy's user: its answers are told by that.
    serving(POD, 'dns', `dns-proxy:15053:${PROXY}`),
    serving(WORLD, 'serve', 'world:9000', 'world:3306'),
    serving(WORLD, 'dns', 'dns-server:53'),
  ]);
});

afterAll(async () => {
  for (const namespace of [POD, WORLD]) await output('ip', ['netns', 'del', namespace]);
});

afterEach(async () => {
  await remora('--clean');
});

describe.each(['nft', 'legacy'])('rules of iptables-%s', (backend) => {
  const apply = (...flags: string[]): Promise<string> => remora('--backend', backend, ...flags);

  describe.each([
    ['IPv4', V4, '127.0.0.1', '127.0.0.6'],
    ['IPv6', V6, '::1', '::6'],
  ] as const)('%s', (_family, address, loopback, pass) => {
    test('capture what goes out and what comes in, and the proxy’s own goes where it is sent', async () => {
      const inbound = await serving(POD, 'serve', 'inbound:15006');
      await apply('--exclude-inbound-ports', '15021,8081', '--exclude-outbound-ports', '3306');
      const answers = await allOf({
        in: ask(WORLD, address.pod, 8080),
        inExcluded: ask(WORLD, address.pod, 8081),
        probe: ask(WORLD, address.pod, 15021),
        out: ask(POD, address.world, 9000),
        outExcluded: ask(POD, address.world, 3306),
        proxyOut: ask(POD, address.world, 9000, { as: PROXY }),
        proxyGroupOut: ask(POD, address.world, 9000, { group: PROXY }),
        appToItself: ask(POD, address.pod, 8080),
        appToLoopback: ask(POD, loopback, 8080),
        proxyToItsPod: ask(POD, address.pod, 8080, { as: PROXY }),
        proxyToLoopback: ask(POD, loopback, 8080, { as: PROXY }),
        proxyToTheApplication: ask(POD, address.pod, 8080, { as: PROXY, from: pass }),
      });
      expect(answers).toEqual({
        in: 'inbound',
        inExcluded: 'app',
        probe: 'health',
        out: 'outbound',
        outExcluded: 'world',
        proxyOut: 'world',
        proxyGroupOut: 'world',
        appToItself: 'app',
        appToLoopback: 'app',
        proxyToItsPod: 'inbound',
        proxyToLoopback: 'app',
        proxyToTheApplication: 'app',
      });
      await inbound.stop();
    });

    test('capture only the ranges asked for', async () => {
      const range = address === V4 ? '10.77.0.0/24' : 'fd77::/64';
      await apply('--include-outbound-ranges', address === V4 ? '10.99.0.0/16' : 'fd99::/64');
      expect(await ask(POD, address.world, 9000)).toBe('world');
      await apply('--include-outbound-ranges', range);
      expect(await ask(POD, address.world, 9000)).toBe('outbound');
      await apply('--exclude-outbound-ranges', range);
      expect(await ask(POD, address.world, 9000)).toBe('world');
      await apply('--exclude-interfaces', 'eth0');
      expect(await ask(POD, address.world, 9000)).toBe('world');
      expect(await ask(WORLD, address.pod, 8080)).toBe('app');
    });

    test('give DNS to the proxy, but not the proxy’s own', async () => {
      await apply('--redirect-dns', '--dns-servers', address.world);
      expect(await ask(POD, address.world, 53, { udp: true })).toBe('dns-proxy');
      expect(await ask(POD, address.world, 53, { udp: true, as: PROXY })).toBe('dns-server');
      await apply('--redirect-dns', '--dns-servers', '*');
      expect(await ask(POD, address.world, 53, { udp: true })).toBe('dns-proxy');
    });

    test('hand inbound connections over with their addresses by TPROXY', async () => {
      const inbound = await serving(POD, 'serve', 'inbound:15006:transparent');
      await apply('--inbound-mode', 'TPROXY', '--exclude-inbound-ports', '8081');
      const args = ['python3', PEER, 'ask', '0', '0', address.pod, '8080'];
      expect((await inside(WORLD, ...args)).trim()).toBe(`inbound ${address.pod} 8080`);
      expect(await ask(WORLD, address.pod, 8081)).toBe('app');
      expect(await ask(POD, address.world, 9000)).toBe('outbound');
      expect(await ask(POD, address.world, 9000, { as: 0, group: PROXY })).toBe('world');
      expect(await ask(POD, address.pod, 8080)).toBe('app');
      expect(await ask(POD, address.pod, 8080, { as: 0, group: PROXY })).toBe('inbound');
      expect(await ask(POD, address.pod, 8080, { as: 0, group: PROXY, from: pass })).toBe('app');
      await inbound.stop();
    });
  });

  test('count connections: each new one is redirected once', async () => {
    await apply();
    for (let i = 0; i < 10; i++) expect(await ask(POD, V4.world, 9000)).toBe('outbound');
    const counted = await inside(POD, `iptables-${backend}`, '-t', 'nat', '-vnxL', 'ISTIO_REDIRECT');
    expect(/^ +(\d+) .*REDIRECT .*redir ports 15001/m.exec(counted)?.[1]).toBe('10');
  });

  test('are the same when applied again, and gone when cleaned; those of others stay', async () => {
    const program = `iptables-${backend}`;
    await inside(POD, program, '-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '--dport', '7', '-j', 'ACCEPT');
    const empty = await rules(backend);
    const flags = ['--redirect-dns', '--dns-servers', '10.77.0.1', '--inbound-mode', 'TPROXY', '--drop-invalid'];
    await apply(...flags);
    const once = await rules(backend);
    const listed = await inside(POD, program, '-t', 'nat', '-S');
    await apply(...flags);
    expect(await rules(backend)).toBe(once);
    expect(await inside(POD, program, '-t', 'nat', '-S')).toBe(listed);
    expect(listed.split('\n').filter((line) => line === '-A OUTPUT -j ISTIO_OUTPUT')).toHaveLength(1);
    expect(await inside(POD, 'ip', 'rule')).toContain('fwmark 0x539 lookup 133');
    await remora('--clean');
    await remora('--clean');
    const left = (text: string): string[] =>
      text.split('\n').filter((line) => line.startsWith('-A') || line.includes('ISTIO'));
    expect(left(await rules(backend))).toEqual(left(empty));
    expect(await inside(POD, 'ip', 'rule')).not.toContain('0x539');
    expect(await ask(WORLD, V4.pod, 8080)).toBe('app');
    await inside(POD, program, '-t', 'nat', '-D', 'OUTPUT', '-p', 'tcp', '--dport', '7', '-j', 'ACCEPT');
  });
});

test('what is printed by --dry-run is what is applied', async () => {
  const text = await remora('--dry-run', '--ipv6', 'off');
  const before = await rules('nft');
  expect(before).not.toContain('ISTIO');
  await inside(POD, 'sh', '-c', `printf '%s' '${text}' | iptables-nft-restore --noflush`);
  const printed = await rules('nft');
  await remora('--clean');
  await remora('--backend', 'nft', '--ipv6', 'off');
  expect(await rules('nft')).toBe(printed);
});
