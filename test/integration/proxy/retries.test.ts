import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, type Json, type ProxyBuilder, proxy, scripted, turns, upstream } from '../../support/proxy.ts';
import { closedPort } from '../../support/upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
/** No wait between tries, so that no test waits. */
const AT_ONCE = { retry_back_off: { base_interval: '0.001s', max_interval: '0.001s' } };
const NO_JITTER = { next: () => 0, int: () => 0 };
const LOOPBACK_TRUSTED = {
  use_remote_address: true,
  internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] },
};

function retrying(port: number | readonly number[], policy: Json, cluster: Json = {}): ProxyBuilder {
  return proxy()
    .random(NO_JITTER)
    .cluster('a', port, cluster)
    .to('a', { retry_policy: { ...AT_ONCE, ...policy } });
}

for (const [condition, policy, status, headers] of [
  ['5xx', {}, 500, {}],
  ['gateway-error', {}, 502, {}],
  ['gateway-error', {}, 503, {}],
  ['gateway-error', {}, 504, {}],
  ['retriable-4xx', {}, 409, {}],
  ['retriable-status-codes', { retriable_status_codes: [418] }, 418, {}],
  ['retriable-headers', { retriable_headers: [{ name: 'x-again', present_match: true }] }, 200, { 'x-again': '1' }],
  ['envoy-ratelimited', {}, 429, { 'x-envoy-ratelimited': 'true' }],
  ['cancelled', {}, 200, { 'grpc-status': '1' }],
  ['deadline-exceeded', {}, 200, { 'grpc-status': '4' }],
  ['resource-exhausted', {}, 200, { 'grpc-status': '8' }],
  ['internal', {}, 200, { 'grpc-status': '13' }],
  ['unavailable', {}, 200, { 'grpc-status': '14' }],
] as const) {
  test(`${condition}: a response ${status} ${JSON.stringify(headers)} is retried`, async () => {
    const server = await upstream((_request, response) => {
      if (server.requests.length === 1) response.writeHead(status, headers).end('no');
      else response.end('yes');
    });
    const p = await retrying(server.port, { retry_on: condition, ...policy }).start();
    const client = await p.client();
    expect((await client.get().response()).body).toBe('yes');
    expect(server.requests).toHaveLength(2);
    expect(p.stat('cluster.a.upstream_rq_retry')).toBe(1);
    expect(p.stat('cluster.a.upstream_rq_retry_success')).toBe(1);
    expect((await p.log(0)).flags).toBe('-');
  });
}

for (const [condition, status, headers] of [
  ['gateway-error', 500, {}],
  ['retriable-4xx', 404, {}],
  ['5xx', 404, {}],
  ['5xx', 503, { 'x-envoy-ratelimited': 'true' }],
  ['connect-failure', 503, {}],
  ['reset', 503, {}],
  ['unavailable', 503, {}],
] as const) {
  test(`${condition}: a response ${status} ${JSON.stringify(headers)} is passed on`, async () => {
    const server = await upstream((_request, response) => response.writeHead(status, headers).end('no'));
    const p = await retrying(server.port, { retry_on: condition, num_retries: 3 }).start();
    const client = await p.client();
    expect((await client.get().response()).status).toBe(status);
    expect(server.requests).toHaveLength(1);
  });
}

for (const condition of ['reset', '5xx', 'gateway-error']) {
  test(`${condition}: an upstream that resets is retried`, async () => {
    const server = await scripted();
    const p = await retrying(server.port, { retry_on: condition }).start();
    const client = await p.client();
    client.post('/', 'body');
    const first = await server.accept();
    await first.head();
    await first.bytes(4);
    first.reset();
    const second = await server.accept();
    expect(await second.head()).toContain('POST / ');
    expect(await second.bytes(4)).toBe('body');
    second.write(OK);
    expect((await client.response()).status).toBe(200);
  });
}

