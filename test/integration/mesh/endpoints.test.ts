// Issue 3, pains row 41: endpoints come and go without a failed request, and nothing waits.
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { manualClock, promptClock } from '../../support/clock.ts';
import { controlPlane } from '../../support/control-plane.ts';
import { mesh, PORT, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';
import { edge, file, gateway, instance, service } from '../../support/mesh-yaml.ts';
import { planeProxy } from '../../support/plane-proxy.ts';

const CHANGES = 200;
const REVIEWS = `outbound|${PORT}||reviews.default.svc.cluster.local`;

it('instances come and go 200 times under load', { timeout: 60_000 }, async () => {
  const it = ends(
    await mesh(promptClock())
      .yaml('services.yaml', file(service('productpage'), service('reviews')))
      .yaml('gateway.yaml', file(gateway(), edge('productpage')))
      .sidecar('reviews', 'v1')
      .sidecar('reviews', 'v2')
      .sidecar('reviews', 'v3')
      .sidecar('productpage', 'v1', { app: { calls: 'http://reviews:9080/' } })
      .gateway()
      .start(),
  );
  const load = ends(new Load({ port: it.gatewayPort, target: '/', clients: 3 }));
  const cluster = it.proxy('productpage-v1').proxy.env.clusters.get(REVIEWS)!;
  const routes = it.proxy('productpage-v1').proxy.applier.applied.routes;
  // Two of the three instances come and go, in turn and together.
  const spares = ['v1', 'v3'].map((version) => it.proxy(`reviews-${version}`));
  for (const spare of spares) spare.withdraw();
  await until('they left', () => cluster.total === 1);
  const here = spares.map(() => false);
  for (let change = spares.length; change < CHANGES; ) {
    // Now one of them and now both.
    for (const i of change % 3 === 0 ? [change % 2] : [0, 1]) {
      const { name, inbound } = spares[i]!;
      here[i] = !here[i];
      change++;
      if (here[i]) it.instances.replace(`${name}.yaml`, instance('reviews', name, inbound.port));
      else it.instances.remove(`${name}.yaml`);
    }
    const total = 1 + here.filter(Boolean).length;
    await until(`change ${change}`, () => cluster.total === total);
    await load.more(1);
  }
  await load.stop();
  console.log(`${CHANGES} changes, ${load.sent} requests, ${load.failed} failed`);
  expect(load.failures).toEqual(new Map());
  expect(load.connections).toBe(load.clients);
  expect(it.proxy('productpage-v1').proxy.env.clusters.get(REVIEWS)).toBe(cluster);
  // Nothing but EDS was pushed.
  expect(it.proxy('productpage-v1').proxy.applier.applied.routes).toBe(routes);
});

it('endpoints are pushed without any wait; config waits for quiet', async () => {
  // Time stands still at the server: what is debounced does not go out.
  const clock = manualClock();
  const plane = ends(await controlPlane(clock).cluster('a', 1).cluster('b', 1).http('in', 0, 'a').start());
  const proxy = ends(planeProxy(plane.address, 'delta'));
  await proxy.proxy.start();
  await plane.synced();
  const ports = (): number[] =>
    [...(proxy.proxy.env.clusters.get('a')?.endpoints() ?? [])].map(({ address }) => Number(address.split(':')[1]));
  let slowest = 0;
  for (let i = 1; i <= 100; i++) {
    const before = systemClock.now();
    plane.endpoints('a', 1000 + i).push('endpoints');
    await until('endpoints', () => ports()[0] === 1000 + i);
    slowest = Math.max(slowest, systemClock.now() - before);
  }
  expect(clock.pending).toBe(0);
  plane.routes('in', 'b').push();
  await until('endpoints that came after', () => {
    plane.endpoints('a', 2000).push('endpoints');
    return ports()[0] === 2000;
  });
  expect(JSON.stringify([...proxy.proxy.applier.applied.routes.values()])).not.toContain('"b"');
  clock.advance(10);
  await until('routes', () => JSON.stringify([...proxy.proxy.applier.applied.routes.values()]).includes('"b"'));
  console.log(`100 pushes, the slowest ${slowest.toFixed(0)} ms`);
});
