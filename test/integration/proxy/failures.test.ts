import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, turn, turns, upstream } from '../../support/proxy.ts';
import { closedPort } from '../../support/upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('malformed input is answered 400, closed, logged as DPE, and reaches no upstream', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n');
  const response = await client.response();
  expect(response.status).toBe(400);
  expect(response.header('connection')).toBe('close');
  await client.untilEnded();
  const line = await p.log(0);
  expect(line).toMatchObject({ code: 400, flags: 'DPE', details: 'http1.codec_error{bad_header}' });
  expect(server.connections).toHaveLength(0);
  expect(p.stat('http.main.downstream_cx_protocol_error')).toBe(1);
});

test('the log line of malformed bytes behind a good request does not show that request', async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get('/good');
  await client.response();
  client.write('\rX');
  expect((await client.response()).status).toBe(400);
  expect((await p.log(1)).path).not.toBe('/good');
});

for (const [name, lines, details] of [
  ['is too large', [`X: ${'y'.repeat(61 * 1024)}`], 'http1.headers_too_large'],
  ['has too many lines', Array.from({ length: 100 }, () => 'X: y'), 'http1.too_many_headers'],
] as const) {
  test(`a head that ${name} is 431, by Envoy's details`, async () => {
    const p = await proxy()
      .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
      .start();
    const client = await p.client();
    client.get('/', ...lines);
    expect((await client.response()).status).toBe(431);
    await client.untilEnded();
    expect(await p.log(0)).toMatchObject({ code: 431, flags: 'DPE', details });
  });
}

test('a bad chunk behind a request that a filter refuses is answered once', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'direct' } } })
    .start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n');
  expect((await client.response()).status).toBe(400);
  expect(await client.rest()).toBe('');
  await p.log(0);
  await turns();
  expect(p.logLines).toHaveLength(1);
});

test('a client that resets in mid-request is DC, and its upstream connection is not used again', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  const connection = await server.accept();
  await connection.head();
  await connection.bytes(3);
  client.reset();
  await connection.untilEnded();
  expect(await p.log(0)).toMatchObject({ code: 0, flags: 'DC', details: 'downstream_remote_disconnect', received: 3 });
  expect(p.stat('cluster.a.upstream_rq_active')).toBe(0);
  expect(p.stat('http.main.downstream_rq_active')).toBe(0);
});

test('a client that ends in mid-request is DC too', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  const connection = await server.accept();
  await connection.head();
  client.end();
  await connection.untilEnded();
  expect(await client.rest()).toBe('');
  expect(await p.log(0)).toMatchObject({ code: 0, flags: 'DC' });
});

test('a client that resets in mid-response is DC, and its upstream connection is not used again', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
  await client.until((received) => received.endsWith('abc'));
  client.reset();
  await connection.untilEnded();
  expect(await p.log(0)).toMatchObject({ code: 200, flags: 'DC' });
});

test('a client that goes while its request waits for a connection leaves no trace', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const first = await p.client();
  first.get();
  const connection = await server.accept();
  await connection.head();
  const second = await p.client();
  second.get('/second');
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
  second.reset();
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 0);
  connection.write(OK);
  expect((await first.response()).status).toBe(200);
  await turns();
  expect(connection.received).toBe('');
});

test('an upstream that resets before it answers is 503 UC', async () => {
  const server = await scripted();
  const p = await proxy().explain().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.reset();
  const response = await client.response();
  expect(response.status).toBe(503);
  expect(response.body).toContain('reset reason: connection termination');
  expect(response.body).toContain('closed the connection before it answered');
  expect(response.header('connection')).toBeUndefined();
  expect(await p.log(0)).toMatchObject({
    flags: 'UC',
    details: 'upstream_reset_before_response_started{connection_termination}',
  });
});

