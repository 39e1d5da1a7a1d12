import type { Cluster } from '../../model/cluster.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import { UpstreamCluster, type UpstreamEnvironment } from './cluster.ts';
import { fingerprint } from './fingerprint.ts';

/** Names of the clusters that a config change touched. */
export interface ClusterChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** What the manager keeps for a name. */
interface Entry {
  print: string;
  /** Serves requests. */
  active: UpstreamCluster;
  /** Will take over from `active` when it is warm. */
  next: UpstreamCluster | null;
}

/**
 * The clusters of the proxy by name. A cluster whose config did not change keeps its object; one whose config
 * changed serves under the old config until the new one is warm, and then hands its endpoints over.
 *
 * Make before break, for who applies a snapshot: `stage`, wait for `whenWarm` of what the new routes name,
 * publish the routes, `prune`.
 */
export class ClusterManager {
  readonly #env: UpstreamEnvironment;
  readonly #entries = new Map<string, Entry>();
  /** The hot side's view: name to the cluster that serves it. */
  readonly #active = new Map<string, UpstreamCluster>();

  constructor(env: UpstreamEnvironment) {
    this.#env = env;
  }

  /** The cluster that serves a name; one that is new may not be warm yet. */
  get(name: string): UpstreamCluster | undefined {
    return this.#active.get(name);
  }
  clusters(): IterableIterator<UpstreamCluster> {
    return this.#active.values();
  }

  /** `stage` and `prune` in one, where nothing waits for warm clusters. */
  apply(clusters: ReadonlyMap<string, Cluster>, endpoints: ReadonlyMap<string, LoadAssignment>): ClusterChanges {
    const { added, changed } = this.stage(clusters, endpoints);
    return { added, changed, removed: this.prune(clusters) };
  }

  /** Adds and changes clusters and gives them their endpoints; removes none. */
  stage(
    clusters: ReadonlyMap<string, Cluster>,
    endpoints: ReadonlyMap<string, LoadAssignment>,
  ): Omit<ClusterChanges, 'removed'> {
    const added: string[] = [];
    const changed: string[] = [];
    for (const [name, config] of clusters) {
      const entry = this.#entries.get(name);
      if (entry === undefined) {
        const active = new UpstreamCluster(config, this.#env);
        this.#entries.set(name, { print: fingerprint(config), active, next: null });
        this.#active.set(name, active);
        added.push(name);
      } else if ((entry.next ?? entry.active).config !== config) {
        const print = fingerprint(config);
        if (print === entry.print) continue;
        entry.print = print;
        changed.push(name);
        this.#replace(name, entry, config);
      }
    }
    this.#assign(endpoints);
    return { added, changed };
  }

  /** Removes the clusters that `keep` does not have; their requests finish. */
  prune(keep: { has(name: string): boolean }): string[] {
    const removed: string[] = [];
    for (const [name, entry] of this.#entries) {
      if (keep.has(name)) continue;
      this.#entries.delete(name);
      this.#active.delete(name);
      entry.next?.close();
      entry.active.close();
      entry.active.stats.clearMembership();
      removed.push(name);
    }
    return removed;
  }

  /** Resolves when each of these clusters, under its latest config, is warm or gone. A name nobody has is not waited for. */
  async whenWarm(names: Iterable<string>): Promise<void> {
    await Promise.all(Array.from(names, (name) => this.#whenOneWarm(name)));
  }

  /** Lets the clusters among `names` that still wait for endpoints serve without, after a fetch timeout. */
  giveUpWarming(names: Iterable<string>): void {
    for (const name of names) {
      const entry = this.#entries.get(name);
      if (entry !== undefined) (entry.next ?? entry.active).giveUpWarming();
    }
  }

  close(): void {
    this.prune(new Set());
  }

  #replace(name: string, entry: Entry, config: Cluster): void {
    const superseded = entry.next;
    const next = new UpstreamCluster(config, this.#env, entry.active);
    entry.next = next;
    superseded?.close();
    next.onWarm(() => {
      // Closed, or itself replaced, while it was warming.
      if (entry.next !== next || this.#entries.get(name) !== entry) return;
      const old = entry.active;
      entry.active = next;
      entry.next = null;
      this.#active.set(name, next);
      old.close();
    });
  }

  #assign(endpoints: ReadonlyMap<string, LoadAssignment>): void {
    for (const entry of this.#entries.values()) {
      const { active, next } = entry;
      for (const cluster of next === null ? [active] : [active, next]) {
        if (cluster.config.discovery.kind !== 'EDS') continue;
        const assignment = endpoints.get(cluster.config.discovery.serviceName);
        if (assignment !== undefined) cluster.updateAssignment(assignment);
      }
    }
  }

  #whenOneWarm(name: string): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        const entry = this.#entries.get(name);
        const cluster = entry === undefined ? undefined : (entry.next ?? entry.active);
        if (cluster === undefined || cluster.warm) resolve();
        else cluster.onWarm(check);
      };
      check();
    });
  }
}
