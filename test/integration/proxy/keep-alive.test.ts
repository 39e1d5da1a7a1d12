import { expect, test } from 'vitest';
import { eventually, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('a connection serves one request after the other', async () => {
  const server = await upstream((request, response) => response.end(request.url));
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  for (const path of ['/1', '/2', '/3']) expect((await client.get(path).response()).body).toBe(path);
  expect(server.connections).toBe(1);
  expect(p.stat('http.main.downstream_cx_total')).toBe(1);
});

test('pipelined requests are answered in order, and the second waits for the first', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get('/1').get('/2').get('/3');
  const connection = await server.accept();
  expect(await connection.head()).toMatch(/^GET \/1 /);
  await turns();
  expect(connection.received).toBe('');
  expect(server.connections).toHaveLength(1);
  for (const path of ['/1', '/2', '/3']) {
    if (path !== '/1') expect(await connection.head()).toContain(`GET ${path} `);
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${path}`);
    expect((await client.response()).body).toBe(path);
  }
});

test('requests pipelined behind local replies are all answered', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .route({ match: { path: '/direct' }, direct_response: { status: 200, body: { inline_string: 'direct' } } })
    .to('a')
    .start();
  const client = await p.client();
  client.write(`${'GET /direct HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2000)}GET /last HTTP/1.1\r\nHost: a\r\n\r\n`);
  for (let i = 0; i < 2000; i++) expect((await client.response()).body).toBe('direct');
  expect((await client.response()).body).toBe('ok');
});

test('pipelined POST bodies reach their own requests', async () => {
  const server = await upstream((request, response) => response.end(`${request.url}=${request.body}`));
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  const chunked = 'POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n';
  client.write(`POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none${chunked}`).post('/3', 'three').get('/4');
  expect((await client.response()).body).toBe('/1=one');
  expect((await client.response()).body).toBe('/2=two');
  expect((await client.response()).body).toBe('/3=three');
  expect((await client.response()).body).toBe('/4=');
});

test('a request refused with a local reply has its body read, so that the next one is served', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .route({ match: { path: '/direct' }, direct_response: { status: 403 } })
    .to('a')
    .start();
  const client = await p.client();
  client.post('/direct', 'a body').get('/next');
  expect((await client.response()).status).toBe(403);
  expect((await client.response()).status).toBe(200);
  expect(server.requests.map(({ url }) => url)).toEqual(['/next']);
});

test('a refused request whose body has not come closes the connection', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 403 } })
    .start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  const response = await client.response();
  expect(response.status).toBe(403);
  expect(response.header('connection')).toBe('close');
  await client.untilEnded();
});

test('a client that sends requests and reads no answers is not read without bound', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'x'.repeat(4000) } } })
    .start();
  const client = await p.client();
  client.socket.pause();
  const requests = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10_000);
  let drained = false;
  for (let i = 0; i < 40; i++) drained = client.socket.write(requests);
  await turns(200);
  expect(drained).toBe(false);
  expect(client.socket.writableLength).toBeGreaterThan(1_000_000);
  // 400,000 answers of 4 kB would be 1.6 GB.
  expect(p.stat('http.main.downstream_rq_total')).toBeLessThan(10_000);
});

test('pipelined bytes behind a request in progress are kept up to a bound, and read on afterwards', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get('/first');
  const connection = await server.accept();
  await connection.head();
  const big = `GET /big HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n`;
  client.write(big + 'y'.repeat(8_000_000));
  await turns(100);
  expect(client.socket.writableLength).toBeGreaterThan(1_000_000);
  connection.write(OK);
  expect((await client.response()).body).toBe('ok');
  await connection.head();
  await connection.bytes(8_000_000);
  connection.write(OK);
  expect((await client.response()).status).toBe(200);
});

test('Connection: close ends the connection after the answer, and what follows is not read', async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get('/1', 'Connection: close').get('/2');
  const response = await client.response();
  expect(response.header('connection')).toBe('close');
  expect(await client.rest()).toBe('');
  expect(server.requests).toHaveLength(1);
});

test('max_requests_per_connection announces its end with the last response', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .manager({ common_http_protocol_options: { max_requests_per_connection: 2 } })
    .start();
  const client = await p.client();
  expect((await client.get().response()).header('connection')).toBeUndefined();
  expect((await client.get().response()).header('connection')).toBe('close');
  await client.untilEnded();
});

test('a client that half-closes still gets the answers to all it sent', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get('/1').get('/2').end();
  const connection = await server.accept();
  await connection.head();
  await turns();
  connection.write(OK);
  expect((await client.response()).header('connection')).toBeUndefined();
  await connection.head();
  connection.write(OK);
  expect((await client.response()).header('connection')).toBe('close');
  expect(await client.rest()).toBe('');
});

test('an upstream connection is used again by another client', async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port).start();
  for (let i = 0; i < 3; i++) {
    const client = await p.client();
    await client.get().response();
    client.end();
  }
  expect(server.connections).toBe(1);
  await eventually(() => p.stat('http.main.downstream_cx_active') === 0);
});

test('a client that asks again does not disturb the response that its last upstream connection now carries', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const [first, second] = [await p.client(), await p.client()];
  first.get('/1');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  expect((await first.response()).body).toBe('ok');
  second.get('/2');
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha');
  await second.until((received) => received.endsWith('ha'));
  first.get('/3');
  await server.accept();
  connection.write('lf');
  expect((await second.response()).body).toBe('half');
  // The connection is free again only if the response was seen to end.
  second.get('/4');
  expect(await connection.head()).toContain('/4');
});
