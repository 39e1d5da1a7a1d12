// Issue 3, pains row 9: routes go live with their clusters warm; what the server drops drains and is not cut.
import { describe, expect, it } from 'vitest';
import { Cluster } from '../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { Listener } from '../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { rawClient } from '../../support/client.ts';
import { controlPlane, edsCluster, httpListener, routesTo } from '../../support/control-plane.ts';
import { until } from '../../support/mesh.ts';
import { app } from '../../support/mesh-app.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { Load } from '../../support/mesh-load.ts';
import { planeProxy } from '../../support/plane-proxy.ts';

async function stand(mode: 'sotw' | 'delta', threads = 1) {
  const a = ends(await app('a'));
  const b = ends(await app('b'));
  const plane = ends(await controlPlane().cluster('a', a.port).http('in', 0, 'a').start());
  const proxy = ends(planeProxy(plane.address, mode, undefined, threads));
  await proxy.proxy.start();
  await proxy.answers('in', 'a');
  await plane.synced();
  return { plane, proxy, a, b };
}

describe.each(['sotw', 'delta'] as const)('%s:', (mode) => {
  it('a route to a cluster whose endpoints come late waits for them, while all else goes on', async () => {
    const { plane, proxy, b } = await stand(mode);
    const load = ends(new Load({ port: proxy.port('in'), target: '/' }));
    plane.put(edsCluster('late')).routes('in', 'late').push();
    await until('the route waits', () => proxy.proxy.discovery?.status.warming.some(({ name }) => name === 'in'));
    await load.more(50);
    expect([...load.bodies.keys()]).toEqual(['a']);
    // Endpoints of others are not held up.
    const other = ends(await app('other'));
    plane.endpoints('a', other.port).push();
    await until('other answers', () => load.bodies.has('other'));
    plane.endpoints('late', b.port).push();
    await until('b answers', () => load.bodies.has('b'));
    await load.more(50);
    await load.stop();
    expect(load.failures).toEqual(new Map());
    expect(load.connections).toBe(load.clients);
  });

  it('a cluster that loses its last endpoint keeps it until its routes lead elsewhere, but not for long', async () => {
    const { plane, proxy, b } = await stand(mode);
    plane.cluster('b', b.port).push();
    await plane.synced();
    const load = ends(new Load({ port: proxy.port('in'), target: '/' }));
    await load.more(20);
    plane.endpoints('a').push();
    await load.more(20);
    plane.routes('in', 'b').push();
    await until('b answers', () => load.bodies.has('b'));
    await load.stop();
    expect(load.failures).toEqual(new Map());
    const endpointsOf = (name: string) => proxy.proxy.env.clusters.get(name)?.total;
    await until('a is empty', () => endpointsOf('a') === 0);
    // Nobody leads the routes away: in the end the server is believed.
    plane.endpoints('b').push();
    await until('503', async () => (await proxy.get('in')).status === 503);
    expect(endpointsOf('b')).toBe(0);
  });

  it('a cluster, its endpoints and its routes leave without a failed request', async () => {
    const { plane, proxy, b } = await stand(mode);
    const load = ends(new Load({ port: proxy.port('in'), target: '/' }));
    for (let i = 0; i < 20; i++) {
      const [from, to] = i % 2 === 0 ? ['a', `b${i}`] : [`b${i - 1}`, 'a'];
      if (to !== 'a') plane.cluster(to, b.port);
      plane.routes('in', to);
      if (from !== 'a') plane.remove(Cluster, from);
      plane.push();
      await until(`${to} in force`, () =>
        JSON.stringify([...proxy.proxy.applier.applied.routes.values()]).includes(`"${to}"`),
      );
      await load.more(5);
    }
    await load.stop();
    await plane.synced();
    await until('only a is left', () => [...proxy.proxy.env.clusters.clusters()].length === 2);
    expect(load.failures).toEqual(new Map());
    expect(load.connections).toBe(load.clients);
  });

  it('a listener that the server drops finishes its requests, and its port is free', async () => {
    const { plane, proxy, a } = await stand(mode);
    const port = proxy.port('in');
    a.hold(true);
    const busy = await rawClient(port);
    ends({ close: () => busy.socket.destroy() });
    busy.get('/');
    await until('the request is at a', () => a.requests > 1);
    plane
      .remove(Listener, 'in')
      .remove(RouteConfiguration, 'in')
      .put(httpListener('two', 0, 'two'), routesTo('two', 'a'))
      .push();
    await until('listener two', () => proxy.proxy.addressOf('two'));
    await until('in is gone', () => proxy.proxy.addressOf('in') === undefined);
    await expect(rawClient(port)).rejects.toThrow('ECONNREFUSED');
    a.hold(false);
    expect(await busy.response()).toMatchObject({ status: 200, body: 'a' });
    await busy.untilEnded();
    await proxy.answers('two', 'a');
    expect(proxy.proxy.applier.tables.size).toBe(1);
  });

  it('routes that the server drops stay in force while a listener has them, and can come back', async () => {
    const { plane, proxy, b } = await stand(mode);
    plane.remove(RouteConfiguration, 'in').cluster('b', b.port).push();
    await until('cluster b', () => proxy.proxy.env.clusters.get('b'));
    await proxy.answers('in', 'a');
    plane.routes('in', 'b').push();
    await proxy.answers('in', 'b');
  });
});

it('with two threads a route leads to a new cluster in both, once both are warm, without a failed request', async () => {
  const { plane, proxy, b } = await stand('delta', 2);
  const load = ends(new Load({ port: proxy.port('in'), target: '/' }));
  for (let i = 0; i < 6; i++) {
    const [from, to, body] = i % 2 === 0 ? ['a', `b${i}`, 'b'] : [`b${i - 1}`, 'a', 'a'];
    if (to !== 'a') plane.cluster(to, b.port);
    plane.routes('in', to).push();
    await proxy.answers('in', body);
    if (from !== 'a') plane.remove(Cluster, from).push();
    await load.more(20);
  }
  await load.stop();
  expect(load.failures).toEqual(new Map());
  expect(load.connections).toBe(load.clients);
  expect(load.bodies.get('b')).toBeGreaterThan(0);
});
