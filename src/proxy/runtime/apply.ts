import { messageOf } from '../../base/errors.ts';
import { type HttpConnectionManager, routeSources, routesShape } from '../../model/http-connection-manager.ts';
import type {
  FilterChain,
  Listener as ListenerConfig,
  NetworkFilter,
  TcpProxy as TcpProxyConfig,
} from '../../model/listener.ts';
import type { ForwardAction, RouteConfig } from '../../model/route.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import { inheritRoutes } from '../filters/inheritance.ts';
import { ConnectionManager } from '../http/connection-manager.ts';
import {
  type ChainHandler,
  type CompiledListener,
  compileListener,
  type Secure,
} from '../listener/compiled-listener.ts';
import { DrainWindow } from '../listener/drain-window.ts';
import { Listener } from '../listener/listener.ts';
import { acceptTls, DownstreamTls } from '../listener/tls.ts';
import { compileRouteTable, type RouteTable } from '../router/table.ts';
import { TcpProxy } from '../tcp/tcp-proxy.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import { fingerprint } from '../upstream/fingerprint.ts';
import { admission } from './admission.ts';
import { DEFAULT_DRAIN, type DrainSettings } from './drain.ts';
import type { ProxyEnvironment } from './environment.ts';

/** How long new routes wait for their clusters' endpoints before they go live without (Envoy's initial_fetch_timeout). */
const WARM_TIMEOUT_MS = 15_000;

/** A route table that connection managers hold on to while its content is replaced. */
class TableHolder {
  table: RouteTable | null = null;
  config: RouteConfig | null = null;
}

interface ManagerEntry {
  readonly manager: ConnectionManager;
  /** One for each of its route sources, in their order. */
  readonly holders: readonly TableHolder[];
  /** The filter chain it is for, whatever its config. */
  readonly place: string;
}

/** What a snapshot compiles to, before it is in force. */
interface Staged {
  readonly tls: Map<string, DownstreamTls>;
  readonly tables: { readonly holder: TableHolder; readonly config: RouteConfig; readonly table: RouteTable }[];
  readonly managers: Map<string, ManagerEntry>;
  /** New managers with those in whose place they come. */
  readonly heirs: { readonly entry: ManagerEntry; readonly previous: ManagerEntry }[];
  readonly tcpProxies: Map<string, TcpProxy>;
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
  readonly #drainSettings: DrainSettings;
  #managers = new Map<string, ManagerEntry>();
  #tcpProxies = new Map<string, TcpProxy>();
  /** TLS of the chains in force: an edit elsewhere changes neither its sessions nor its certificates. */
  #tls = new Map<string, DownstreamTls>();
  #applied: Snapshot = EMPTY_SNAPSHOT;
  /** A listener has been bound, or others serve as this one is to. */
  #serving: boolean;
  #waiting: Snapshot | null = null;
  #superseded: (() => void) | null = null;
  /** Monotonic ms at which new routes stop waiting for clusters that do not get warm; -1 while none waits. */
  #warmUntil = -1;
  readonly #draining = new Set<Listener>();
  #running: Promise<void> | null = null;
  #closed = false;

  constructor(env: ProxyEnvironment, drain: DrainSettings = DEFAULT_DRAIN, serving = false) {
    this.#env = env;
    this.#serving = serving;
    env.addressHosts.follow(this.tables);
    this.#drainSettings = drain;
  }

  get applied(): Snapshot {
    return this.#applied;
  }

