import { afterEach, describe, expect, it } from 'vitest';
import { controlPlane, reached } from '../support/control-plane.ts';
import { adsClient, ports } from './ads-client.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

describe.each(['sotw', 'delta'] as const)('1,000 quick changes, %s', (mode) => {
  it('of config reach the proxy in a few pushes, the last one last', async () => {
    const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').start();
    closers.push(() => plane.stop());
    const { config, responses } = adsClient(plane.address, mode);
    closers.push(() => config.close());
    await reached(config.ready, Boolean);
    await plane.synced();
    responses.length = 0;
    for (let i = 1; i <= 1000; i++) plane.routes('in', ...Array.from({ length: (i % 3) + 1 }, () => 'a')).push();
    plane.cluster('last', 2).routes('in', 'last').push();
    await reached(config.snapshot, ({ routes }) => JSON.stringify(routes.get('in')?.virtualHosts).includes('"last"'));
    await plane.synced();
    expect(responses.length).toBeLessThanOrEqual(6);
  });

  it('of endpoints, each told at once, have one push in flight', async () => {
    const plane = await controlPlane().cluster('a', 1).http('in', 8080, 'a').start();
    closers.push(() => plane.stop());
    const { config, responses } = adsClient(plane.address, mode);
    closers.push(() => config.close());
    await reached(config.ready, Boolean);
    await plane.synced();
    responses.length = 0;
    for (let i = 1; i <= 1000; i++) {
      plane.endpoints('a', i).push();
      // Each change is a turn of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await reached(config.snapshot, () => ports(config, 'a')[0] === 1000);
    await plane.synced();
    expect(responses.length).toBeGreaterThan(1);
    expect(responses.length).toBeLessThan(900);
  });
});
