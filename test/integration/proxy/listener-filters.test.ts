import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import {
  HTTP,
  httpChain,
  httpInspector,
  originalDst,
  proxyProtocol,
  tcpChain,
  tlsInspector,
} from '../../support/chains.ts';
import { manualClock } from '../../support/clock.ts';
import { clientHello, proxyV2 } from '../../support/first-bytes.ts';
import { eventually, type Json, proxy, scripted, type TestProxy, turns, upstream } from '../../support/proxy.ts';

const ADDRESSES =
  '%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS%';

async function proxied(
  filter: Json = {},
  listener: Json = {},
): Promise<{ p: TestProxy; server: { requests: readonly unknown[] } }> {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .listener({
      listener_filters: [proxyProtocol(filter)],
      filter_chains: [httpChain('a', {}, { use_remote_address: true }, ADDRESSES)],
      ...listener,
    })
    .start();
  return { p, server };
}

// === PROXY protocol ===

test('PROXY v1 and v2 say who the client is, in whatever pieces they come', async () => {
  const { p } = await proxied();
  const one = await p.client();
  for (const octet of 'PROXY TCP4 203.0.113.7 198.51.100.9 4711 8443\r\nGET / HT') {
    one.write(octet);
    await turns(1);
  }
  one.write('TP/1.1\r\nHost: a\r\n\r\n');
  expect((await one.response()).status).toBe(200);
  const two = await p.client();
  two.write(
    Buffer.concat([
      proxyV2('203.0.113.8:4712', '198.51.100.9:8443', [[2, 'a.example']]),
      Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
    ]),
  );
  expect((await two.response()).status).toBe(200);
  await eventually(() => p.logLines.length === 2);
  expect(p.logLines).toEqual([
    '203.0.113.7:4711 127.0.0.1 198.51.100.9:8443',
    '203.0.113.8:4712 127.0.0.1 198.51.100.9:8443',
  ]);
  expect(p.stat('proxy_proto.versions.v1.found')).toBe(1);
  expect(p.stat('proxy_proto.versions.v2.found')).toBe(1);
});

