import { expect, test } from 'vitest';
import { proxy, scripted } from '../../support/proxy.ts';
import { RESPONSE_CASES } from '../../support/response-smuggling.ts';

const NEXT = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext';

test.each(RESPONSE_CASES.map((item) => [item.name, item] as const))('%s', async (_, item) => {
  const server = await scripted();
  server.server.on('connection', () => {
    const connection = server.connections.at(-1)!;
    // The case to the first request, and an honest answer to whatever comes on any connection after it.
    connection.socket.on('data', () => {
      while (connection.received.includes('\r\n\r\n')) {
        const end = connection.received.indexOf('\r\n\r\n') + 4;
        const isNext = connection.received.startsWith('GET /next ');
        connection.received = connection.received.slice(end);
        if (isNext) connection.write(NEXT);
        else if (item.ends) connection.end(item.bytes);
        else connection.write(item.bytes);
      }
    });
  });
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write(`${item.method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
  const { verdict } = item;
  if (verdict.kind === 'cut') {
    const rest = await client.rest();
    expect(rest).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(rest).not.toContain('\r\n0\r\n');
    expect(rest.match(/HTTP\/1\.1/g)).toHaveLength(1);
    return;
  }
  let response = await client.response(item.method);
  while (response.status < 200) response = await client.response(item.method);
  expect(response.status).toBe(verdict.status);
  expect(response.headers.filter(([name]) => name.toLowerCase() === 'set-cookie')).toEqual([]);
  const framings = response.headers.filter(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  expect(framings.length).toBeLessThanOrEqual(1);
  if (verdict.kind === 'pass') expect(response.body).toBe(verdict.body);
  if (verdict.kind === 'pass' && verdict.status === 204) expect(framings).toEqual([]);
  // Nothing of the first server is left to answer the next request, on this connection or a new one.
  const after = response.header('connection') === 'close' ? await p.client() : client;
  after.get('/next');
  const next = await after.response();
  expect(next.status).toBe(200);
  expect(next.body).toBe('next');
  after.end();
  expect(await after.rest()).toBe('');
});
