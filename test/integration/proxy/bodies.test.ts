import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

const MIB = 1024 * 1024;
/** No timeout comes, however long a busy machine takes for many octets. */
const still = () => proxy().clock(manualClock());
const hash = (text: string): string => createHash('sha1').update(text, 'latin1').digest('hex');

function pattern(length: number): string {
  let text = '';
  for (let i = 0; text.length < length; i++) text += `${i},`;
  return text.slice(0, length);
}

test('a Content-Length body keeps its length both ways', async () => {
  const server = await scripted();
  const p = await still().cluster('a', server.port).start();
  const client = await p.client();
  client.post('/', 'hello');
  const connection = await server.accept();
  expect(await connection.head()).toContain('\r\nContent-Length: 5\r\n');
  expect(await connection.bytes(5)).toBe('hello');
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes');
  const response = await client.response();
  expect(response.header('content-length')).toBe('3');
  expect(response.header('transfer-encoding')).toBeUndefined();
  expect(response.body).toBe('yes');
});

test('a chunked body stays chunked both ways, trailers included, empty chunks never sent', async () => {
  const server = await scripted();
  const p = await still().cluster('a', server.port).trailers().start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n');
  const connection = await server.accept();
  const head = await connection.head();
  expect(head).toContain('\r\nTransfer-Encoding: chunked\r\n');
  expect(head).toContain('\r\nTrailer: X-Sum\r\n');
  expect(head).not.toMatch(/content-length/i);
  expect(await connection.bytes(8)).toBe('3\r\nabc\r\n');
  client.write('0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n');
  expect(await connection.until((received) => received.endsWith('\r\n\r\n'))).toBe('0\r\nX-Sum: 1\r\n\r\n');
  connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n');
  await client.until((received) => received.includes('2\r\nok\r\n'));
  connection.write('0\r\nX-Mac: 2\r\n\r\n');
  const response = await client.response();
  expect(response.body).toBe('ok');
  expect(response.trailers).toBe('X-Mac: 2\r\n');
});

test('a chunked request without data is sent as one', async () => {
  const server = await upstream((request, response) => response.end(`[${request.body}]`));
  const p = await still().cluster('a', server.port).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n').get();
  expect((await client.response()).body).toBe('[]');
  expect((await client.response()).body).toBe('[]');
});

test('10 MiB arrive whole in both directions at once', async () => {
  const body = pattern(10 * MIB);
  const server = await upstream((request, response) => response.end(Buffer.from(request.body, 'latin1')));
  const p = await still().cluster('a', server.port).start();
  const client = await p.client();
  client.post('/', body);
  const response = await client.response();
  expect(response.body.length).toBe(body.length);
  expect(hash(response.body)).toBe(hash(body));
  // Longer than the replay limit, and no retry was asked for: nobody needs to hear of it.
  expect(p.stat('cluster.a.remora_replay_buffer_overflow')).toBe(0);
});

test('uploads that are kept for a retry share memory and stay what they were', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .to('a', { retry_policy: { retry_on: '5xx', retry_back_off: { base_interval: '0.001s' } } })
    .start();
  const letters = [...'abc'];
  const bodies = letters.map((letter) => pattern(MIB).replaceAll(',', letter));
  const upload = async (i: number): Promise<void> => {
    const client = await p.client();
    client.post(`/${letters[i]}`, bodies[i]!);
    expect((await client.response()).status).toBe(200);
  };
  const answer = async (status: string): Promise<void> => {
    const connection = await server.accept();
    const at = letters.indexOf(/POST \/(\w)/.exec(await connection.head())![1]!);
    expect(hash(await connection.bytes(MIB))).toBe(hash(bodies[at]!));
    connection.write(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  };
  for (let round = 0; round < 2; round++) {
    const uploads = letters.map((_, i) => upload(i));
    for (const _ of letters) await answer('503 Service Unavailable');
    for (const _ of letters) await answer('200 OK');
    await Promise.all(uploads);
  }
});

test('a client that reads slowly slows the upstream down', async () => {
  const server = await scripted();
  const p = await still().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  client.socket.pause();
  const body = pattern(40 * MIB);
  connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  await turns(300);
  // What is neither with us nor in the kernel's buffers waits where it comes from.
  expect(connection.socket.writableLength).toBeGreaterThan(20 * MIB);
  client.socket.resume();
  const response = await client.response();
  expect(hash(response.body)).toBe(hash(body));
  // And the connection is in order for the next request.
  client.get('/next');
  expect(await connection.head()).toContain('GET /next ');
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
});

