import { SecretBytes } from '../../base/secret-bytes.ts';
import type { FilterChain, Listener } from '../../model/listener.ts';
import type { PerFilterConfig, Route, RouteConfig, VirtualHost, WeightedCluster } from '../../model/route.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import type { RouteData } from '../filters/filter.ts';
import { fingerprint } from '../upstream/fingerprint.ts';

/**
 * How the model travels to another thread: by structured clone, as it is, but for what is more than data. That are the
 * configs that routes have for filters, which hold compiled matchers, and bytes that must not be seen. What has
 * neither is taken over as it is, not copied.
 */

/** Where per-route config of filters of a kind is made plain, and compiled again. */
export type RouteDataOf = (kind: string) => RouteData | undefined;

type Entry = PerFilterConfig extends ReadonlyMap<string, infer T> ? T : never;
/** `key` is the same in all threads, and of no other place in the config. */
type Change = (entry: Entry, key: string) => Entry;

export function plainRoutes(config: RouteConfig, dataOf: RouteDataOf): RouteConfig {
  return mapRouteConfig(config, '', (entry) => {
    const data = dataOf(entry.kind ?? '');
    return entry.config === null || data === undefined ? entry : { ...entry, config: data.plain(entry.config) };
  });
}

/** Compiles what {@link plainRoutes} made plain. `compile` gets the filter's kind and the place of the config. */
export function compiledRoutes(
  config: RouteConfig,
  place: string,
  compile: (kind: string, plain: unknown, place: string) => unknown,
): RouteConfig {
  return mapRouteConfig(config, place, (entry, key) =>
    entry.config === null ? entry : { ...entry, config: compile(entry.kind ?? '', entry.config, key) },
  );
}

export function plainListener(listener: Listener, dataOf: RouteDataOf): Listener {
  return mapListener(
    listener,
    (config) => plainRoutes(config, dataOf),
    (tls) => mapSecrets(tls, hide),
  );
}

export function compiledListener(
  listener: Listener,
  compile: (kind: string, plain: unknown, place: string) => unknown,
): Listener {
  return mapListener(
    listener,
    (config, place) => compiledRoutes(config, place, compile),
    (tls) => mapSecrets(tls, reveal),
  );
}

/** Anything with certificates: clusters, secrets. */
export function plainSecrets<T>(value: T): T {
  return mapSecrets(value, hide);
}
export function givenSecrets<T>(value: T): T {
  return mapSecrets(value, reveal);
}

// === secrets ===

interface HiddenBytes {
  readonly secretBytes: Uint8Array;
}

function hide(value: object): object {
  return value instanceof SecretBytes ? ({ secretBytes: value.reveal() } satisfies HiddenBytes) : value;
}

function reveal(value: object): object {
  const { secretBytes } = value as Partial<HiddenBytes>;
  return secretBytes instanceof Uint8Array ? new SecretBytes(secretBytes) : value;
}

/** Copies only what is changed, and what holds it. */
function mapSecrets<T>(value: T, change: (value: object) => object): T {
  if (typeof value !== 'object' || value === null) return value;
  const changed = change(value);
  if (changed !== value) return changed as T;
  if (Array.isArray(value)) return mapList(value, (one) => mapSecrets(one, change)) as T;
  if (value instanceof Uint8Array || value instanceof Map || value instanceof SecretBytes) return value;
  const copy: Record<string, unknown> = {};
  let differs = false;
  for (const [key, part] of Object.entries(value)) {
    copy[key] = mapSecrets(part, change);
    if (copy[key] !== part) differs = true;
  }
  return differs ? (copy as T) : value;
}

// === listeners and routes ===

function mapListener(
  listener: Listener,
  routes: (config: RouteConfig, place: string) => RouteConfig,
  tls: <T>(value: T) => T,
): Listener {
  const chain = (one: FilterChain, place: string): FilterChain => {
    const filter = mapNetworkFilter(one.filter, place, routes);
    const secured = one.tls === undefined ? undefined : tls(one.tls);
    if (filter === one.filter && secured === one.tls) return one;
    return { ...one, filter, ...(secured === undefined ? {} : { tls: secured }) };
  };
  const { name, filterChains, defaultFilterChain } = listener;
  const chains = mapList(filterChains, (one) => chain(one, fingerprint([name, one.name, one.match])));
  const fallback = defaultFilterChain === null ? null : chain(defaultFilterChain, fingerprint([name, null]));
  if (chains === filterChains && fallback === defaultFilterChain) return listener;
  return { ...listener, filterChains: chains, defaultFilterChain: fallback };
}

function mapNetworkFilter(
  filter: FilterChain['filter'],
  place: string,
  map: (config: RouteConfig, place: string) => RouteConfig,
): FilterChain['filter'] {
  if (filter.kind !== 'http') return filter;
  const { http } = filter;
  if (http.routes.kind === 'rds') return filter;
  if (http.routes.kind === 'inline') {
    const config = map(http.routes.config, place);
    if (config === http.routes.config) return filter;
    return { ...filter, http: { ...http, routes: { ...http.routes, config } } };
  }
  const scopes = mapList(http.routes.scopes, (scope) => {
    if (scope.routes.kind === 'rds') return scope;
    const config = map(scope.routes.config, `${place} ${scope.name}`);
    return config === scope.routes.config ? scope : { ...scope, routes: { ...scope.routes, config } };
  });
  return scopes === http.routes.scopes ? filter : { ...filter, http: { ...http, routes: { ...http.routes, scopes } } };
}

