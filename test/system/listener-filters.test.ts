import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { httpInspector, proxyProtocol, tcpChain, tlsInspector } from '../support/chains.ts';
import { rawClient } from '../support/client.ts';
import { clientHello, proxyV2 } from '../support/first-bytes.ts';
import type { Json } from '../support/proxy.ts';
import { envoy, remora } from './support/peers.ts';
import { freePorts, type Program, pause } from './support/process.ts';

/** Clusters, each of a server that answers with its name and the octets it got first. */
const NAMES = ['h10', 'h11', 'h2c', 'exact', 'wild', 'alpn', 'office', 'port', 'rest'] as const;
const LISTENERS = ['sniff', 'strict', 'optional', 'v2'] as const;
type Name = (typeof LISTENERS)[number];

const servers: Server[] = [];
const programs: Program[] = [];
const ports: Record<'envoy' | 'remora', Partial<Record<Name | 'admin', number>>> = { envoy: {}, remora: {} };

function chains(name: Name): Json[] {
  if (name === 'sniff') {
    return [
      tcpChain('h10', { application_protocols: ['http/1.0'] }),
      tcpChain('h11', { application_protocols: ['http/1.1'] }),
      tcpChain('h2c', { application_protocols: ['h2c'] }),
      tcpChain('exact', { server_names: ['a.example.com'], transport_protocol: 'tls' }),
      tcpChain('wild', { server_names: ['*.example.com'] }),
      tcpChain('alpn', { application_protocols: ['h2', 'spdy/3'], transport_protocol: 'tls' }),
      tcpChain('rest'),
    ];
  }
  return [
    tcpChain('office', {
      direct_source_prefix_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }],
      source_prefix_ranges: [{ address_prefix: '203.0.113.0', prefix_len: 24 }],
    }),
    tcpChain('port', { destination_port: 8443 }),
    tcpChain('rest'),
  ];
}

const FILTERS: Readonly<Record<Name, readonly Json[]>> = {
  sniff: [tlsInspector, httpInspector],
  strict: [proxyProtocol()],
  optional: [
    proxyProtocol({ allow_requests_without_proxy_protocol: true, stat_prefix: 'opt', disallowed_versions: ['V2'] }),
  ],
  v2: [proxyProtocol({ disallowed_versions: ['V1'], stat_prefix: 'only2' })],
};

async function bootstrap(of: 'envoy' | 'remora', upstreams: readonly number[]): Promise<string> {
  const free = await freePorts(LISTENERS.length + 1);
  const at = (port: number): Json => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  for (const [i, name] of ([...LISTENERS, 'admin'] as const).entries()) ports[of][name] = free[i]!;
  return JSON.stringify({
    admin: { address: at(ports[of].admin!) },
    static_resources: {
      listeners: LISTENERS.map((name) => ({
        name,
        address: at(ports[of][name]!),
        listener_filters: FILTERS[name],
        filter_chains: chains(name),
      })),
      clusters: NAMES.map((name, i) => ({
        name,
        type: 'STATIC',
        load_assignment: {
          cluster_name: name,
          endpoints: [{ lb_endpoints: [{ endpoint: { address: at(upstreams[i]!) } }] }],
        },
      })),
    },
  });
}

beforeAll(async () => {
  const upstreams = await freePorts(NAMES.length);
  for (const [i, name] of NAMES.entries()) {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', (bytes) => socket.end(`${name} ${bytes.toString('hex').slice(0, 60)}`));
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(upstreams[i], '127.0.0.1', resolve));
  }
  const forEnvoy = await bootstrap('envoy', upstreams);
  const forRemora = await bootstrap('remora', upstreams);
  programs.push(
    await envoy(forEnvoy, { admin: ports.envoy.admin! }),
    await remora(forRemora, { admin: ports.remora.admin! }),
  );
});
afterAll(async () => {
  await Promise.all(programs.map((program) => program.stop()));
  for (const server of servers) server.close();
});

