// A Gateway ends TLS with the certificate of a Secret, which may be another one while it serves.
import { X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:tls';
import { afterEach, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { key, pem } from '../../support/certs/index.ts';
import { type Mesh, mesh, until } from '../../support/mesh.ts';
import { destinationRule, file, service, virtualService } from '../../support/mesh-yaml.ts';

let running: Mesh | null = null;
afterEach(async () => {
  await running?.close();
  running = null;
});

function secret(name: string, certificate: string, more: Readonly<Record<string, string>> = {}): string {
  const stringData = { 'tls.crt': pem(certificate), 'tls.key': key(certificate), ...more };
  return stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, stringData });
}

/** `edge`, at the ingress gateway, with these servers. */
function gatewayOf(servers: readonly object[]): string {
  return stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'Gateway',
    metadata: { name: 'edge', namespace: 'default' },
    spec: { selector: { istio: 'ingressgateway' }, servers },
  });
}

const GATEWAY = gatewayOf([
  {
    port: { number: 443, name: 'a', protocol: 'HTTPS' },
    hosts: ['a.example'],
    tls: { mode: 'SIMPLE', credentialName: 'a' },
  },
  {
    port: { number: 443, name: 'b', protocol: 'HTTPS' },
    hosts: ['b.example'],
    tls: { mode: 'MUTUAL', credentialName: 'b' },
  },
]);
const ROUTES = virtualService('edge', {
  hosts: ['a.example', 'b.example'],
  gateways: ['edge'],
  http: [{ route: [{ destination: { host: 'reviews', port: { number: 9080 } } }] }],
});

interface Heard {
  readonly certificate: string;
  readonly status: string;
}

