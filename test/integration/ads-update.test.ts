import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { ConnectedProxy } from '../../src/control/serve/clients.ts';
import { ENDPOINT } from '../../src/control/serve/type-urls.ts';
import { GrpcTransport } from '../../src/xds/client/grpc-transport.ts';
import { Cluster } from '../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { Listener } from '../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { type ControlPlane, controlPlane, reached } from '../support/control-plane.ts';
import { adsClient, ports } from './ads-client.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function meshed(mode: 'sotw' | 'delta'): Promise<{ plane: ControlPlane } & ReturnType<typeof adsClient>> {
  const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').start();
  closers.push(() => plane.stop());
  const client = adsClient(plane.address, mode);
  closers.push(() => client.config.close());
  await reached(client.config.ready, Boolean);
  return { plane, ...client };
}

describe.each(['sotw', 'delta'] as const)('ADS over gRPC, %s', (mode) => {
  it('brings a proxy to a consistent snapshot, and the server knows', async () => {
    const { plane, config } = await meshed(mode);
    const { listeners, routes, clusters } = config.snapshot.value;
    expect([...listeners.keys(), ...routes.keys(), ...clusters.keys()]).toEqual(['in', 'in', 'a']);
    expect(ports(config, 'a')).toEqual([1]);
    const [proxy] = await plane.synced();
    expect(proxy).toMatchObject({ mode, applied: proxy?.target, node: { pod: 'web-1', namespace: 'default' } });
    expect(proxy?.types.filter(({ state }) => state !== 'synced')).toEqual([]);
    expect(config.status).toMatchObject({ source: 'server', ads: { state: 'connected', lastError: '' }, warming: [] });
  });

  it('brings endpoint changes, and nothing else with them', async () => {
    const { plane, config, responses } = await meshed(mode);
    await plane.synced();
    const before = config.snapshot.value;
    responses.length = 0;
    plane.endpoints('a', 1, 2).push();
    await reached(config.snapshot, () => ports(config, 'a').length === 2);
    expect(responses.map((response) => response.type_url)).toEqual([ENDPOINT]);
    expect(config.snapshot.value.listeners).toBe(before.listeners);
  });

  it('never has a route in force whose cluster is not', async () => {
    const { plane, config } = await meshed(mode);
    const broken: string[] = [];
    config.snapshot.subscribe(({ routes, clusters, endpoints }) => {
      for (const { virtualHosts } of routes.values())
        for (const { action } of virtualHosts.flatMap((host) => host.routes)) {
          if (action.kind !== 'forward' || action.cluster.kind !== 'cluster') continue;
          const { name } = action.cluster;
          if (!clusters.has(name) || !endpoints.has(name)) broken.push(name);
        }
    });
    for (let i = 0; i < 20; i++) {
      const [now, then] = [`c${i}`, i === 0 ? 'a' : `c${i - 1}`];
      plane
        .cluster(now, i + 10)
        .routes('in', now)
        .remove(Cluster, then)
        .push();
      await reached(config.snapshot, ({ clusters }) => clusters.has(now) && !clusters.has(then));
    }
    expect(broken).toEqual([]);
    const endpoints = (of: ConnectedProxy) => of.types.find((type) => type.typeUrl === ENDPOINT)?.subscribed.join();
    await plane.when(([proxy]) => proxy !== undefined && endpoints(proxy) === 'c19');
  });

  it('drops what the server drops', async () => {
    const { plane, config } = await meshed(mode);
    plane.http('second', 8081, 'a').push();
    await reached(config.snapshot, ({ listeners }) => listeners.size === 2);
    plane.remove(Listener, 'in').push();
    const { routes } = await reached(config.snapshot, ({ listeners }) => !listeners.has('in'));
    expect([...routes.keys()]).toEqual(['second']);
    await plane.synced();
  });

  it('serves many proxies from one state', async () => {
    const { plane } = await meshed(mode);
    const others = Array.from({ length: 10 }, () => adsClient(plane.address, mode));
    for (const { config } of others) closers.push(() => config.close());
    await Promise.all(others.map(({ config }) => reached(config.ready, Boolean)));
    await plane.when((proxies) => proxies.length === 11 && proxies.every((p) => p.applied === p.target));
    plane.endpoints('a', 5).push();
    await Promise.all(others.map(({ config }) => reached(config.snapshot, () => ports(config, 'a')[0] === 5)));
    await plane.synced();
    expect(plane.server.clients.appliedOf(ENDPOINT, 'a')).toEqual({ applied: 11, rejected: 0, pending: 0, of: 11 });
  });
});

describe('ADS server', () => {
  it('turns away more proxies than it may have', async () => {
    const plane = await controlPlane().with({ maxClients: 1 }).cluster('a', 1).http('in', 1, 'a').start();
    closers.push(() => plane.stop());
    const first = adsClient(plane.address, 'delta');
    closers.push(() => first.config.close());
    await reached(first.config.ready, Boolean);
    const transport = new GrpcTransport({
      target: plane.address,
      clock: systemClock,
      log: silentLogger(systemClock),
    });
    closers.push(async () => transport.close());
    const refusal = await new Promise<Error | null>((resolve) => {
      const stream = transport.open('delta', { open: () => {}, response: () => {}, end: resolve });
      stream.send({ type_url: ENDPOINT });
    });
    expect(refusal?.message).toMatch(/RESOURCE_EXHAUSTED.*1 proxies are connected already/);
    await first.config.close();
    await plane.when((proxies) => proxies.length === 0);
    const second = adsClient(plane.address, 'delta');
    closers.push(() => second.config.close());
    await reached(second.config.ready, Boolean);
  });

  it('ends a stream that says nonsense, with a reason', async () => {
    const plane = await controlPlane().start();
    closers.push(() => plane.stop());
    const transport = new GrpcTransport({
      target: plane.address,
      clock: systemClock,
      log: silentLogger(systemClock),
    });
    closers.push(async () => transport.close());
    const end = await new Promise<Error | null>((resolve) => {
      transport.open('sotw', { open: () => {}, response: () => {}, end: resolve }).send({});
    });
    expect(end?.message).toMatch(/INVALID_ARGUMENT.*without a type_url/);
  });

  it('says in one line that its port is taken', async () => {
    const plane = await controlPlane().start();
    closers.push(() => plane.stop());
    const other = controlPlane().with({ port: plane.server.port });
    await expect(other.start()).rejects.toThrow(/^cannot listen on 127\.0\.0\.1:\d+ for xDS: [^\n]*$/);
  });
});
