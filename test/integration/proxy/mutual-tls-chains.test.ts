// The filter chains that the control server emits for a port, by mode of mutual TLS, with every kind of client.
import { connect, type TLSSocket } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import type { MtlsMode } from '../../../src/control/mesh/authentication.ts';
import { chainKinds, mutualChain } from '../../../src/control/translate/emit/mtls.ts';
import { declaredHttp } from '../../../src/control/translate/emit/network-filters.ts';
import { toJson } from '../../../src/xds/proto/codec.ts';
import { FilterChain } from '../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { key, pem } from '../../support/certs/index.ts';
import { httpChain, httpInspector, tcpChain, tlsInspector } from '../../support/chains.ts';
import { type Json, proxy, scripted, type TestProxy, upstream } from '../../support/proxy.ts';
import { inlineCertificate, secret, trusting } from '../../support/tls.ts';
import type { RawUpstream } from '../../support/upstream.ts';

const PLAIN = ['http/1.0', 'http/1.1'];

type Speaks = Parameters<typeof chainKinds>[1];

async function port(mode: MtlsMode, speaks: Speaks): Promise<{ p: TestProxy; raw: RawUpstream }> {
  const [web, raw] = [await upstream(), await scripted()];
  const chains = chainKinds(mode, speaks, PLAIN).map((kind) => {
    const chain = kind.speaks === 'http' ? httpChain('web', { ...kind.match }) : tcpChain('raw', { ...kind.match });
    const named =
      speaks === 'declared-http' && kind.speaks === 'tcp'
        ? { ...chain, metadata: declaredHttp('Service shop/db port 3306', true) }
        : chain;
    return kind.mutual ? { ...named, ...(toJson(FilterChain, mutualChain(kind.speaks, false)) as Json) } : named;
  });
  const p = await proxy()
    .cluster('web', web.port)
    .cluster('raw', raw.port)
    .listener({
      metadata: { filter_metadata: { remora: { protocol_detection: 'auto' } } },
      listener_filters: [tlsInspector, httpInspector],
      listener_filters_timeout: '0s',
      filter_chains: chains,
    })
    .start();
  const own = [
    secret({ name: 'default', tls_certificate: inlineCertificate('server') }),
    secret({ name: 'ROOTCA', validation_context: trusting('root-a') }),
  ];
  p.proxy.env.tls.secrets.updateOwn(new Map(own.map((one) => [one.name, one])));
  return { p, raw };
}

const MESH = { cert: pem('client-chain'), key: key('client') };
const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';

/** What the server of bytes got. It may be dialled before it is known what the client speaks, and let go. */
async function bytesAt(raw: RawUpstream, text: string): Promise<string> {
  for (;;) {
    const first = await (await raw.accept()).bytes(3).catch(() => '');
    if (first !== '') return first === text.slice(0, 3) ? 'tcp' : 'tls';
  }
}

/** `http`: the HTTP chain answered; `tcp`: the bytes came out as they went in, `tls`: still encrypted; `refused`. */
async function met(
  { p, raw }: { p: TestProxy; raw: RawUpstream },
  alpn: readonly string[] | null,
  text: string,
  certificate: object = MESH,
): Promise<string> {
  const tcp = bytesAt(raw, text);
  if (alpn === null) {
    const client = await p.client();
    client.write(text);
    return Promise.race([
      tcp,
      client.rest().then((answer) => (answer.startsWith('HTTP/1.1 200') ? 'http' : 'refused')),
    ]);
  }
  const options = { host: '127.0.0.1', port: p.port, rejectUnauthorized: false, ...certificate };
  const socket: TLSSocket = connect({ ...options, ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }) });
  onTestFinished(() => {
    socket.destroy();
  });
  const answer = new Promise<string>((resolve) => {
    let got = '';
    socket.on('secureConnect', () => socket.write(text));
    socket.on('data', (chunk) => {
      got += String(chunk);
      if (got.startsWith('HTTP/1.1 200')) resolve('http');
    });
    socket.on('error', () => resolve('refused'));
    socket.on('close', () => resolve('refused'));
  });
  return Promise.race([tcp, answer]);
}