for (const condition of ['connect-failure', 'reset-before-request', '5xx']) {
  test(`${condition}: a refused connection is retried at another endpoint, the body with it`, async () => {
    const server = await upstream((request, response) => response.end(request.body));
    const dead = await closedPort();
    const p = await retrying([dead, server.port], { retry_on: condition }).start();
    const client = await p.client();
    for (let i = 0; i < 4; i++) expect((await client.post('/', 'body').response()).body).toBe('body');
    expect(p.stat('cluster.a.upstream_rq_retry')).toBeGreaterThan(0);
  });
}

test('connect-failure does not retry what was sent', async () => {
  const server = await scripted();
  const p = await retrying(server.port, { retry_on: 'connect-failure,refused-stream', num_retries: 3 }).start();
  const client = await p.client();
  client.post('/', 'pay');
  const connection = await server.accept();
  await connection.bytes(3);
  connection.reset();
  expect((await client.response()).status).toBe(503);
  await turns();
  expect(server.connections).toHaveLength(1);
});

test('no more tries than num_retries, and then URX', async () => {
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await retrying(server.port, { retry_on: '5xx', num_retries: 2 }).start();
  const client = await p.client();
  expect((await client.get().response()).status).toBe(503);
  expect(server.requests).toHaveLength(3);
  expect((await p.log(0)).flags).toBe('URX');
  expect(p.stat('cluster.a.upstream_rq_retry_limit_exceeded')).toBe(1);
});

test('between tries it waits, longer each time, up to max_interval', async () => {
  const clock = manualClock();
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await proxy()
    .clock(clock)
    // All but no jitter, at the ceiling.
    .random({ next: () => 0.999999, int: () => 0 })
    .cluster('a', server.port)
    .to('a', {
      timeout: '0s',
      retry_policy: { retry_on: '5xx', num_retries: 3, retry_back_off: { base_interval: '1s', max_interval: '3s' } },
    })
    .start();
  const client = await p.client();
  client.get();
  let tries = 0;
  for (const wait of [1000, 2000, 3000]) {
    tries++;
    await eventually(() => p.stat('cluster.a.upstream_rq_retry') === tries);
    clock.advance(wait - 20);
    await turns();
    expect(server.requests).toHaveLength(tries);
    clock.advance(30);
    await eventually(() => server.requests.length === tries + 1);
  }
  expect((await client.response()).status).toBe(503);
  clock.advance(20);
});

test('a reset header sets the wait', async () => {
  const clock = manualClock();
  const server = await upstream((_request, response) => {
    if (server.requests.length === 1) response.writeHead(503, { 'Retry-After': '7' }).end('no');
    else response.end('yes');
  });
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .to('a', {
      timeout: '0s',
      retry_policy: {
        retry_on: '5xx',
        rate_limited_retry_back_off: { reset_headers: [{ name: 'retry-after', format: 'SECONDS' }] },
      },
    })
    .start();
  const client = await p.client();
  client.get();
  await eventually(() => p.stat('cluster.a.upstream_rq_retry') === 1);
  clock.advance(6900);
  await turns();
  expect(server.requests).toHaveLength(1);
  clock.advance(200);
  expect((await client.response()).body).toBe('yes');
  clock.advance(20);
});

test('a client that goes during the back-off ends the retries', async () => {
  const clock = manualClock();
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .to('a', {
      retry_policy: { retry_on: '5xx', num_retries: 5, retry_back_off: { base_interval: '1s', max_interval: '9s' } },
    })
    .start();
  const client = await p.client();
  client.get();
  await eventually(() => p.stat('cluster.a.upstream_rq_retry') === 1);
  client.reset();
  await eventually(() => p.stat('http.main.downstream_cx_active') === 0);
  clock.advance(20_000);
  await turns();
  expect(server.requests).toHaveLength(1);
  expect(p.stat('cluster.a.upstream_rq_active')).toBe(0);
});

