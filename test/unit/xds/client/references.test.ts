import { expect, test } from 'vitest';
import type { RouteSource, ScopedRoutes } from '../../../../src/model/http-connection-manager.ts';
import type { Listener } from '../../../../src/model/listener.ts';
import { listenerReferences } from '../../../../src/xds/client/references.ts';

function listener(...routes: (RouteSource | ScopedRoutes)[]): Listener {
  const filterChains = routes.map((one) => ({ filter: { kind: 'http', http: { routes: one } } }));
  return { filterChains, defaultFilterChain: null } as unknown as Listener;
}

const inline = (cluster: string): RouteSource =>
  ({
    kind: 'inline',
    config: {
      virtualHosts: [{ routes: [{ action: { kind: 'forward', cluster: { kind: 'cluster', name: cluster } } }] }],
    },
  }) as unknown as RouteSource;

test('a listener waits for the routes and clusters of all its tables, those of scopes too', () => {
  const scopes = [
    { name: 'one', key: ['1'], routes: { kind: 'rds', name: 'r1' } as const },
    { name: 'two', key: ['2'], routes: inline('c1') },
  ];
  const { routes, clusters } = listenerReferences(
    listener({ kind: 'rds', name: 'r2' }, inline('c2'), { kind: 'scoped', name: 's', key: [], scopes }),
  );
  expect([...routes].sort()).toEqual(['r1', 'r2']);
  expect([...clusters].sort()).toEqual(['c1', 'c2']);
});
