import { describe, expect, test } from 'vitest';
import { HTTP, httpChain, httpInspector, proxyProtocol, tcpChain, tlsInspector } from '../../support/chains.ts';
import { manualClock } from '../../support/clock.ts';
import { clientHello } from '../../support/first-bytes.ts';
import {
  eventually,
  type Json,
  type ProxyBuilder,
  proxy,
  scripted,
  type TestProxy,
  turns,
  upstream,
} from '../../support/proxy.ts';
import { closedPort, type HttpUpstream, type RawUpstream } from '../../support/upstream.ts';

/** MySQL's first packet (protocol 10, 8.0.36) as a server sends it before its client says a word. */
const GREETING = Buffer.from('4a0000000a382e302e33360008000000615f7b28', 'hex');

function detecting(
  web: HttpUpstream | number,
  raw: RawUpstream | number,
  declared = 'auto',
  listener: Json = {},
): ProxyBuilder {
  const port = (server: { port: number } | number): number => (typeof server === 'number' ? server : server.port);
  return proxy()
    .cluster('web', port(web))
    .cluster('raw', port(raw))
    .listener({
      metadata: { filter_metadata: { remora: { protocol_detection: declared } } },
      listener_filters: [tlsInspector, httpInspector],
      listener_filters_timeout: '0s',
      filter_chains: [httpChain('web', HTTP), tcpChain('raw')],
      ...listener,
    });
}

// pains.md row 22: no time limit and no list of ports
test('a server that speaks first is heard at once: no time passes', async () => {
  const clock = manualClock();
  const mysql = await scripted();
  const p = await detecting(1, mysql).clock(clock).start();
  const client = await p.client();
  const connection = await mysql.accept();
  connection.write(GREETING);
  expect(Buffer.from(await client.bytes(GREETING.length), 'latin1')).toEqual(GREETING);
  client.write('login');
  expect(await connection.bytes(5)).toBe('login');
  connection.write('OK');
  expect(await client.bytes(2)).toBe('OK');
  client.end();
  await connection.untilEnded();
  connection.end('bye');
  expect(await client.rest()).toBe('bye');
  expect(p.stat('listener.127.0.0.1_0.protocol_detection_server_first')).toBe(1);
  expect(p.stat('cluster.raw.upstream_cx_total')).toBe(1);
  await eventually(() => p.stat('cluster.raw.upstream_cx_active') === 0);
});

test('HTTP goes to its chain, and what was dialled for TCP is let go of', async () => {
  const [web, raw] = [await upstream(), await scripted()];
  const p = await detecting(web, raw).start();
  const client = await p.client();
  const dialled = await raw.accept();
  for (const part of ['G', 'ET /a HTTP/1.1\r', '\nHost: a\r\n\r\n']) {
    client.write(part);
    await turns(2);
  }
  expect((await client.response()).body).toBe('ok');
  await dialled.untilEnded();
  expect(dialled.received).toBe('');
  expect(web.requests.map(({ url }) => url)).toEqual(['/a']);
  client.get('/b');
  expect((await client.response()).status).toBe(200);
  await eventually(() => p.stat('cluster.raw.upstream_cx_active') === 0);
  expect(p.stat('cluster.raw.upstream_cx_connect_fail')).toBe(0);
  expect(raw.unasked).toBe(0);
});

test.each([
  ['Redis', '*1\r\n$4\r\nPING\r\n'],
  ['Redis, a command that looks like a request', 'GET key\r\n'],
  ['PostgreSQL', '\x00\x00\x00\x08\x04\xd2\x16\x2f'],
  ['a ClientHello', clientHello({ serverName: 'db.example' }).toString('latin1')],
])('a client that speaks first and no HTTP gets the connection dialled for it: %s', async (_, bytes) => {
  const raw = await scripted();
  const p = await detecting(1, raw).start();
  const client = await p.client();
  const connection = await raw.accept();
  client.write(Buffer.from(bytes, 'latin1'));
  expect(await connection.bytes(bytes.length)).toBe(bytes);
  connection.write('answer');
  expect(await client.bytes(6)).toBe('answer');
  expect(raw.unasked).toBe(0);
  expect(p.stat('cluster.raw.upstream_cx_total')).toBe(1);
});

