import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { proxyBootstrap } from '../../src/xds/bootstrap/proxy-bootstrap.ts';
import { ENVOY } from './support/peers.ts';
import { pods } from './support/pods.ts';
import { output, Program, scratch, until } from './support/process.ts';

const ROOT = process.cwd();
const NODE = join(ROOT, 'node_modules/.bin/node');
const REMORA = join(ROOT, 'dist/remora.js');
const PODS = join(ROOT, 'test/system/support/pods.sh');
const APP = join(ROOT, 'test/system/support/pod-app.mjs');

/** Pods a (10.1.0.7) and b (10.1.0.8), services with addresses that nothing but a sidecar can reach. */
const MESH = `
apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: default }
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  selector: { app: b }
  ports:
    - { name: http, port: 9080, targetPort: 8080 }
    - { name: unsaid, port: 9090 }
    - { name: greets, port: 7000 }
    - { name: tcp-declared, port: 7001 }
    - { name: http-declared, port: 7003 }
---
${slice('reviews', 'IPv4', '10.1.0.8', ['http', 8080], ['unsaid', 9090], ['greets', 7000], ['tcp-declared', 7001], ['http-declared', 7003])}
---
${slice('reviews', 'IPv6', 'fd00:1::8', ['http', 8080], ['unsaid', 9090], ['greets', 7000], ['tcp-declared', 7001], ['http-declared', 7003])}
---
apiVersion: v1
kind: Service
metadata: { name: self, namespace: default }
spec:
  clusterIP: 10.96.0.11
  selector: { app: a }
  ports: [{ name: http, port: 9080, targetPort: 8080 }]
---
${slice('self', 'IPv4', '10.1.0.7', ['http', 8080])}
---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: default }
spec:
  clusterIP: None
  selector: { app: b }
  ports: [{ name: mysql, port: 7002 }, { name: http, port: 8081 }]
---
${slice('db', 'IPv4', '10.1.0.8', ['mysql', 7002], ['http', 8081])}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: default }
spec:
  hosts: [reviews]
  http:
    - match: [{ headers: { end-user: { exact: jason } } }]
      fault: { abort: { httpStatus: 418, percentage: { value: 100 } } }
      route: [{ destination: { host: reviews } }]
    - route: [{ destination: { host: reviews } }]
`;

function slice(service: string, type: string, address: string, ...ports: [string, number][]): string {
  return JSON.stringify({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-${type.toLowerCase()}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: type,
    ports: ports.map(([name, port]) => ({ name, port })),
    endpoints: [{ addresses: [address] }],
  });
}

interface Peer {
  readonly name: string;
  readonly mode: 'REDIRECT' | 'TPROXY';
  /** As who it runs: none is root where redirection is all that is needed. */
  readonly user: readonly string[];
  readonly command: (bootstrap: string) => readonly string[];
}

const remora = (bootstrap: string): readonly string[] => [NODE, REMORA, 'proxy', '--config-yaml', bootstrap];
const PEERS: readonly Peer[] = [
  { name: 'remora', mode: 'REDIRECT', user: ['--reuid', '1337'], command: remora },
  { name: 'remora by TPROXY', mode: 'TPROXY', user: [], command: remora },
  {
    name: 'Envoy',
    mode: 'REDIRECT',
    user: [],
    command: (bootstrap) => [ENVOY, '--config-yaml', bootstrap, '--use-dynamic-base-id', '--concurrency', '1'],
  },
];

const TURNED_AWAY = /^(closed|ECONNRESET|HTTP\/1\.1 503 )/;

