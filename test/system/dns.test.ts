import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pods } from './support/pods.ts';
import { output, Program, scratch, until } from './support/process.ts';

const ROOT = process.cwd();
const NODE = join(ROOT, 'node_modules/.bin/node');
const REMORA = join(ROOT, 'dist/remora.js');
const SUPPORT = join(ROOT, 'test/system/support');

/** Two databases of one port, which nothing but their addresses tells apart, and Services. */
const MESH = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: one, namespace: default }
spec:
  hosts: [one.db.example]
  ports: [{ name: tcp, number: 5432, protocol: TCP }]
  resolution: STATIC
  endpoints: [{ address: 10.2.0.1 }]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: two, namespace: default }
spec:
  hosts: [two.db.example]
  ports: [{ name: tcp, number: 5432, targetPort: 5433, protocol: TCP }]
  resolution: DNS
  endpoints: [{ address: real.two.example }]
---
apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: default }
spec:
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  ports: [{ name: http, port: 9080 }]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: reviews-1, namespace: default, labels: { kubernetes.io/service-name: reviews } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [10.2.0.1] }]
---
apiVersion: v1
kind: Service
metadata: { name: mysql, namespace: prod }
spec: { clusterIP: None, ports: [{ name: tcp, port: 3306 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: mysql-1, namespace: prod, labels: { kubernetes.io/service-name: mysql } }
addressType: IPv4
ports: [{ name: tcp, port: 3306 }]
endpoints: [{ addresses: [10.2.0.1], hostname: mysql-0 }]
`;

/** Resolves as programs do: by the C library, and by c-ares. Prints addresses, or the code of the failure. */
const RESOLVE = `
import { Resolver } from 'node:dns/promises';
const [type, name, server] = process.argv.slice(1);
const resolver = new Resolver();
if (server !== undefined) resolver.setServers([server]);
console.log(await resolver.resolve(name, type).then((found) => found.join(' '), (error) => error.code));
`;

describe('DNS of a captured pod', () => {
  const id = `rd${process.pid}`;
  const live = join(scratch, id);
  const etc = `/etc/netns/${id}-pod`;
  let server: Program;
  let sidecar: Program;

  const { within, run } = pods(id);
  const pod = (...args: readonly string[]): Promise<string> => run('pod', ...args);
  const ip = async (...args: readonly string[]): Promise<void> => {
    const { code, text } = await output('ip', args);
    if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${text}`);
  };
  const cAres = (type: string, name: string, ...more: string[]): Promise<string> =>
    pod(NODE, '--input-type=module', '-e', RESOLVE, type, name, ...more);
  /** What the C library gives for IPv4, as most programs ask it. */
  const libc = async (name: string, ...env: string[]): Promise<string> => {
    const text = await pod('env', ...env, 'getent', 'ahostsv4', name);
    return [...new Set(text.split('\n').map((line) => line.split(/\s+/)[0] ?? ''))].join(' ');
  };
  const greet = (host: string, port: number): Promise<string> =>
    pod(NODE, join(SUPPORT, 'pod-app.mjs'), 'greet', host, String(port));
  const asked = (name: string): string[] => server.stdout.split('\n').filter((line) => line.endsWith(` ${name}`));

  beforeAll(async () => {
    mkdirSync(live);
    writeFileSync(join(live, 'mesh.yaml'), MESH);
    mkdirSync(etc, { recursive: true });
    const search = 'default.svc.cluster.local svc.cluster.local cluster.local';
    writeFileSync(
      join(etc, 'resolv.conf'),
      `search ${search}\nnameserver 10.2.0.1\nnameserver fd00:2::1\noptions ndots:5\n`,
    );
    for (const one of ['node', 'pod']) {
      await ip('netns', 'add', `${id}-${one}`);
      await ip('-n', `${id}-${one}`, 'link', 'set', 'lo', 'up');
    }
    await ip('-n', `${id}-node`, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `${id}-pod`);
    for (const [one, part] of [
      ['node', 1],
      ['pod', 7],
    ] as const) {
      await ip('-n', `${id}-${one}`, 'link', 'set', 'eth0', 'up');
      await ip('-n', `${id}-${one}`, 'addr', 'add', `10.2.0.${part}/24`, 'dev', 'eth0');
      await ip('-n', `${id}-${one}`, 'addr', 'add', `fd00:2::${part}/64`, 'dev', 'eth0', 'nodad');
    }
    await ip('-n', `${id}-pod`, 'route', 'add', 'default', 'via', '10.2.0.1');
    await ip('-n', `${id}-pod`, '-6', 'route', 'add', 'default', 'via', 'fd00:2::1');
    await ip('-n', `${id}-node`, 'addr', 'add', '203.0.113.9/32', 'dev', 'lo');

    const records = ['outside.example=203.0.113.9', 'one.db.example=192.0.2.66', 'real.two.example=10.2.0.1'];
    const resolver = [join(SUPPORT, 'dns-server.mjs'), '10.2.0.1', 'fd00:2::1', '--', ...records];
    server = new Program('dns', ...within('node', NODE, ...resolver));
    const serve = (name: string, ...ports: string[]): Program =>
      new Program(name, ...within('node', NODE, join(SUPPORT, 'pod-app.mjs'), 'serve', name, ...ports));
    serve('one', 'tcp:5432', 'tcp:7009');
    serve('two', 'tcp:5433', 'http:8080');
    const flags = ['--files', live, '--instances', live, '--xds', '10.2.0.1:15010', '--http', '10.2.0.1:15014'];
    const home = { HOME: live, XDG_RUNTIME_DIR: live, XDG_STATE_HOME: live, TMPDIR: live };
    const control = new Program('control', ...within('node', NODE, REMORA, 'control', ...flags), home);
    await until('control', () => control.stderr.includes('serving'));

    // The rules that injection's init container writes.
    const rules = await output(
      ...within('pod', NODE, REMORA, 'iptables', '--redirect-dns', '--uid=1337', '--gid=1337'),
    );
    expect(rules.code, rules.text).toBe(0);
    const env = {
      POD_NAME: 'app',
      POD_NAMESPACE: 'default',
      INSTANCE_IP: '10.2.0.7',
      INSTANCE_IPS: '10.2.0.7,fd00:2::7',
      ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
      ISTIO_META_DNS_CAPTURE: 'true',
    };
    const as = ['setpriv', '--reuid', '1337', '--regid', '1337', '--clear-groups'];
    const proxy = ['proxy', '--sidecar', '--control=10.2.0.1:15010', '--dns=localhost:15053', '--log-level=debug'];
    sidecar = new Program('sidecar', ...within('pod', ...as, NODE, REMORA, ...proxy), env);
    const ready = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:15000/ready'];
    await until('the sidecar to be ready', async () => {
      if (!sidecar.alive) throw new Error(sidecar.stderr.slice(-2000));
      return (await pod(...ready)) === '200';
    });
  });
  afterAll(async () => {
    await sidecar?.stop();
    for (const one of ['node', 'pod']) await output('ip', ['netns', 'del', `${id}-${one}`]);
    rmSync(etc, { recursive: true, force: true });
  });

  it('hosts that only the mesh knows have an address each, and it is not their real one', async () => {
    const one = await libc('one.db.example');
    const two = await libc('two.db.example');
    expect(one).toMatch(/^240\.240\.\d+\.\d+$/);
    expect(two).toMatch(/^240\.240\.\d+\.\d+$/);
    expect(two).not.toBe(one);
    expect(await cAres('AAAA', 'one.db.example')).toMatch(/^2001:2::f0f0:/);
    expect(asked('one.db.example')).toEqual([]);
  });

  it('so TCP services of one port are told apart', async () => {
    expect(await greet('one.db.example', 5432)).toBe('220 one 5432');
    expect(await greet('two.db.example', 5432)).toBe('220 two 5433');
  });

  it('Services by all their names, by the C library and its search domains', async () => {
    for (const name of ['reviews', 'reviews.default', 'reviews.default.svc', 'reviews.default.svc.cluster.local'])
      expect(await libc(name), name).toBe('10.96.0.10');
    expect(await cAres('AAAA', 'reviews.default.svc.cluster.local')).toBe('fd00:96::10');
    expect(await libc('mysql.prod')).toBe('10.2.0.1');
    expect(await libc('mysql-0.mysql.prod')).toBe('10.2.0.1');
    expect(await pod('curl', '-sS', '-m', '8', 'http://reviews:9080/x')).toContain('"name":"two"');
  });

  it('a family without an address: an answer without records', async () =>
    expect(await cAres('AAAA', 'mysql.prod.svc.cluster.local')).toBe('ENODATA'));

  it('all other names are the cluster’s', async () => {
    expect(await libc('outside.example')).toBe('203.0.113.9');
    expect(await cAres('A', 'nobody.example')).toBe('ENOTFOUND');
    expect(await greet('outside.example', 7009)).toBe('220 one 7009');
    // From the pod, once a question: what the proxy asks further is not led back to it.
    expect(asked('nobody.example').length).toBe(1);
    expect(asked('nobody.example')[0]).toMatch(/^udp 10\.2\.0\.7 1 /);
  });

  it('over TCP as well', async () => {
    expect(await libc('one.db.example', 'RES_OPTIONS=use-vc')).toMatch(/^240\.240\./);
    expect(await libc('outside.example', 'RES_OPTIONS=use-vc')).toBe('203.0.113.9');
    expect(asked('outside.example').some((line) => line.startsWith('tcp 10.2.0.7 '))).toBe(true);
  });

  it('whichever of the pod’s servers is asked', async () => {
    expect(await cAres('A', 'one.db.example', '[fd00:2::1]:53')).toMatch(/^240\.240\./);
    expect(await cAres('A', 'outside.example', '[fd00:2::1]:53')).toBe('203.0.113.9');
  });

  it('when the first server is gone, the next one answers', async () => {
    // Only the IPv6 address is left: the forwarder goes on to it.
    await ip('-n', `${id}-node`, 'addr', 'del', '10.2.0.1/24', 'dev', 'eth0');
    expect(await cAres('A', 'outside.example', '[fd00:2::1]:53')).toBe('203.0.113.9');
    await ip('-n', `${id}-node`, 'addr', 'add', '10.2.0.1/24', 'dev', 'eth0');
  });

  it('a name that comes later is there, one that goes is the cluster’s again', async () => {
    const entry = (host: string): string => MESH.replace('one.db.example', host);
    writeFileSync(join(live, 'mesh.yaml'), entry('new.db.example'));
    await until('the new name', async () => (await libc('new.db.example')).startsWith('240.240.'));
    await until('the old one to be the cluster’s', async () => (await libc('one.db.example')) === '192.0.2.66');
    expect(await greet('new.db.example', 5432)).toBe('220 one 5432');
    writeFileSync(join(live, 'mesh.yaml'), MESH);
    await until('the old one to be back', async () => (await libc('one.db.example')).startsWith('240.240.'));
  });

  it('counts as Istio’s agent does', async () => {
    const stats = await pod('curl', '-s', 'http://127.0.0.1:15000/stats/prometheus');
    const of = (name: string): number =>
      Number(new RegExp(`^istio_agent_dns_${name}_total (\\d+)`, 'm').exec(stats)?.[1]);
    expect(of('requests')).toBeGreaterThan(of('upstream_requests'));
    expect(of('upstream_requests')).toBeGreaterThan(0);
    expect(stats).toContain('istio_agent_dns_upstream_request_duration_seconds_bucket');
  });
});