test('both sides may be silent as long as they like', async () => {
  const clock = manualClock();
  const raw = await scripted();
  const p = await detecting(1, raw, 'auto', { listener_filters_timeout: '5s' }).clock(clock).start();
  const client = await p.client();
  const connection = await raw.accept();
  await turns();
  clock.advance(3_000_000);
  await turns();
  connection.write(GREETING);
  await client.bytes(GREETING.length);
});

test('a beginning that could be HTTP and does not go on is TCP after listener_filters_timeout', async () => {
  const clock = manualClock();
  const raw = await scripted();
  const p = await detecting(1, raw, 'auto', { listener_filters_timeout: '5s' }).clock(clock).start();
  const client = await p.client();
  const connection = await raw.accept();
  client.write('QUIT');
  await turns();
  expect(connection.received).toBe('');
  clock.advance(5_100);
  expect(await connection.bytes(4)).toBe('QUIT');
});

test('a client that half-closes means TCP, its FIN included', async () => {
  const raw = await scripted();
  await detecting(1, raw)
    .start()
    .then(async (p) => {
      const client = await p.client();
      client.end('echo me');
      const connection = await raw.accept();
      expect(await connection.bytes(7)).toBe('echo me');
      await connection.untilEnded();
      connection.end('echo me');
      expect(await client.rest()).toBe('echo me');
    });
});

test('a server that ends without a word is passed on as it is', async () => {
  const raw = await scripted();
  const p = await detecting(1, raw).start();
  const client = await p.client();
  (await raw.accept()).end();
  await client.untilEnded();
});

test('an upstream that cannot be reached does not keep HTTP from its own', async () => {
  const web = await upstream();
  const p = await detecting(web, await closedPort()).start();
  const client = await p.client();
  await eventually(() => p.stat('cluster.raw.upstream_cx_connect_fail') === 1);
  await turns();
  client.get();
  expect((await client.response()).status).toBe(200);
});

test('where it cannot be reached a silent client is not kept, and TCP is tried once more', async () => {
  const clock = manualClock();
  const p = await detecting(1, await closedPort())
    .clock(clock)
    .start();
  const silent = await p.client();
  const raw = await p.client();
  await eventually(() => p.stat('cluster.raw.upstream_cx_connect_fail') === 2);
  await turns();
  raw.write('\x00\x01');
  await raw.untilEnded();
  expect(p.stat('cluster.raw.upstream_cx_connect_fail')).toBe(3);
  clock.advance(15_100);
  await silent.untilEnded();
  expect(p.stat('listener.127.0.0.1_0.downstream_pre_cx_timeout')).toBe(1);
});

test('a cluster without endpoints is as one that cannot be reached', async () => {
  const web = await upstream();
  const p = await proxy()
    .cluster('web', web.port)
    .cluster('raw', [])
    .listener({
      metadata: { filter_metadata: { remora: { protocol_detection: 'auto' } } },
      listener_filters: [httpInspector],
      filter_chains: [httpChain('web', HTTP), tcpChain('raw')],
    })
    .start();
  const client = await p.client();
  await turns();
  client.get();
  expect((await client.response()).status).toBe(200);
});

test('a client that goes away takes the dialled connection with it', async () => {
  const raw = await scripted();
  const p = await detecting(1, raw).start();
  const client = await p.client();
  const connection = await raw.accept();
  client.reset();
  await connection.untilEnded();
  await eventually(() => p.stat('cluster.raw.upstream_cx_active') === 0);
  expect(p.stat('listener.127.0.0.1_0.downstream_pre_cx_active')).toBe(0);
});