for (const [what, head] of [
  ['chunked', 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'],
  ['of known length', 'Content-Length: 10\r\n\r\nabc'],
] as const) {
  test(`an upstream that resets inside a response ${what} cuts the client's connection`, async () => {
    const server = await scripted();
    const p = await proxy().cluster('a', server.port).start();
    const client = await p.client();
    client.get();
    const connection = await server.accept();
    await connection.head();
    connection.write(`HTTP/1.1 200 OK\r\n${head}`);
    await client.until((received) => received.includes('abc'));
    connection.reset();
    const rest = await client.rest();
    expect(rest).not.toContain('0\r\n\r\n');
    expect(rest.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(await p.log(0)).toMatchObject({
      code: 200,
      flags: 'UC',
      details: 'upstream_reset_after_response_started{connection_termination}',
    });
  });
}

for (const [what, bytes] of [
  ['garbage', 'NOT HTTP\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['an upgrade nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
] as const) {
  test(`an upstream that answers ${what} is 502 UPE`, async () => {
    const server = await scripted();
    const p = await proxy().explain().cluster('a', server.port).start();
    const client = await p.client();
    client.get();
    const connection = await server.accept();
    await connection.head();
    connection.write(bytes);
    const response = await client.response();
    expect(response.status).toBe(502);
    expect(response.body).toContain('not valid HTTP/1.1');
    expect(await p.log(0)).toMatchObject({
      flags: 'UPE',
      details: 'upstream_reset_before_response_started{protocol_error}',
    });
    await connection.untilEnded();
  });
}

test('a bad chunk inside a response cuts it, as UPE', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n');
  expect(await client.rest()).not.toContain('0\r\n\r\n');
  expect((await p.log(0)).flags).toBe('UPE');
});

test("bytes behind a response are nobody else's answer", async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const first = await p.client();
  first.get('/first');
  const connection = await server.accept();
  await connection.head();
  const second = await p.client();
  second.get('/second');
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
  connection.write(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`);
  expect((await first.response()).body).toBe('ok');
  const other = await server.accept();
  expect(await other.head()).toContain('/second');
  other.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright');
  expect((await second.response()).body).toBe('right');
});

test('a request that waited and is still being uploaded survives the end of the one before it', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const first = await p.client();
  first.get('/first');
  const connection = await server.accept();
  await connection.head();
  const second = await p.client();
  second.write('POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
  connection.write(OK);
  expect((await first.response()).body).toBe('ok');
  expect(await connection.head()).toContain('/second');
  expect(await connection.bytes(3)).toBe('abc');
  second.write('def');
  expect(await connection.bytes(3)).toBe('def');
  connection.write(OK);
  expect((await second.response()).body).toBe('ok');
});

test('a server that speaks on an idle connection loses it', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write(OK);
  await client.response();
  connection.write('HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n');
  await connection.untilEnded();
  client.get('/next');
  const next = await server.accept();
  expect(await next.head()).toContain('/next');
});

test('a refused connection is 503 UF and says where to', async () => {
  const port = await closedPort();
  const p = await proxy().explain().cluster('a', port).start();
  const client = await p.client();
  const response = await client.get().response();
  expect(response.status).toBe(503);
  expect(response.body).toContain(`Could not connect to a (127.0.0.1:${port}): ECONNREFUSED`);
  expect(await p.log(0)).toMatchObject({
    flags: 'UF',
    details: 'upstream_reset_before_response_started{connection_failure}',
    upstream: `127.0.0.1:${port}`,
  });
  expect(p.stat('cluster.a.upstream_cx_connect_fail')).toBe(1);
});

test('requests that wait for a connection which cannot be made all fail', async () => {
  const port = await closedPort();
  const p = await proxy()
    .cluster('a', port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const clients = await Promise.all([1, 2, 3].map(() => p.client()));
  for (const client of clients) client.get();
  for (const client of clients) expect((await client.response()).status).toBe(503);
  expect(p.stat('cluster.a.upstream_rq_pending_active')).toBe(0);
  expect(p.stat('cluster.a.upstream_cx_active')).toBe(0);
});

test('no connection within connect_timeout is 503 UF', async () => {
  const clock = manualClock();
  // A backlog that is full answers no SYN; an address of TEST-NET-1 answers nothing either, but needs a route.
  const p = await proxy()
    .clock(clock)
    .explain()
    .rawCluster({
      name: 'a',
      type: 'STATIC',
      connect_timeout: '0.25s',
      load_assignment: {
        cluster_name: 'a',
        endpoints: [
          { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '192.0.2.1', port_value: 80 } } } }] },
        ],
      },
    })
    .start();
  const client = await p.client();
  client.get();
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 1 || client.received !== '');
  clock.advance(300);
  const response = await client.response();
  expect(response.status).toBe(503);
  clock.advance(20);
  const line = await p.log(0);
  expect(line.flags).toBe('UF');
  // Where there is no route at all, the kernel says so at once.
  if (response.body.includes('connection timeout')) {
    expect(line.details).toBe('upstream_reset_before_response_started{connection_timeout}');
    expect(p.stat('cluster.a.upstream_cx_connect_timeout')).toBe(1);
  }
});

test('a cluster without endpoints is 503 UH', async () => {
  const p = await proxy().explain().cluster('a', []).start();
  const client = await p.client();
  const response = await client.get().response();
  expect(response.status).toBe(503);
  expect(response.body).toContain('no healthy upstream\nNo endpoint of a can take the request');
  expect(await p.log(0)).toMatchObject({ flags: 'UH', details: 'no_healthy_upstream' });
});

test('a cluster that does not exist is 503 NC', async () => {
  const p = await proxy()
    .explain()
    .routeConfig({ validate_clusters: false })
    .route({ match: { prefix: '/' }, route: { cluster_header: 'x-cluster' } })
    .start();
  const client = await p.client();
  const response = await client.get('/', 'X-Cluster: nowhere').response();
  expect(response.status).toBe(503);
  expect(response.body).toContain('names cluster "nowhere", which does not exist');
  expect(await p.log(0)).toMatchObject({ flags: 'NC', details: 'cluster_not_found' });
});

test('no route is 404 NR', async () => {
  const p = await proxy()
    .explain()
    .virtualHost({ domains: ['b.example'] })
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const client = await p.client();
  const response = await client.get('/x').response();
  expect(response.status).toBe(404);
  expect(response.body).toContain('No route for GET a/x');
  expect(await p.log(0)).toMatchObject({ flags: 'NR', details: 'route_not_found' });
  expect(p.stat('http.main.no_route')).toBe(1);
});

test("without remora.local_reply.explain a body says only what Envoy's says", async () => {
  const p = await proxy().cluster('a', []).start();
  const client = await p.client();
  expect((await client.get().response()).body).toBe('no healthy upstream');
  client.get('/', 'Host2: x');
  expect((await client.response()).header('content-type')).toBe('text/plain');
});

for (const [limit, threshold, named] of [
  ['requests', { max_requests: 1 }, 'max_requests 1 reached'],
  ['pending requests', { max_connections: 1, max_pending_requests: 1 }, 'max_pending_requests 1 reached'],
] as const) {
  test(`more ${limit} than the breaker allows are 503 UO`, async () => {
    const server = await scripted();
    const p = await proxy()
      .explain()
      .cluster('a', server.port, { circuit_breakers: { thresholds: [threshold] } })
      .start();
    const clients = await Promise.all([1, 2, 3].map(() => p.client()));
    clients[0]!.get('/1');
    const connection = await server.accept();
    await connection.head();
    const waiting = limit === 'requests' ? 1 : 2;
    if (waiting === 2) {
      clients[1]!.get('/2');
      await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
    }
    const response = await clients[2]!.get('/3').response();
    expect(response.status).toBe(503);
    expect(response.header('x-envoy-overloaded')).toBe('true');
    expect(response.body).toContain(named);
    expect(await p.log(0)).toMatchObject({ flags: 'UO', details: 'upstream_reset_before_response_started{overflow}' });
    expect(p.stat('cluster.a.upstream_rq_pending_overflow')).toBe(1);
    connection.write(OK);
    expect((await clients[0]!.response()).status).toBe(200);
    if (waiting === 2) {
      expect(await connection.head()).toContain('/2');
      connection.write(OK);
      expect((await clients[1]!.response()).status).toBe(200);
    }
    await eventually(() => p.stat('cluster.a.upstream_rq_active') === 0);
    expect((await serveOne(clients[2]!, connection)).status).toBe(200);
  });
}

async function serveOne(
  client: import('../../support/client.ts').RawClient,
  connection: import('../../support/upstream.ts').RawConnection,
) {
  client.get('/again');
  await connection.head();
  connection.write(OK);
  return client.response();
}

test("an endpoint gets its first connection even when the cluster's are used up", async () => {
  const [one, two] = [await scripted(), await scripted()];
  const p = await proxy()
    .cluster('a', [one.port, two.port], { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const clients = [await p.client(), await p.client()];
  for (const client of clients) client.get();
  const connections = [await one.accept(), await two.accept()];
  for (const connection of connections) {
    await connection.head();
    connection.write(OK);
  }
  for (const client of clients) expect((await client.response()).status).toBe(200);
  await turn();
});