test('max_retries of the breaker limits retries under way: UO', async () => {
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await retrying(
    server.port,
    { retry_on: '5xx' },
    { circuit_breakers: { thresholds: [{ max_retries: 0 }] } },
  ).start();
  const client = await p.client();
  expect((await client.get().response()).status).toBe(503);
  expect(server.requests).toHaveLength(1);
  expect((await p.log(0)).flags).toBe('UO');
  expect(p.stat('cluster.a.upstream_rq_retry_overflow')).toBe(1);
});

test('a retry budget limits retries to a share of requests, never below its minimum', async () => {
  const clock = manualClock();
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await proxy()
    .clock(clock)
    .random({ next: () => 0.99, int: () => 0 })
    .cluster('a', server.port, {
      circuit_breakers: { thresholds: [{ retry_budget: { budget_percent: { value: 20 }, min_retry_concurrency: 2 } }] },
    })
    .to('a', { retry_policy: { retry_on: '5xx', retry_back_off: { base_interval: '5s', max_interval: '5s' } } })
    .start();
  const clients = await Promise.all([1, 2, 3, 4].map(() => p.client()));
  for (const client of clients) client.get();
  // All four fail; two may wait for their second try, the other two are told at once.
  await eventually(() => p.stat('cluster.a.upstream_rq_retry_overflow') === 2);
  await eventually(() => clients.filter((client) => client.received !== '').length === 2);
  clock.advance(5010);
  for (const client of clients) expect((await client.response()).status).toBe(503);
  expect(server.requests).toHaveLength(6);
  clock.advance(20);
});

test('a per-try timeout leads to another try, the route timeout to none', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .random(NO_JITTER)
    .cluster('a', server.port)
    .to('a', { timeout: '5s', retry_policy: { retry_on: '5xx', num_retries: 9, per_try_timeout: '2s' } })
    .start();
  const client = await p.client();
  client.get();
  const first = await server.accept();
  await first.head();
  clock.advance(2010);
  await first.untilEnded();
  const second = await server.accept();
  await second.head();
  clock.advance(2010);
  const third = await server.accept();
  await third.head();
  clock.advance(1010);
  expect((await client.response()).status).toBe(504);
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ flags: 'UT', details: 'response_timeout' });
  expect(p.stat('cluster.a.upstream_rq_per_try_timeout')).toBe(2);
});

test('a per-try timeout that is retried no more is 504 with its own details', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .to('a', { retry_policy: { retry_on: 'connect-failure', per_try_timeout: '2s' } })
    .start();
  const client = await p.client();
  client.get();
  await (await server.accept()).head();
  clock.advance(2010);
  expect((await client.response()).status).toBe(504);
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ flags: 'UT', details: 'upstream_per_try_timeout' });
});

test('previous_hosts makes the next try go elsewhere', async () => {
  const bad = await upstream((_request, response) => response.writeHead(503).end('no'));
  const good = await upstream();
  const p = await proxy()
    .cluster('a', [bad.port, good.port], { lb_policy: 'RANDOM' })
    .to('a', {
      retry_policy: {
        ...AT_ONCE,
        retry_on: '5xx',
        retry_host_predicate: [
          {
            name: 'envoy.retry_host_predicates.previous_hosts',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
            },
          },
        ],
        host_selection_retry_max_attempts: 50,
      },
    })
    .start();
  const client = await p.client();
  for (let i = 0; i < 20; i++) expect((await client.get().response()).status).toBe(200);
  expect(bad.requests.length).toBeGreaterThan(0);
});

