import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { CLUSTER, ENDPOINT, LISTENER } from '../../src/control/serve/type-urls.ts';
import { Cluster } from '../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import type { Resource } from '../../src/xds/proto/gen/envoy/service/discovery/v3.ts';
import { controlPlane, reached } from '../support/control-plane.ts';
import { adsClient, ports } from './ads-client.ts';

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

describe.each(['sotw', 'delta'] as const)('a restart of the control server, %s', (mode) => {
  it('changes nothing until there is something new, and then brings that', async () => {
    const plane = await controlPlane()
      .cluster('a', 1)
      .cluster('b', 2)
      .cluster('gone', 3)
      .http('in', 8080, 'a', 'b')
      .start();
    closers.push(() => plane.stop());
    const { config, responses } = adsClient(plane.address, mode);
    closers.push(() => config.close());
    await reached(config.ready, Boolean);
    await plane.synced();
    const before = config.snapshot.value;
    await plane.stop();
    plane.endpoints('b', 4).remove(Cluster, 'gone');
    responses.length = 0;
    await plane.start();
    await reached(config.snapshot, ({ clusters }) => ports(config, 'b')[0] === 4 && !clusters.has('gone'));
    await plane.synced();
    const now = config.snapshot.value;
    expect(now.listeners).toBe(before.listeners);
    expect(now.routes).toBe(before.routes);
    expect(now.clusters.get('a')).toBe(before.clusters.get('a'));
    expect(config.status.ads).toMatchObject({ state: 'connected', lastError: '' });
    if (mode === 'sotw') return;
    const brought = responses.flatMap(({ type_url, resources, removed_resources }) => [
      ...(resources ?? []).map((resource) => [type_url, (resource as Resource).name]),
      ...(removed_resources ?? []).map((name) => [type_url, `-${name}`]),
    ]);
    expect(brought).toContainEqual([ENDPOINT, 'b']);
    expect(brought).toContainEqual([CLUSTER, '-gone']);
    expect(brought).toHaveLength(2);
  });

  it('while a proxy starts: the last good config is in force until the server is back', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'remora-ads-'));
    closers.push(() => rmSync(directory, { recursive: true }));
    const lastGood = { path: path.join(directory, 'last-good.json'), ttlMs: 60_000 };
    const plane = await controlPlane().cluster('a', 1).cluster('old', 2).http('in', 8080, 'a').start();
    closers.push(() => plane.stop());
    const address = plane.address;
    const first = adsClient(address, mode, { lastGood });
    await reached(first.config.ready, Boolean);
    await plane.synced();
    await first.config.close();
    await plane.stop();

    const { config } = adsClient(address, mode, { lastGood, serverGraceMs: 20 });
    closers.push(() => config.close());
    await reached(config.ready, Boolean);
    expect(config.status).toMatchObject({ source: 'disk', warming: [] });
    expect(config.status.asOf).toBeGreaterThan(0);
    expect([...config.snapshot.value.listeners.keys()]).toEqual(['in']);
    expect(ports(config, 'a')).toEqual([1]);

    plane.endpoints('a', 9).remove(Cluster, 'old');
    await plane.start();
    await reached(config.snapshot, ({ clusters }) => ports(config, 'a')[0] === 9 && !clusters.has('old'));
    expect(config.status.source).toBe('server');
    await plane.synced();
    expect(config.client.held(LISTENER).resources.size).toBe(1);
  });
});
