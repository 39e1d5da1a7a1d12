// Pains rows 23, 25 and 26 where the whole mesh is STRICT: what is called in ways that names and declarations do not
// foresee goes by mutual TLS as well, and the server knows its caller. Two pods as network namespaces, as capture.test.ts
// has them; by certificates of a real control server, which a pod reaches at its own loopback address, as its CA wants.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pods } from './support/pods.ts';
import { output, Program, scratch, until } from './support/process.ts';

const ROOT = process.cwd();
const NODE = join(ROOT, 'node_modules/.bin/node');
const REMORA = join(ROOT, 'dist/remora.js');
const PODS = join(ROOT, 'test/system/support/pods.sh');
const APP = join(ROOT, 'test/system/support/pod-app.mjs');
const id = `rs${process.pid}`;
const live = join(scratch, id);
/** Joins connections to an address with new ones to another, without a word of its own. */
const FORWARD = `
const { connect, createServer } = require('node:net');
const [from, to] = process.argv.slice(1).map((text) => text.split(':'));
createServer((one) => {
  const other = connect(Number(to[1]), to[0]);
  for (const [a, b] of [[one, other], [other, one]]) a.on('error', () => b.destroy()).pipe(b);
}).listen(Number(from[1]), from[0]);`;

const MESH = `
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: 'accessLogFormat: "%DOWNSTREAM_PEER_URI_SAN% %UPSTREAM_CLUSTER% %RESPONSE_CODE% to %DOWNSTREAM_LOCAL_ADDRESS%"' }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: all, namespace: istio-system }
spec: { mtls: { mode: STRICT } }
---
apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: default }
spec:
  clusterIP: 10.96.0.10
  ports: [{ name: http, port: 9080, targetPort: 8080 }, { name: http-declared, port: 7003 }, { name: tcp, port: 7001 }]
---
${JSON.stringify({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'reviews-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'reviews' } },
  addressType: 'IPv4',
  ports: [
    { name: 'http', port: 8080 },
    { name: 'http-declared', port: 7003 },
    { name: 'tcp', port: 7001 },
  ],
  endpoints: [{ addresses: ['10.1.0.8'], targetRef: { kind: 'Pod', name: 'b', namespace: 'default' } }],
})}
---
apiVersion: v1
kind: Service
metadata: { name: hidden, namespace: other }
spec: { clusterIP: 10.96.0.99, ports: [{ name: tcp, port: 7999 }] }
---
${pod('a', '10.1.0.7')}
---
${pod('b', '10.1.0.8')}
`;

