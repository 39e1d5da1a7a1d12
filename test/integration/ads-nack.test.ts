import { afterEach, describe, expect, it } from 'vitest';
import { LISTENER, ROUTE } from '../../src/control/serve/type-urls.ts';
import { type ControlPlane, controlPlane, httpListener, reached, routesTo } from '../support/control-plane.ts';
import { adsClient } from './ads-client.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
const nackOf = (plane: ControlPlane, typeUrl: string) =>
  plane.server.clients.list()[0]?.types.find((type) => type.typeUrl === typeUrl)?.nacked ?? null;

describe.each(['sotw', 'delta'] as const)('a NACK, %s', (mode) => {
  it('keeps the last good listener, takes the valid ones, and tells the server why, until it is mended', async () => {
    const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').http('good', 8081, 'a').start();
    closers.push(() => plane.stop());
    const { config } = adsClient(plane.address, mode);
    closers.push(() => config.close());
    await reached(config.ready, Boolean);
    const before = config.snapshot.value.listeners.get('in');
    // A port that no listener can have; the other change of the same push is in order.
    plane.put(httpListener('in', 70_000, 'in'), httpListener('good', 9090, 'good')).push();
    await plane.when(() => nackOf(plane, LISTENER) !== null);
    expect(nackOf(plane, LISTENER)?.reason).toMatch(/^LDS "in": .*port_value/);
    await reached(config.snapshot, ({ listeners }) => listeners.get('good')?.addresses[0]?.port === 9090);
    expect(config.snapshot.value.listeners.get('in')).toBe(before);
    expect(config.status.ads.types.find((type) => type.typeUrl === LISTENER)?.lastNack?.reason).toMatch(/^LDS "in"/);
    expect(plane.server.clients.applied()).toMatchObject({ applied: 0, rejected: 1, of: 1 });
    expect(plane.server.clients.appliedOf(LISTENER, 'in')).toMatchObject({ rejected: 1 });
    expect(plane.server.clients.appliedOf(LISTENER, 'good')).toMatchObject({ applied: 1 });
    plane.put(httpListener('in', 7070, 'in')).push();
    await reached(config.snapshot, ({ listeners }) => listeners.get('in')?.addresses[0]?.port === 7070);
    await plane.synced();
    expect(nackOf(plane, LISTENER)).toBeNull();
  });

  it('of routes leaves the old ones and their cluster in force', async () => {
    const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').start();
    closers.push(() => plane.stop());
    const { config } = adsClient(plane.address, mode);
    closers.push(() => config.close());
    await reached(config.ready, Boolean);
    const before = config.snapshot.value.routes.get('in');
    plane.cluster('b', 2).put(routesTo('in', '')).push();
    await plane.when(() => nackOf(plane, ROUTE) !== null);
    expect(config.snapshot.value.routes.get('in')).toBe(before);
    expect([...config.snapshot.value.clusters.keys()].sort()).toEqual(['a', 'b']);
  });
});
