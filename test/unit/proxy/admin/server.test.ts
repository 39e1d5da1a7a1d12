import { afterEach, describe, expect, test } from 'vitest';
import type { HostPolicy } from '../../../../src/proxy/admin/host.ts';
import { type AdminRoute, textReply } from '../../../../src/proxy/admin/route.ts';
import { RawClient, request, type Served, serve } from './support.ts';

const order: string[] = [];
const ROUTES: readonly AdminRoute[] = [
  { path: '/ready', method: 'GET', help: 'state', handle: () => textReply('LIVE\n') },
  {
    path: '/echo',
    method: 'GET',
    help: 'query',
    handle: ({ query }) => textReply(`${query.get('q')}|${query.has('flag')}|${query.all('q').length}`),
  },
  {
    path: '/slow',
    method: 'GET',
    help: 'answers later',
    handle: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return textReply('slow');
    },
  },
  { path: '/big', method: 'GET', help: 'much', handle: () => textReply('x'.repeat(4 << 20)) },
  {
    path: '/broken',
    method: 'GET',
    help: 'throws',
    handle: () => {
      throw new Error('oops');
    },
  },
  {
    path: '/do',
    method: 'POST',
    help: 'acts',
    handle: () => ({ ...textReply('OK\n'), afterSent: () => order.push('sent') }),
  },
];

let served: Served;
async function start(hosts?: HostPolicy): Promise<number> {
  served = await serve(ROUTES, hosts);
  return served.port;
}
afterEach(() => served.close());

