// Issue 3, pains row 7: a start never waits for what the control server does not have.
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { controlPlane, edsCluster } from '../../support/control-plane.ts';
import { until } from '../../support/mesh.ts';
import { app } from '../../support/mesh-app.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { planeProxy } from '../../support/plane-proxy.ts';
import { closedPort } from '../../support/upstream.ts';

it('a cluster that the server has no endpoints for does not hold up a start', async () => {
  const plane = ends(await controlPlane().put(edsCluster('empty')).http('in', 0, 'empty').start());
  const proxy = ends(planeProxy(plane.address, 'delta'));
  const before = systemClock.now();
  await proxy.proxy.start();
  expect(systemClock.now() - before).toBeLessThan(5000);
  const reply = await proxy.get('in');
  expect(reply).toMatchObject({ status: 503 });
  expect(reply.body).toContain('empty');
});

it('listeners of the bootstrap serve while the control server is away', async () => {
  const a = ends(await app('a'));
  const proxy = ends(planeProxy(`127.0.0.1:${await closedPort()}`, 'delta', { name: 'own', cluster: a.port }));
  const started = proxy.proxy.start();
  await until('the listener', () => proxy.proxy.addressOf('own'));
  await proxy.answers('own', 'a');
  expect(proxy.proxy.ready).toBe(false);
  void started;
});

it('a listener of the bootstrap goes live as soon as the server has sent the endpoints of its cluster', async () => {
  const a = ends(await app('a'));
  const plane = ends(await controlPlane().cluster('a', a.port).start());
  const proxy = ends(planeProxy(plane.address, 'delta', { name: 'own', cluster: 'a' }));
  const before = systemClock.now();
  await proxy.proxy.start();
  await proxy.answers('own', 'a');
  expect(systemClock.now() - before).toBeLessThan(5000);
});
