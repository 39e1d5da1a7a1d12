// Issue 3: kill the control server: traffic goes on, and new config arrives when it is back (pains row 7).
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { call, type Mesh, mesh, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';
import { edge, file, gateway, peerAuthentication, service, split, versions } from '../../support/mesh-yaml.ts';

async function reviewsMesh(): Promise<Mesh> {
  return ends(
    await mesh()
      .yaml('services.yaml', file(service('productpage'), service('reviews')))
      .yaml('gateway.yaml', file(gateway(), edge('productpage')))
      .yaml('rules.yaml', versions('reviews', 'v1', 'v2'))
      .yaml('reviews.yaml', split('reviews', { v1: 100 }))
      .sidecar('reviews', 'v1')
      .sidecar('reviews', 'v2')
      .sidecar('productpage', 'v1', { app: { calls: 'http://reviews:9080/' }, lastGood: true })
      .gateway()
      .start(),
  );
}

it('traffic goes on without the control server, and its new config is applied when it is back', async () => {
  const mesh = await reviewsMesh();
  const load = ends(new Load({ port: mesh.gatewayPort, target: '/' }));
  await load.more(50);
  const page = mesh.proxy('productpage-v1').proxy.discovery;
  const { asOf } = page!.status;
  await mesh.stopControl();
  await until('the proxy sees that it is alone', () => page?.status.ads.state !== 'connected');
  // Stale, and says since when and why.
  expect(page?.status).toMatchObject({ source: 'server', asOf });
  expect(page?.status.ads.lastError).not.toBe('');
  const admin = mesh.proxy('productpage-v1').proxy.adminAddress;
  const stats = await call(admin?.port ?? 0, '/stats?filter=control_plane', { host: 'localhost' });
  expect(stats.body).toContain('control_plane.connected_state: 0');
  await until('the config to be stale', async () => {
    const { body } = await call(admin?.port ?? 0, '/stats?filter=staleness', { host: 'localhost' });
    return /config_staleness_seconds: [1-9]/.test(body);
  });
  mesh.config.replace('reviews.yaml', split('reviews', { v2: 100 }));
  await load.more(200);
  expect(load.bodies.get('productpage-v1 reviews-v2')).toBeUndefined();
  await mesh.startControl();
  await until('v2 answers', () => load.bodies.has('productpage-v1 reviews-v2'));
  expect(page?.status.ads).toMatchObject({ state: 'connected', lastError: '' });
  expect(page?.status.asOf).toBeGreaterThan(asOf);
  await load.more(50);
  await load.stop();
  console.log(`${load.sent} requests, ${load.failed} failed`);
  expect(load.failures).toEqual(new Map());
  expect(load.connections).toBe(load.clients);
});

it('a proxy that starts without the control server serves by its last good config', async () => {
  const mesh = await reviewsMesh();
  const before = mesh.proxy('productpage-v1');
  await until('the last good config is on disk', () => existsSync(before.lastGoodPath));
  await before.close();
  await mesh.stopControl();
  const again = await mesh.sidecar({ service: 'productpage', lastGood: true });
  expect(await again.call('http://reviews:9080/')).toMatchObject({ status: 200, body: 'reviews-v1' });
  expect(again.proxy.discovery?.status.source).toBe('disk');
  expect(again.proxy.discovery?.status.asOf).toBeGreaterThan(0);
  const load = ends(new Load({ port: again.outbound.port, target: 'http://reviews:9080/' }));
  await load.more(20);
  mesh.config.replace('reviews.yaml', split('reviews', { v2: 100 }));
  await mesh.startControl();
  await until('the server is followed', () => again.proxy.discovery?.status.source === 'server');
  await until('v2 answers', () => load.bodies.has('reviews-v2'));
  await load.stop();
  expect(load.failures).toEqual(new Map());
});

it('a proxy that starts without the control server and its CA is who it was, by its last certificate', async () => {
  const it = ends(
    await mesh()
      .certificates()
      .yaml('services.yaml', file(service('productpage'), service('reviews'), peerAuthentication('STRICT')))
      .sidecar('productpage', 'v1', { lastGood: true })
      .sidecar('reviews')
      .start(),
  );
  const before = it.proxy('productpage-v1');
  expect(await before.call('http://reviews:9080/')).toMatchObject({ status: 200 });
  await until('the last good config is on disk', () => existsSync(before.lastGoodPath));
  await before.close();
  await it.stopControl();
  const again = await it.sidecar({ service: 'productpage', lastGood: true });
  expect(again.proxy.discovery?.status.source).toBe('disk');
  expect(await again.call('http://reviews:9080/')).toMatchObject({ status: 200, body: 'reviews-v1' });
  const { body } = await call(again.proxy.adminAddress?.port ?? 0, '/stats/prometheus', { host: 'localhost' });
  expect(Number(/^istio_agent_cert_expiry_seconds\{resource_name="default"\} (\d+)$/m.exec(body)?.[1])).toBeGreaterThan(
    86_000,
  );
  expect(body).toMatch(/^remora_certificate_life_used_percent\{resource_name="default"\} 0$/m);
});

it('a config that is too old is not served', async () => {
  const mesh = await reviewsMesh();
  const before = mesh.proxy('productpage-v1');
  await until('the last good config is on disk', () => existsSync(before.lastGoodPath));
  await before.close();
  await mesh.stopControl();
  void mesh.sidecar({ service: 'productpage', lastGood: true, lastGoodTtlMs: 1 }).catch(() => undefined);
  const again = await until('the proxy', () => {
    const proxy = mesh.proxy('productpage-v1');
    return proxy === before ? null : proxy;
  });
  await again.log.until(/last good config not used.*is the limit/);
  expect(again.proxy.discovery?.status.source).toBe('none');
});
