import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../src/base/log.ts';
import type { Cluster } from '../../../../src/model/cluster.ts';
import type { Listener } from '../../../../src/model/listener.ts';
import type { RouteConfig } from '../../../../src/model/route.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { ResourceStore, type StoreOptions } from '../../../../src/xds/client/resource-store.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../../../src/xds/client/type-urls.ts';
import { manualClock } from '../../../support/clock.ts';

// Only what the store looks at; the rest of the model is of no concern to it.
const eds = (name: string, serviceName = name) => ({ name, discovery: { kind: 'EDS', serviceName } }) as Cluster;
const fixed = (name: string) => ({ name, discovery: { kind: 'STATIC' } }) as Cluster;
const assignment = (clusterName: string) => ({ clusterName, localities: [] });
const routes = (name: string, ...clusters: string[]) =>
  ({
    name,
    virtualHosts: [
      {
        routes: clusters.map((cluster) => ({
          action: { kind: 'forward', cluster: { kind: 'cluster', name: cluster } },
        })),
      },
    ],
  }) as unknown as RouteConfig;
const listener = (name: string, ...rds: string[]) =>
  ({
    name,
    filterChains: rds.map((route) => ({ filter: { kind: 'http', http: { routes: { kind: 'rds', name: route } } } })),
    defaultFilterChain: null,
  }) as unknown as Listener;

function rig(options: Partial<StoreOptions> = {}) {
  const clock = manualClock();
  const wanted: Record<string, string[]> = {};
  const subscribe = (typeUrl: string, names: ReadonlySet<string>) => {
    wanted[typeUrl] = [...names];
  };
  const store = new ResourceStore({ clock, log: silentLogger(clock), subscribe, ...options });
  const published: Snapshot[] = [];
  store.snapshot.subscribe((snapshot) => published.push(snapshot));
  const put = (typeUrl: string, resources: { name?: string; clusterName?: string }[], removed: string[] = []) =>
    store.apply({
      typeUrl,
      updated: resources.map((resource) => ({
        name: resource.name ?? resource.clusterName ?? '',
        version: '1',
        any: { type_url: typeUrl },
        resource,
      })),
      removed,
      rejected: [],
      warnings: [],
      source: 'server',
    });
  const live = () => {
    const { listeners, routes, clusters, endpoints } = store.snapshot.value;
    return { l: [...listeners.keys()], r: [...routes.keys()], c: [...clusters.keys()], e: [...endpoints.keys()] };
  };
  store.start();
  return { clock, store, wanted, published, put, live };
}

/** A mesh of one listener, one route configuration and one cluster, all in force. */
function running() {
  const r = rig();
  r.put(CLUSTER, [eds('a')]);
  r.put(ENDPOINT, [assignment('a')]);
  r.put(LISTENER, [listener('in', 'web')]);
  r.put(ROUTE, [routes('web', 'a')]);
  r.published.length = 0;
  return r;
}

