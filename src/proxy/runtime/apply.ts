import { messageOf } from '../../base/errors.ts';
import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { Listener as ListenerConfig, NetworkFilter } from '../../model/listener.ts';
import type { ForwardAction, RouteConfig } from '../../model/route.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import { ConnectionManager } from '../http/connection-manager.ts';
import { type ChainHandler, compileListener, Listener } from '../listener/listener.ts';
import { compileRouteTable, type RouteTable } from '../router/table.ts';
import { fingerprint } from '../upstream/fingerprint.ts';
import type { ProxyEnvironment } from './environment.ts';

/** How long new routes wait for their clusters' endpoints before they go live without (Envoy's initial_fetch_timeout). */
const WARM_TIMEOUT_MS = 15_000;

/** A route table that connection managers hold on to while its content is replaced. */
class TableHolder {
  table: RouteTable | null = null;
  config: RouteConfig | null = null;
}

/**
 * Makes the running proxy be what a snapshot says, without a request noticing: new clusters warm first, then
 * route tables and listeners are swapped in one turn, then what nobody uses drains. Snapshots are applied one
 * after the other; of those that wait only the latest counts.
 */
export class SnapshotApplier {
  readonly listeners = new Map<string, Listener>();
  readonly tables = new Map<string, TableHolder>();
  readonly #env: ProxyEnvironment;
  readonly #managers = new Map<string, { readonly manager: ConnectionManager; readonly holder: TableHolder }>();
  #applied: Snapshot = EMPTY_SNAPSHOT;
  #waiting: Snapshot | null = null;
  #running: Promise<void> | null = null;
  #closed = false;

  constructor(env: ProxyEnvironment) {
    this.#env = env;
  }

  get applied(): Snapshot {
    return this.#applied;
  }

