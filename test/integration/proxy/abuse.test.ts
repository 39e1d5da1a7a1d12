// Issue 4 §4: whoever is slow, silent or too much costs bounded memory and bounded sockets, and is ended in time.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { RawClient } from '../../support/client.ts';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, type TestProxy, turns, upstream } from '../../support/proxy.ts';
import type { RawConnection } from '../../support/upstream.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const KIB = 1024;
const MIB = 1024 * KIB;

/** Bytes in use, of the proxy, its clients and its upstreams together: all live in this process. */
function used(): number {
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function clients(p: TestProxy, count: number): Promise<RawClient[]> {
  const made: RawClient[] = [];
  for (let i = 0; i < count; i++) made.push(await p.client());
  return made;
}

/** Nobody is left, on either side. */
async function allGone(p: TestProxy, all: readonly RawClient[]): Promise<void> {
  for (const client of all) {
    await client.untilEnded();
    client.socket.destroy();
  }
  await eventually(() => p.stat('http.main.downstream_cx_active') === 0);
  expect(p.stat('http.main.downstream_rq_active')).toBe(0);
}

describe('slow loris', () => {
  test('a head byte by byte: bounded, and 408 when its time is over, however busily it comes', async () => {
    const clock = manualClock();
    const p = await proxy()
      .clock(clock)
      .manager({ request_headers_timeout: '10s' })
      .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
      .start();
    const before = used();
    const all = await clients(p, 200);
    for (const client of all) client.write(`GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ${'s'.repeat(40 * KIB)}`);
    await turns(50);
    for (let second = 0; second < 9; second++) {
      for (const client of all) client.write('.');
      clock.advance(1000);
      await turns(2);
    }
    expect((used() - before) / all.length).toBeLessThan(120 * KIB);
    expect(all.every(({ received }) => received === '')).toBe(true);
    clock.advance(1100);
    for (const client of all) expect((await client.response()).status).toBe(408);
    expect(p.stat('http.main.downstream_rq_header_timeout')).toBe(200);
    await allGone(p, all);
  });

  test('a body byte by byte: streamed, and 408 after request_timeout; the upstream connections go too', async () => {
    const server = await scripted();
    const clock = manualClock();
    const p = await proxy().clock(clock).cluster('a', server.port).manager({ request_timeout: '30s' }).start();
    const all = await clients(p, 50);
    const upstreams: RawConnection[] = [];
    for (const client of all) {
      client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n');
      upstreams.push(await server.accept());
    }
    for (let second = 0; second < 29; second++) {
      for (const client of all) client.write('.');
      clock.advance(1000);
      await turns(2);
    }
    clock.advance(1100);
    for (const client of all) expect((await client.response()).status).toBe(408);
    for (const connection of upstreams) await connection.untilEnded();
    await allGone(p, all);
  });
});

describe('floods', () => {
  test('headers without end are refused at the limit, not gathered', async () => {
    const server = await upstream();
    const p = await proxy().cluster('a', server.port).start();
    const before = used();
    const all = await clients(p, 20);
    for (const client of all) {
      client.write('GET / HTTP/1.1\r\nHost: a\r\n');
      for (let i = 0; i < 64; i++) client.write(`X-${i}: ${'h'.repeat(16 * KIB)}\r\n`);
    }
    for (const client of all) expect((await client.response()).status).toBe(431);
    await allGone(p, all);
    expect(used() - before).toBeLessThan(8 * MIB);
    expect(server.requests).toHaveLength(0);
  });

  test.each([
    ['header lines', `GET / HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(5000)}\r\n`, 431],
    [
      'chunk extensions',
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${`1;${'e'.repeat(1000)}\r\nx\r\n`.repeat(2000)}`,
      413,
    ],
    [
      'trailers',
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${'A: b\r\n'.repeat(200_000)}`,
      431,
    ],
  ])('%s are bounded', async (_what, bytes, status) => {
    const server = await upstream();
    const p = await proxy().cluster('a', server.port).start();
    const client = await p.client();
    client.write(bytes);
    expect((await client.response()).status).toBe(status);
    await allGone(p, [client]);
    expect(server.requests).toHaveLength(0);
  });

  test('requests behind one that is stuck wait in the kernel, not here', async () => {
    const server = await scripted();
    const p = await proxy().cluster('a', server.port).start();
    const all = await clients(p, 50);
    for (const client of all) client.get('/stuck');
    await eventually(() => server.connections.length === 50);
    const flood = Buffer.from('GET /more HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(300_000));
    const before = used();
    for (const client of all) client.socket.write(flood);
    await turns(100);
    // What is in the kernel is not counted; the flood itself is one buffer.
    expect((used() - before) / all.length).toBeLessThan(400 * KIB);
    expect(all.every(({ socket }) => socket.writableLength > 0)).toBe(true);
    expect(p.stat('http.main.downstream_rq_total')).toBe(50);
  });

  test('interim responses without end to a client that reads nothing hold the upstream back', async () => {
    const server = await scripted();
    const p = await proxy().cluster('a', server.port).start();
    const client = await p.client();
    client.socket.pause();
    client.get();
    const connection = await server.accept();
    await connection.head();
    const hints = Buffer.from(`HTTP/1.1 103 Early Hints\r\nLink: <${'l'.repeat(1000)}>\r\n\r\n`.repeat(1000));
    const before = used();
    for (let i = 0; i < 60; i++) {
      connection.socket.write(hints);
      await turns(2);
    }
    expect(connection.socket.writableLength).toBeGreaterThan(10 * MIB);
    // All the writes share one buffer.
    expect(used() - before).toBeLessThan(16 * MIB);
  });

  test('a response head without end is 502, and its connection is dropped', async () => {
    const server = await scripted();
    const p = await proxy().cluster('a', server.port).start();
    const client = await p.client();
    client.get();
    const connection = await server.accept();
    await connection.head();
    connection.write(`HTTP/1.1 200 OK\r\n${`X: ${'h'.repeat(8 * KIB)}\r\n`.repeat(64)}`);
    expect((await client.response()).status).toBe(502);
    await connection.untilEnded();
  });
});

describe('slow readers', () => {
  test('who takes no answer slows its upstream down, and is cut when nothing moves', async () => {
    const body = Buffer.alloc(8 * MIB, 'b');
    const server = await upstream((_request, response) => response.end(body));
    const clock = manualClock();
    const p = await proxy().clock(clock).cluster('a', server.port).to('a', { timeout: '0s' }).start();
    const all = await clients(p, 20);
    const before = used();
    for (const client of all) client.get().socket.pause();
    await turns(300);
    expect((used() - before) / all.length).toBeLessThan(2 * MIB);
    expect(p.stat('http.main.downstream_rq_active')).toBe(20);
    clock.advance(300_000 + 100);
    await eventually(() => p.stat('http.main.downstream_rq_idle_timeout') === 20);
    for (const client of all) client.socket.resume();
    await allGone(p, all);
    await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
  });
});

describe('a stuck upstream', () => {
  test('that never answers: 504 in time, and its connections are not used again', async () => {
    const server = await scripted();
    const clock = manualClock();
    const p = await proxy().clock(clock).cluster('a', server.port).start();
    const all = await clients(p, 100);
    for (const client of all) client.get();
    await eventually(() => server.connections.length === 100);
    clock.advance(15_100);
    for (const client of all) expect((await client.response()).status).toBe(504);
    for (const { socket } of server.connections) socket.on('error', () => {});
    await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
    expect(p.stat('cluster.a.upstream_rq_active')).toBe(0);
  });

  test('that reads nothing: uploads wait in the kernel, bounded, until nothing has moved for too long', async () => {
    const server = await scripted();
    server.server.on('connection', (socket) => socket.pause());
    const clock = manualClock();
    const p = await proxy().clock(clock).cluster('a', server.port).start();
    const all = await clients(p, 20);
    // More than the kernel takes for two connections on loopback.
    const upload = Buffer.alloc(40 * MIB, 'u');
    const before = used();
    for (const client of all) {
      client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${upload.length}\r\n\r\n`).write(upload);
    }
    await turns(300);
    expect((used() - before) / all.length).toBeLessThan(2 * MIB);
    expect(all.every(({ socket }) => socket.writableLength > 0)).toBe(true);
    clock.advance(300_100);
    for (const client of all) expect((await client.response()).status).toBe(408);
    await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
    clock.advance(5000);
    await allGone(p, all);
  });

  test('more requests than the breaker allows are refused at once, however many clients there are', async () => {
    const server = await scripted();
    const p = await proxy()
      .cluster('a', server.port, {
        circuit_breakers: { thresholds: [{ max_requests: 10, max_connections: 10, max_pending_requests: 5 }] },
      })
      .start();
    const all = await clients(p, 100);
    for (const client of all) client.get();
    await eventually(() => all.filter(({ received }) => received.startsWith('HTTP/1.1 503')).length >= 85);
    expect(server.connections.length).toBeLessThanOrEqual(10);
    expect(p.stat('http.main.downstream_rq_active')).toBeLessThanOrEqual(15);
  });
});
