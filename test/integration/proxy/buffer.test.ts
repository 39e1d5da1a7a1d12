import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

const BUFFER = 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer';
const ROUTE = 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute';
const FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const LIMIT = { '@type': BUFFER, max_request_bytes: 100_000 };
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n';
const post = (path: string, fields: string) => `POST ${path} HTTP/1.1\r\nHost: a\r\n${fields}`;

test('the upstream sees nothing before all of the body is there, then a Content-Length', async () => {
  const server = await scripted();
  const p = await proxy().filter('buffer', LIMIT).cluster('a', server.port).start();
  const client = await p.client();
  client.write(post('/', `${CHUNKED}5\r\nhello\r\n`));
  await eventually(() => p.stat('http.main.downstream_rq_active') === 1);
  await turns();
  expect(p.stat('cluster.a.upstream_rq_total')).toBe(0);
  client.write('6\r\n world\r\n0\r\n\r\n');
  const connection = await server.accept();
  const head = await connection.head();
  expect(head).toMatch(/content-length: 11\r\n/i);
  expect(head).not.toMatch(/transfer-encoding/i);
  expect(await connection.bytes(11)).toBe('hello world');
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
});

test('bodies of any framing and size arrive as they were sent, one request after another', async () => {
  const server = await upstream((request, response) => response.end(request.body));
  const p = await proxy().filter('buffer', LIMIT).cluster('a', server.port).start();
  const client = await p.client();
  const large = 'x'.repeat(90_000);
  client.post('/1', 'first').post('/2', large).get('/3');
  client.write(post('/4', `${CHUNKED}3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n`));
  client.write(post('/5', `${CHUNKED}0\r\n\r\n`));
  client.post('/6', 'last');
  for (const body of ['first', large, '', 'abc', '', 'last']) expect((await client.response()).body).toBe(body);
  expect(server.requests.map(({ url }) => url)).toEqual(['/1', '/2', '/3', '/4', '/5', '/6']);
});

test('what is too large is a 413 and never goes upstream', async () => {
  const server = await upstream();
  const p = await proxy()
    .filter('buffer', { '@type': BUFFER, max_request_bytes: 10 })
    .cluster('a', server.port)
    .start();
  const declared = await p.client();
  declared.write(post('/declared', 'Content-Length: 11\r\n\r\n'));
  const refused = await declared.response();
  expect([refused.status, refused.body, refused.header('connection')]).toEqual([413, 'Payload Too Large', 'close']);
  const counted = await p.client();
  counted.write(post('/counted', `${CHUNKED}b\r\n12345678901\r\n`));
  expect((await counted.response()).status).toBe(413);
  expect(server.requests).toEqual([]);
  expect(await p.log(0)).toMatchObject({ flags: '-', details: 'request_payload_too_large' });
  expect(p.stat('http.main.downstream_rq_too_large')).toBe(2);
});

test('a client that waits for 100 Continue gets it here, and the upstream is not asked for one', async () => {
  const server = await scripted();
  const p = await proxy().filter('buffer', LIMIT).cluster('a', server.port).start();
  const client = await p.client();
  client.write(post('/', 'Expect: 100-continue\r\nContent-Length: 5\r\n\r\n'));
  await eventually(() => client.received.includes('HTTP/1.1 100 Continue\r\n\r\n'));
  client.write('hello');
  const connection = await server.accept();
  expect(await connection.head()).not.toMatch(/^expect:/im);
  expect(await connection.bytes(5)).toBe('hello');
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(100);
  expect((await client.response()).status).toBe(204);
});

test('a route turns it off: the head goes at once, with the length that was declared', async () => {
  const server = await scripted();
  const p = await proxy()
    .filter('buffer', LIMIT)
    .cluster('a', server.port)
    .to('a', {}, { typed_per_filter_config: { buffer: { '@type': ROUTE, disabled: true } } })
    .start();
  const client = await p.client();
  client.write(post('/', 'Content-Length: 5\r\n\r\nhel'));
  const connection = await server.accept();
  expect(await connection.head()).toMatch(/content-length: 5\r\n/i);
  expect(await connection.bytes(3)).toBe('hel');
  client.write('lo');
  await connection.bytes(2);
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
});

test('a filter behind it that holds the request has the whole body, and the next request waits its turn', async () => {
  const clock = manualClock();
  const server = await upstream((request, response) => response.end(`${request.url} ${request.body}`));
  const p = await proxy()
    .clock(clock)
    .filter('buffer', LIMIT)
    .filter('fault', {
      '@type': FAULT,
      delay: { fixed_delay: '2s', percentage: { numerator: 100, denominator: 'HUNDRED' } },
    })
    .cluster('a', server.port)
    .start();
  const client = await p.client();
  client.post('/1', 'one').post('/2', 'two').get('/3');
  for (const answer of ['/1 one', '/2 two', '/3 ']) {
    await eventually(() => p.stat('http.main.downstream_rq_active') === 1);
    await turns();
    expect(client.received).toBe('');
    clock.advance(2010);
    expect((await client.response()).body).toBe(answer);
  }
});

test('a client that goes while its body is gathered leaves nothing behind', async () => {
  const server = await upstream();
  const p = await proxy().filter('buffer', LIMIT).cluster('a', server.port).start();
  const client = await p.client();
  client.write(post('/', 'Content-Length: 50\r\n\r\nhel'));
  await eventually(() => p.stat('http.main.downstream_rq_active') === 1);
  client.reset();
  await eventually(() => p.stat('http.main.downstream_rq_active') === 0);
  expect(server.requests).toEqual([]);
  expect((await p.log(0)).flags).toContain('DC');
});

test('a body that never ends is cut off by the request timeout', async () => {
  const clock = manualClock();
  const server = await upstream();
  const p = await proxy()
    .clock(clock)
    .manager({ request_timeout: '5s' })
    .filter('buffer', LIMIT)
    .cluster('a', server.port)
    .start();
  const client = await p.client();
  client.write(post('/', 'Content-Length: 50\r\n\r\nhel'));
  await eventually(() => p.stat('http.main.downstream_rq_active') === 1);
  clock.advance(5100);
  expect((await client.response()).status).toBe(408);
  expect(server.requests).toEqual([]);
});
