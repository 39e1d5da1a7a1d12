import { afterEach, expect, test, vi } from 'vitest';
import { fault } from '../../../src/proxy/filters/fault/fault.ts';
import { FilterResult, type FilterStream, type HttpFilter } from '../../../src/proxy/filters/filter.ts';
import { eventually, type ProxyBuilder, proxy, scripted, upstream } from '../../support/proxy.ts';

const FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const CONFIG = { '@type': FAULT, delay: { fixed_delay: '1s' } };

/** A proxy whose filter is this one: what no shipped filter does, a broken one might. */
function broken(filter: HttpFilter, port: number): ProxyBuilder {
  vi.spyOn(fault, 'create').mockReturnValue(filter);
  return proxy().filter('fault', CONFIG).cluster('a', port);
}

function boom(): never {
  throw new TypeError('boom');
}

afterEach(() => {
  vi.restoreAllMocks();
});

for (const hook of ['onRequestHead', 'onRequestData', 'onResponseHead'] as const) {
  test(`${hook} that throws: 500, the connection ends, and other connections go on`, async () => {
    const server = await upstream();
    const p = await broken({ [hook]: boom }, server.port).start();
    for (let i = 0; i < 2; i++) {
      const client = await p.client();
      client.post('/secret?token=1', 'body', 'x-request-id: 7').get('/never');
      const response = await client.response();
      expect(response.status).toBe(500);
      expect(response.header('connection')).toBe('close');
      expect(await client.rest()).toBe('');
      expect(await p.log(i)).toMatchObject({ code: 500, details: 'internal_error' });
    }
    expect(p.stat('http.main.remora_faults')).toBe(2);
    const lines = p.processLog.filter((line) => line.includes('a fault in this proxy'));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain('TypeError: boom');
    expect(lines[0]).toContain('request_id=7');
    expect(lines.join()).not.toContain('secret');
    await eventually(() => p.stat('http.main.downstream_rq_active') === 0);
    expect(p.stat('cluster.a.upstream_rq_active')).toBe(0);
  });
}

test('one that throws when the response has begun cuts it', async () => {
  const server = await scripted();
  const p = await broken({ onResponseData: boom }, server.port).start();
  const client = await p.client();
  client.get();
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345');
  await client.untilClosed();
  expect(client.received).not.toContain('0\r\n\r\n');
  expect(await p.log(0)).toMatchObject({ code: 200, details: 'internal_error' });
});

test('one that throws at the very end is logged, and the response is whole', async () => {
  const server = await upstream((_request, response) => response.end('whole'));
  const p = await broken({ onEnd: boom }, server.port).start();
  const client = await p.client();
  for (let i = 0; i < 2; i++) expect((await client.get().response()).body).toBe('whole');
  expect(p.processLog.filter((line) => line.includes('TypeError: boom'))).toHaveLength(2);
});

test('one that throws behind a filter that had held the stream', async () => {
  const held: FilterStream[] = [];
  const hold = {
    onRequestHead: (stream: FilterStream) => {
      held.push(stream);
      return FilterResult.Wait;
    },
  };
  const server = await upstream();
  const first = vi.spyOn(fault, 'create').mockReturnValueOnce(hold).mockReturnValueOnce({ onRequestHead: boom });
  const p = await proxy().filter('one', CONFIG).filter('two', CONFIG).cluster('a', server.port).start();
  expect(first).toHaveBeenCalledTimes(2);
  const client = await p.client();
  client.post('/', 'body');
  await eventually(() => held.length === 1);
  held[0]!.resume();
  expect((await client.response()).status).toBe(500);
  await client.untilEnded();
  expect(server.requests).toHaveLength(0);
});

test('a request that waits for a connection which another one frees has its fault for itself', async () => {
  const server = await scripted();
  let heads = 0;
  const filter: HttpFilter = {
    onResponseHead() {
      if (++heads === 2) boom();
      return FilterResult.Next;
    },
  };
  vi.spyOn(fault, 'create').mockReturnValue(filter);
  const p = await proxy()
    .filter('fault', CONFIG)
    .cluster('a', server.port, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } })
    .start();
  const [first, second] = [await p.client(), await p.client()];
  first.get('/1');
  const connection = await server.accept();
  await connection.head();
  second.get('/2');
  await eventually(() => p.stat('cluster.a.upstream_rq_pending_active') === 1);
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  expect((await first.response()).body).toBe('ok');
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  expect((await second.response()).status).toBe(500);
  first.get('/3');
  const again = await server.accept();
  await again.head();
  again.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  expect((await first.response()).status).toBe(200);
});
