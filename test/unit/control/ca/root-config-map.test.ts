import { expect, it } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import { RootConfigMaps } from '../../../../src/control/ca/root-config-map.ts';
import { KubeError, type KubeRequest } from '../../../../src/control/source/kube/client.ts';
import { manualClock } from '../../../support/clock.ts';

function setup() {
  const clock = manualClock();
  const maps = new Map<string, string>();
  const state = { leading: true, roots: 'R1', namespaces: ['kube-system', 'shop', 'bank'], away: false, requests: 0 };
  const api = {
    send({ method, path, body }: KubeRequest): Promise<unknown> {
      state.requests++;
      if (state.away) return Promise.reject(new KubeError(0, '', 'away'));
      const namespace = path.split('/')[4]!;
      if (namespace === 'going') {
        return Promise.reject(
          method === 'PATCH' ? new KubeError(404, '', 'no') : new KubeError(403, '', 'it is being terminated'),
        );
      }
      if (method === 'PATCH' && !maps.has(namespace)) return Promise.reject(new KubeError(404, '', 'no'));
      maps.set(namespace, (body as { data: Record<string, string> }).data['root-cert.pem']!);
      return Promise.resolve({});
    },
  };
  const log = silentLogger(clock);
  const written = new RootConfigMaps({
    api,
    clock,
    log,
    name: 'istio-ca-root-cert',
    namespaces: () => state.namespaces,
    roots: () => state.roots,
    leading: () => state.leading,
  });
  const refreshed = async () => {
    written.refresh();
    await settled();
  };
  const settled = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
  return { clock, maps, state, written, refreshed, settled };
}

it('the leader writes the roots into every namespace that may have pods of the mesh, and again when they change', async () => {
  const { maps, state, refreshed } = setup();
  await refreshed();
  expect([...maps]).toEqual([
    ['shop', 'R1'],
    ['bank', 'R1'],
  ]);
  const before = state.requests;
  await refreshed();
  expect(state.requests).toBe(before);
  state.namespaces.push('later', 'going');
  state.roots = 'R1R2';
  await refreshed();
  expect([...maps.keys()]).toEqual(['shop', 'bank', 'later']);
  expect(new Set(maps.values())).toEqual(new Set(['R1R2']));
});

it('nobody else writes, and who begins to lead writes all', async () => {
  const { maps, state, refreshed } = setup();
  state.leading = false;
  await refreshed();
  expect(state.requests).toBe(0);
  state.leading = true;
  state.roots = '';
  await refreshed();
  expect(state.requests).toBe(0);
  state.roots = 'R1';
  await refreshed();
  expect(maps.size).toBe(2);
  state.leading = false;
  await refreshed();
  maps.clear();
  state.leading = true;
  await refreshed();
  expect(maps.size).toBe(2);
});

it('what was removed comes back, and what failed is tried again', async () => {
  const { maps, state, refreshed, clock, settled, written } = setup();
  state.away = true;
  await refreshed();
  state.away = false;
  clock.advance(5000);
  await settled();
  expect(maps.size).toBe(2);
  maps.delete('shop');
  clock.advance(600_000);
  await settled();
  expect(maps.get('shop')).toBe('R1');
  await written.close();
  expect(clock.pending).toBe(0);
});
