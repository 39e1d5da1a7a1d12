import { hostIndex, isHostName, routesOf } from './host-index.ts';
import {
  changedSince,
  type ProxySnapshot,
  type ResourceEntry,
  type Resources,
  replaceEntries,
  resourcesOf,
} from './snapshot.ts';
import type { TypeState } from './type-state.ts';
import { CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST } from './type-urls.ts';

const NONE: Resources = new Map();
/** What may be an instance: `<route configuration>/<address>:<port>`, or without the port. */
const ADDRESS = /\/(?:\[[0-9a-f:.]+\]|[0-9.]+)(?::\d+)?$/;

/** The virtual hosts of one snapshot that a client is to have. */
interface Hosts {
  readonly all: Resources;
  readonly revision: number;
  readonly resources: Resources;
  /** By resource, what the client asked for it by. */
  readonly aliases: ReadonlyMap<string, readonly string[]>;
  /** Clusters of the instances among them; null: none was asked for, so it does not matter which there are. */
  readonly instances: Resources | null;
  /** What the instances were found by: their endpoints, and the policies of their services. */
  readonly snapshot: ProxySnapshot;
}

/** The clusters of one snapshot that a client is to have. */
interface Clusters {
  readonly parts: readonly unknown[];
  readonly resources: Resources;
}

/**
 * What of a snapshot is for one client. Of virtual hosts it is those of the route configurations that it names, and
 * those that it asks for by host; on demand these alone, and of the clusters only what its listeners, its routes and
 * these hosts name. Instances come on top, for whoever asks. Maps stay the same objects while their content does.
 */
export class ClientView {
  readonly #types: ReadonlyMap<string, TypeState>;
  #hosts: Hosts | null = null;
  #clusters: Clusters | null = null;
  #withInstances: Clusters | null = null;

  constructor(types: ReadonlyMap<string, TypeState>) {
    this.#types = types;
  }

  resources(snapshot: ProxySnapshot, url: string): Resources {
    if (url === VIRTUAL_HOST) return this.#hostsOf(snapshot).resources;
    if (url !== CLUSTER) return resourcesOf(snapshot, url);
    return snapshot.onDemand === true ? this.#clustersOf(snapshot) : this.#allClustersOf(snapshot);
  }

  /** By virtual host, what the client asked for it by. */
  aliases(snapshot: ProxySnapshot): ReadonlyMap<string, readonly string[]> {
    return this.#hostsOf(snapshot).aliases;
  }

  #hostsOf(snapshot: ProxySnapshot): Hosts {
    const all = resourcesOf(snapshot, VIRTUAL_HOST);
    const state = this.#types.get(VIRTUAL_HOST);
    const revision = state?.revision ?? 0;
    const before = this.#hosts;
    const moved = before !== null && before.instances !== null && before.snapshot !== snapshot;
    if (before?.all === all && before.revision === revision && !moved) return before;
    const hosts =
      state === undefined
        ? { all, revision, resources: NONE, aliases: new Map(), instances: null, snapshot }
        : ((moved ? null : follow(before, all, revision)) ?? select(state, all, snapshot, before));
    this.#hosts = hosts;
    return hosts;
  }

  #allClustersOf(snapshot: ProxySnapshot): Resources {
    const all = resourcesOf(snapshot, CLUSTER);
    const { instances } = this.#hostsOf(snapshot);
    if (instances === null || instances.size === 0) return all;
    const before = this.#withInstances;
    if (before?.parts[0] === all && before.parts[1] === instances) return before.resources;
    const resources = sameOr(before?.resources, new Map([...instances, ...all]));
    this.#withInstances = { parts: [all, instances], resources };
    return resources;
  }

  #clustersOf(snapshot: ProxySnapshot): Resources {
    const state = this.#types.get(CLUSTER);
    const all = resourcesOf(snapshot, CLUSTER);
    const { resources: hosts, instances } = this.#hostsOf(snapshot);
    const roots = [resourcesOf(snapshot, LISTENER), resourcesOf(snapshot, ROUTE), hosts];
    const parts = [all, state?.revision, instances, ...roots];
    const before = this.#clusters;
    if (before !== null && parts.every((part, i) => part === before.parts[i])) return before.resources;
    const resources = new Map<string, ResourceEntry>();
    const add = (name: string): void => {
      const entry = all.get(name) ?? instances?.get(name);
      if (entry !== undefined) resources.set(name, entry);
    };
    for (const root of roots) for (const name of clustersOf(root)) add(name);
    for (const name of state?.names ?? []) add(name);
    this.#clusters = { parts, resources: sameOr(before?.resources, resources) };
    return this.#clusters.resources;
  }
}

/** The next hosts where the one map was derived from the other: what did not change there is not looked at. */
function follow(before: Hosts | null, all: Resources, revision: number): Hosts | null {
  if (before === null || before.revision !== revision) return null;
  const changed = changedSince(all, before.all);
  if (changed === null) return null;
  if (before.resources === before.all) return { ...before, all, resources: all };
  const entries: ResourceEntry[] = [];
  for (const name of changed) {
    const [was, is] = [before.all.get(name), all.get(name)];
    // Another host may be meant by what the client asks for.
    if (was === undefined || is === undefined || String(was.domains) !== String(is.domains)) return null;
    if (before.resources.has(name)) entries.push(is);
  }
  return { ...before, all, resources: replaceEntries(before.resources, entries) };
}

function select(state: TypeState, all: Resources, snapshot: ProxySnapshot, before: Hosts | null): Hosts {
  const onDemand = snapshot.onDemand === true;
  const instances = new Map<string, ResourceEntry>();
  let asksInstances = false;
  const index = hostIndex(all);
  const aliases = new Map<string, string[]>();
  const resources = new Map<string, ResourceEntry>();
  for (const asked of state.names) {
    const name = isHostName(asked) ? index.find(asked) : null;
    if (name === null) {
      if (!ADDRESS.test(asked) || snapshot.instance === undefined) continue;
      asksInstances = true;
      const instance = snapshot.instance(asked);
      if (instance === null) continue;
      resources.set(asked, instance.host);
      aliases.set(asked, [asked]);
      for (const cluster of instance.clusters) instances.set(cluster.name, cluster);
      continue;
    }
    resources.set(name, all.get(name)!);
    const known = aliases.get(name);
    if (known === undefined) aliases.set(name, [asked]);
    else known.push(asked);
  }
  const { revision } = state;
  if (!onDemand) {
    const whole = (routes: string): boolean => state.wildcard || state.names.has(routes);
    if (!asksInstances && [...index.routes].every(whole))
      return { all, revision, resources: all, aliases, instances: null, snapshot };
    for (const [name, entry] of all) if (whole(routesOf(name))) resources.set(name, entry);
  }
  const clusters = asksInstances ? sameOr(before?.instances ?? undefined, instances) : null;
  return { all, revision, resources: sameOr(before?.resources, resources), aliases, instances: clusters, snapshot };
}

const named = new WeakMap<Resources, ReadonlySet<string>>();

/** Names of the clusters that any of these refers to. */
function clustersOf(resources: Resources): ReadonlySet<string> {
  let names = named.get(resources);
  if (names === undefined) {
    const found = new Set<string>();
    for (const { references } of resources.values()) {
      for (const { typeUrl, name } of references) if (typeUrl === CLUSTER) found.add(name);
    }
    names = found;
    named.set(resources, names);
  }
  return names;
}

function sameOr(before: Resources | undefined, now: Resources): Resources {
  if (before === undefined || before.size !== now.size) return now;
  for (const [name, entry] of now) if (before.get(name) !== entry) return now;
  return before;
}