test('an upstream that reads slowly slows the client down', async () => {
  const server = await scripted();
  const p = await still().cluster('a', server.port).start();
  const client = await p.client();
  const body = pattern(40 * MIB);
  client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
  const connection = await server.accept();
  await connection.head();
  connection.socket.pause();
  client.write(body);
  await turns(300);
  expect(client.socket.writableLength).toBeGreaterThan(20 * MIB);
  connection.socket.resume();
  expect(hash(await connection.bytes(body.length))).toBe(hash(body));
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
});

test('a body that comes before the connection is made waits, bounded', async () => {
  const server = await scripted();
  const p = await still()
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const first = await p.client();
  first.get('/first');
  const connection = await server.accept();
  await connection.head();
  const second = await p.client();
  const body = pattern(20 * MIB);
  second.post('/second', body);
  await turns(100);
  expect(second.socket.writableLength).toBeGreaterThan(10 * MIB);
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  await first.response();
  expect(await connection.head()).toContain('POST /second ');
  expect(hash(await connection.bytes(body.length))).toBe(hash(body));
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await second.response()).status).toBe(204);
});

for (const [method, status, extra] of [
  ['HEAD', '200 OK', 'Content-Length: 100\r\n'],
  ['HEAD', '200 OK', 'Transfer-Encoding: chunked\r\n'],
  ['GET', '204 No Content', ''],
  ['GET', '304 Not Modified', 'Content-Length: 100\r\n'],
] as const) {
  test(`${method} answered ${status} ${extra.trim()} has no body`, async () => {
    const server = await scripted();
    const p = await still().cluster('a', server.port).start();
    const client = await p.client();
    client.write(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
    const connection = await server.accept();
    await connection.head();
    connection.write(`HTTP/1.1 ${status}\r\n${extra}\r\n`);
    const response = await client.response(method);
    expect(response.status).toBe(Number(status.slice(0, 3)));
    if (extra.startsWith('Content')) expect(response.header('content-length')).toBe('100');
    client.get('/next');
    expect(await connection.head()).toContain('/next');
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!');
    expect((await client.response()).body).toBe('!');
  });
}

for (const [name, manager, cluster] of [
  ['nowhere', {}, {}],
  ['downstream alone', { http_protocol_options: { enable_trailers: true } }, {}],
  ['upstream alone', {}, { http_protocol_options: { enable_trailers: true } }],
] as const) {
  test(`trailers are dropped both ways where enable_trailers is set ${name}`, async () => {
    const server = await scripted();
    const p = await still().cluster('a', server.port, cluster).manager(manager).start();
    const client = await p.client();
    client.write(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-User: root\r\n\r\n',
    );
    const connection = await server.accept();
    await connection.head();
    expect(await connection.bytes(13)).toBe('3\r\nabc\r\n0\r\n\r\n');
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Mac: 2\r\n\r\n');
    const response = await client.response();
    expect(response.body).toBe('ok');
    expect(response.trailers).toBe('');
    client.get('/next');
    expect(await connection.head()).toContain('/next');
  });
}

test('trailers whose names hold underscores go as such headers do', async () => {
  const server = await scripted();
  const p = await still()
    .cluster('a', server.port, { http_protocol_options: { enable_trailers: true } })
    .manager({
      http_protocol_options: { enable_trailers: true },
      common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' },
    })
    .start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX_User: root\r\nX-B: 1\r\n\r\n');
  const connection = await server.accept();
  await connection.head();
  expect(await connection.until((received) => received.endsWith('\r\n\r\n'))).toBe('0\r\nX-B: 1\r\n\r\n');
});

for (const extra of ['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n']) {
  test(`204 with ${extra.trim()}: what may follow is not taken for the next response`, async () => {
    const server = await scripted();
    const p = await still().cluster('a', server.port).start();
    const client = await p.client();
    client.get();
    const connection = await server.accept();
    await connection.head();
    connection.write(`HTTP/1.1 204 No Content\r\n${extra}\r\n`);
    const response = await client.response();
    expect(response.status).toBe(204);
    expect(response.header('content-length')).toBeUndefined();
    expect(response.header('connection')).toBeUndefined();
    client.get('/next');
    const second = await server.accept();
    expect(await second.head()).toContain('/next');
    second.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!');
    expect((await client.response()).body).toBe('!');
  });
}

test('a response that lasts until close reaches an HTTP/1.1 client in chunks', async () => {
  const server = await scripted();
  const p = await still().cluster('a', server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\n\r\nall of it').end();
  const response = await client.response();
  expect(response.header('transfer-encoding')).toBe('chunked');
  expect(response.body).toBe('all of it');
  client.get('/next');
  const second = await server.accept();
  await second.head();
  second.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
});

test('an HTTP/1.0 client gets a chunked response until close, without the framing', async () => {
  const server = await scripted();
  const p = await still()
    .cluster('a', server.port)
    .manager({ http_protocol_options: { accept_http_10: true } })
    .start();
  const client = await p.client();
  client.write('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
  const connection = await server.accept();
  expect(await connection.head()).toMatch(/^GET \/ HTTP\/1\.1\r\n/);
  connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n');
  const response = await client.response();
  expect(response.header('transfer-encoding')).toBeUndefined();
  expect(response.header('connection')).toBe('close');
  expect(response.body).toBe('ok');
});

test('a chunked response cut short for an HTTP/1.0 client does not look complete', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .manager({ http_protocol_options: { accept_http_10: true } })
    .start();
  const client = await p.client();
  client.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n');
  await client.until((received) => received.endsWith('ok'));
  connection.reset();
  await client.untilClosed();
  expect(client.error?.code).toBe('ECONNRESET');
  expect((await p.log(0)).flags).toBe('UC');
});

test('an HTTP/1.0 client that asks for it keeps its connection where the length is known', async () => {
  const server = await upstream((_request, response) => response.setHeader('Content-Length', 2).end('ok'));
  const p = await still()
    .cluster('a', server.port)
    .manager({ http_protocol_options: { accept_http_10: true } })
    .start();
  const client = await p.client();
  for (let i = 0; i < 2; i++) {
    client.write('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
    const response = await client.response();
    expect(response.header('connection')).toBe('keep-alive');
    expect(response.body).toBe('ok');
  }
  client.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  expect((await client.response()).header('connection')).toBe('close');
  await client.untilEnded();
});

test('HTTP/1.0 is refused with 426 unless it is accepted', async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  expect((await client.response()).status).toBe(426);
  await client.untilEnded();
  expect((await p.log(0)).details).toBe('low_version');
  expect(server.requests).toHaveLength(0);
});

test('an HTTP/1.0 request without Host gets the default host', async () => {
  const server = await upstream((request, response) => response.end(request.headers.host));
  const p = await still()
    .cluster('a', server.port)
    .manager({ http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'old.example' } })
    .start();
  const client = await p.client();
  client.write('GET / HTTP/1.0\r\n\r\n');
  expect((await client.response()).body).toBe('old.example');
});

test('the answer to an upload that is not over yet ends the upload and both connections', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig');
  const response = await client.response();
  expect(response.status).toBe(413);
  expect(response.body).toBe('big');
  expect(response.header('connection')).toBe('close');
  await client.untilEnded();
  client.write('y'.repeat(100_000));
  await connection.untilEnded();
  expect((await p.log(0)).flags).toBe('-');
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
});

test('a response may begin before the request is over, and both go on', async () => {
  const server = await scripted();
  const p = await still().cluster('a', server.port).start();
  const client = await p.client();
  client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n');
  await client.until((received) => received.includes('1\r\nA\r\n'));
  client.write('1\r\nb\r\n0\r\n\r\n');
  await connection.until((received) => received.endsWith('1\r\nb\r\n0\r\n\r\n'));
  connection.write('1\r\nB\r\n0\r\n\r\n');
  expect((await client.response()).body).toBe('AB');
});

test('a body above any buffer limit is streamed, not refused', async () => {
  const server = await upstream((request, response) => response.end(String(request.body.length)));
  const p = await still().cluster('a', server.port).listener({ per_connection_buffer_limit_bytes: 1024 }).start();
  const client = await p.client();
  client.post('/', pattern(MIB));
  expect((await client.response()).body).toBe(String(MIB));
});
