import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

const WEBSOCKET = { upgrade_configs: [{ upgrade_type: 'websocket' }] };
const ASK = 'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n';
const ACCEPT = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

test('a websocket is a tunnel both ways, with bytes that arrive early', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).manager(WEBSOCKET).start();
  const client = await p.client();
  client.write(`${ASK}early`);
  const connection = await server.accept();
  const head = await connection.head();
  expect(head).toContain('\r\nUpgrade: websocket\r\n');
  expect(head).toContain('\r\nConnection: Upgrade\r\n');
  await turns();
  expect(connection.received).toBe('');
  connection.write(`${ACCEPT}hello`);
  const response = await client.response();
  expect(response.status).toBe(101);
  expect(response.header('upgrade')).toBe('websocket');
  expect(response.header('connection')).toBe('Upgrade');
  expect(await client.bytes(5)).toBe('hello');
  expect(await connection.bytes(5)).toBe('early');
  client.write('\x00\xff\r\n');
  expect(await connection.bytes(4)).toBe('\x00\xff\r\n');
  connection.write('\x81\x00');
  expect(await client.bytes(2)).toBe('\x81\x00');
  client.end();
  await connection.untilEnded();
  connection.write('last').end();
  expect(await client.rest()).toBe('last');
  expect(await p.log(0)).toMatchObject({ code: 101, flags: '-', received: 9, sent: 11 });
});

test('a tunnel that the server ends first still carries what the client has to say', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).manager(WEBSOCKET).start();
  const client = await p.client();
  client.write(ASK);
  const connection = await server.accept();
  await connection.head();
  connection.end(ACCEPT);
  expect((await client.response()).status).toBe(101);
  await client.untilEnded();
  client.write('still here');
  expect(await connection.bytes(10)).toBe('still here');
  client.end();
  await connection.untilEnded();
  expect((await p.log(0)).flags).toBe('-');
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
});

test('a tunnel whose server resets is cut at the client', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).manager(WEBSOCKET).start();
  const client = await p.client();
  client.write(ASK);
  const connection = await server.accept();
  await connection.head();
  connection.write(ACCEPT);
  await client.response();
  connection.reset();
  await client.untilClosed();
  expect((await p.log(0)).flags).toBe('UC');
});

test('a tunnel carries 20 MiB against a slow reader, bounded', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).manager(WEBSOCKET).start();
  const client = await p.client();
  client.write(ASK);
  const connection = await server.accept();
  await connection.head();
  connection.write(ACCEPT);
  await client.response();
  connection.socket.pause();
  const bytes = 'z'.repeat(40 * 1024 * 1024);
  client.write(bytes);
  await turns(200);
  expect(client.socket.writableLength).toBeGreaterThan(10 * 1024 * 1024);
  connection.socket.resume();
  await connection.bytes(bytes.length);
  client.socket.pause();
  connection.write(bytes);
  await turns(200);
  expect(connection.socket.writableLength).toBeGreaterThan(10 * 1024 * 1024);
  client.socket.resume();
  await client.bytes(bytes.length);
});

test('a refused upgrade is a normal response, and the connection goes on', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).manager(WEBSOCKET).start();
  const client = await p.client();
  client.write(ASK);
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno');
  expect((await client.response()).body).toBe('no');
  client.get('/next');
  expect(await connection.head()).toContain('/next');
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
});

test('an upgrade token that nobody configured is passed over', async () => {
  const server = await upstream((request, response) => response.end(JSON.stringify(request.headers)));
  const p = await proxy().cluster('a', server.port).manager(WEBSOCKET).start();
  const client = await p.client();
  const response = await client.get('/', 'Connection: Upgrade', 'Upgrade: TLS/1.2').response();
  expect(response.status).toBe(200);
  expect(response.body).not.toContain('upgrade');
});

test("an upgrade asked for with a body, or by HEAD, is passed over: its bytes cannot be told from the tunnel's", async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).manager(WEBSOCKET).start();
  const client = await p.client();
  client.write(
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi',
  );
  const connection = await server.accept();
  expect(await connection.head()).not.toMatch(/upgrade/i);
  await connection.bytes(2);
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  await client.response();
  client.write(ASK.replace('GET', 'HEAD'));
  expect(await connection.head()).not.toMatch(/upgrade/i);
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
  expect((await client.response('HEAD')).status).toBe(200);
  client.get('/next');
  expect(await connection.head()).toContain('/next');
});

test('CONNECT is a tunnel, with bytes that arrive early', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .route({ match: { connect_matcher: {} }, route: { cluster: 'a', upgrade_configs: [{ upgrade_type: 'CONNECT' }] } })
    .start();
  const client = await p.client();
  client.write('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nearly');
  const connection = await server.accept();
  expect(await connection.head()).toMatch(/^CONNECT b:443 HTTP\/1\.1\r\n/);
  await turns();
  expect(connection.received).toBe('');
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n');
  const response = await client.response('CONNECT');
  expect(response.status).toBe(200);
  expect(response.header('content-length')).toBeUndefined();
  expect(await connection.bytes(5)).toBe('early');
  connection.end('bye');
  expect(await client.bytes(3)).toBe('bye');
  await client.untilEnded();
  client.write('more');
  expect(await connection.bytes(4)).toBe('more');
  client.end();
  await connection.untilEnded();
  await p.log(0);
});

test('bytes sent behind a CONNECT before its answer are bounded', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .route({ match: { connect_matcher: {} }, route: { cluster: 'a', upgrade_configs: [{ upgrade_type: 'CONNECT' }] } })
    .start();
  const client = await p.client();
  client.write('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n');
  const connection = await server.accept();
  await connection.head();
  const bytes = 'q'.repeat(20 * 1024 * 1024);
  client.write(bytes);
  await turns(200);
  expect(client.socket.writableLength).toBeGreaterThan(10 * 1024 * 1024);
  connection.write('HTTP/1.1 200 OK\r\n\r\n');
  await client.response('CONNECT');
  await connection.bytes(bytes.length);
});

for (const [what, answer] of [
  ['by the upstream', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'],
  ['by the route', ''],
] as const) {
  test(`a CONNECT refused ${what} closes: what follows may be meant for the tunnel`, async () => {
    const server = await scripted();
    const connectRoute = {
      match: { connect_matcher: {} },
      route: { cluster: 'a', upgrade_configs: [{ upgrade_type: 'CONNECT' }] },
    };
    const p = await proxy()
      .cluster('a', server.port)
      .route(answer === '' ? { match: { prefix: '/' }, route: { cluster: 'a' } } : connectRoute)
      .start();
    const client = await p.client();
    client.write('CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
    if (answer !== '') {
      const connection = await server.accept();
      await connection.head();
      connection.write(answer);
    }
    const response = await client.response('CONNECT');
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.header('connection')).toBe('close');
    expect(await client.rest()).toBe('');
    for (const connection of server.connections) expect(connection.received).toBe('');
  });
}

test('the route timeout covers the handshake and not the tunnel', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).to('a', { timeout: '2s' }).manager(WEBSOCKET).start();
  const client = await p.client();
  client.write(ASK);
  const connection = await server.accept();
  await connection.head();
  connection.write(ACCEPT);
  await client.response();
  clock.advance(100_000);
  await turns();
  client.write('on');
  expect(await connection.bytes(2)).toBe('on');
  client.end();
  connection.end();
  await client.untilClosed();
  const late = await p.client();
  late.write(ASK);
  await (await server.accept()).head();
  clock.advance(2010);
  expect((await late.response()).status).toBe(504);
});
