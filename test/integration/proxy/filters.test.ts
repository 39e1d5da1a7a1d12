import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

const FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const LIMIT = 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const HUNDRED = { numerator: 100, denominator: 'HUNDRED' };
const delay = (seconds: string) => ({ '@type': FAULT, delay: { fixed_delay: seconds, percentage: HUNDRED } });

test('a fault delays a request, and its body is all there afterwards', async () => {
  const clock = manualClock();
  const server = await upstream((request, response) => response.end(request.body));
  const p = await proxy().clock(clock).filter('fault', delay('2s')).cluster('a', server.port).start();
  const client = await p.client();
  client.post('/1', 'first body').post('/2', 'second');
  await eventually(() => p.stat('http.main.downstream_rq_active') === 1);
  client.write('POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthird\r\n0\r\n\r\n');
  for (const body of ['first body', 'second', 'third']) {
    await turns();
    clock.advance(1990);
    await turns();
    expect(client.received).toBe('');
    clock.advance(20);
    expect((await client.response()).body).toBe(body);
  }
  clock.advance(20);
  expect((await p.log(0)).flags).toBe('DI');
});

test('a delayed upload of 20 MiB is held back, not lost and not gathered', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).filter('fault', delay('2s')).cluster('a', server.port).start();
  const client = await p.client();
  const body = 'b'.repeat(20 * 1024 * 1024);
  client.post('/', body);
  await turns(100);
  expect(client.socket.writableLength).toBeGreaterThan(10 * 1024 * 1024);
  clock.advance(2010);
  const connection = await server.accept();
  await connection.head();
  await connection.bytes(body.length);
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
});

test('a fault aborts, after its delay too, and the connection goes on', async () => {
  const clock = manualClock();
  const p = await proxy()
    .clock(clock)
    .filter('fault', { ...delay('2s'), abort: { http_status: 418, percentage: HUNDRED } })
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const client = await p.client();
  client.get('/1').post('/2', 'body').get('/3');
  for (let i = 0; i < 3; i++) {
    await turns();
    clock.advance(2010);
    const response = await client.response();
    expect(response.status).toBe(418);
    expect(response.header('connection')).toBeUndefined();
  }
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ flags: 'DI,FI', details: 'fault_filter_abort' });
});

test('a client that goes during a delay is DC, and nothing goes upstream', async () => {
  const clock = manualClock();
  const server = await upstream();
  const p = await proxy().clock(clock).filter('fault', delay('2s')).cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  await eventually(() => p.stat('http.main.downstream_rq_active') === 1);
  client.reset();
  await eventually(() => p.stat('http.main.downstream_rq_active') === 0);
  clock.advance(5000);
  await turns();
  expect(server.requests).toHaveLength(0);
  expect((await p.log(0)).flags).toContain('DC');
});

test('a delayed request may still find no route to its cluster', async () => {
  const clock = manualClock();
  const p = await proxy().clock(clock).filter('fault', delay('2s')).cluster('a', []).start();
  const client = await p.client();
  client.get('/1').get('/2');
  for (let i = 0; i < 2; i++) {
    await turns();
    clock.advance(2010);
    expect((await client.response()).status).toBe(503);
  }
});

test('the local rate limit answers 429 RL with its headers, and refills', async () => {
  const clock = manualClock();
  const server = await upstream();
  const p = await proxy()
    .clock(clock)
    .filter('limit', {
      '@type': LIMIT,
      stat_prefix: 'limit',
      token_bucket: { max_tokens: 2, tokens_per_fill: 2, fill_interval: '1s' },
      filter_enabled: { default_value: HUNDRED },
      filter_enforced: { default_value: HUNDRED },
      enable_x_ratelimit_headers: 'DRAFT_VERSION_03',
    })
    .cluster('a', server.port)
    .start();
  const client = await p.client();
  expect((await client.get().response()).status).toBe(200);
  expect((await client.get().response()).status).toBe(200);
  const refused = await client.post('/', 'body').response();
  expect(refused.status).toBe(429);
  expect(refused.header('x-ratelimit-remaining')).toBe('0');
  clock.advance(1100);
  expect((await client.get().response()).status).toBe(200);
  expect(await p.log(2)).toMatchObject({ code: 429, flags: 'RL' });
});

test('outlier detection takes a sick endpoint out, and lets it back in', async () => {
  const clock = manualClock();
  const sick = await upstream((_request, response) => response.writeHead(500).end());
  const well = await upstream();
  const p = await proxy()
    .clock(clock)
    .cluster('a', [sick.port, well.port], {
      outlier_detection: { consecutive_5xx: 3, interval: '1s', base_ejection_time: '30s', max_ejection_percent: 100 },
    })
    .start();
  const client = await p.client();
  for (let i = 0; i < 20; i++) await client.get().response();
  expect(sick.requests).toHaveLength(3);
  expect(p.stat('cluster.a.outlier_detection.ejections_active')).toBe(1);
  sick.answer = (_request, response) => response.end('well again');
  clock.advance(31_500);
  for (let i = 0; i < 10; i++) expect((await client.get().response()).status).toBe(200);
  expect(sick.requests.length).toBeGreaterThan(3);
});