test('a PROXY header is read before anything is dialled', async () => {
  const raw = await scripted();
  const p = await detecting(1, raw, 'auto', { listener_filters: [proxyProtocol(), httpInspector] }).start();
  const client = await p.client();
  await turns();
  expect(raw.connections).toHaveLength(0);
  client.write('PROXY TCP4 203.0.113.7 198.51.100.9 1 2\r\n');
  (await raw.accept()).write(GREETING);
  await client.bytes(GREETING.length);
});

// pains.md row 23: what is seen holds
test('declared http and seen tcp: tcp it is, said once with the name of the listener', async () => {
  const mysql = await scripted();
  const p = await detecting(1, mysql, 'http').start();
  for (let i = 0; i < 3; i++) {
    const client = await p.client();
    (await mysql.accept()).write(GREETING);
    await client.bytes(GREETING.length);
  }
  const said = p.processLog.filter((line) => line.includes('declared'));
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(
    /listener main: declared http, but a connection to 127\.0\.0\.1:\d+ is tcp: what is seen holds/,
  );
  expect(p.stat('listener.127.0.0.1_0.protocol_detection_mismatch')).toBe(3);
});

test('declared tcp and seen http: http it is; declared and seen alike: nothing is said', async () => {
  const [web, raw] = [await upstream(), await scripted()];
  const p = await detecting(web, raw, 'tcp').start();
  const client = await p.client();
  client.get();
  expect((await client.response()).status).toBe(200);
  expect(p.processLog.filter((line) => line.includes('declared tcp'))).toHaveLength(1);
  const fine = await detecting(web, raw, 'http').start();
  const other = await fine.client();
  other.get();
  expect((await other.response()).status).toBe(200);
  expect(fine.processLog.filter((line) => line.includes('declared'))).toEqual([]);
});

describe('HTTP that an object declares', () => {
  /** As the control server writes it: the object is known for the chain that is for everything else. */
  function declaring(web: HttpUpstream | number, raw: RawUpstream | number, holds_clients = false): ProxyBuilder {
    const declared = { declared: 'http', declared_by: 'Service shop/db port 3306', holds_clients };
    const other = { ...tcpChain('raw'), metadata: { filter_metadata: { remora: declared } } };
    return detecting(web, raw, 'auto', { filter_chains: [httpChain('web', HTTP), other] });
  }

  test('and that a server that speaks first denies: it is heard, and the object is named once', async () => {
    const mysql = await scripted();
    const p = await declaring(1, mysql).start();
    for (let i = 0; i < 3; i++) {
      const client = await p.client();
      (await mysql.accept()).write(GREETING);
      expect(Buffer.from(await client.bytes(GREETING.length), 'latin1')).toEqual(GREETING);
    }
    const said = p.processLog.filter((line) => line.includes('declared'));
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/Service shop\/db port 3306: declared http, but a connection to 127\.0\.0\.1:\d+ is tcp/);
    expect(p.stat('listener.127.0.0.1_0.protocol_detection_mismatch')).toBe(3);
  });

  test('costs who speaks it no connection', async () => {
    const clock = manualClock();
    const [web, raw] = [await upstream(), await scripted()];
    const p = await declaring(web, raw).clock(clock).start();
    const client = await p.client();
    await turns();
    client.get();
    expect((await client.response()).status).toBe(200);
    clock.advance(1000);
    await turns();
    expect(raw.connections).toHaveLength(0);
    expect(p.processLog.filter((line) => line.includes('declared'))).toEqual([]);
  });

  test.each([
    ['says that it waited too long', 'HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n'],
    ['ends', ''],
  ])('a client that says nothing may, and an HTTP server that %s is not taken for another', async (_, text) => {
    const [web, raw] = [await upstream(), await scripted()];
    const p = await declaring(web, raw).start();
    const client = await p.client();
    (await raw.accept()).end(text);
    await eventually(() => p.stat('cluster.raw.upstream_cx_active') === 0);
    client.get();
    expect((await client.response()).status).toBe(200);
    expect(p.processLog.filter((line) => line.includes('declared'))).toEqual([]);
  });

  test.each([
    [false, 'is followed'],
    [true, 'is held to it where policies are'],
  ])('a client that speaks something else first (holds_clients %s) %s', async (holds) => {
    const [web, raw] = [await upstream(), await scripted()];
    const p = await declaring(web, raw, holds).start();
    const client = await p.client();
    client.write('*1\r\n$4\r\nPING\r\n');
    if (holds) {
      expect((await client.response()).status).toBe(400);
      expect(raw.connections).toHaveLength(0);
    } else {
      expect(await (await raw.accept()).bytes(14)).toBe('*1\r\n$4\r\nPING\r\n');
    }
  });
});

