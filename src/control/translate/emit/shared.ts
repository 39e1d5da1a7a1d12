import { type ProxySnapshot, type ResourceEntry, type Resources, versionOf } from '../../serve/snapshot.ts';
import { CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE, SECRET, VIRTUAL_HOST } from '../../serve/type-urls.ts';
import type { DiscoveredRoutes } from './discovered-hosts.ts';
import type { Names } from './name-tables.ts';
import type { Scope } from './scope.ts';

/** What all proxies of one scope share. */
export interface Shared {
  readonly key: string;
  readonly scope: Scope;
  /** Changes with anything but addresses of endpoints. */
  readonly configKey: string;
  readonly clusters: Resources;
  endpoints: Resources;
  /** Of captured proxies, made when the first asks. */
  outbound: Outbound | null;
  /** Of those that answer DNS, made when the first asks. */
  names: Names | null;
  /** `clusters` with proxies' own ones, by what these are. */
  readonly withOwn: Map<string, Resources>;
  /** Route configurations whose hosts are resources of their own, by name. */
  readonly discovered: Map<string, DiscoveredRoutes>;
  /** All of those hosts, when all are there. */
  hosts: Hosts | null;
}

export interface Hosts {
  readonly resources: Resources;
  /** Clusters that they name and nobody has. */
  readonly missing: readonly string[];
}

/** What captured proxies of one scope share: listeners and routes of their apps' calls. */
export interface Outbound {
  readonly listeners: Resources;
  readonly routes: Resources;
  readonly notes: readonly string[];
}

export interface Own {
  readonly listeners: Map<string, ResourceEntry>;
  readonly clusters: Map<string, ResourceEntry>;
  readonly routes: Map<string, ResourceEntry>;
  /** Of gateways that end TLS. */
  readonly secrets?: Map<string, ResourceEntry>;
}

type Entries = ReadonlyMap<string, ResourceEntry>;
export const NO_ENTRIES: Entries = new Map();

/** The snapshot with the version that its resources give it. */
export function snapshotOf(
  resources: ReadonlyMap<string, Resources>,
  onDemand: boolean,
  instance: ProxySnapshot['instance'] | null = null,
): ProxySnapshot {
  const more = [VIRTUAL_HOST, NAME_TABLE, SECRET].filter((type) => resources.has(type));
  const version = [CLUSTER, ENDPOINT, LISTENER, ROUTE, ...more]
    .map((type) => versionOf(resources.get(type) ?? NO_ENTRIES))
    .join('.');
  return { version, resources, ...(onDemand ? { onDemand } : {}), ...(instance == null ? {} : { instance }) };
}

/** Clusters with those of the proxy itself, which are the same for most. */
export function withOwn(shared: Shared, clusters: Resources, own: Resources): Resources {
  if (own.size === 0) return clusters;
  if (clusters !== shared.clusters) return new Map([...clusters, ...own]);
  const key = [...own.values()].map((entry) => `${entry.name} ${entry.version}`).join('\n');
  let map = shared.withOwn.get(key);
  if (map === undefined) {
    map = new Map([...clusters, ...own]);
    shared.withOwn.set(key, map);
  }
  return map;
}

export function put(map: Map<string, ResourceEntry>, entry: ResourceEntry): void {
  map.set(entry.name, entry);
}

/** Something about one proxy that it does not get, or got otherwise than it asked. */
export interface EmitNote {
  readonly proxy: string;
  readonly message: string;
}

/** The same but for its endpoints. */
export function withEndpoints(
  { resources, onDemand = false, instance }: ProxySnapshot,
  endpoints: Resources,
): ProxySnapshot {
  return snapshotOf(new Map(resources).set(ENDPOINT, endpoints), onDemand, instance);
}
