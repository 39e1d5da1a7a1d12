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

/** The virtual hosts of one snapshot that a client is to have. */
interface Hosts {
  readonly all: Resources;
  readonly revision: number;
  readonly resources: Resources;
  /** By resource, what the client asked for it by. */
  readonly aliases: ReadonlyMap<string, readonly string[]>;
}

/** The clusters of one snapshot that a client is to have. */
interface Clusters {
  readonly parts: readonly unknown[];
  readonly resources: Resources;
}

/**
 * What of a snapshot is for one client. Of virtual hosts it is those of the route configurations that it names, and
 * those that it asks for by host; on demand these alone, and of the clusters only what its listeners, its routes and
 * these hosts name. Maps stay the same objects while their content does.
 */
export class ClientView {
  readonly #types: ReadonlyMap<string, TypeState>;
  #hosts: Hosts | null = null;
  #clusters: Clusters | null = null;

  constructor(types: ReadonlyMap<string, TypeState>) {
    this.#types = types;
  }

  resources(snapshot: ProxySnapshot, url: string): Resources {
    if (url === VIRTUAL_HOST) return this.#hostsOf(snapshot).resources;
    if (url === CLUSTER && snapshot.onDemand === true) return this.#clustersOf(snapshot);
    return resourcesOf(snapshot, url);
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
    if (before?.all === all && before.revision === revision) return before;
    const hosts =
      state === undefined
        ? { all, revision, resources: NONE, aliases: new Map() }
        : (follow(before, all, revision) ?? select(state, all, snapshot.onDemand === true, before));
    this.#hosts = hosts;
    return hosts;
  }

  #clustersOf(snapshot: ProxySnapshot): Resources {
    const state = this.#types.get(CLUSTER);
    const all = resourcesOf(snapshot, CLUSTER);
    const hosts = this.#hostsOf(snapshot).resources;
    const roots = [resourcesOf(snapshot, LISTENER), resourcesOf(snapshot, ROUTE), hosts];
    const parts = [all, state?.revision, ...roots];
    const before = this.#clusters;
    if (before !== null && parts.every((part, i) => part === before.parts[i])) return before.resources;
    const resources = new Map<string, ResourceEntry>();
    const add = (name: string): void => {
      const entry = all.get(name);
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

function select(state: TypeState, all: Resources, onDemand: boolean, before: Hosts | null): Hosts {
  const index = hostIndex(all);
  const aliases = new Map<string, string[]>();
  const resources = new Map<string, ResourceEntry>();
  for (const asked of state.names) {
    const name = isHostName(asked) ? index.find(asked) : null;
    if (name === null) continue;
    resources.set(name, all.get(name)!);
    const known = aliases.get(name);
    if (known === undefined) aliases.set(name, [asked]);
    else known.push(asked);
  }
  const { revision } = state;
  if (!onDemand) {
    const whole = (routes: string): boolean => state.wildcard || state.names.has(routes);
    if ([...index.routes].every(whole)) return { all, revision, resources: all, aliases };
    for (const [name, entry] of all) if (whole(routesOf(name))) resources.set(name, entry);
  }
  return { all, revision, resources: sameOr(before?.resources, resources), aliases };
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