  /**
   * Resolves when `snapshot`, or a later one, is in force. Rejects when it cannot be: nothing of it is then, but
   * for clusters that nobody asks for. A listener of the first snapshot that cannot be bound is such a reason.
   */
  apply(snapshot: Snapshot): Promise<void> {
    this.#waiting = snapshot;
    // What is being warmed may get its endpoints by the newer snapshot only.
    this.#superseded?.();
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Listeners that were removed or replaced and still have connections. */
  get drainingListeners(): Iterable<Listener> {
    return this.#draining;
  }

  /** The connection managers in force, for admin views. */
  managers(): ConnectionManager[] {
    return [...this.#managers.values()].map(({ manager }) => manager);
  }

  close(): void {
    this.#closed = true;
    this.#superseded?.();
    for (const listener of [...this.listeners.values(), ...this.#draining]) listener.destroy();
    this.listeners.clear();
    this.#swapTls(new Map());
    this.#draining.clear();
    this.#env.clusters.close();
  }

  async #run(): Promise<void> {
    while (this.#waiting !== null && !this.#closed) {
      const snapshot = this.#waiting;
      this.#waiting = null;
      try {
        await this.#applyOne(snapshot);
      } catch (error) {
        // A later snapshot has its own chance.
        if (this.#waiting === null) throw error;
        this.#env.log.error(messageOf(error));
      }
    }
  }

  async #applyOne(snapshot: Snapshot): Promise<void> {
    const { clusters } = this.#env;
    clusters.stage(snapshot.clusters, snapshot.endpoints);
    // Whoever made the snapshot has waited for these, and given up.
    clusters.giveUpWarming(withoutEndpoints(snapshot));
    if (snapshot.routes !== this.#applied.routes || snapshot.listeners !== this.#applied.listeners) {
      if (!(await this.#warm(snapshot)) || this.#closed) return;
      await this.#swap(snapshot);
    }
    if (this.#closed) return;
    clusters.prune(snapshot.clusters);
    this.#applied = snapshot;
  }

  /** Waits until the clusters that routes name have endpoints; false when a later snapshot came meanwhile. */
  async #warm(snapshot: Snapshot): Promise<boolean> {
    const { clusters, clock } = this.#env;
    const names = new Set<string>();
    for (const config of snapshot.routes.values()) collectClusters(config, names);
    for (const listener of snapshot.listeners.values()) collectListenerClusters(listener, names);
    const cold = [...names].filter((name) => clusters.get(name)?.warm === false);
    if (cold.length === 0) {
      this.#warmUntil = -1;
      return true;
    }
    if (this.#warmUntil < 0) this.#warmUntil = clock.now() + WARM_TIMEOUT_MS;
    const timer = clock.after(Math.max(0, this.#warmUntil - clock.now()), () => {
      this.#env.log.warn('clusters did not get endpoints in time; their routes go live without', {
        clusters: cold.filter((name) => clusters.get(name)?.warm === false).join(','),
      });
      clusters.giveUpWarming(cold);
    });
    const superseded = new Promise<boolean>((resolve) => {
      this.#superseded = () => resolve(false);
    });
    const warm = await Promise.race([clusters.whenWarm(cold).then(() => true), superseded]);
    this.#superseded = null;
    timer.cancel();
    if (warm) this.#warmUntil = -1;
    return warm;
  }

  /** Compiles everything, and when all of it compiles, puts it in force. */
  async #swap(snapshot: Snapshot): Promise<void> {
    const staged: Staged = { tables: [], managers: new Map(), heirs: [], tcpProxies: new Map(), tls: new Map() };
    const listeners = this.#compile(snapshot, staged);
    // No await from here to the swap's end: a request sees the old state or the new one.
    for (const { entry, previous } of staged.heirs) {
      entry.manager.inherit(previous.manager);
      followTables(entry, previous);
    }
    for (const { holder, table, config } of staged.tables) {
      if (holder.config !== null) inheritRoutes(config, holder.config);
      holder.table = table;
      holder.config = config;
    }
    const before = { managers: this.#managers, tcpProxies: this.#tcpProxies };
    this.#managers = staged.managers;
    this.#tcpProxies = staged.tcpProxies;
    releaseUnnamed(before, staged);
    this.#swapTls(staged.tls);
    const added: Listener[] = [];
    for (const compiled of listeners) {
      const { config } = compiled;
      const running = this.listeners.get(config.name);
      if (running !== undefined && sameSockets(running.config, config)) running.update(compiled);
      else added.push(new Listener(compiled, this.#env));
    }
    this.#env.hosts.tablesChanged();
    this.#forgetTables(snapshot.routes);
    const leaving = [...this.listeners.values()].filter(({ name }) => !snapshot.listeners.has(name));
    // Those that get connections from others are there before those that hand them on.
    for (const listener of added) if (!listener.config.bindToPort) await this.#bind(listener, leaving);
    this.#env.listenerIndex.update(this.listeners.values());
    for (const listener of added) if (listener.config.bindToPort) await this.#bind(listener, leaving);
    for (const listener of leaving) {
      this.listeners.delete(listener.name);
      this.#drain(listener);
    }
    this.#env.listenerIndex.update(this.listeners.values());
  }

  /** What does not compile leaves nothing behind. */
  #compile(snapshot: Snapshot, staged: Staged): CompiledListener[] {
    try {
      for (const [name, config] of snapshot.routes) this.#stageTable(this.#namedHolder(name), config, staged);
      return [...snapshot.listeners.values()].map((config) =>
        compileListener(
          config,
          (filter, chain) => this.#handler(config, chain, filter, staged),
          this.#listenerLog(config),
        ),
      );
    } catch (error) {
      releaseUnnamed(staged, { managers: this.#managers, tcpProxies: this.#tcpProxies });
      throw error;
    }
  }

  /** A table that the server dropped lives on while a listener asks for it by name. */
  #forgetTables(routes: Snapshot['routes']): void {
    const held = new Set<TableHolder>();
    for (const { holders } of this.#managers.values()) for (const holder of holders) held.add(holder);
    for (const [name, holder] of this.tables) if (!routes.has(name) && !held.has(holder)) this.tables.delete(name);
  }

  #stageTable(holder: TableHolder, config: RouteConfig, { tables }: Staged): void {
    if (holder.config === config) return;
    tables.push({ holder, config, table: compileRouteTable(config, this.#env, holder.table) });
  }

  /** Binds a new listener, then lets the one it replaces go. */
  async #bind(listener: Listener, leaving: readonly Listener[]): Promise<void> {
    // What cannot serve at all must not go on as if it did; what serves already, serves on.
    const first = !this.#serving;
    const replaced = this.listeners.get(listener.name);
    try {
      await listener.bind(replaced === undefined ? leaving : [...leaving, replaced]);
    } catch (error) {
      listener.destroy();
      if (first) throw error;
      this.#env.log.error(`${messageOf(error)}${replaced === undefined ? '' : '; the old address stays in force'}`);
      return;
    }
    if (this.#closed) {
      listener.destroy();
      return;
    }
    if (listener.config.bindToPort) this.#serving = true;
    this.listeners.set(listener.name, listener);
    if (replaced !== undefined) this.#drain(replaced);
  }

  /** Its clients are asked to leave over the drain time, as for every other reason to drain; then it ends. */
  #drain(listener: Listener): void {
    const { clock } = this.#env;
    const { timeMs, strategy } = this.#drainSettings;
    this.#draining.add(listener);
    listener.retire();
    listener.setDrain(new DrainWindow(clock.now(), timeMs, strategy));
    const end = clock.after(timeMs, () => listener.endAll());
    listener.onEmpty(() => {
      end.cancel();
      this.#draining.delete(listener);
    });
  }

  /** The handler of a chain: the one in force when its config is the same but for its routes. */
  #handler(listener: ListenerConfig, chain: FilterChain | null, filter: NetworkFilter, staged: Staged): ChainHandler {
    const declared = (chain ?? listener.defaultFilterChain)?.declared ?? null;
    const secure = this.#secure(listener, chain === null ? listener.defaultFilterChain : chain, staged);
    if (filter.kind === 'tcp')
      return { kind: 'tcp', secure, declared, proxy: this.#tcpProxy(listener, chain, filter.tcp, staged) };
    const { http } = filter;
    const key = managerKey(listener, chain, http);
    let entry = this.#managers.get(key);
    if (entry === undefined) {
      const holders = routeSources(http.routes).map((source) =>
        source.kind === 'rds' ? this.#namedHolder(source.name) : new TableHolder(),
      );
      const settings = {
        port: listener.addresses[0]?.port ?? 0,
        bufferLimitBytes: listener.perConnectionBufferLimitBytes,
        bypassOverload: listener.bypassOverloadManager,
        filterChain: chain?.name ?? '',
        place: placeOf(listener, chain),
      };
      const { place } = settings;
      entry = { manager: new ConnectionManager(http, holders, settings, this.#env), holders, place };
      const previous = this.#managers.values().find((one) => one.place === place);
      if (previous !== undefined) staged.heirs.push({ entry, previous });
    }
    staged.managers.set(key, entry);
    for (const [i, source] of routeSources(http.routes).entries()) {
      if (source.kind === 'inline') this.#stageTable(entry.holders[i]!, source.config, staged);
    }
    return { kind: 'http', secure, declared, manager: entry.manager };
  }

  #tcpProxy(listener: ListenerConfig, chain: FilterChain | null, tcp: TcpProxyConfig, staged: Staged): TcpProxy {
    const key = fingerprint([listener.name, chain === null ? null : [chain.name, chain.match], tcp]);
    const proxy =
      this.#tcpProxies.get(key) ?? new TcpProxy(tcp, chain?.name ?? '', this.#env, admission(tcp, this.#env.stats));
    staged.tcpProxies.set(key, proxy);
    return proxy;
  }

  /** The listener's own log: the one in force when nothing of it changed, so that its warnings are given once. */
  #listenerLog({ name, accessLog }: ListenerConfig): AccessLogger | null {
    const running = this.listeners.get(name);
    if (running !== undefined && running.config.accessLog === accessLog) return running.accessLog;
    return this.#env.compileAccessLogs(accessLog, `listener ${name}`);
  }

  /** What secures the connections of a chain: the one in force when its config is the same. */
  #secure(listener: ListenerConfig, chain: FilterChain | null, { tls }: Staged): Secure | null {
    if (chain?.tls === undefined) return null;
    const { name, statPrefix } = listener;
    const key = fingerprint([name, statPrefix, chain.tls]);
    const made = tls.get(key) ?? this.#tls.get(key) ?? new DownstreamTls(chain.tls, name, this.#env.tls, statPrefix);
    tls.set(key, made);
    return (socket, onDone, hello) => acceptTls(socket, made, onDone, hello);
  }

  #swapTls(now: Map<string, DownstreamTls>): void {
    for (const [key, tls] of this.#tls) if (now.get(key) !== tls) tls.close();
    this.#tls = now;
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
function managerKey(listener: ListenerConfig, chain: FilterChain | null, http: HttpConnectionManager): string {
  const routes = routesShape(http.routes);
  const { perConnectionBufferLimitBytes, bypassOverloadManager } = listener;
  const place = placeOf(listener, chain);
  return fingerprint([place, perConnectionBufferLimitBytes, bypassOverloadManager, { ...http, routes }]);
}

/** A name may be missing or shared; no two chains of a listener match the same. */
function placeOf(listener: ListenerConfig, chain: FilterChain | null): string {
  return fingerprint([listener.name, chain === null ? null : [chain.name, chain.match]]);
}

/** The tables of a new manager come in the place of the old one's: filter state of their routes is handed on. */
function followTables(entry: ManagerEntry, previous: ManagerEntry): void {
  const { routes } = entry.manager.config;
  const before = scopeNames(previous.manager.config.routes);
  const names = scopeNames(routes);
  for (const [i, source] of routeSources(routes).entries()) {
    const at = source.kind === 'inline' ? before.indexOf(names[i]!) : -1;
    if (at >= 0) entry.holders[i]!.config = previous.holders[at]!.config;
  }
}

function scopeNames(routes: HttpConnectionManager['routes']): readonly string[] {
  return routes.kind === 'scoped' ? routes.scopes.map(({ name }) => name) : [''];
}

type Handlers = Pick<Staged, 'managers' | 'tcpProxies'>;

/** Lets go what `named` does not have. */
function releaseUnnamed({ managers, tcpProxies }: Handlers, named: Handlers): void {
  for (const [key, entry] of managers) if (named.managers.get(key) !== entry) entry.manager.release();
  for (const [key, proxy] of tcpProxies) if (named.tcpProxies.get(key) !== proxy) proxy.release();
}

function sameSockets(a: ListenerConfig, b: ListenerConfig): boolean {
  return (
    a.bindToPort === b.bindToPort &&
    a.transparent === b.transparent &&
    a.useOriginalDst === b.useOriginalDst &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every(({ host, port }, i) => host === b.addresses[i]!.host && port === b.addresses[i]!.port)
  );
}

/** Clusters that go live although discovery has no endpoints for them. */
function withoutEndpoints({ clusters, endpoints }: Snapshot): string[] {
  const names: string[] = [];
  for (const { name, discovery } of clusters.values()) {
    if (discovery.kind === 'EDS' && !endpoints.has(discovery.serviceName)) names.push(name);
  }
  return names;
}

function collectListenerClusters(listener: ListenerConfig, names: Set<string>): void {
  const chains = listener.defaultFilterChain === null ? [] : [listener.defaultFilterChain];
  for (const { filter } of [...listener.filterChains, ...chains]) {
    if (filter.kind === 'tcp') for (const { name } of filter.tcp.clusters) names.add(name);
    else {
      for (const source of routeSources(filter.http.routes)) {
        if (source.kind === 'inline') collectClusters(source.config, names);
      }
    }
  }
}

function collectClusters(config: RouteConfig, names: Set<string>): void {
  for (const host of config.virtualHosts) {
    for (const { action } of host.routes) if (action.kind === 'forward') collectActionClusters(action, names);
    if (host.bytesTo !== undefined) names.add(host.bytesTo);
  }
}

function collectActionClusters({ cluster }: ForwardAction, names: Set<string>): void {
  if (cluster.kind === 'cluster') names.add(cluster.name);
  else if (cluster.kind === 'weighted') for (const { name } of cluster.clusters) if (name !== '') names.add(name);
}
