import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

test('a route timeout before the head is 504 UT', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).explain().cluster('a', server.port).to('a', { timeout: '2s' }).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  clock.advance(1990);
  await turns();
  expect(client.received).toBe('');
  clock.advance(20);
  const response = await client.response();
  expect(response.status).toBe(504);
  expect(response.body).toContain('upstream request timeout');
  expect(response.body).toContain('had not answered after 2 s');
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ flags: 'UT', details: 'response_timeout' });
  await connection.untilEnded();
  expect(p.stat('cluster.a.upstream_rq_timeout')).toBe(1);
  expect(p.stat('cluster.a.upstream_rq_active')).toBe(0);
});

test('the default route timeout is 15 s, and 0 turns it off', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .route({ match: { prefix: '/off' }, route: { cluster: 'a', timeout: '0s' } })
    .to('a')
    .start();
  const client = await p.client();
  client.get('/off');
  const connection = await server.accept();
  await connection.head();
  clock.advance(60_000);
  await turns();
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
  client.get('/default');
  await connection.head();
  clock.advance(14_990);
  await turns();
  expect(client.received).toBe('');
  clock.advance(20);
  expect((await client.response()).status).toBe(504);
});

test('a route timeout inside a response cuts it', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).to('a', { timeout: '2s' }).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
  await client.until((received) => received.endsWith('abc'));
  clock.advance(2010);
  await client.untilEnded();
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ code: 200, flags: 'UT', details: 'response_timeout' });
});

test('the route timeout begins when the request is whole', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).to('a', { timeout: '2s' }).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab');
  const connection = await server.accept();
  await connection.head();
  clock.advance(5000);
  client.write('cd');
  await connection.bytes(4);
  clock.advance(1900);
  await turns();
  expect(client.received).toBe('');
  clock.advance(200);
  expect((await client.response()).status).toBe(504);
});

test('a stream on which nothing moves is ended by stream_idle_timeout, and data pushes it back', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .to('a', { timeout: '0s' })
    .manager({ stream_idle_timeout: '10s' })
    .start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab');
  const connection = await server.accept();
  await connection.head();
  await connection.bytes(2);
  clock.advance(9000);
  client.write('c');
  await connection.bytes(1);
  clock.advance(9000);
  await turns();
  expect(client.received).toBe('');
  clock.advance(1100);
  const response = await client.response();
  expect(response.status).toBe(408);
  expect(response.body).toBe('stream timeout');
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ flags: 'SI', details: 'stream_idle_timeout' });
  await connection.untilEnded();
});

test('an idle stream whose request is whole is 504, and inside a response it is cut, still as SI', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).to('a', { timeout: '0s', idle_timeout: '3s' }).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  clock.advance(3010);
  expect((await client.response()).status).toBe(504);
  client.get();
  const second = await server.accept();
  await second.head();
  second.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
  await client.until((received) => received.endsWith('abc'));
  clock.advance(3010);
  await client.untilEnded();
  clock.advance(20);
  expect(await p.log(1)).toMatchObject({ code: 200, flags: 'SI', details: 'stream_idle_timeout' });
});

test('a head that does not arrive in time is 408', async () => {
  const clock = manualClock();
  const p = await proxy()
    .clock(clock)
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .manager({ request_headers_timeout: '5s' })
    .start();
  const client = await p.client();
  client.get();
  await client.response();
  client.write('GET / HTTP/1.1\r\nHo');
  await turns();
  clock.advance(4900);
  client.write('st');
  await turns();
  clock.advance(200);
  const response = await client.response();
  expect(response.status).toBe(408);
  await client.untilEnded();
  clock.advance(20);
  expect(await p.log(1)).toMatchObject({ code: 408, details: 'request_header_timeout' });
  expect(p.stat('http.main.downstream_rq_header_timeout')).toBe(1);
});