test('a body beyond the buffer limit is not replayed: counted, and the failure is passed on', async () => {
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await retrying(server.port, { retry_on: '5xx', num_retries: 3 })
    .listener({ per_connection_buffer_limit_bytes: 1000 })
    .start();
  const client = await p.client();
  expect((await client.post('/', 'x'.repeat(500)).response()).status).toBe(503);
  expect(server.requests).toHaveLength(4);
  // In two parts, so that part of it was sent before the limit was met.
  client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n${'x'.repeat(900)}`);
  await eventually(() => p.stat('cluster.a.upstream_rq_active') === 1);
  await turns();
  client.write('x'.repeat(4100));
  expect((await client.response()).status).toBe(503);
  expect(server.requests).toHaveLength(5);
  expect(p.stat('cluster.a.remora_replay_buffer_overflow')).toBe(1);
  expect(p.stat('cluster.a.retry_or_shadow_abandoned')).toBe(1);
});

test('a chunked body with trailers is replayed whole', async () => {
  const server = await scripted();
  const p = await retrying(server.port, { retry_on: '5xx' }).trailers().start();
  const client = await p.client();
  client.write(
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
  );
  for (let i = 0; i < 2; i++) {
    const connection = await server.accept();
    await connection.head();
    expect(await connection.until((received) => received.endsWith('X-T: 1\r\n\r\n'))).toContain('abc');
    if (i === 0) connection.write('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n');
    else connection.write(OK);
  }
  expect((await client.response()).status).toBe(200);
});

test('retriable_request_headers limits which requests are retried', async () => {
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await retrying(server.port, {
    retry_on: '5xx',
    retriable_request_headers: [{ name: 'x-may-retry', present_match: true }],
  }).start();
  const client = await p.client();
  await client.get().response();
  expect(server.requests).toHaveLength(1);
  await client.get('/', 'X-May-Retry: 1').response();
  expect(server.requests).toHaveLength(3);
});

test('trusted callers steer retries and timeouts by header, and the headers end here', async () => {
  const clock = manualClock();
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await proxy().clock(clock).random(NO_JITTER).manager(LOOPBACK_TRUSTED).cluster('a', server.port).start();
  const client = await p.client();
  client.get('/', 'x-envoy-retry-on: 5xx', 'x-envoy-max-retries: 3');
  await client.response();
  expect(server.requests).toHaveLength(4);
  expect(server.requests[0]!.headers['x-envoy-retry-on']).toBeUndefined();
  server.answer = () => {};
  client.get('/', 'x-envoy-upstream-rq-timeout-ms: 300');
  await eventually(() => server.requests.length === 5);
  expect(server.requests[4]!.headers['x-envoy-expected-rq-timeout-ms']).toBe('300');
  clock.advance(310);
  expect((await client.response()).status).toBe(504);
  clock.advance(20);
});

// Envoy since 1.33: whoever comes in by a load balancer has a private address too.
test('without internal_address_config nobody steers, loopback and private addresses neither', async () => {
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  for (const use_remote_address of [true, false]) {
    server.requests.length = 0;
    const p = await proxy().random(NO_JITTER).cluster('a', server.port).manager({ use_remote_address }).start();
    const client = await p.client();
    client.get('/', 'x-envoy-retry-on: 5xx', 'x-envoy-upstream-rq-timeout-ms: 1', 'x-envoy-internal: true');
    await client.response();
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]!.headers['x-envoy-internal']).toBeUndefined();
    expect(server.requests[0]!.headers['x-envoy-expected-rq-timeout-ms']).toBe('15000');
  }
});

test('strangers cannot steer: their headers are removed', async () => {
  const server = await upstream((_request, response) => response.writeHead(503).end('no'));
  const p = await proxy().random(NO_JITTER).cluster('a', server.port).manager({ use_remote_address: true }).start();
  const client = await p.client();
  client.get(
    '/',
    'X-Forwarded-For: 8.8.8.8',
    'x-envoy-retry-on: 5xx',
    'x-envoy-max-retries: 9',
    'x-envoy-expected-rq-timeout-ms: 1',
    'x-envoy-internal: true',
  );
  await client.response();
  expect(server.requests).toHaveLength(1);
  const names = Object.keys(server.requests[0]!.headers);
  expect(names).not.toContain('x-envoy-retry-on');
  expect(names).not.toContain('x-envoy-max-retries');
  expect(names).not.toContain('x-envoy-internal');
  expect(server.requests[0]!.headers['x-envoy-expected-rq-timeout-ms']).toBe('15000');
});

test('the attempt count is told upstream and, if asked, downstream; a client cannot forge it', async () => {
  const server = await upstream((_request, response) =>
    response.writeHead(server.requests.length < 3 ? 503 : 200).end(),
  );
  const p = await retrying(server.port, { retry_on: '5xx', num_retries: 5 })
    .virtualHost({ include_request_attempt_count: true, include_attempt_count_in_response: true })
    .start();
  const client = await p.client();
  const response = await client.get('/', 'x-envoy-attempt-count: 77').response();
  expect(response.header('x-envoy-attempt-count')).toBe('3');
  expect(server.requests.map(({ headers }) => headers['x-envoy-attempt-count'])).toEqual(['1', '2', '3']);
});

/** A kept-alive connection that the server closes just as the next request goes out on it. */
async function race(method: 'get' | 'post', builder: (port: number) => ProxyBuilder) {
  const server = await scripted();
  const p = await builder(server.port).start();
  const client = await p.client();
  client.get('/first');
  const connection = await server.accept();
  await connection.head();
  connection.write(OK);
  await client.response();
  if (method === 'get') client.get('/second');
  else client.post('/second', 'pay');
  await connection.head();
  connection.socket.destroy();
  return { server, p, client };
}

test('reuse race: a GET is sent again, once, on a new connection', async () => {
  const { server, p, client } = await race('get', (port) => proxy().cluster('a', port));
  const next = await server.accept();
  expect(await next.head()).toContain('GET /second ');
  next.write(OK);
  expect((await client.response()).status).toBe(200);
  expect(p.stat('cluster.a.remora_reuse_race_retry')).toBe(1);
  expect(await p.log(1)).toMatchObject({ code: 200, flags: '-' });
});

test('reuse race: a POST is surfaced as 503 UC that says why', async () => {
  const { server, p, client } = await race('post', (port) => proxy().explain().cluster('a', port));
  const response = await client.response();
  expect(response.status).toBe(503);
  expect(response.body).toContain('closed a kept-alive connection while a POST was on its way; it was not sent again');
  expect((await p.log(1)).flags).toBe('UC');
  expect(server.connections).toHaveLength(1);
});

test('reuse race: a server that restarted under many kept-alive connections fails no GET', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const clients = await Promise.all([1, 2, 3, 4].map(() => p.client()));
  for (const client of clients) client.get();
  const connections = await Promise.all(clients.map(() => server.accept()));
  for (const connection of connections) {
    await connection.head();
    connection.write(OK);
  }
  for (const client of clients) await client.response();
  clients[0]!.get('/again');
  const used = await Promise.race(connections.map((connection) => connection.head().then(() => connection)));
  // Only the one in use is seen to close before the retry: the others would meet it too.
  used.socket.destroy();
  const fresh = await server.accept();
  expect(await fresh.head()).toContain('/again');
  fresh.write(OK);
  expect((await clients[0]!.response()).status).toBe(200);
});

test('a new connection that dies before the answer is not retried by default', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.reset();
  expect((await client.response()).status).toBe(503);
  await turns();
  expect(server.connections).toHaveLength(1);
});

test('Keep-Alive: timeout= is honoured: the connection is given up before the server closes it', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n');
  const response = await client.response();
  expect(response.header('keep-alive')).toBeUndefined();
  clock.advance(4400);
  await turns();
  expect(connection.ended).toBe(false);
  clock.advance(200);
  await connection.untilEnded();
});

test('x-envoy-retriable-header-names of an internal caller asks for retries', async () => {
  const server = await upstream((_request, response) => {
    if (server.requests.length === 1) response.writeHead(200, { 'x-again': '1' }).end('no');
    else response.end('yes');
  });
  const p = await proxy().random(NO_JITTER).manager(LOOPBACK_TRUSTED).cluster('a', server.port).start();
  const client = await p.client();
  client.get('/', 'x-envoy-retry-on: retriable-headers', 'x-envoy-retriable-header-names: x-other,x-again');
  expect((await client.response()).body).toBe('yes');
  expect(server.requests).toHaveLength(2);
});

test('include_is_timeout_retry_header: a retry says whether it follows a timeout', async () => {
  const clock = manualClock();
  const server = await scripted();
  const policy = { retry_on: '5xx', num_retries: 2, per_try_timeout: '0.5s' };
  const p = await retrying(server.port, policy)
    .clock(clock)
    .virtualHost({ include_is_timeout_retry_header: true })
    .start();
  const client = await p.client();
  client.get('/', 'x-envoy-is-timeout-retry: mine');
  const first = await server.accept();
  expect(await first.head()).not.toContain('x-envoy-is-timeout-retry');
  await turns();
  clock.advance(510);
  await eventually(() => p.stat('cluster.a.upstream_rq_retry') === 1);
  clock.advance(10);
  const second = await server.accept();
  expect(await second.head()).toContain('x-envoy-is-timeout-retry: true\r\n');
  second.write('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
  await eventually(() => p.stat('cluster.a.upstream_rq_retry') === 2);
  clock.advance(10);
  const third = await server.accept();
  expect(await third.head()).toContain('x-envoy-is-timeout-retry: false\r\n');
  third.write(OK);
  expect((await client.response()).status).toBe(200);
});

test('per_try_idle_timeout: a try without a byte is retried, and one that stalls in its body is cut', async () => {
  const clock = manualClock();
  const server = await scripted();
  const policy = { retry_on: '5xx', num_retries: 1, per_try_idle_timeout: '1s' };
  const p = await retrying(server.port, policy).clock(clock).start();
  const client = await p.client();
  // Not before the request is there whole.
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx');
  const first = await server.accept();
  await first.bytes(1);
  await turns();
  clock.advance(5000);
  await turns();
  client.write('y');
  await first.until((received) => received.endsWith('xy'));
  clock.advance(1010);
  await eventually(() => p.stat('cluster.a.upstream_rq_retry') === 1);
  expect(p.stat('cluster.a.upstream_rq_per_try_idle_timeout')).toBe(1);
  clock.advance(10);
  const second = await server.accept();
  await second.head();
  await second.bytes(2);
  clock.advance(900);
  second.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n');
  await client.until((received) => received.includes('\r\n\r\n'));
  clock.advance(900);
  second.write('ha');
  await client.until((received) => received.endsWith('ha'));
  clock.advance(1010);
  await client.untilEnded();
  await eventually(() => p.stat('http.main.downstream_rq_active') === 0);
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ code: 200, flags: 'UT', details: 'upstream_per_try_idle_timeout' });
});

test('per_try_idle_timeout without a retry is 504', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await retrying(server.port, { per_try_idle_timeout: '1s' }).clock(clock).start();
  const client = await p.client();
  client.get();
  await (await server.accept()).head();
  await turns();
  clock.advance(1010);
  const response = await client.response();
  expect(response).toMatchObject({ status: 504, body: 'upstream request timeout' });
  expect(await p.log(0)).toMatchObject({ flags: 'UT', details: 'upstream_per_try_idle_timeout' });
});

test('a later try is told what is left of the time', async () => {
  const clock = manualClock();
  const server = await scripted();
  const told = async (head: Promise<string>) => /^x-envoy-expected-rq-timeout-ms: (\d+)/m.exec(await head)?.[1];
  const p = await proxy()
    .clock(clock)
    .random(NO_JITTER)
    .cluster('a', server.port)
    .to('a', { timeout: '1s', retry_policy: { ...AT_ONCE, retry_on: '5xx', num_retries: 2, per_try_timeout: '0.5s' } })
    .start();
  const client = await p.client();
  client.get('/');
  let connection = await server.accept();
  expect(await told(connection.head())).toBe('500');
  for (const left of ['500', '200']) {
    clock.advance(400);
    connection.write('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
    connection = await server.accept();
    expect(await told(connection.head())).toBe(left);
  }
  connection.write(OK);
  expect((await client.response()).body).toBe('ok');
});