/** Plain programs in pods whose connections iptables redirect to a sidecar, driven by `remora control`. */
describe.each(PEERS)('capture by $name', ({ name, mode, user, command }) => {
  const id = `rc${process.pid}${PEERS.findIndex((peer) => peer.name === name)}`;
  const live = join(scratch, id);
  const sidecars = new Map<string, Program>();

  const { within, run } = pods(id);

  beforeAll(async () => {
    const made = await output('bash', [PODS, 'up', id, mode]);
    expect(made, made.text).toEqual({ code: 0, text: '' });
    mkdirSync(live);
    writeFileSync(join(live, 'mesh.yaml'), MESH);
    const serve = (namespace: string, ...ports: string[]): Program =>
      new Program(`app ${namespace}`, ...within(namespace, NODE, APP, 'serve', namespace, ...ports));
    serve('node', 'http:80', 'http:9080', 'tcp:7009');
    serve('a', 'http:8080', 'http:8085');
    serve(
      'b',
      'http:8080',
      'http:8081',
      'http:9090',
      'http:8085',
      'tcp:7000',
      'tcp:7001',
      'tcp:7002',
      'tcp:7003',
      'tcp:7009',
    );
    const flags = ['--files', live, '--instances', live, '--xds', '10.1.0.1:15010', '--http', '10.1.0.1:15014'];
    const env = { HOME: live, XDG_RUNTIME_DIR: live, XDG_STATE_HOME: live, TMPDIR: live };
    const control = new Program('control', ...within('node', NODE, REMORA, 'control', ...flags), env);
    await until('control', () => control.stderr.includes('serving'));
    for (const [pod, part] of [
      ['a', '7'],
      ['b', '8'],
    ] as const) {
      const bootstrap = proxyBootstrap({
        type: 'sidecar',
        control: '10.1.0.1:15010',
        ip: `10.1.0.${part}`,
        pod,
        namespace: 'default',
        labels: { app: pod },
        metadata: { INTERCEPTION_MODE: mode, INSTANCE_IPS: `10.1.0.${part},fd00:1::${part}` },
      });
      const as = ['setpriv', ...user, '--regid', '1337', '--clear-groups'];
      const program = new Program(pod, ...within(pod, ...as, ...command(JSON.stringify(bootstrap))));
      sidecars.set(pod, program);
      const ready = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:15000/ready'];
      await until(`${pod} to be ready`, async () => {
        if (!program.alive) throw new Error(program.stderr.slice(-2000) || program.stdout.slice(-2000));
        return (await run(pod, ...ready)) === '200';
      });
    }
  });
  afterAll(async () => {
    await Promise.all([...sidecars.values()].map((sidecar) => sidecar.stop()));
    await output('bash', [PODS, 'down', id]);
  });

  const curl = async (pod: string, url: string, ...more: readonly string[]): Promise<unknown> => {
    const args = ['-sS', '-m', '8', '--resolve', 'reviews:9080:10.96.0.10', '--resolve', 'self:9080:10.96.0.11'];
    const text = await run(pod, 'curl', ...args, ...more, url);
    return text.startsWith('{') ? JSON.parse(text) : text;
  };
  const app = (pod: string, ...args: readonly string[]): Promise<string> => run(pod, NODE, APP, ...args);
  const stat = async (pod: string, stat: string): Promise<number> => {
    const text = await run(pod, 'curl', '-s', `http://127.0.0.1:15000/stats?filter=${stat.replaceAll('|', '.')}`);
    return Number(/: (\d+)$/m.exec(text)?.[1] ?? 0);
  };
  const logged = (pod: string): string => sidecars.get(pod)!.stdout;
  /** What Envoy does not do: it waits for the client for ever, or for its time limit. */
  const ours: (title: string, test: () => Promise<void>) => void = name === 'Envoy' ? () => {} : it;

  it('plain HTTP to a service goes by its routes, through both sidecars, to the app', async () => {
    expect(await curl('a', 'http://reviews:9080/x')).toEqual({
      name: 'b',
      port: 8080,
      url: '/x',
      host: 'reviews:9080',
      // The app's own proxy calls it.
      remoteAddress: expect.stringMatching(/127\.0\.0\.6|^::6$/),
    });
    expect(await curl('a', 'http://reviews:9080/', '-H', 'end-user: jason', '-w', '%{http_code}')).toMatch(/418$/);
    await until('both to have logged', () => logged('a').includes('GET /x') && logged('b').includes('GET /x'));
  });

  it('IPv6 as well', async () => {
    const answer = await curl('a', 'http://reviews:9080/six', '--resolve', 'reviews:9080:[fd00:96::10]', '-6');
    expect(answer).toMatchObject({ name: 'b', port: 8080, url: '/six' });
    expect(await app('a', 'greet', 'fd00:96::10', '7001')).toBe('220 b 7001');
  });

  it('where nobody said what is spoken, HTTP is routed', async () => {
    expect(await curl('a', 'http://10.96.0.10:9090/auto')).toMatchObject({ name: 'b', port: 9090, url: '/auto' });
    await until('the log', () => logged('a').includes('GET /auto'));
  });

  ours('where nobody said it, a server may speak first', async () => {
    expect(await app('a', 'greet', 'fd00:96::10', '7000')).toBe('220 b 7000');
    expect(await app('a', 'greet', '10.96.0.10', '7000')).toBe('220 b 7000');
  });

  it('declared TCP, whoever speaks first', async () => {
    expect(await app('a', 'greet', '10.96.0.10', '7001')).toBe('220 b 7001');
    expect(await app('a', 'say', '10.96.0.10', '7001', 'hello')).toMatch(/^220 b 7001/);
  });

  // pains.md row 23: a chart that names its database's port http. What is no HTTP goes to the address that was called;
  // here nothing but a sidecar knows a service's.
  ours('declared HTTP, and a server that speaks first is heard, with a word on the object', async () => {
    expect(await app('a', 'greet', '10.1.0.8', '7003')).toBe('220 b 7003');
    expect(await app('a', 'greet', 'fd00:1::8', '7003')).toBe('220 b 7003');
    const said = (pod: string) =>
      sidecars
        .get(pod)!
        .stderr.split('\n')
        .filter((line) => line.includes('declared http'));
    expect(said('a')).toEqual([expect.stringContaining('Service default/reviews port 7003: declared http, but')]);
    expect(said('b')).toEqual([
      expect.stringContaining('Service default/reviews target port 7003: declared http, but'),
    ]);
  });

  it('instances of a headless service are called as the caller chose', async () => {
    const at = ['--resolve', 'db:8081:10.1.0.8'];
    expect(await curl('a', 'http://db:8081/', ...at)).toMatchObject({ name: 'b', port: 8081 });
    expect(await app('a', 'greet', '10.1.0.8', '7002')).toBe('220 b 7002');
    expect(await stat('a', 'cluster.outbound|7002||db.default.svc.cluster.local.*upstream_cx_total')).toBe(1);
  });

  it('what nobody knows passes through, HTTP and not', async () => {
    expect(await curl('a', 'http://203.0.113.9/')).toMatchObject({ name: 'node', port: 80, host: '203.0.113.9' });
    expect(await curl('a', 'http://[2001:db8::9]/')).toMatchObject({ name: 'node', port: 80 });
    expect(await curl('a', 'http://203.0.113.9:9080/')).toMatchObject({ name: 'node', port: 9080 });
    expect(await app('a', 'greet', '203.0.113.9', '7009')).toBe('220 node 7009');
    expect(await app('a', 'greet', '203.0.113.9', '7')).toMatch(TURNED_AWAY);
  });

  it('ports of the app that no service has are reached', async () => {
    expect(await curl('node', 'http://10.1.0.8:8085/')).toMatchObject({ name: 'b', port: 8085 });
    expect(await curl('node', 'http://[fd00:1::8]:8085/')).toMatchObject({ name: 'b', port: 8085 });
  });

  it('an app that calls itself gets an answer, once', async () => {
    expect(await curl('a', 'http://self:9080/me')).toMatchObject({ name: 'a', port: 8080, url: '/me' });
    expect(await curl('a', 'http://10.1.0.7:8080/direct')).toMatchObject({
      name: 'a',
      remoteAddress: '::ffff:10.1.0.7',
    });
    await until('the log', () => logged('a').split('GET /me').length === 3);
  });

  it('nothing goes in circles: who calls the proxy’s own ports is turned away', async () => {
    const before = await stat('a', 'cluster.PassthroughCluster.upstream_cx_total');
    for (const from of ['a', 'node']) {
      for (const address of ['10.1.0.7', ...(from === 'a' ? ['127.0.0.1'] : [])]) {
        for (const port of ['15001', '15006']) {
          expect(await app(from, 'say', address, port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).toMatch(TURNED_AWAY);
        }
      }
    }
    expect(await stat('a', 'cluster.PassthroughCluster.upstream_cx_total')).toBe(before);
    expect(await curl('a', 'http://reviews:9080/after')).toMatchObject({ name: 'b' });
  });
});