  /** Resolves when `snapshot`, or a later one, is in force. Rejects when a listener of the first snapshot cannot be bound. */
  apply(snapshot: Snapshot): Promise<void> {
    this.#waiting = snapshot;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** The connection managers in force, for admin views. */
  managers(): ConnectionManager[] {
    return [...this.#managers.values()].map(({ manager }) => manager);
  }

  close(): void {
    this.#closed = true;
    for (const listener of this.listeners.values()) listener.destroy();
    this.listeners.clear();
    this.#env.clusters.close();
  }

  async #run(): Promise<void> {
    while (this.#waiting !== null && !this.#closed) {
      const snapshot = this.#waiting;
      this.#waiting = null;
      await this.#applyOne(snapshot);
    }
  }

  async #applyOne(snapshot: Snapshot): Promise<void> {
    const { clusters } = this.#env;
    clusters.stage(snapshot.clusters, snapshot.endpoints);
    if (snapshot.routes !== this.#applied.routes || snapshot.listeners !== this.#applied.listeners) {
      await this.#warm(snapshot);
      if (this.#closed) return;
      // No await between here and the swap's end: a request sees the old state or the new one.
      for (const [name, config] of snapshot.routes) this.#updateTable(name, config);
      await this.#updateListeners(snapshot.listeners);
      for (const name of [...this.tables.keys()]) if (!snapshot.routes.has(name)) this.tables.delete(name);
    }
    clusters.prune(snapshot.clusters);
    this.#applied = snapshot;
  }

  async #warm(snapshot: Snapshot): Promise<void> {
    const { clusters, clock } = this.#env;
    const names = new Set<string>();
    for (const config of snapshot.routes.values()) collectClusters(config, names);
    for (const listener of snapshot.listeners.values()) collectListenerClusters(listener, names);
    const cold = [...names].filter((name) => clusters.get(name)?.warm === false);
    if (cold.length === 0) return;
    const timer = clock.after(WARM_TIMEOUT_MS, () => {
      this.#env.log.warn('clusters did not get endpoints in time; their routes go live without', {
        clusters: cold.filter((name) => clusters.get(name)?.warm === false).join(','),
      });
      clusters.giveUpWarming(cold);
    });
    await clusters.whenWarm(cold);
    timer.cancel();
  }

  #updateTable(name: string, config: RouteConfig): void {
    let holder = this.tables.get(name);
    if (holder === undefined) {
      holder = new TableHolder();
      this.tables.set(name, holder);
    }
    this.#compileInto(holder, config);
  }

  #compileInto(holder: TableHolder, config: RouteConfig): void {
    if (holder.config === config) return;
    try {
      holder.table = compileRouteTable(config, this.#env);
      holder.config = config;
    } catch (error) {
      this.#env.log.error(`routes ${config.name} stay as they were: ${messageOf(error)}`);
    }
  }

  async #updateListeners(configs: ReadonlyMap<string, ListenerConfig>): Promise<void> {
    const used = new Set<string>();
    const added: Listener[] = [];
    for (const config of configs.values()) {
      const compiled = compileListener(config, (filter, chain) => this.#handler(config, chain, filter, used));
      const running = this.listeners.get(config.name);
      if (running !== undefined && sameAddresses(running.config, config)) running.update(compiled);
      else if (config.bindToPort) added.push(new Listener(compiled, this.#env));
    }
    for (const listener of added) await this.#bind(listener);
    for (const [name, listener] of this.listeners) {
      if (configs.has(name)) continue;
      this.listeners.delete(name);
      listener.drain();
    }
    for (const key of [...this.#managers.keys()]) if (!used.has(key)) this.#managers.delete(key);
  }

  /** Binds a new listener, then lets the one it replaces go. */
  async #bind(listener: Listener): Promise<void> {
    const first = this.#applied === EMPTY_SNAPSHOT;
    const replaced = this.listeners.get(listener.name);
    try {
      await listener.bind();
    } catch (error) {
      listener.destroy();
      if (first) throw error;
      this.#env.log.error(`${messageOf(error)}${replaced === undefined ? '' : '; the old address stays in force'}`);
      return;
    }
    this.listeners.set(listener.name, listener);
    replaced?.drain();
  }

  /** The handler of a chain: the one in force when its config is the same but for its routes. */
  #handler(listener: ListenerConfig, chain: string, filter: NetworkFilter, used: Set<string>): ChainHandler {
    if (filter.kind === 'tcp') return { kind: 'tcp', filter: filter.tcp };
    const { http } = filter;
    const key = managerKey(listener, chain, http);
    used.add(key);
    let entry = this.#managers.get(key);
    if (entry === undefined) {
      const holder = http.routes.kind === 'rds' ? this.#namedHolder(http.routes.name) : new TableHolder();
      const settings = {
        port: listener.addresses[0]?.port ?? 0,
        bufferLimitBytes: listener.perConnectionBufferLimitBytes,
      };
      entry = { manager: new ConnectionManager(http, holder, settings, this.#env), holder };
      this.#managers.set(key, entry);
    }
    if (http.routes.kind === 'inline') this.#compileInto(entry.holder, http.routes.config);
    return { kind: 'http', manager: entry.manager };
  }

  #namedHolder(name: string): TableHolder {
    let holder = this.tables.get(name);
    if (holder === undefined) {
      holder = new TableHolder();
      this.tables.set(name, holder);
    }
    return holder;
  }
}

/** What of a chain makes a new connection manager necessary: everything but the routes, which are looked up per request. */
function managerKey(listener: ListenerConfig, chain: string, http: HttpConnectionManager): string {
  const routes = http.routes.kind === 'rds' ? http.routes : { kind: 'inline' };
  return fingerprint([listener.name, chain, listener.perConnectionBufferLimitBytes, { ...http, routes }]);
}

function sameAddresses(a: ListenerConfig, b: ListenerConfig): boolean {
  return (
    a.addresses.length === b.addresses.length &&
    a.addresses.every(({ host, port }, i) => host === b.addresses[i]!.host && port === b.addresses[i]!.port)
  );
}

function collectListenerClusters(listener: ListenerConfig, names: Set<string>): void {
  const chains = listener.defaultFilterChain === null ? [] : [listener.defaultFilterChain];
  for (const { filter } of [...listener.filterChains, ...chains]) {
    if (filter.kind === 'tcp') for (const { name } of filter.tcp.clusters) names.add(name);
    else if (filter.http.routes.kind === 'inline') collectClusters(filter.http.routes.config, names);
  }
}

function collectClusters(config: RouteConfig, names: Set<string>): void {
  for (const host of config.virtualHosts) {
    for (const { action } of host.routes) if (action.kind === 'forward') collectActionClusters(action, names);
  }
}

function collectActionClusters({ cluster }: ForwardAction, names: Set<string>): void {
  if (cluster.kind === 'cluster') names.add(cluster.name);
  else if (cluster.kind === 'weighted') for (const { name } of cluster.clusters) if (name !== '') names.add(name);
}