/** What becomes of these first bytes: who got what, closed, or nothing yet. */
async function outcome(port: number, bytes: Buffer): Promise<string> {
  const client = await rawClient(port);
  client.write(bytes);
  for (let i = 0; i < 25 && !client.ended; i++) await pause(20);
  const said = client.received !== '' ? client.received : client.ended ? 'closed' : 'waits';
  client.socket.destroy();
  return said;
}

interface Case {
  readonly title: string;
  readonly to: Name;
  readonly bytes: Buffer | string;
  /** Where Remora is meant to do otherwise: why, and what. */
  readonly differs?: readonly [why: string, remora: string];
}

const V4 = 'PROXY TCP4 203.0.113.7 198.51.100.9 4711 8443\r\nx';
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

const BIN = 'what is binary is not waited for';
const LENIENT = 'some servers take it for HTTP: it must not get around the HTTP chain';

const CASES: readonly Case[] = [
  { title: 'HTTP/1.1', to: 'sniff', bytes: 'GET / HTTP/1.1\r\n' },
  { title: 'HTTP/1.1, LF alone', to: 'sniff', bytes: 'GET / HTTP/1.1\n' },
  { title: 'HTTP/1.0', to: 'sniff', bytes: 'GET / HTTP/1.0\r\n' },
  { title: 'odd version', to: 'sniff', bytes: 'GET / HTTP/1.7\r\n' },
  { title: 'version of two digits', to: 'sniff', bytes: 'GET / HTTP/11.1\r\n' },
  { title: 'lower-case version', to: 'sniff', bytes: 'GET / http/1.1\r\n' },
  { title: 'own method', to: 'sniff', bytes: 'MY-METHOD / HTTP/1.1\r\n' },
  { title: 'method with a bracket', to: 'sniff', bytes: 'G[T / HTTP/1.1\r\n' },
  { title: 'HTTP/2 preface', to: 'sniff', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  { title: 'half a preface', to: 'sniff', bytes: 'PRI * HTTP/2.0\r\n' },
  { title: 'half a request line', to: 'sniff', bytes: 'GET / HT' },
  { title: 'Redis inline', to: 'sniff', bytes: 'GET key\r\n' },
  { title: 'Redis RESP', to: 'sniff', bytes: '*1\r\n$4\r\nPING\r\n' },
  { title: 'SMTP', to: 'sniff', bytes: 'EHLO mail.example\r\n' },
  { title: 'a line of one word', to: 'sniff', bytes: 'QUIT\r\n' },
  { title: 'an empty line first', to: 'sniff', bytes: '\r\nGET / HTTP/1.1\r\n' },
  { title: 'two spaces', to: 'sniff', bytes: 'GET  / HTTP/1.1\r\n' },
  { title: 'two spaces before the version', to: 'sniff', bytes: 'GET /  HTTP/1.1\r\n' },
  { title: 'a tab', to: 'sniff', bytes: 'GET\t/ HTTP/1.1\r\n' },
  { title: 'a blank behind the version', to: 'sniff', bytes: 'GET / HTTP/1.1 \r\n' },
  { title: 'a word behind the version', to: 'sniff', bytes: 'GET / HTTP/1.1 x\r\n' },
  { title: 'a blank in front', to: 'sniff', bytes: ' GET / HTTP/1.1\r\n' },
  { title: 'a blank in the target', to: 'sniff', bytes: 'GET /a b HTTP/1.1\r\n' },
  {
    title: 'a control character in the target',
    to: 'sniff',
    bytes: 'GET /\x01 HTTP/1.1\r\n',
    differs: [BIN, 'rest 474554202f0120485454502f312e310d0a'],
  },
  {
    title: 'a NUL in the target',
    to: 'sniff',
    bytes: 'GET /\0 HTTP/1.1\r\n',
    differs: [BIN, 'rest 474554202f0020485454502f312e310d0a'],
  },
  {
    title: 'a target above ASCII',
    to: 'sniff',
    bytes: 'GET /\xe4 HTTP/1.1\r\n',
    differs: [LENIENT, 'h11 474554202fe420485454502f312e310d0a'],
  },
  { title: 'a CR within', to: 'sniff', bytes: 'GET /\r HTTP/1.1\r\n' },
  { title: 'two CRs', to: 'sniff', bytes: 'GET / HTTP/1.1\r\r\n' },
  { title: 'another name than HTTP', to: 'sniff', bytes: 'GET / SIP/2.0\r\n' },
  { title: 'RTSP', to: 'sniff', bytes: 'OPTIONS rtsp://a RTSP/1.0\r\n' },
  { title: 'a vertical tab', to: 'sniff', bytes: 'GET\x0b/ HTTP/1.1\r\n' },
  { title: 'an empty method', to: 'sniff', bytes: '/ HTTP/1.1\r\n' },
  { title: 'no target', to: 'sniff', bytes: 'GET HTTP/1.1\r\n' },
  { title: 'a response', to: 'sniff', bytes: 'HTTP/1.1 200 OK\r\n' },
  { title: 'absolute target', to: 'sniff', bytes: 'GET http://a/ HTTP/1.1\r\n' },
  { title: 'binary', to: 'sniff', bytes: hex('00000008' + '04d2162f') },
  { title: 'TLS, exact name', to: 'sniff', bytes: clientHello({ serverName: 'A.example.com' }) },
  { title: 'TLS, wildcard', to: 'sniff', bytes: clientHello({ serverName: 'x.y.example.com' }) },
  { title: 'TLS, ALPN', to: 'sniff', bytes: clientHello({ serverName: 'b.org', protocols: ['spdy/3', 'http/1.1'] }) },
  { title: 'TLS, nothing', to: 'sniff', bytes: clientHello() },
  { title: 'TLS in records of 9', to: 'sniff', bytes: clientHello({ serverName: 'a.example.com', recordBytes: 9 }) },
  { title: 'half a ClientHello', to: 'sniff', bytes: clientHello({ serverName: 'a.example.com' }).subarray(0, 40) },
  { title: 'a record that is no handshake', to: 'sniff', bytes: hex('15030100020228') },
  { title: 'a ClientHello of nonsense', to: 'sniff', bytes: hex('1603010006010000020303') },
  { title: 'v1', to: 'strict', bytes: V4 },
  { title: 'v1, other source', to: 'strict', bytes: 'PROXY TCP4 192.0.2.1 198.51.100.9 4711 8443\r\nx' },
  { title: 'v1, IPv6', to: 'strict', bytes: 'PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\nx' },
  { title: 'v1 UNKNOWN', to: 'strict', bytes: 'PROXY UNKNOWN\r\nx' },
  { title: 'v1 UNKNOWN with more', to: 'strict', bytes: 'PROXY UNKNOWN a b c\r\nx' },
  { title: 'v1, families mixed', to: 'strict', bytes: 'PROXY TCP6 192.0.2.1 198.51.100.9 1 2\r\nx' },
  { title: 'v1, port too large', to: 'strict', bytes: 'PROXY TCP4 192.0.2.1 198.51.100.9 65536 2\r\nx' },
  {
    title: 'v1, leading zero',
    to: 'strict',
    bytes: 'PROXY TCP4 192.0.2.01 198.51.100.9 1 2\r\nx',
  },
  { title: 'v1, multicast', to: 'strict', bytes: 'PROXY TCP4 224.0.0.1 198.51.100.9 1 2\r\nx' },
  { title: 'v1, wildcard address', to: 'strict', bytes: 'PROXY TCP4 0.0.0.0 198.51.100.9 1 2\r\nx' },
  { title: 'v1, a field missing', to: 'strict', bytes: 'PROXY TCP4 192.0.2.1 198.51.100.9 1\r\nx' },
  { title: 'v1, too long', to: 'strict', bytes: `PROXY TCP4 ${'1'.repeat(120)}\r\n` },
  { title: 'v1, not finished', to: 'strict', bytes: 'PROXY TCP4 192.0.2.1' },
  {
    title: 'v2',
    to: 'strict',
    bytes: Buffer.concat([proxyV2('203.0.113.7:1', '198.51.100.9:2', [[1, 'h2']]), hex('78')]),
  },
  { title: 'v2 LOCAL', to: 'strict', bytes: hex('0d0a0d0a000d0a515549540a2000000078') },
  { title: 'v2 LOCAL with more', to: 'strict', bytes: hex('0d0a0d0a000d0a515549540a20110003ffffff78') },
  { title: 'v2 UNSPEC', to: 'strict', bytes: hex('0d0a0d0a000d0a515549540a2100000078') },
  { title: 'v2, too short', to: 'strict', bytes: hex('0d0a0d0a000d0a515549540a21110004c000020178') },
  {
    title: 'v2, TLV broken',
    to: 'strict',
    bytes: hex('0d0a0d0a000d0a515549540a2111000fc0000201c6336402d43101bb01ffff78'),
  },
  { title: 'version 3', to: 'strict', bytes: hex('0d0a0d0a000d0a515549540a31110004c000020178') },
  { title: 'no header', to: 'strict', bytes: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' },
  { title: 'v1 where optional', to: 'optional', bytes: V4 },
  { title: 'none where optional', to: 'optional', bytes: 'GET / HTTP/1.1\r\n' },
  { title: 'v2 where optional and not allowed', to: 'optional', bytes: proxyV2('203.0.113.7:1', '198.51.100.9:2') },
  { title: 'v1 broken where optional', to: 'optional', bytes: 'PROXY TCP4 x\r\n' },
  { title: 'v1 where not allowed', to: 'v2', bytes: V4 },
  {
    title: 'v2 where alone allowed',
    to: 'v2',
    bytes: Buffer.concat([proxyV2('203.0.113.7:1', '198.51.100.9:2'), hex('78')]),
  },
  { title: 'none where v2 alone is allowed', to: 'v2', bytes: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' },
];

it.each(CASES.map((one) => [`${one.to}: ${one.title}`, one] as const))('does as Envoy does with %s', async (_, one) => {
  const bytes = typeof one.bytes === 'string' ? Buffer.from(one.bytes, 'latin1') : one.bytes;
  const [theirs, ours] = await Promise.all([
    outcome(ports.envoy[one.to]!, bytes),
    outcome(ports.remora[one.to]!, bytes),
  ]);
  if (one.differs === undefined) expect(ours).toBe(theirs);
  else {
    expect(ours).toBe(one.differs[1]);
    expect(theirs, 'Envoy does like Remora now: drop `differs`').not.toBe(one.differs[1]);
  }
});

it('counts as Envoy does', async () => {
  const read = async (of: 'envoy' | 'remora'): Promise<string[]> => {
    const text = await (await fetch(`http://127.0.0.1:${ports[of].admin}/stats`)).text();
    return text
      .split('\n')
      .filter((line) => /^(tls_inspector|http_inspector|proxy_proto|downstream_cx_proxy)/.test(line))
      .filter((line) => !/: 0$|bytes_processed|http_inspector.http(11|_not)_found/.test(line))
      .sort();
  };
  // How many are HTTP differs by the cases above that do.
  expect(await read('remora')).toEqual(await read('envoy'));
  expect(await read('remora')).not.toEqual([]);
});

it('closes at once what cannot become a header; Envoy waits for 16 octets', async () => {
  expect(await outcome(ports.remora.strict!, Buffer.from('GET'))).toBe('closed');
  expect(await outcome(ports.envoy.strict!, Buffer.from('GET'))).toBe('waits');
});
