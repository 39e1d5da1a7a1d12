import { expect, test } from 'vitest';
import { proxy, scripted, speakTls } from '../../support/proxy.ts';

/**
 * What holds of bodies, tunnels and connections over TCP holds over TLS too, on both sides of the proxy: the same tests.
 */
speakTls();
await import('./bodies.test.ts');
await import('./tunnels.test.ts');
await import('./keep-alive.test.ts');
await import('./failures.test.ts');

test('a TCP proxy whose server resets resets its client', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  client.write('x');
  const connection = await server.accept();
  await connection.bytes(1);
  connection.reset();
  await client.untilClosed();
  expect(client.error).toMatchObject({ code: 'ECONNRESET' });
});
