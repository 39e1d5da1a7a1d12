import { expect, test } from 'vitest';
import type { RouteSource, ScopedRoutes } from '../../../../src/model/http-connection-manager.ts';
import type { Listener } from '../../../../src/model/listener.ts';
import type { RouteConfig } from '../../../../src/model/route.ts';
import { clustersOf, listenerReferences } from '../../../../src/xds/client/references.ts';

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

test('bytes that go by address need the table of the addresses, and it the clusters for bytes', () => {
  const tcp = { clusters: [{ name: 'rest', weight: 1 }], addressRoutes: '80' };
  const one = { filterChains: [{ filter: { kind: 'tcp', tcp } }], defaultFilterChain: null } as unknown as Listener;
  expect([...listenerReferences(one).routes]).toEqual(['80']);
  const table = { virtualHosts: [{ routes: [], bytesTo: 'db' }] } as unknown as RouteConfig;
  expect([...clustersOf(table)]).toEqual(['db']);
});

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