function mapRouteConfig(config: RouteConfig, place: string, change: Change): RouteConfig {
  const perFilterConfig = mapFilters(config.perFilterConfig, place, change);
  const virtualHosts = mapList(config.virtualHosts, (host) => mapHost(host, `${place}/${host.name}`, change));
  if (perFilterConfig === config.perFilterConfig && virtualHosts === config.virtualHosts) return config;
  return { ...config, perFilterConfig, virtualHosts };
}

function mapHost(host: VirtualHost, place: string, change: Change): VirtualHost {
  const perFilterConfig = mapFilters(host.perFilterConfig, place, change);
  const seen = new Map<string, number>();
  const routes = mapList(host.routes, (route) => mapRoute(route, place, seen, change));
  if (perFilterConfig === host.perFilterConfig && routes === host.routes) return host;
  return { ...host, perFilterConfig, routes };
}

/** `seen`: how often a route of that name and match was there before it. */
function mapRoute(route: Route, host: string, seen: Map<string, number>, change: Change): Route {
  const { action } = route;
  const clusters = action.kind === 'forward' && action.cluster.kind === 'weighted' ? action.cluster.clusters : null;
  if (route.perFilterConfig.size === 0 && !clusters?.some(({ perFilterConfig }) => perFilterConfig.size > 0)) {
    return route;
  }
  const name = `${host}/${route.name} ${JSON.stringify(route.match)}`;
  const nth = seen.get(name) ?? 0;
  seen.set(name, nth + 1);
  const place = `${name} ${nth}`;
  const perFilterConfig = mapFilters(route.perFilterConfig, place, change);
  if (clusters === null || action.kind !== 'forward' || action.cluster.kind !== 'weighted') {
    return { ...route, perFilterConfig };
  }
  const mapped = clusters.map(
    (one, i): WeightedCluster => ({
      ...one,
      perFilterConfig: mapFilters(one.perFilterConfig, `${place}/${one.name} ${i}`, change),
    }),
  );
  return { ...route, perFilterConfig, action: { ...action, cluster: { ...action.cluster, clusters: mapped } } };
}

function mapFilters(configs: PerFilterConfig, place: string, change: Change): PerFilterConfig {
  if (configs.size === 0) return configs;
  return new Map(Array.from(configs, ([name, entry]) => [name, change(entry, `${place}#${name}`)]));
}

function mapList<T>(list: readonly T[], map: (one: T) => T): readonly T[] {
  let copy: T[] | null = null;
  for (const [i, one] of list.entries()) {
    const mapped = map(one);
    if (mapped === one) continue;
    copy ??= [...list];
    copy[i] = mapped;
  }
  return copy ?? list;
}

// === snapshots, by what changes ===

/** Of one map: what is new or other, and the names of what went; null: it is the map that it was. */
export type MapChange<T> = {
  readonly set: readonly (readonly [string, T])[];
  readonly removed: readonly string[];
} | null;
export type SnapshotChange = { readonly [K in keyof Snapshot]: MapChange<ValueOf<Snapshot[K]>> };
type ValueOf<M> = M extends ReadonlyMap<string, infer T> ? T : never;

/** What makes `now` of `before`, made plain. Things are the same that are one object. */
export function snapshotChange(before: Snapshot, now: Snapshot, dataOf: RouteDataOf): SnapshotChange {
  return {
    listeners: mapChange(before.listeners, now.listeners, (one) => plainListener(one, dataOf)),
    routes: mapChange(before.routes, now.routes, (one) => plainRoutes(one, dataOf)),
    clusters: mapChange(before.clusters, now.clusters, plainSecrets),
    endpoints: mapChange(before.endpoints, now.endpoints, (one) => one),
  };
}

export function mapChange<T>(
  before: ReadonlyMap<string, T>,
  now: ReadonlyMap<string, T>,
  plain: (one: T) => T,
): MapChange<T> {
  if (before === now) return null;
  const set: [string, T][] = [];
  for (const [name, one] of now) if (before.get(name) !== one) set.push([name, plain(one)]);
  const removed = [...before.keys()].filter((name) => !now.has(name));
  return { set, removed };
}

/** The snapshot at the other end. What did not change stays the object that it was. */
export function changedSnapshot(
  before: Snapshot,
  change: SnapshotChange,
  compile: (kind: string, plain: unknown, place: string) => unknown,
): Snapshot {
  return {
    listeners: changedMap(before.listeners, change.listeners, (one) => compiledListener(one, compile)),
    routes: changedMap(before.routes, change.routes, (one) => compiledRoutes(one, `rds ${one.name}`, compile)),
    clusters: changedMap(before.clusters, change.clusters, givenSecrets),
    endpoints: changedMap(before.endpoints, change.endpoints, (one) => one),
  };
}

export function changedMap<T>(
  before: ReadonlyMap<string, T>,
  change: MapChange<T>,
  compile: (one: T) => T,
): ReadonlyMap<string, T> {
  if (change === null) return before;
  const now = new Map(before);
  for (const name of change.removed) now.delete(name);
  for (const [name, one] of change.set) now.set(name, compile(one));
  return now;
}

/** Everything, for a thread that has nothing yet. */
export function wholeSnapshot(now: Snapshot, dataOf: RouteDataOf): SnapshotChange {
  return snapshotChange(EMPTY_SNAPSHOT, now, dataOf);
}