test('LOCAL and UNKNOWN leave the addresses as they are', async () => {
  const { p } = await proxied();
  const local = await p.client();
  local.write(Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')).get();
  expect((await local.response()).status).toBe(200);
  const unknown = await p.client();
  unknown.write('PROXY UNKNOWN\r\n').get();
  expect((await unknown.response()).status).toBe(200);
  await eventually(() => p.logLines.length === 2);
  for (const line of p.logLines) expect(line).toMatch(/^127\.0\.0\.1:\d+ 127\.0\.0\.1 127\.0\.0\.1:\d+$/);
});

test('without a header, or with a broken one, the connection is closed and counted', async () => {
  const { p, server } = await proxied({ stat_prefix: 'edge' });
  for (const bytes of ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n']) {
    const client = await p.client();
    client.write(bytes);
    await client.untilEnded();
    expect(client.received).toBe('');
  }
  expect(p.stat('proxy_proto.edge.not_found_disallowed')).toBe(1);
  expect(p.stat('proxy_proto.edge.versions.v1.error')).toBe(1);
  expect(p.stat('downstream_cx_proxy_proto_error')).toBe(2);
  expect(server.requests).toEqual([]);
});

test('where the header may be missing it is read if it is there, of the allowed versions', async () => {
  const { p } = await proxied({ allow_requests_without_proxy_protocol: true, disallowed_versions: ['V2'] });
  const plain = await p.client();
  plain.get();
  expect((await plain.response()).status).toBe(200);
  const with1 = await p.client();
  with1.write('PROXY TCP4 203.0.113.7 198.51.100.9 1 2\r\n').get();
  expect((await with1.response()).status).toBe(200);
  const with2 = await p.client();
  with2.write(proxyV2('203.0.113.8:1', '198.51.100.9:2')).get();
  expect((await with2.response()).status).toBe(400);
  expect(p.stat('proxy_proto.not_found_allowed')).toBe(2);
});

test('a version that is not allowed is refused', async () => {
  const { p } = await proxied({ disallowed_versions: ['V1'] });
  const client = await p.client();
  client.write('PROXY TCP4 203.0.113.7 198.51.100.9 1 2\r\n').get();
  await client.untilEnded();
  expect(p.stat('proxy_proto.versions.v1.disallowed')).toBe(1);
});

test('use_proxy_proto is the filter', async () => {
  const { p } = await proxied(
    {},
    {
      listener_filters: [],
      filter_chains: [{ ...httpChain('a', {}, { use_remote_address: true }, ADDRESSES), use_proxy_proto: true }],
    },
  );
  const client = await p.client();
  client.write('PROXY TCP4 203.0.113.7 198.51.100.9 4711 8443\r\n').get();
  expect((await client.response()).status).toBe(200);
  await eventually(() => p.logLines.length === 1);
  expect(p.logLines[0]).toBe('203.0.113.7:4711 127.0.0.1 198.51.100.9:8443');
});

test('chains are chosen by the addresses of the header; the peer is the direct source', async () => {
  const office = await scripted();
  const other = await scripted();
  const p = await proxy()
    .cluster('office', office.port)
    .cluster('other', other.port)
    .listener({
      listener_filters: [proxyProtocol()],
      filter_chains: [
        tcpChain('office', {
          destination_port: 8443,
          direct_source_prefix_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }],
          source_type: 'EXTERNAL',
          source_prefix_ranges: [{ address_prefix: '203.0.113.0', prefix_len: 24 }],
          source_ports: [4711],
        }),
        tcpChain('other'),
      ],
    })
    .start();
  const [mine, theirs] = [await p.client(), await p.client()];
  mine.write('PROXY TCP4 203.0.113.7 198.51.100.9 4711 8443\r\nhello');
  expect(await (await office.accept()).bytes(5)).toBe('hello');
  theirs.write('PROXY TCP4 203.0.113.7 198.51.100.9 4711 8444\r\nworld');
  expect(await (await other.accept()).bytes(5)).toBe('world');
});

test('filter_disabled leaves the filter out by destination port', async () => {
  const server = await upstream();
  const filter = (predicate: Json): Json => ({ ...proxyProtocol(), filter_disabled: predicate });
  const range = (start: number, end: number): Json => ({ destination_port_range: { start, end } });
  const start = (predicate: Json): Promise<TestProxy> =>
    proxy()
      .cluster('a', server.port)
      .listener({ listener_filters: [filter(predicate)], filter_chains: [httpChain('a')] })
      .start();
  const off = [
    { any_match: true },
    { or_match: { rules: [range(1, 2), range(1, 65536)] } },
    { not_match: range(1, 2) },
  ];
  for (const predicate of off) {
    const client = await (await start(predicate)).client();
    client.get();
    expect((await client.response()).status).toBe(200);
  }
  const client = await (await start({ and_match: { rules: [{ any_match: true }, range(1, 2)] } })).client();
  client.get();
  await client.untilEnded();
  expect(client.received).toBe('');
});

// === TLS and HTTP inspectors ===

test('TLS is passed through by its server name, untouched', async () => {
  const [exact, wild, rest] = [await scripted(), await scripted(), await scripted()];
  const p = await proxy()
    .cluster('exact', exact.port)
    .cluster('wild', wild.port)
    .cluster('rest', rest.port)
    .listener({
      listener_filters: [tlsInspector],
      filter_chains: [
        tcpChain('exact', { server_names: ['a.example.com'], transport_protocol: 'tls' }),
        tcpChain('wild', { server_names: ['*.example.com'] }),
        tcpChain('rest'),
      ],
    })
    .start();
  const cases = [
    [exact, clientHello({ serverName: 'A.example.com', recordBytes: 20 })],
    [wild, clientHello({ serverName: 'b.c.example.com' })],
    [rest, clientHello({ serverName: 'example.org', protocols: ['h2'] })],
    [rest, Buffer.from('HELO a plain protocol\r\n')],
  ] as const;
  for (const [server, hello] of cases) {
    const client = await p.client();
    client.write(hello.subarray(0, 11));
    await turns(3);
    client.write(hello.subarray(11));
    const connection = await server.accept();
    expect(Buffer.from(await connection.bytes(hello.length), 'latin1')).toEqual(hello);
    connection.write('back');
    expect(await client.bytes(4)).toBe('back');
  }
  expect(p.stat('tls_inspector.tls_found')).toBe(3);
  expect(p.stat('tls_inspector.tls_not_found')).toBe(1);
  expect(p.stat('tls_inspector.sni_found')).toBe(3);
  expect(p.stat('tls_inspector.alpn_found')).toBe(1);
  expect(p.stat('tls_inspector.alpn_not_found')).toBe(2);
});