const BYTES = 'bytes\r\n\r\n';
const HTTP_ALPN = ['istio-http/1.1', 'istio', 'http/1.1'];
const CLIENTS: Readonly<Record<string, readonly [readonly string[] | null, string, object?]>> = {
  'HTTP of the mesh': [HTTP_ALPN, REQUEST],
  'bytes of the mesh': [['istio'], BYTES],
  'plain HTTP': [null, REQUEST],
  'plain bytes': [null, BYTES],
  'TLS of its own': [[], BYTES, {}],
  'the mesh without a certificate': [HTTP_ALPN, REQUEST, {}],
  'the mesh with another root’s certificate': [HTTP_ALPN, REQUEST, { cert: pem('client-b'), key: key('client-b') }],
};

test.each<[MtlsMode, Speaks, readonly string[]]>([
  ['PERMISSIVE', 'auto', ['http', 'tcp', 'http', 'tcp', 'tls', 'refused', 'refused']],
  ['STRICT', 'auto', ['http', 'tcp', 'refused', 'refused', 'refused', 'refused', 'refused']],
  ['PERMISSIVE', 'http', ['http', 'refused', 'http', 'refused', 'refused', 'refused', 'refused']],
  ['STRICT', 'http', ['http', 'refused', 'refused', 'refused', 'refused', 'refused', 'refused']],
  // In clear text what clients send first is HTTP or refused (pains row 23); other proxies of the mesh have looked.
  ['PERMISSIVE', 'declared-http', ['http', 'tcp', 'http', 'refused', 'refused', 'refused', 'refused']],
  ['STRICT', 'declared-http', ['http', 'tcp', 'refused', 'refused', 'refused', 'refused', 'refused']],
  ['PERMISSIVE', 'tcp', ['tcp', 'tcp', 'tcp', 'tcp', 'tls', 'refused', 'refused']],
  ['STRICT', 'tcp', ['tcp', 'tcp', 'refused', 'refused', 'refused', 'refused', 'refused']],
])('%s on a port of %s', async (mode, speaks, expected) => {
  const found: string[] = [];
  for (const [alpn, text, certificate] of Object.values(CLIENTS)) {
    found.push(await met(await port(mode, speaks), alpn, text, certificate));
  }
  expect(Object.fromEntries(Object.keys(CLIENTS).map((name, i) => [name, found[i]]))).toEqual(
    Object.fromEntries(Object.keys(CLIENTS).map((name, i) => [name, expected[i]])),
  );
});

test.each<MtlsMode>(['PERMISSIVE', 'STRICT'])(
  'HTTP was declared, %s: nobody gets around its chain by the ALPN of bytes',
  async (mode) => {
    expect(await met(await port(mode, 'declared-http'), ['istio'], REQUEST)).toBe('http');
  },
);

test('HTTP was declared: by mutual TLS too a server that speaks first is heard, and its object is named', async () => {
  const { p, raw } = await port('STRICT', 'declared-http');
  const options = { host: '127.0.0.1', port: p.port, rejectUnauthorized: false, ...MESH };
  const socket = connect({ ...options, ALPNProtocols: ['istio'] });
  onTestFinished(() => {
    socket.destroy();
  });
  const said = new Promise<string>((resolve) => socket.once('data', (chunk) => resolve(String(chunk))));
  const connection = await raw.accept();
  connection.write('220 hello');
  expect(await said).toBe('220 hello');
  socket.write('EHLO');
  expect(await connection.bytes(4)).toBe('EHLO');
  expect(p.processLog.join('\n')).toContain('Service shop/db port 3306: declared http, but a connection to');
});

test('a server that speaks first is heard where both are taken', async () => {
  const { p, raw } = await port('PERMISSIVE', 'tcp');
  const client = await p.client();
  const connection = await raw.accept();
  connection.write('hello');
  expect(Buffer.from(await client.bytes(5)).toString()).toBe('hello');
  client.socket.destroy();
});