// pains.md rows 23 and 25
describe('what is no HTTP and came by a port of HTTP', () => {
  /** As the control server writes it: hosts know services by address, and name the cluster for bytes. */
  async function byAddress(raw: RawUpstream, db: RawUpstream, domain: string): Promise<TestProxy> {
    const remora = { declared: 'http', declared_by: 'Service shop/db port 3306', address_routes: 'main' };
    const other = { ...tcpChain('raw'), metadata: { filter_metadata: { remora } } };
    const p = await detecting(1, raw, 'auto', { filter_chains: [httpChain('raw', HTTP), other] })
      .cluster('db', db.port)
      .start();
    const { filter } = p.bootstrap.listeners[0]!.filterChains[0]!;
    if (filter.kind !== 'http' || filter.http.routes.kind !== 'inline') throw new Error('no routes');
    const { config } = filter.http.routes;
    const virtualHosts = [{ ...config.virtualHosts[0]!, domains: [domain], bytesTo: 'db' }];
    await p.proxy.applier.apply(p.snapshot({ routes: new Map([['main', { ...config, name: 'main', virtualHosts }]]) }));
    return p;
  }

  test.each([
    ['a client that speaks first', true],
    ['a server that does', false],
  ])('goes to the cluster of its address: %s', async (_, clientFirst) => {
    const [raw, db] = [await scripted(), await scripted()];
    const p = await byAddress(raw, db, '127.0.0.1:*');
    const client = await p.client();
    if (clientFirst) client.write('\x00\x01');
    const connection = await db.accept();
    if (clientFirst) expect(await connection.bytes(2)).toBe('\x00\x01');
    connection.write(GREETING);
    expect(Buffer.from(await client.bytes(GREETING.length), 'latin1')).toEqual(GREETING);
    expect(raw.connections).toHaveLength(0);
  });

  test('and elsewhere where no host is for the address', async () => {
    const [raw, db] = [await scripted(), await scripted()];
    const p = await byAddress(raw, db, '127.0.0.2:*');
    const client = await p.client();
    client.write('\x00\x01');
    expect(await (await raw.accept()).bytes(2)).toBe('\x00\x01');
    expect(db.connections).toHaveLength(0);
  });
});

test('a config change while the client is silent: the chain in force at the end is taken', async () => {
  const [web, raw, later] = [await upstream(), await scripted(), await scripted()];
  const p = await detecting(web, raw).cluster('later', later.port).start();
  const client = await p.client();
  const dialled = await raw.accept();
  const main = p.bootstrap.listeners[0]!;
  const [http, tcp] = main.filterChains;
  const filter = {
    kind: 'tcp',
    tcp: { ...(tcp!.filter as { tcp: object }).tcp, clusters: [{ name: 'later', weight: 1 }] },
  };
  await p.proxy.applier.apply(
    p.snapshot({
      listeners: new Map([['main', { ...main, filterChains: [http!, { ...tcp!, filter: filter as never }] }]]),
    }),
  );
  client.write('\x00\x01');
  expect(await (await later.accept()).bytes(2)).toBe('\x00\x01');
  await dialled.untilEnded();
});