test('what offers ALPN is told apart by it', async () => {
  const [h2, rest] = [await scripted(), await scripted()];
  const p = await proxy()
    .cluster('h2', h2.port)
    .cluster('rest', rest.port)
    .listener({
      listener_filters: [tlsInspector],
      filter_chains: [tcpChain('h2', { application_protocols: ['h2'] }), tcpChain('rest')],
    })
    .start();
  (await p.client()).write(clientHello({ protocols: ['http/1.1', 'h2'] }));
  await h2.accept();
  (await p.client()).write(clientHello({ protocols: ['http/1.1'] }));
  await rest.accept();
});

test('HTTP and raw TCP on one port, by their first line', async () => {
  const web = await upstream();
  const raw = await scripted();
  const p = await proxy()
    .cluster('web', web.port)
    .cluster('raw', raw.port)
    .listener({
      listener_filters: [tlsInspector, httpInspector],
      filter_chains: [httpChain('web', HTTP), tcpChain('raw')],
    })
    .start();
  const browser = await p.client();
  browser.write('GE');
  await turns(3);
  browser.write('T /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n');
  expect((await browser.response()).status).toBe(200);
  expect((await browser.response()).status).toBe(200);
  expect(web.requests.map(({ url }) => url)).toEqual(['/one', '/two']);
  const redis = await p.client();
  redis.write('GET key\r\n');
  expect(await (await raw.accept()).bytes(9)).toBe('GET key\r\n');
  expect(p.stat('http_inspector.http11_found')).toBe(1);
  expect(p.stat('http_inspector.http_not_found')).toBe(1);
  expect(p.stat('listener.127.0.0.1_0.downstream_pre_cx_active')).toBe(0);
});

test('a listener with nowhere to go closes and counts', async () => {
  const p = await proxy()
    .cluster('a', 1)
    .listener({ listener_filters: [tlsInspector], filter_chains: [tcpChain('a', { transport_protocol: 'tls' })] })
    .start();
  const client = await p.client();
  client.write('plain text\r\n');
  await client.untilEnded();
  expect(p.stat('listener.127.0.0.1_0.no_filter_chain_match')).toBe(1);
});

test('original_dst says once that it cannot know', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .listener({ listener_filters: [originalDst], filter_chains: [httpChain('a')] })
    .start();
  vi.spyOn(p.proxy.env, 'originalDestinations').mockReturnValue({ reason: 'not on this machine' });
  for (let i = 0; i < 2; i++) {
    const client = await p.client();
    client.get();
    expect((await client.response()).status).toBe(200);
  }
  expect(p.processLog.filter((line) => line.includes('original destinations are not known'))).toHaveLength(1);
});

// === time, bytes and sockets are bounded ===

test('who does not say what it speaks is closed after listener_filters_timeout', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .clock(clock)
    .listener({ listener_filters: [tlsInspector], listener_filters_timeout: '5s', filter_chains: [tcpChain('a')] })
    .start();
  const silent = await p.client();
  const slow = await p.client();
  slow.write(clientHello().subarray(0, 3));
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_pre_cx_active') === 2);
  await turns();
  clock.advance(4_900);
  await turns(3);
  expect(silent.ended || slow.ended).toBe(false);
  slow.write(clientHello().subarray(3, 4));
  await turns();
  clock.advance(200);
  await silent.untilEnded();
  await slow.untilEnded();
  expect(p.stat('listener.127.0.0.1_0.downstream_pre_cx_timeout')).toBe(2);
  expect(p.stat('listener.127.0.0.1_0.downstream_pre_cx_active')).toBe(0);
  expect(server.unasked).toBe(0);
});