test.each([
  ['by default after five minutes', {}, 300_000],
  ['after stream_idle_timeout', { stream_idle_timeout: '10s', request_headers_timeout: '20s' }, 10_000],
])('a head that does not arrive is 408 %s, however busily it comes, as SI', async (_, fields, ms) => {
  const clock = manualClock();
  const p = await proxy()
    .clock(clock)
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .manager(fields)
    .start();
  const client = await p.client();
  client.write('GET / HTTP/1.1\r\nHo');
  await turns();
  clock.advance(ms - 500);
  client.write('st');
  await turns();
  expect(client.received).toBe('');
  clock.advance(600);
  const response = await client.response();
  expect([response.status, response.body]).toEqual([408, 'stream timeout']);
  await client.untilEnded();
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ code: 408, flags: 'SI', details: 'stream_idle_timeout' });
  expect(p.stat('http.main.downstream_rq_idle_timeout')).toBe(1);
});

test('a body that does not arrive in request_timeout is 408', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).manager({ request_timeout: '5s' }).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  const connection = await server.accept();
  await connection.head();
  clock.advance(5010);
  expect((await client.response()).status).toBe(408);
  await connection.untilEnded();
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ code: 408, flags: '-', details: 'request_overall_timeout' });
});

test('a refused request whose body never comes is not answered twice', async () => {
  const clock = manualClock();
  const p = await proxy()
    .clock(clock)
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .manager({ request_timeout: '5s', delayed_close_timeout: '60s' })
    .start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  expect((await client.response()).status).toBe(200);
  clock.advance(5010);
  expect(await client.rest()).toBe('');
  expect(p.logLines).toHaveLength(1);
  clock.advance(60_000);
});

test('an idle connection is closed by idle_timeout, and requests push it back', async () => {
  const clock = manualClock();
  const server = await upstream();
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .manager({ common_http_protocol_options: { idle_timeout: '10s' } })
    .start();
  const client = await p.client();
  clock.advance(9000);
  await client.get().response();
  clock.advance(9000);
  await turns();
  expect(client.ended).toBe(false);
  clock.advance(1100);
  await client.untilEnded();
});

test('a client that does not close after our FIN is cut after delayed_close_timeout', async () => {
  const clock = manualClock();
  const p = await proxy()
    .clock(clock)
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const client = await p.client();
  client.get('/', 'Connection: close');
  await client.untilEnded();
  await turns();
  expect(p.stat('http.main.downstream_cx_active')).toBe(1);
  clock.advance(1100);
  await eventually(() => p.stat('http.main.downstream_cx_active') === 0);
});

test.each([
  ['that the caller set', { max_stream_duration: { grpc_timeout_header_max: '0s' } }, '4', 'upstream request timeout'],
  // Envoy takes it for the route's own timeout.
  ['by max_grpc_timeout', { max_grpc_timeout: '0s' }, '14', 'upstream request timeout'],
  [
    'of the stream',
    { timeout: '0s', max_stream_duration: { max_stream_duration: '0.2s' } },
    '4',
    'downstream duration timeout',
  ],
])('the end of a deadline %s is a gRPC status', async (_, action, status, message) => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).to('a', action).start();
  const client = await p.client();
  client.post('/', 'x', 'Content-Type: application/grpc', 'grpc-timeout: 200m');
  await (await server.accept()).head();
  await turns();
  clock.advance(210);
  const response = await client.response();
  expect(response.status).toBe(200);
  expect(response.header('grpc-status')).toBe(status);
  // Spaces are as they are in gRPC's escapes.
  expect(response.header('grpc-message')).toBe(message);
});

test('max_stream_duration ends what is not gRPC by 504', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .to('a', { timeout: '0s', max_stream_duration: { max_stream_duration: '0.2s' } })
    .start();
  const client = await p.client();
  client.get('/');
  await (await server.accept()).head();
  await turns();
  clock.advance(210);
  const response = await client.response();
  expect([response.status, response.body]).toEqual([504, 'downstream duration timeout']);
  clock.advance(20);
  expect(await p.log(0)).toMatchObject({ flags: 'DT', details: 'max_duration_timeout' });
});

test('the message of a gRPC answer is escaped as gRPC says, whatever is in it', async () => {
  const p = await proxy()
    .route({
      match: { prefix: '/' },
      direct_response: { status: 503, body: { inline_string: '100% "no"\n\u00fc \ud83d\ude00' } },
    })
    .start();
  const client = await p.client();
  const response = await client.post('/', 'x', 'Content-Type: application/grpc').response();
  expect(response.header('grpc-message')).toBe('100%25 "no"%0A%C3%BC %F0%9F%98%80');
});
