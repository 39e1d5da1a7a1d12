import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, type TestProxy, turns, upstream } from '../../support/proxy.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** The snapshot of `p` with cluster `a` at other ports. */
function moved(p: TestProxy, ports: number[], fields: object = {}) {
  const next = proxy()
    .cluster('a', ports, fields as never)
    .bootstrap();
  return p.snapshot({ clusters: new Map(next.clusters.map((cluster) => [cluster.name, cluster])) });
}

test('no more connections than max_connections; the others wait in line, first come first served', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 2 }] } })
    .start();
  const clients = await Promise.all([0, 1, 2, 3, 4].map(() => p.client()));
  for (const [i, client] of clients.entries()) {
    client.get(`/${i}`);
    await eventually(() => p.stat('cluster.a.upstream_rq_pending_total') === i + 1);
  }
  const connections = [await server.accept(), await server.accept()];
  await turns();
  expect(server.connections).toHaveLength(2);
  const order: string[] = [];
  for (let i = 0; i < 5; i++) {
    const connection = await Promise.race(
      connections.map((one) => one.until((text) => text.includes('\r\n\r\n')).then(() => one)),
    );
    const head = await connection.head();
    order.push(head.slice(5, 6));
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${head.slice(5, 6)}`);
    await turns(2);
  }
  for (const [i, client] of clients.entries()) expect((await client.response()).body).toBe(String(i));
  expect(order.filter((path) => path > '1')).toEqual(['2', '3', '4']);
  expect(p.stat('cluster.a.upstream_cx_overflow')).toBeGreaterThan(0);
});

test('a waiting request gets a new connection when the one it waited for closes', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const [first, second] = [await p.client(), await p.client()];
  first.get('/1');
  const connection = await server.accept();
  await connection.head();
  second.get('/2');
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
  connection.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n').end();
  expect((await first.response()).status).toBe(200);
  const next = await server.accept();
  expect(await next.head()).toContain('/2');
  next.write(OK);
  expect((await second.response()).status).toBe(200);
});

test('max_requests_per_connection of the cluster is kept', async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port, { max_requests_per_connection: 2 }).start();
  const client = await p.client();
  for (let i = 0; i < 5; i++) await client.get().response();
  expect(server.requests.map(({ connection }) => connection)).toEqual([0, 0, 1, 1, 2]);
});

test('Connection: close of the server is kept', async () => {
  const server = await upstream((_request, response) => response.setHeader('Connection', 'close').end());
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  for (let i = 0; i < 3; i++) expect((await client.get().response()).header('connection')).toBeUndefined();
  expect(server.connections).toBe(3);
});

test("an idle connection is closed after the cluster's idle_timeout", async () => {
  const clock = manualClock();
  const server = await scripted();
  const options = {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    common_http_protocol_options: { idle_timeout: '7s' },
    explicit_http_config: { http_protocol_options: {} },
  };
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port, {
      typed_extension_protocol_options: { 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': options },
    })
    .start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write(OK);
  await client.response();
  clock.advance(6900);
  await turns();
  expect(connection.ended).toBe(false);
  clock.advance(200);
  await connection.untilEnded();
  expect(p.stat('cluster.a.upstream_cx_active')).toBe(0);
});

test('an endpoint that leaves finishes what it has; idle connections to it close; nothing new goes there', async () => {
  const [one, two] = [await scripted(), await scripted()];
  const p = await proxy().cluster('a', one.port).start();
  const [busy, idle] = [await p.client(), await p.client()];
  idle.get();
  busy.get('/slow');
  const connections = [await one.accept(), await one.accept()];
  const heads = await Promise.all(connections.map((connection) => connection.head()));
  const slow = heads[0]!.includes('/slow') ? connections[0]! : connections[1]!;
  const fast = slow === connections[0] ? connections[1]! : connections[0]!;
  fast.write(OK);
  await idle.response();
  await p.proxy.applier.apply(moved(p, [two.port]));
  await fast.untilEnded();
  expect(slow.ended).toBe(false);
  slow.write(OK);
  expect((await busy.response()).body).toBe('ok');
  await slow.untilEnded();
  busy.get('/next');
  expect(await (await two.accept()).head()).toContain('/next');
});

test('a request that waits for a connection to an endpoint that leaves goes elsewhere', async () => {
  const [one, two] = [await scripted(), await scripted()];
  const limits = { circuit_breakers: { thresholds: [{ max_connections: 1 }] } };
  const p = await proxy().cluster('a', one.port, limits).start();
  const [first, second] = [await p.client(), await p.client()];
  first.get('/1');
  const connection = await one.accept();
  await connection.head();
  second.post('/2', 'body');
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
  await p.proxy.applier.apply(moved(p, [two.port], limits));
  const other = await two.accept();
  expect(await other.head()).toContain('POST /2');
  expect(await other.bytes(4)).toBe('body');
  other.write(OK);
  expect((await second.response()).body).toBe('ok');
  connection.write(OK);
  expect((await first.response()).body).toBe('ok');
  expect(p.stat('cluster.a.upstream_rq_pending_active')).toBe(0);
});

test('a request that waits while its cluster is removed is still served', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const [first, second] = [await p.client(), await p.client()];
  first.get('/1');
  const connection = await server.accept();
  await connection.head();
  second.get('/2');
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
  await p.proxy.applier.apply(p.snapshot({ clusters: new Map() }));
  connection.write(OK);
  expect((await first.response()).body).toBe('ok');
  const other = await server.accept();
  expect(await other.head()).toContain('/2');
  other.write(OK);
  expect((await second.response()).body).toBe('ok');
});

test("a change of the cluster's limits keeps its connections and counts", async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  await client.get().response();
  await p.proxy.applier.apply(
    moved(p, [server.port], { connect_timeout: '1s', circuit_breakers: { thresholds: [{ max_connections: 7 }] } }),
  );
  await client.get().response();
  expect(server.connections).toBe(1);
  await p.proxy.applier.apply(moved(p, [server.port], { alt_stat_name: 'other' }));
  await client.get().response();
  await p.proxy.applier.apply(p.snapshot());
  await client.get().response();
  for (const name of ['a', 'other']) expect(p.stat(`cluster.${name}.upstream_rq_active`)).toBe(0);
});