test('or goes on with what is known, where continue_on_listener_filters_timeout says so', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .clock(clock)
    .listener({
      listener_filters: [tlsInspector],
      listener_filters_timeout: '5s',
      continue_on_listener_filters_timeout: true,
      filter_chains: [tcpChain('a')],
    })
    .start();
  const client = await p.client();
  client.write('\x16');
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_pre_cx_active') === 1);
  await turns();
  clock.advance(5_100);
  const connection = await server.accept();
  expect(await connection.bytes(1)).toBe('\x16');
  connection.write('hello');
  expect(await client.bytes(5)).toBe('hello');
  expect(p.stat('listener.127.0.0.1_0.downstream_pre_cx_timeout')).toBe(1);
});

test('who is refused before there is a chain is in the listener’s log', async () => {
  const STDOUT = 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';
  const log_format = { text_format_source: { inline_string: '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\n' } };
  const p = await proxy()
    .cluster('a', 1)
    .listener({
      access_log: [{ name: 'log', typed_config: { '@type': STDOUT, log_format } }],
      listener_filters: [proxyProtocol()],
      filter_chains: [tcpChain('a')],
    })
    .start();
  const client = await p.client();
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.untilEnded();
  await eventually(() => p.logLines.length === 1);
  expect(p.logLines).toEqual(['127.0.0.1']);
});

test('a first message that never ends is cut off at 64 KiB', async () => {
  const p = await proxy()
    .cluster('a', 1)
    .listener({ listener_filters: [tlsInspector, httpInspector], filter_chains: [tcpChain('a')] })
    .start();
  const hello = await p.client();
  hello.write(clientHello({ padding: 60_000, recordBytes: 1 }).subarray(0, 70_000));
  await hello.untilEnded();
  const line = await p.client();
  line.write(`GET /${'a'.repeat(70_000)}`);
  await line.untilEnded();
  expect(p.stat('tls_inspector.client_hello_too_large')).toBe(1);
  expect(p.stat('http_inspector.read_error')).toBe(1);
});

test('a client that leaves early is counted, and leaves nothing behind', async () => {
  const p = await proxy()
    .cluster('a', 1)
    .listener({ listener_filters: [tlsInspector], filter_chains: [tcpChain('a')] })
    .start();
  const polite = await p.client();
  polite.end('\x16');
  await polite.untilEnded();
  const rude = await p.client();
  rude.write('\x16\x03');
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_pre_cx_active') === 1);
  rude.reset();
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_pre_cx_active') === 0);
  const gone =
    p.stat('listener.127.0.0.1_0.downstream_listener_filter_remote_close') +
    p.stat('listener.127.0.0.1_0.downstream_listener_filter_error');
  expect(gone).toBe(2);
});

test('local_ratelimit closes what has no token, where runtime does not switch it off', async () => {
  const clock = manualClock();
  const server = await upstream();
  const limit = {
    name: 'limit',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit',
      stat_prefix: 'flood',
      token_bucket: { max_tokens: 1, fill_interval: '10s' },
      runtime_enabled: { default_value: true, runtime_key: 'flood.on' },
    },
  };
  const build = (): ReturnType<typeof proxy> =>
    proxy()
      .cluster('a', server.port)
      .listener({ listener_filters: [limit], filter_chains: [httpChain('a')] });
  const p = await build().clock(clock).start();
  const ask = async (of: TestProxy): Promise<string> => {
    const client = await of.client();
    client.get();
    return (await client.rest()).slice(0, 12);
  };
  const served = await p.client();
  served.get();
  expect((await served.response()).status).toBe(200);
  expect(await ask(p)).toBe('');
  // An edit elsewhere in the listener fills no bucket.
  const main = p.bootstrap.listeners[0]!;
  await p.proxy.applier.apply(p.snapshot({ listeners: new Map([['main', { ...main, tcpBacklog: 7 }]]) }));
  expect(await ask(p)).toBe('');
  expect(p.stat('listener_local_ratelimit.flood.rate_limited')).toBe(2);
  clock.advance(10_000);
  const later = await p.client();
  later.get();
  expect((await later.response()).status).toBe(200);
  const off = await build().runtime({ 'flood.on': false }).start();
  for (let i = 0; i < 3; i++) {
    const client = await off.client();
    client.get();
    expect((await client.response()).status).toBe(200);
  }
});