/** One request over TLS; rejects when there is no connection, or the server does not like the client. */
function https(port: number, servername: string, host: string, client = ''): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const own = client === '' ? {} : { cert: pem(client), key: key(client) };
    const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false, ...own });
    let text = '';
    socket.on('secureConnect', () => socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`));
    socket.on('data', (chunk: Buffer) => {
      text += String(chunk);
    });
    socket.on('error', reject);
    const certificate = (): string => socket.getPeerX509Certificate()?.fingerprint256 ?? '';
    let seen = '';
    socket.on('secureConnect', () => {
      seen = certificate();
    });
    socket.on('close', () =>
      text === '' ? reject(new Error('closed')) : resolve({ certificate: seen, status: text.slice(9, 12) }),
    );
  });
}
const printOf = (name: string): string => new X509Certificate(pem(name)).fingerprint256;

it('certificates come of Secrets, change while the gateway serves, and are nobody’s when they go', async () => {
  const it = await mesh()
    .yaml('services.yaml', service('reviews'))
    .yaml('gateway.yaml', file(GATEWAY, ROUTES))
    .yaml('a.yaml', secret('a', 'server'))
    .yaml('b.yaml', secret('b', 'server-2', { 'ca.crt': pem('root-a') }))
    .sidecar('reviews')
    .gateway()
    .start();
  running = it;
  const port = it.gatewayTlsPort;
  const a = (): Promise<Heard | null> => https(port, 'a.example', 'a.example').catch(() => null);
  await until('the gateway', async () => (await a())?.status === '200');
  expect(await a()).toEqual({ certificate: printOf('server'), status: '200' });

  // Each server has routes of its own: who shook hands for one host does not get at another.
  expect((await https(port, 'a.example', 'b.example')).status).toBe('404');
  // A certificate is asked for, and one of these roots.
  expect(await https(port, 'b.example', 'b.example', 'client-2')).toEqual({
    certificate: printOf('server-2'),
    status: '200',
  });
  await expect(https(port, 'b.example', 'b.example')).rejects.toThrow();
  await expect(https(port, 'b.example', 'b.example', 'client-b')).rejects.toThrow();
  // Nobody is there for other names.
  await expect(https(port, 'c.example', 'c.example')).rejects.toThrow();

  it.config.replace('a.yaml', secret('a', 'server-rsa'));
  await until('the new certificate', async () => (await a())?.certificate === printOf('server-rsa'));
  // One that cannot be used changes nothing.
  it.config.replace('a.yaml', secret('a', 'server', { 'tls.key': key('server-2') }));
  expect((await it.finding('wrong-certificate')).text).toContain('tls.key is not the key of the certificate');
  expect((await a())?.certificate).toBe(printOf('server-rsa'));
  expect((await https(port, 'b.example', 'b.example', 'client-2')).status).toBe('200');
  it.config.replace('a.yaml', secret('a', 'server'));
  await until('the first certificate again', async () => (await a())?.certificate === printOf('server'));

  // One that goes takes its host with it, and no other.
  it.config.remove('a.yaml');
  await until('nobody for a.example', async () => (await a()) === null);
  expect((await https(port, 'b.example', 'b.example', 'client-2')).status).toBe('200');

  // Keys are in no view of the proxy and in no log.
  const gateway = it.proxy('gateway');
  const body = key('server').split('\n')[1]!;
  expect(JSON.stringify([...gateway.proxy.discovery!.store.secrets.value.values()])).not.toContain(body);
  expect(JSON.stringify(await it.status('/findings'))).not.toContain(body);
});

it('TLS that is passed on reaches the server of its name unread, on the port where others are ended', async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer({ cert: pem('server-2'), key: key('server-2') }, (request, response) => {
    seen.push(request.headers.host);
    response.setHeader('connection', 'close').end('unread');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port: own } = server.address() as AddressInfo;
  const entry = stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'vault', namespace: 'default' },
    spec: {
      hosts: ['vault.internal'],
      ports: [{ number: 8443, name: 'tls', protocol: 'TLS' }],
      resolution: 'STATIC',
      endpoints: [{ address: '127.0.0.1', ports: { tls: own } }],
    },
  });
  const gateway = gatewayOf([
    {
      port: { number: 443, name: 'a', protocol: 'HTTPS' },
      hosts: ['a.example'],
      tls: { mode: 'SIMPLE', credentialName: 'a' },
    },
    {
      port: { number: 443, name: 'passed', protocol: 'TLS' },
      hosts: ['*.vault.example'],
      tls: { mode: 'PASSTHROUGH' },
    },
  ]);
  const passed = (name: string): string =>
    virtualService('vault', {
      hosts: ['*.vault.example'],
      gateways: ['edge'],
      tls: [{ match: [{ sniHosts: [name] }], route: [{ destination: { host: 'vault.internal' } }] }],
    });
  const it = await mesh()
    .yaml('services.yaml', file(service('reviews'), entry))
    .yaml('gateway.yaml', file(gateway, ROUTES))
    .yaml('passed.yaml', passed('one.vault.example'))
    .yaml('a.yaml', secret('a', 'server'))
    .sidecar('reviews')
    .gateway()
    .start();
  running = it;
  const port = it.gatewayTlsPort;
  const vault = (name: string): Promise<Heard | null> => https(port, name, name).catch(() => null);
  await until('the gateway', async () => (await vault('one.vault.example'))?.status === '200');
  // The server's own certificate, and its own answer.
  expect(await vault('one.vault.example')).toEqual({ certificate: printOf('server-2'), status: '200' });
  expect(new Set(seen)).toEqual(new Set(['one.vault.example']));
  expect((await https(port, 'a.example', 'a.example')).certificate).toBe(printOf('server'));
  expect(await vault('two.vault.example')).toBeNull();
  it.config.replace('passed.yaml', passed('two.vault.example'));
  await until('the other name', async () => (await vault('two.vault.example'))?.certificate === printOf('server-2'));
  expect(await vault('one.vault.example')).toBeNull();
});

it('ISTIO_MUTUAL takes the mesh’s own certificates and nobody else', async () => {
  const gateway = gatewayOf([
    {
      port: { number: 443, name: 'mesh', protocol: 'HTTPS' },
      hosts: ['edge.internal'],
      tls: { mode: 'ISTIO_MUTUAL' },
    },
  ]);
  const routes = virtualService('edge', {
    hosts: ['edge.internal'],
    gateways: ['edge'],
    http: [{ route: [{ destination: { host: 'reviews', port: { number: 9080 } } }] }],
  });
  const it = await mesh()
    .certificates()
    .yaml('services.yaml', file(service('productpage'), service('reviews')))
    .yaml('gateway.yaml', file(gateway, routes))
    .sidecar('productpage')
    .sidecar('reviews')
    .gateway()
    .start();
  running = it;
  const port = it.gatewayTlsPort;
  const entry = stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'edge', namespace: 'default' },
    spec: {
      hosts: ['edge.internal'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'STATIC',
      endpoints: [{ address: '127.0.0.1', ports: { http: port } }],
    },
  });
  const rule = destinationRule('edge', {
    host: 'edge.internal',
    trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL', sni: 'edge.internal' } },
  });
  it.config.write('entry.yaml', file(entry, rule));
  const productpage = it.proxy('productpage-v1');
  const ask = () => productpage.call('http://edge.internal/').catch(() => null);
  await until('the gateway by mutual TLS', async () => (await ask())?.status === 200);
  expect(await ask()).toMatchObject({ status: 200, body: 'reviews-v1' });
  await expect(https(port, 'edge.internal', 'edge.internal')).rejects.toThrow();
  await expect(https(port, 'edge.internal', 'edge.internal', 'client-2')).rejects.toThrow();
});
