import { createHook } from 'node:async_hooks';
import { expect, test } from 'vitest';
import { proxy, scripted } from '../../../support/proxy.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const REQUEST = 'GET /path HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\n\r\n';
const REQUESTS = 500;

test('a request makes no promise, and no timer, socket or other resource of its own', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .to('a', { retry_policy: { retry_on: '5xx' } })
    .start();
  const { socket } = await p.client();
  let answered = 0;
  const counts = new Map<string, number>();
  const hook = createHook({
    init(_id, type) {
      // The test runner makes promises of its own; those made by or for us have a frame of ours below them.
      if (type === 'PROMISE' && !new Error().stack!.includes('/src/')) return;
      counts.set(type, (counts.get(type) ?? 0) + 1);
    },
  });
  // Callbacks only on both ends, so that every promise that is counted is the proxy's.
  server.server.on('connection', (upstream) => {
    upstream.removeAllListeners('data');
    upstream.on('data', () => upstream.write(OK, 'latin1'));
  });
  socket.removeAllListeners('data');
  await new Promise<void>((resolve) => {
    socket.on('data', () => {
      answered++;
      // The first requests open the upstream connection and arm the wheel.
      if (answered === 20) hook.enable();
      if (answered === 20 + REQUESTS) {
        hook.disable();
        resolve();
        return;
      }
      socket.write(REQUEST, 'latin1');
    });
    socket.write(REQUEST, 'latin1');
  });
  expect(counts.get('PROMISE') ?? 0).toBe(0);
  expect(counts.get('TCPCONNECTWRAP') ?? 0).toBe(0);
  // The log is written and the wheel woken now and then, not per request.
  expect(counts.get('Timeout') ?? 0).toBeLessThan(REQUESTS / 2);
});