describe('resource store', () => {
  it('puts a listener in force only with its routes, those only with their clusters, those only with endpoints', () => {
    const { put, live, wanted, store } = rig();
    put(LISTENER, [listener('in', 'web')]);
    expect(wanted[ROUTE]).toEqual(['web']);
    put(ROUTE, [routes('web', 'a')]);
    expect(live()).toEqual({ l: [], r: [], c: [], e: [] });
    put(CLUSTER, [eds('a', 'svc')]);
    expect(wanted[ENDPOINT]).toEqual(['svc']);
    expect(live().l).toEqual([]);
    expect(store.ready.value).toBe(false);
    expect(store.warming.map((w) => w.waitsFor)).toEqual([['EDS "svc"'], ['CDS "a"'], ['RDS "web"']]);
    put(ENDPOINT, [assignment('svc')]);
    expect(live()).toEqual({ l: ['in'], r: ['web'], c: ['a'], e: ['svc'] });
    expect(store.ready.value).toBe(true);
    expect(store.warming).toEqual([]);
  });

  it('publishes once for each update that changes something, and keeps the maps that did not change', () => {
    const { put, published, store } = running();
    const before = store.snapshot.value;
    put(ENDPOINT, [assignment('a')]);
    expect(published).toHaveLength(1);
    expect(store.snapshot.value.listeners).toBe(before.listeners);
    expect(store.snapshot.value.clusters).toBe(before.clusters);
    put(CLUSTER, []);
    expect(published).toHaveLength(1);
  });

  it('keeps the old routes until the new cluster is warm', () => {
    const { put, live, store } = running();
    const old = store.snapshot.value.routes.get('web');
    put(CLUSTER, [eds('b')]);
    put(ROUTE, [routes('web', 'b')]);
    expect(store.snapshot.value.routes.get('web')).toBe(old);
    put(ENDPOINT, [assignment('b')]);
    expect(store.snapshot.value.routes.get('web')).not.toBe(old);
    expect(live().c).toEqual(['a', 'b']);
  });

  it('waits a second for a cluster not heard of when routes in force would be replaced', () => {
    const { put, store, clock } = running();
    const old = store.snapshot.value.routes.get('web');
    put(ROUTE, [routes('web', 'late')]);
    expect(store.snapshot.value.routes.get('web')).toBe(old);
    clock.advance(500);
    put(CLUSTER, [fixed('late')]);
    expect(store.snapshot.value.routes.get('web')).not.toBe(old);
    // It names nothing: after a second that is what it is to be.
    const now = store.snapshot.value.routes.get('web');
    put(ROUTE, [routes('web', 'never')]);
    clock.advance(999);
    expect(store.snapshot.value.routes.get('web')).toBe(now);
    clock.advance(1);
    expect(store.snapshot.value.routes.get('web')).not.toBe(now);
    // And a further change that does so still need not wait again.
    put(ROUTE, [routes('web', 'never', 'late')]);
    expect(store.warming).toEqual([]);
  });

  it('lets a first route through that names a cluster which the server does not have', () => {
    const { put, live } = rig();
    put(LISTENER, [listener('in', 'web')]);
    put(ROUTE, [routes('web', 'ghost')]);
    expect(live().l).toEqual([]);
    put(CLUSTER, []);
    expect(live()).toEqual({ l: ['in'], r: ['web'], c: [], e: [] });
  });

  it('keeps a removed cluster while routes in force name it', () => {
    const { put, live, wanted } = running();
    put(CLUSTER, [fixed('b')], ['a']);
    expect(live()).toMatchObject({ c: ['a', 'b'], e: ['a'] });
    put(ROUTE, [routes('web', 'b')]);
    expect(live()).toMatchObject({ c: ['b'], e: [] });
    expect(wanted[ENDPOINT]).toEqual([]);
  });

  it('lets a removed cluster go after 15 s even if routes name it still', () => {
    const { put, live, clock } = running();
    put(CLUSTER, [], ['a']);
    clock.advance(14_999);
    expect(live().c).toEqual(['a']);
    clock.advance(1);
    expect(live()).toMatchObject({ c: [], e: [], r: ['web'] });
  });

  it('drops a removed listener at once, and its routes with it', () => {
    const { put, live, wanted } = running();
    put(LISTENER, [], ['in']);
    expect(live()).toMatchObject({ l: [], r: [] });
    expect(wanted[ROUTE]).toEqual([]);
  });

  it('keeps the routes of the old listener until the new one is warm', () => {
    const { put, live, wanted } = running();
    put(LISTENER, [listener('in', 'web2')]);
    expect(wanted[ROUTE]?.sort()).toEqual(['web', 'web2']);
    expect(live().r).toEqual(['web']);
    put(ROUTE, [routes('web2', 'a')]);
    expect(live()).toMatchObject({ l: ['in'], r: ['web2'] });
    expect(wanted[ROUTE]).toEqual(['web2']);
  });

  it('goes on without what does not arrive in 15 s', () => {
    const { put, live, clock, store } = rig();
    put(CLUSTER, [eds('a')]);
    put(LISTENER, [listener('in', 'web')]);
    clock.advance(14_999);
    expect(live()).toMatchObject({ l: [], c: [] });
    expect(store.ready.value).toBe(false);
    clock.advance(1);
    expect(live()).toEqual({ l: ['in'], r: [], c: ['a'], e: [] });
    expect(store.ready.value).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('does not wait for what the server says is not there', () => {
    const { put, live } = rig();
    put(CLUSTER, [eds('a')]);
    put(ENDPOINT, [], ['a']);
    expect(live().c).toEqual(['a']);
  });

  it('is ready without listeners or clusters when the server says that there are none', () => {
    const { put, store } = rig();
    put(CLUSTER, []);
    expect(store.ready.value).toBe(false);
    put(LISTENER, []);
    expect(store.ready.value).toBe(true);
  });

  it('has the static resources in force from the start, and no update replaces them', () => {
    const statics = {
      listeners: new Map([['in', listener('in', 'web')]]),
      routes: new Map(),
      clusters: new Map([['a', fixed('a')]]),
      endpoints: new Map(),
    };
    const { put, live, store, wanted } = rig({ statics, dynamic: { listeners: false, clusters: false } });
    expect(live()).toMatchObject({ l: [], c: ['a'] });
    expect(wanted[ROUTE]).toEqual(['web']);
    put(ROUTE, [routes('web', 'a')]);
    expect(live().l).toEqual(['in']);
    expect(store.ready.value).toBe(true);
    put(CLUSTER, [eds('a')], ['a']);
    expect(store.snapshot.value.clusters.get('a')).toBe(statics.clusters.get('a'));
  });
});