test.runIf(process.platform === 'linux')(
  'accepted sockets have the keepalive of socket_options, and bytes get one anyway',
  async () => {
    /** Jiffies (hundredths) until the kernel's keepalive timer of the accepted socket fires; -1: it has none. proc(5) */
    const keepalive = async (fields: Json): Promise<number> => {
      const server = await upstream();
      const p = await proxy().cluster('a', server.port).listener(fields).start();
      const client = await p.client();
      await eventually(() => p.stat('listener.127.0.0.1_0.downstream_cx_active') === 1);
      const port = (of: number): string => of.toString(16).toUpperCase().padStart(4, '0');
      const ends = `:${port(p.port)} 0100007F:${port(client.socket.localPort!)}`;
      const line = readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .find((one) => one.includes(ends))!;
      const [timer, when] = line.trim().split(/\s+/)[5]!.split(':');
      return timer === '02' ? Number.parseInt(when!, 16) : -1;
    };
    const options = [
      { level: 1, name: 9, int_value: 1 },
      { level: 6, name: 4, int_value: 77 },
    ];
    const set = await keepalive({ socket_options: options, filter_chains: [httpChain('a')] });
    expect(set).toBeGreaterThan(7_000);
    expect(set).toBeLessThanOrEqual(7_700);
    expect(await keepalive({ filter_chains: [httpChain('a')] })).toBe(-1);
    expect(await keepalive({ filter_chains: [tcpChain('a')] })).toBeGreaterThan(17_000);
    const off = [{ level: 1, name: 9, int_value: 0 }];
    expect(await keepalive({ socket_options: off, filter_chains: [tcpChain('a')] })).toBe(-1);
  },
);

test('of too many that say nothing the one that has waited longest goes', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .runtime({ 'remora.listener.max_waiting': 2 })
    .listener({ listener_filters: [httpInspector], filter_chains: [httpChain('a')] })
    .start();
  const waiting = [await p.client(), await p.client(), await p.client()];
  await waiting[0]!.untilEnded();
  expect(p.stat('listener.127.0.0.1_0.downstream_pre_cx_overflow')).toBe(1);
  for (const client of waiting.slice(1)) {
    client.get();
    expect((await client.response()).status).toBe(200);
  }
});

test('connection_limit counts those that wait too', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .runtime({ 'envoy.resource_limits.listener.main.connection_limit': 2 })
    .listener({ listener_filters: [httpInspector], filter_chains: [httpChain('a')] })
    .start();
  const served = await p.client();
  served.get();
  expect((await served.response()).status).toBe(200);
  const waiting = await p.client();
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_pre_cx_active') === 1);
  const refused = await p.client();
  await refused.untilEnded();
  expect(p.stat('listener.127.0.0.1_0.downstream_cx_overflow')).toBe(1);
  waiting.socket.destroy();
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_pre_cx_active') === 0);
  const next = await p.client();
  next.get();
  expect((await next.response()).status).toBe(200);
});

test('a drain sends away who has said nothing, and serves who has begun', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .listener({ listener_filters: [httpInspector], filter_chains: [httpChain('a')] })
    .start();
  const silent = await p.client();
  const begun = await p.client();
  begun.write('GET / HT');
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_pre_cx_active') === 2);
  await turns();
  const drained = p.proxy.drain.drain(10_000);
  await silent.untilEnded();
  begun.write('TP/1.1\r\nHost: a\r\n\r\n');
  const response = await begun.response();
  expect([response.status, response.header('connection')]).toEqual([200, 'close']);
  begun.end();
  await drained;
});
