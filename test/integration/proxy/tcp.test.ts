import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, turns } from '../../support/proxy.ts';
import { closedPort } from '../../support/upstream.ts';

test('bytes go both ways, and each side ends by itself', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  client.write('ping');
  const connection = await server.accept();
  expect(await connection.bytes(4)).toBe('ping');
  client.end('last words');
  expect(await connection.bytes(10)).toBe('last words');
  await connection.untilEnded();
  connection.write('an answer after the FIN');
  expect(await client.bytes(23)).toBe('an answer after the FIN');
  connection.end();
  await client.untilEnded();
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
});

test('a server that speaks first is heard, and may end first', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  connection.end('220 hello');
  expect(await client.rest()).toBe('220 hello');
  client.write('QUIT');
  expect(await connection.bytes(4)).toBe('QUIT');
  client.end();
  await connection.untilEnded();
});

test('a slow side slows the other down', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  connection.socket.pause();
  const bytes = 't'.repeat(30 * 1024 * 1024);
  client.write(bytes);
  await turns(200);
  expect(client.socket.writableLength).toBeGreaterThan(10 * 1024 * 1024);
  connection.socket.resume();
  await connection.bytes(bytes.length);
});

test('a refused connection is tried at the next endpoint, up to max_connect_attempts', async () => {
  const server = await scripted();
  const dead = await closedPort();
  const p = await proxy().cluster('a', [dead, server.port]).tcp({ cluster: 'a', max_connect_attempts: 2 }).start();
  for (let i = 0; i < 3; i++) {
    const client = await p.client();
    client.write('x');
    const connection = await server.accept();
    expect(await connection.bytes(1)).toBe('x');
    client.socket.destroy();
    await connection.untilEnded();
  }
});

test("no endpoint, or no connection to it, ends the client's connection", async () => {
  for (const ports of [[], [await closedPort()]]) {
    const p = await proxy().cluster('a', ports).tcp({ cluster: 'a' }).start();
    const client = await p.client();
    await client.untilEnded();
    expect(p.stat('cluster.a.upstream_cx_active')).toBe(0);
  }
});

test('a client that does not wait for the connection speaks not against the endpoint', async () => {
  const p = await proxy()
    .rawCluster({
      name: 'a',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'a',
        endpoints: [
          { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '192.0.2.1', port_value: 80 } } } }] },
        ],
      },
    })
    .tcp({ cluster: 'a', idle_timeout: '10s' })
    .start();
  const client = await p.client();
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 1 || client.ended);
  const unreachable = client.ended;
  p.proxy.applier.close();
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
  if (!unreachable) expect(p.stat('cluster.a.upstream_cx_connect_fail')).toBe(0);
});

test('a connection on which nothing moves is ended by idle_timeout', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy().clock(clock).cluster('a', server.port).tcp({ cluster: 'a', idle_timeout: '10s' }).start();
  const client = await p.client();
  client.write('x');
  const connection = await server.accept();
  await connection.bytes(1);
  clock.advance(9000);
  client.write('y');
  await connection.bytes(1);
  clock.advance(9000);
  await turns();
  expect(client.ended).toBe(false);
  clock.advance(1100);
  await client.untilEnded();
  await connection.untilEnded();
});

test('a connection outlives the removal of its listener and ends with the proxy', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).tcp({ cluster: 'a' }).start();
  const client = await p.client();
  const connection = await server.accept();
  await p.proxy.applier.apply(p.snapshot({ listeners: new Map() }));
  client.write('still');
  expect(await connection.bytes(5)).toBe('still');
  await expect(p.client()).rejects.toThrow('ECONNREFUSED');
  await p.proxy.close();
  await client.untilEnded();
});
