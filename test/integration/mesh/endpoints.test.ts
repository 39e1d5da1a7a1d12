// Issue 3, pains row 41: endpoints come and go without a failed request, and nothing waits.
import { expect, it } from 'vitest';
import { mesh, PORT, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';
import { edge, file, gateway, instance, service } from '../../support/mesh-yaml.ts';

const CHANGES = 200;
const REVIEWS = `outbound|${PORT}||reviews.default.svc.cluster.local`;

it('instances come and go 200 times under load', { timeout: 60_000 }, async () => {
  const it = ends(
    await mesh()
      .yaml('services.yaml', file(service('productpage'), service('reviews')))
      .yaml('gateway.yaml', file(gateway(), edge('productpage')))
      .sidecar('reviews', 'v1')
      .sidecar('reviews', 'v2')
      .sidecar('productpage', 'v1', { app: { calls: 'http://reviews:9080/' } })
      .gateway()
      .start(),
  );
  const load = ends(new Load({ port: it.gatewayPort, target: '/', clients: 3 }));
  const cluster = it.proxy('productpage-v1').proxy.env.clusters.get(REVIEWS)!;
  const routes = it.proxy('productpage-v1').proxy.applier.applied.routes;
  const v1 = instance('reviews', 'v1', it.proxy('reviews-v1').inbound.port);
  it.proxy('reviews-v1').withdraw();
  await until('v1 left', () => cluster.total === 1);
  for (let i = 1; i < CHANGES; i++) {
    if (i % 2 === 0) it.instances.remove('churn.yaml');
    else it.instances.replace('churn.yaml', v1);
    await until(`change ${i}`, () => cluster.total === (i % 2 === 0 ? 1 : 2));
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