const GET = (path: string, extra = ''): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${extra}\r\n`;

describe('requests', () => {
  test('GET is answered with a length and is not cached', async () => {
    const reply = await request(await start(), 'GET', '/ready');
    expect(reply).toMatchObject({ status: 200, body: 'LIVE\n' });
    expect(reply.headers).toMatchObject({
      'content-type': 'text/plain; charset=UTF-8',
      'content-length': '5',
      'cache-control': 'no-cache, max-age=0',
      'x-content-type-options': 'nosniff',
      server: 'remora',
      connection: 'close',
    });
  });

  test('HEAD is answered as GET without the body, and the connection goes on', async () => {
    const client = new RawClient(await start());
    client.send('HEAD /ready HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const head = await client.reply(true);
    expect(head.headers['content-length']).toBe('5');
    expect((await client.send(GET('/ready')).reply()).body).toBe('LIVE\n');
  });

  test('the query is decoded; a plus stays a plus', async () => {
    const reply = await request(await start(), 'GET', '/echo?q=a%2Fb+c&flag&q=%zz');
    expect(reply.body).toBe('a/b+c|true|2');
  });

  test('an unknown path is 404 with the list', async () => {
    const reply = await request(await start(), 'GET', '/nope');
    expect(reply.status).toBe(404);
    expect(reply.body).toContain('invalid path. admin commands are:\n  /big: much\n');
    expect(reply.body).toContain('  /do (POST): acts\n');
  });

  test.each([
    ['GET', '/do', 'POST'],
    ['POST', '/ready', 'GET, HEAD'],
    ['DELETE', '/ready', 'GET, HEAD'],
  ])('%s %s is 405', async (method, path, allow) => {
    const reply = await request(await start(), method, path, ['Content-Length: 0']);
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toBe(allow);
  });

  test('a handler that throws is 500 and tells nothing', async () => {
    const reply = await request(await start(), 'GET', '/broken');
    expect(reply).toMatchObject({ status: 500, body: 'internal error\n' });
  });

  test('what follows an answer happens after it was sent', async () => {
    order.length = 0;
    const reply = await request(await start(), 'POST', '/do');
    order.push('received');
    expect(reply.body).toBe('OK\n');
    expect(order).toEqual(['sent', 'received']);
  });
});

describe('connections', () => {
  test('keep-alive: many requests, one connection', async () => {
    const client = new RawClient(await start());
    for (let i = 0; i < 20; i++) expect((await client.send(GET(`/echo?q=${i}`)).reply()).body).toBe(`${i}|false|1`);
    expect(served.server.connections).toBe(1);
  });

  test('pipelined requests are answered in order, also after one that takes time', async () => {
    const client = new RawClient(await start());
    client.send(GET('/slow') + GET('/echo?q=1') + GET('/big') + GET('/echo?q=2', 'Connection: close\r\n'));
    expect((await client.reply()).body).toBe('slow');
    expect((await client.reply()).body).toBe('1|false|1');
    expect((await client.reply()).body).toHaveLength(4 << 20);
    expect((await client.reply()).headers.connection).toBe('close');
    await client.closed;
  });

  test('a client that half-closes still gets all its answers', async () => {
    const client = new RawClient(await start());
    client.socket.end(GET('/slow') + GET('/ready'));
    expect((await client.reply()).body).toBe('slow');
    expect((await client.reply()).body).toBe('LIVE\n');
    await client.closed;
  });

  test('a request that comes octet by octet', async () => {
    const client = new RawClient(await start());
    client.socket.setNoDelay(true);
    for (const octet of GET('/ready')) {
      client.send(octet);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.reply()).status).toBe(200);
  });

  test('HTTP/1.0 closes, unless it asks for more', async () => {
    const port = await start();
    const client = new RawClient(port).send('GET /ready HTTP/1.0\r\n\r\n');
    expect((await client.reply()).headers.connection).toBe('close');
    await client.closed;
    const kept = new RawClient(port).send('GET /ready HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    expect((await kept.reply()).headers.connection).toBe('keep-alive');
  });

  test('one that sends no whole request is cut in time', async () => {
    const client = new RawClient(await start()).send('GET /ready HTTP/1.1\r\nHo');
    await expect.poll(() => served.server.connections).toBe(1);
    served.clock.advance(61_000);
    await client.closed;
    await expect.poll(() => served.server.connections).toBe(0);
  });

  test('close cuts connections and frees the port', async () => {
    const client = new RawClient(await start());
    await client.send(GET('/ready')).reply();
    await served.server.close();
    await client.closed;
    await expect(request(served.port, 'GET', '/ready')).rejects.toThrow();
  });

  test('a port in use is one clear line', async () => {
    const port = await start();
    const other = await serve(ROUTES);
    await expect(other.server.listen({ host: '127.0.0.1', port })).rejects.toThrow(
      `admin: 127.0.0.1:${port} is in use: stop what listens there or choose another port`,
    );
    await other.close();
  });
});

describe('bodies', () => {
  test('are read and ignored', async () => {
    const client = new RawClient(await start());
    client.send('POST /do HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello');
    expect((await client.reply()).status).toBe(200);
    client.send('POST /do HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
    expect((await client.reply()).status).toBe(200);
  });

  test('that are announced too large are 413', async () => {
    const client = new RawClient(await start());
    client.send('POST /do HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n');
    expect((await client.reply()).status).toBe(413);
    await client.closed;
  });

  test('that grow too large are 413', async () => {
    const client = new RawClient(await start());
    client.send('POST /do HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
    client.send(`11170\r\n${'x'.repeat(70_000)}\r\n`);
    expect((await client.reply()).status).toBe(413);
    await client.closed;
  });

  test('that wait for a 100 get it', async () => {
    const client = new RawClient(await start());
    client.send('POST /do HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    expect((await client.reply(true)).status).toBe(100);
    expect((await client.send('{}').reply()).status).toBe(200);
  });
});

describe('malformed requests close the connection', () => {
  test.each([
    ['no HTTP at all', '\x16\x03\x01\x02\x00\x01\r\n\r\n', 400],
    ['no version', 'GET /ready\r\n\r\n', 400],
    ['no Host', 'GET /ready HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', 'GET /ready HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n', 400],
    ['two lengths', 'POST /do HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    [
      'length and chunked',
      'POST /do HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['a folded line', 'GET /ready HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n', 400],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['HTTP/3', 'GET / HTTP/3.0\r\nHost: localhost\r\n\r\n', 505],
    ['a head too large', `GET /ready HTTP/1.1\r\nHost: localhost\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['too many headers', `GET /ready HTTP/1.1\r\nHost: localhost\r\n${'a: b\r\n'.repeat(101)}\r\n`, 431],
    ['CONNECT', 'CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n', 405],
  ])('%s', async (_, bytes, status) => {
    const client = new RawClient(await start()).send(bytes + GET('/ready'));
    const reply = await client.reply();
    expect(reply.status).toBe(status);
    expect(reply.headers.connection).toBe('close');
    await client.closed;
  });

  test('half a request and EOF', async () => {
    const client = new RawClient(await start());
    client.socket.end('GET /ready HT');
    await client.closed;
  });
});

describe('who may ask', () => {
  test.each([
    ['localhost', 200],
    ['LocalHost:15000', 200],
    ['127.0.0.1:15000', 200],
    ['[::1]:15000', 200],
    ['10.1.2.3', 200],
    ['pod.internal', 200],
    ['evil.example:15000', 403],
    ['localhost.evil.example', 403],
    ['127.0.0.1.nip.io', 403],
  ])('Host %s: %i', async (host, status) => {
    const port = await start({ kind: 'local', names: ['pod.internal'] });
    expect((await request(port, 'GET', '/ready', [`Host: ${host}`])).status).toBe(status);
  });

  test('any Host, where the server says so', async () => {
    const port = await start({ kind: 'any' });
    expect((await request(port, 'GET', '/ready', ['Host: proxy.example'])).status).toBe(200);
  });

  test.each([
    ['Origin: http://evil.example', 403],
    ['Origin: null', 403],
    ['Sec-Fetch-Site: cross-site', 403],
    ['Origin: http://localhost', 200],
    ['Sec-Fetch-Site: same-origin', 200],
  ])('a POST with %s: %i', async (header, status) => {
    expect((await request(await start(), 'POST', '/do', [header])).status).toBe(status);
  });

  test('reading needs no origin', async () => {
    expect((await request(await start(), 'GET', '/ready', ['Origin: http://evil.example'])).status).toBe(200);
  });
});
