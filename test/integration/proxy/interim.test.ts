import { expect, test } from 'vitest';
import { proxy, scripted, turns } from '../../support/proxy.ts';

test('100-continue goes through to the client, and then the body', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
  const connection = await server.accept();
  expect(await connection.head()).toContain('\r\nExpect: 100-continue\r\n');
  connection.write('HTTP/1.1 100 Continue\r\n\r\n');
  expect((await client.response()).head).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  client.write('body');
  expect(await connection.bytes(4)).toBe('body');
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  const response = await client.response();
  expect(response.status).toBe(200);
  expect(response.header('connection')).toBeUndefined();
});

test('Expect answered finally closes the connection, since the body will not be told from a request', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n');
  const response = await client.response();
  expect(response.status).toBe(417);
  expect(response.header('connection')).toBe('close');
  await client.untilEnded();
  await connection.untilEnded();
});

test('103 is forwarded as it came, as often as it comes', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write(
    'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\nHTTP/1.1 103\r\nLink: </b.css>\r\n\r\n',
  );
  expect((await client.response()).head).toBe('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n');
  expect((await client.response()).head).toBe('HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n');
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!');
  expect((await client.response()).body).toBe('!');
});

test('an HTTP/1.0 client gets no interim response', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .manager({ http_protocol_options: { accept_http_10: true } })
    .start();
  const client = await p.client();
  client.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 103 Early Hints\r\n\r\n');
  await turns();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  expect((await client.response()).status).toBe(200);
});