const SCOPE = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default, namespace: default }
spec: { egress: [{ hosts: [./*] }] }
`;

function pod(name: string, podIP: string): string {
  const labels = { app: name, 'security.istio.io/tlsMode': 'istio' };
  const metadata = { name, namespace: 'default', labels };
  const spec = { serviceAccountName: `account-${name}` };
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec, status: { phase: 'Running', podIP } });
}

const sidecars = new Map<string, Program>();
const { within, run } = pods(id);
const app = (namespace: string, ...args: readonly string[]): Promise<string> => run(namespace, NODE, APP, ...args);
const curl = (namespace: string, url: string, ...more: readonly string[]): Promise<string> =>
  run(namespace, 'curl', '-sS', '-m', '8', '-w', ' %{http_code}', ...more, url);
/** How the server's sidecar logged it: who called, and at which address. */
const logged = async (what: RegExp): Promise<void> =>
  until(`a line like ${what}: ${sidecars.get('b')!.stdout}`, () => what.test(sidecars.get('b')!.stdout));

beforeAll(async () => {
  const made = await output('bash', [PODS, 'up', id, 'REDIRECT']);
  expect(made, made.text).toEqual({ code: 0, text: '' });
  mkdirSync(join(live, 'ca'), { recursive: true });
  mkdirSync(join(live, 'mesh'));
  mkdirSync(join(live, 'instances'));
  writeFileSync(join(live, 'mesh', 'mesh.yaml'), MESH);
  new Program('app b', ...within('b', NODE, APP, 'serve', 'b', 'http:8080', 'tcp:7001', 'tcp:7003'));
  const env = { HOME: live, XDG_RUNTIME_DIR: live, XDG_STATE_HOME: live, TMPDIR: live };
  const control = new Program(
    'control',
    ...within(
      'node',
      NODE,
      REMORA,
      'control',
      ...['--files', join(live, 'mesh'), '--instances', join(live, 'instances'), '--ca-dir', join(live, 'ca')],
      ...['--xds', '127.0.0.1:15010', '--xds-tls', '127.0.0.1:15012', '--http', '127.0.0.1:15014'],
    ),
    env,
  );
  await until('control', () => control.stderr.includes('serving'));
  new Program('door', ...within('node', NODE, '-e', FORWARD, '10.1.0.1:15112', '127.0.0.1:15012'));
  for (const [name, ip] of [
    ['a', '10.1.0.7'],
    ['b', '10.1.0.8'],
  ] as const) {
    const as = ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups'];
    new Program(`door of ${name}`, ...within(name, ...as, NODE, '-e', FORWARD, '127.0.0.1:15012', '10.1.0.1:15112'));
    const program = new Program(
      name,
      ...within(
        name,
        ...['setpriv', '--regid', '1337', '--clear-groups', NODE, REMORA, 'proxy', '--sidecar'],
        ...['--control', 'https://localhost:15012', '--label', `app=${name}`],
        ...['--ca-token', join(live, 'ca', 'local.token'), '--ca-root', join(live, 'ca', 'root-cert.pem')],
      ),
      {
        ...env,
        POD_NAME: name,
        POD_NAMESPACE: 'default',
        INSTANCE_IP: ip,
        INSTANCE_IPS: ip,
        SERVICE_ACCOUNT: `account-${name}`,
        CA_ADDR: 'https://localhost:15012',
        ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
      },
    );
    sidecars.set(name, program);
    const ready = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:15000/ready'];
    await until(`${name} to be ready`, async () => {
      if (!program.alive) throw new Error(program.stderr.slice(-2000) || program.stdout.slice(-2000));
      return (await run(name, ...ready)) === '200';
    });
  }
}, 120_000);

afterAll(async () => {
  await Promise.all([...sidecars.values()].map((sidecar) => sidecar.stop()));
  await output('bash', [PODS, 'down', id]);
});

const CALLER = 'spiffe://cluster.local/ns/default/sa/account-a';

describe('STRICT', () => {
  it('refuses who is not of the mesh, and takes who calls by name', async () => {
    expect(await curl('node', 'http://10.1.0.8:8080/')).toMatch(/ 000$/);
    expect(await curl('a', 'http://reviews:9080/', '--resolve', 'reviews:9080:10.96.0.10')).toMatch(/ 200$/);
    await logged(new RegExp(`^${CALLER} inbound\\|8080\\|\\|; 200 to 10\\.1\\.0\\.8:8080`, 'm'));
  });

  it('row 23: what is no HTTP on a port of HTTP goes to the service, whoever speaks first', async () => {
    expect(await app('a', 'greet', '10.96.0.10', '7003')).toBe('220 b 7003');
    await logged(new RegExp(`^${CALLER} inbound\\|7003\\|\\|; 0 to 10\\.1\\.0\\.8:7003`, 'm'));
    expect(await app('a', 'say', '10.96.0.10', '7003', '*1\r\n$4\r\nPING\r\n')).toContain('220 b 7003');
    expect(sidecars.get('a')!.stderr).toContain('Service default/reviews port 7003: declared http, but');
    expect(readFileSync(join(live, 'mesh', 'mesh.yaml'), 'utf8')).toContain('http-declared');
  });

  it('row 25: an instance that is called by its own address is called as who it is, HTTP and bytes', async () => {
    expect(await curl('a', 'http://10.1.0.8:8080/by-address')).toMatch(/"url":"\/by-address".* 200$/s);
    expect(await app('a', 'greet', '10.1.0.8', '7001')).toBe('220 b 7001');
    await logged(new RegExp(`^${CALLER} inbound\\|7001\\|\\|; 0 to 10\\.1\\.0\\.8:7001`, 'm'));
    expect(await app('a', 'greet', '10.1.0.8', '7003')).toBe('220 b 7003');
    const lines = sidecars.get('a')!.stdout;
    // By the statistics of its service; bytes all, since no listener has the port of an instance.
    expect(lines).toContain('outbound|9080||reviews.default.svc.cluster.local; 0 to 10.1.0.8:8080');
    expect(lines).toContain('outbound|7001||reviews.default.svc.cluster.local; 0 to 10.1.0.8:7001');
    expect(lines).not.toMatch(/PassthroughCluster;? \d+ to 10\.1\.0\.8/);
  });

  it('row 26: a port that a service does not declare is not the service’s: it goes where it was going', async () => {
    expect(await app('a', 'greet', '10.96.0.10', '7009')).toMatch(/^(closed|ECONNRESET|silence)$/);
    await until('the log', () => /PassthroughCluster;? 0 to 10\.96\.0\.10:7009/.test(sidecars.get('a')!.stdout));
    // And outside, to whom nobody gave a certificate.
    expect(await curl('a', 'http://203.0.113.9:7010/')).toMatch(/ (503|000)$/);
  });

  it('row 25 within a Sidecar: instances of the services that it names', async () => {
    const listeners = (): Promise<string> => run('a', 'curl', '-s', 'http://127.0.0.1:15000/listeners');
    expect(await listeners()).toContain('10.96.0.99_7999');
    writeFileSync(join(live, 'mesh', 'scope.yaml'), SCOPE);
    await until('the scope', async () => !(await listeners()).includes('10.96.0.99_7999'));
    const before = sidecars.get('a')!.stdout.length;
    expect(await curl('a', 'http://10.1.0.8:8080/scoped')).toMatch(/"url":"\/scoped".* 200$/s);
    expect(await app('a', 'greet', '10.1.0.8', '7001')).toBe('220 b 7001');
    await until('the log', () => sidecars.get('a')!.stdout.slice(before).includes('; 0 to 10.1.0.8:7001'));
    expect(sidecars.get('a')!.stdout.slice(before)).not.toContain('PassthroughCluster');
  });
});
