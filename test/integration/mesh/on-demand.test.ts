// Pains row 42: a sidecar has the routes, clusters and endpoints that its program uses, whatever else the mesh has.
import { expect, it } from 'vitest';
import { largeMesh, OTHERS } from '../../support/large-mesh.ts';
import { type MeshProxy, PORT, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';
import { file, service, split } from '../../support/mesh-yaml.ts';

const outbound = ({ proxy }: MeshProxy): string[] =>
  [...proxy.env.clusters.clusters()].map(({ config }) => config.name).filter((name) => name.startsWith('outbound|'));

const hosts = ({ proxy }: MeshProxy): string[] =>
  (proxy.applier.tables.get('http_proxy')?.table?.hosts ?? []).map(({ virtualHost }) => virtualHost.name);

it('a host comes with the first request for it, and every change of it after that', async () => {
  const it = await largeMesh();
  const client = await it.sidecar({ service: 'client', onDemand: true });
  expect(hosts(client)).toEqual(['allow_any']);
  expect(outbound(client)).toEqual([]);
  // At once, by many, by another name of the same host: nobody fails and nobody is asked twice.
  const first = await Promise.all(
    ['reviews', 'reviews', 'reviews.default', 'reviews.default.svc.cluster.local'].map((name) =>
      client.call(`http://${name}:${PORT}/`),
    ),
  );
  expect(first.map(({ body }) => body)).toEqual(Array(4).fill('reviews-v1'));
  expect(hosts(client)).toEqual(['allow_any', `reviews.default.svc.cluster.local:${PORT}`]);
  expect(outbound(client)).toEqual([`outbound|${PORT}|v1|reviews.default.svc.cluster.local`]);
  // The others have all of the mesh.
  expect(outbound(it.proxy('ratings-v1')).length).toBeGreaterThan(OTHERS.length);

  const load = ends(new Load({ port: client.outbound.port, target: `http://reviews:${PORT}/` }));
  it.config.replace('reviews.yaml', split('reviews', { v2: 100 }));
  await until('v2 answers', () => load.bodies.has('reviews-v2'));
  await it.synced();
  expect(outbound(client)).toEqual([`outbound|${PORT}|v2|reviews.default.svc.cluster.local`]);
  await load.stop();
  expect(load.failures).toEqual(new Map());
});

it('a body that comes with the first request arrives whole', async () => {
  const it = await largeMesh();
  const client = await it.sidecar({ service: 'client', onDemand: true });
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => client.call(`http://ratings:${PORT}/`, {}, 'x'.repeat(200_000))),
  );
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
});

it('what there is not is said at once the second time, and found when it appears', async () => {
  const it = await largeMesh();
  const client = await it.sidecar({ service: 'client', onDemand: true });
  const absent = (): number => stat(client, 'on_demand.absent');
  expect((await client.call(`http://later:${PORT}/`)).status).toBe(404);
  expect((await client.call(`http://later:${PORT}/`)).status).toBe(404);
  expect(absent()).toBe(1);
  it.config.write('later.yaml', file(service('later')));
  await it.sidecar({ service: 'later' });
  await until('the new service answers', async () => (await client.call(`http://later:${PORT}/`)).status === 200);
  expect(absent()).toBe(1);
});

it('what was used goes on without the control server, and what was not is not waited for', async () => {
  const it = await largeMesh();
  const client = await it.sidecar({ service: 'client', onDemand: true, lastGood: true });
  expect((await client.call(`http://reviews:${PORT}/`)).status).toBe(200);
  await it.stopControl();
  await until('the proxy sees that it is alone', () => client.proxy.discovery?.status.ads.state !== 'connected');
  expect((await client.call(`http://reviews:${PORT}/`)).status).toBe(200);
  expect((await client.call(`http://ratings:${PORT}/`)).status).toBe(404);
  expect(stat(client, 'on_demand.timeout')).toBe(0);
  await client.close();
  const again = await it.sidecar({ service: 'client', onDemand: true, lastGood: true });
  expect(again.proxy.discovery?.status.source).toBe('disk');
  expect((await again.call(`http://reviews:${PORT}/`)).body).toBe('reviews-v1');
  it.config.replace('reviews.yaml', split('reviews', { v2: 100 }));
  await it.startControl();
  await until('v2 answers', async () => (await again.call(`http://reviews:${PORT}/`)).body === 'reviews-v2');
  expect((await again.call(`http://ratings:${PORT}/`)).status).toBe(200);
});

function stat({ proxy }: MeshProxy, dotted: string): number {
  const { stats } = proxy.env;
  const series = [...stats.series()].find((one) => one.dotted === dotted);
  return series === undefined ? 0 : stats.value(series.id);
}
