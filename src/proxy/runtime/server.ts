import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger, LogRoot } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { Registry } from '../../base/registry.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import type { AdsSource, Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import type { DynamicConfig } from '../../xds/client/dynamic-config.ts';
import type { AdminServer } from '../admin/server.ts';
import type { DnsProxy } from '../dns/dns-proxy.ts';
import { HTTP_FILTER_TYPES } from '../filters/standard.ts';
import { LogSinks } from '../telemetry/accesslog/sink.ts';
import { identityOfNode } from '../telemetry/metrics/identity.ts';
import { RequestMetrics } from '../telemetry/metrics/istio.ts';
import { StatStore } from '../telemetry/metrics/store.ts';
import { StatSweeper } from '../telemetry/metrics/sweeper.ts';
import { systemResolver } from '../upstream/dns.ts';
import { standardBalancers } from '../upstream/lb/standard.ts';
import type { AppOptions } from './admin.ts';
import { SnapshotApplier } from './apply.ts';
import type { DnsOptions } from './dns.ts';
import { DrainManager, type DrainSettings } from './drain.ts';
import { ProxyEnvironment } from './environment.ts';
import type { HotRestart } from './hot-restart.ts';
import type { IdentitySettings, ProxyIdentity } from './identity.ts';
import { StaticRuntime } from './runtime-values.ts';

export interface ProxyOptions {
  readonly bootstrap: Bootstrap;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** This build, as discovery and `/server_info` name it. */
  readonly version: string;
  /** File that keeps the last good config for a start without the control server; absent: none. */
  readonly lastGoodPath?: string;
  /** The text the bootstrap was read from, for `/config_dump`. */
  readonly bootstrapText?: string;
  /** What `POST /logging` changes. */
  readonly logLevel?: Pick<LogRoot, 'level'>;
  /** Where `/healthz/ready` is served, for a kubelet; absent: nowhere. */
  readonly health?: SocketAddress;
  /** Where `/stats/prometheus` is served, for a scraper; absent: nowhere. */
  readonly prometheus?: SocketAddress;
  /** Answers DNS for the program beside it; absent: nobody's. */
  readonly dns?: DnsOptions;
  /** The application in the same pod, whose probes and metrics go by this proxy; absent: none. */
  readonly app?: AppOptions;
  /** Ends the process in good order (`POST /quitquitquit`). */
  readonly quit?: () => void;
  /** How clients are asked to leave; Envoy's defaults without. */
  readonly drain?: DrainSettings;
  /** The supervisor that replaces this process by another; absent: nobody does. */
  readonly hotRestart?: HotRestart;
  /** Who it is, for mutual TLS; absent: nobody, and config that asks for an identity finds no secrets. */
  readonly identity?: IdentitySettings;
}

/** One running proxy. This file is where its parts meet, and the only one. */
export class Proxy {
  readonly env: ProxyEnvironment;
  readonly applier: SnapshotApplier;
  /** Asks clients to leave, and ends what is to end. */
  readonly drain: DrainManager;
  readonly #options: ProxyOptions;
  readonly #sinks: LogSinks;
  readonly #runtime: StaticRuntime;
  readonly #sweeper: StatSweeper;
  #discovery: DynamicConfig | null = null;
  #identity: ProxyIdentity | null = null;
  #dns: DnsProxy | null = null;
  readonly #admin: { readonly server: AdminServer; readonly address: SocketAddress }[] = [];
  /** True once the first whole config is in force. */
  ready = false;

  constructor(options: ProxyOptions) {
    const { clock, random, log, bootstrap } = options;
    this.#options = options;
    // Numbers first: everything below counts in them.
    const stats = new StatStore();
    // Access log files and streams outlive the config that names them.
    this.#sinks = new LogSinks(clock, options);
    const runtime = new StaticRuntime(bootstrap.runtime);
    this.#runtime = runtime;
    const metrics = new RequestMetrics(stats, identityOfNode(bootstrap.node.metadata));
    this.#sweeper = new StatSweeper(clock, [metrics, stats]);
    // What the parts may ask of the process; clusters live in it.
    this.env = new ProxyEnvironment({
      clock,
      random,
      log,
      stats,
      sinks: this.#sinks,
      node: bootstrap.node,
      runtime,
      filterTypes: new Registry(
        'HTTP filter',
        HTTP_FILTER_TYPES.map((type) => [type.kind, type]),
      ),
      balancers: standardBalancers,
      resolve: systemResolver,
      metrics,
      overload: bootstrap.overload,
      sockets: options.hotRestart ?? null,
      secrets: bootstrap.secrets,
      explain: runtime.boolean('remora.local_reply.explain', false),
    });
    // Turns snapshots of the model into listeners, tables and clusters.
    this.applier = new SnapshotApplier(this.env, options.drain);
    this.env.overloadManager.onRelief = () => {
      for (const listener of this.applier.listeners.values()) listener.serveHeld();
    };
    this.drain = new DrainManager(this.env, this.applier, options.drain);
  }

  /**
   * Binds what the bootstrap says, follows its discovery, and resolves when the first whole config is in
   * force. Rejects when that cannot be: an address in use, say.
   */
  async start(): Promise<void> {
    const { bootstrap } = this.#options;
    const statics = staticSnapshot(bootstrap);
    this.#sweeper.start();
    this.env.overloadManager.start();
    const { hotRestart } = this.#options;
    const takesOver = hotRestart !== undefined && !(await hotRestart.started).alone;
    // Before the config: `/ready` answers while it is awaited. Where another process serves, that one answers.
    if (!takesOver) await this.#serveAdmin();
    await this.#startIdentity();
    await this.#startDns();
    if (bootstrap.ads === null) await this.applier.apply(statics);
    else await this.#followDiscovery(bootstrap.ads, statics);
    await this.#dns?.synced;
    // Whoever is told to call this proxy does so by mutual TLS.
    await this.#identity?.workload.ready;
    await hotRestart?.takeOver();
    this.ready = true;
    if (takesOver) await this.#serveAdmin();
    hotRestart?.settled();
    for (const listener of this.applier.listeners.values()) {
      for (const address of listener.addresses) {
        this.#options.log.info('listening', { listener: listener.name, address: formatAddress(address) });
      }
    }
  }

  /** Where a listener really listens (port 0 resolved), or undefined when there is no such listener. */
  addressOf(listener: string): SocketAddress | undefined {
    return this.applier.listeners.get(listener)?.addresses[0];
  }

  /** Where the admin port really is; undefined without one. */
  get adminAddress(): SocketAddress | undefined {
    return this.#admin.find(({ server }) => server.name === 'admin')?.address;
  }

  /** Where DNS is answered; none where it is not. */
  get dnsAddresses(): readonly SocketAddress[] {
    return this.#dns?.addresses ?? [];
  }

  get discovery(): DynamicConfig | null {
    return this.#discovery;
  }

  /** Another process has taken over: ends when the clients of this one are gone, or after `shutdownMs`. */
  async handOver(shutdownMs: number): Promise<void> {
    const { hotRestart } = this.#options;
    hotRestart?.beginLeaving();
    for (const { server } of this.#admin) server.leave();
    this.#dns?.leave();
    const gone = this.drain.handOver(shutdownMs);
    hotRestart?.left();
    await gone;
  }

  /** Cuts every connection and frees everything. */
  async close(): Promise<void> {
    for (const { server } of this.#admin) await server.close();
    await this.#discovery?.close();
    this.#identity?.close();
    await this.#dns?.close();
    this.applier.close();
    this.env.overloadManager.close();
    this.env.hostRequests.close();
    this.#sweeper.stop();
    this.env.tls.close();
    this.env.wheel.close();
    await this.#sinks.close();
  }

  /** The admin, health and metrics ports that were asked for. */
  async #serveAdmin(): Promise<void> {
    const { bootstrap, health, prometheus, log, hotRestart } = this.#options;
    if (bootstrap.admin === null && health === undefined && prometheus === undefined) return;
    const admin = await import('./admin.ts');
    const view = admin.adminView({
      env: this.env,
      applier: this.applier,
      drain: this.drain,
      bootstrap,
      bootstrapText: this.#options.bootstrapText ?? '',
      runtime: this.#runtime,
      sinks: this.#sinks,
      logRoot: this.#options.logLevel ?? { level: 'info' },
      version: this.#options.version,
      ready: () => this.ready,
      discovery: () => this.#discovery,
      quit: this.#options.quit ?? (() => {}),
      ...(hotRestart === undefined
        ? {}
        : { restart: { epoch: hotRestart.epoch, startedAt: (await hotRestart.started).startedAt } }),
    });
    for (const { server, at } of admin.adminServers(
      view,
      { admin: bootstrap.admin, health, prometheus },
      this.env,
      this.#options.app,
    )) {
      const address = await server.listen(at);
      this.#admin.push({ server, address });
      log.info('listening', { listener: server.name, address: formatAddress(address) });
    }
  }

  async #startIdentity(): Promise<void> {
    const { identity } = this.#options;
    if (identity === undefined) return;
    const { ProxyIdentity } = await import('./identity.ts');
    this.#identity = new ProxyIdentity(identity, this.env);
    this.#identity.start();
  }

  async #startDns(): Promise<void> {
    const { dns, bootstrap } = this.#options;
    if (dns === undefined) return;
    const { startDns } = await import('./dns.ts');
    this.#dns = await startDns(dns, bootstrap, this.env);
    // Nobody will tell it of any name.
    if (bootstrap.ads === null) this.#dns.update([]);
  }

  async #followDiscovery(ads: AdsSource, statics: Snapshot): Promise<void> {
    const { bootstrap, version, lastGoodPath } = this.#options;
    // gRPC and HTTP/2 cost a fifth of the process's memory: only a proxy that asks somebody loads them.
    const { followHosts, startDiscovery } = await import('./xds-bridge.ts');
    const discovery = startDiscovery(bootstrap, ads, statics, this.env, version, {
      lastGoodPath,
      dial: this.#identity?.adsDial,
      names: this.#dns !== null,
      // What a gateway may be called by is known; what an app calls is a small part of its mesh.
      onDemand: bootstrap.node.id.startsWith('sidecar~') && this.#runtime.boolean('remora.on_demand', true),
    });
    followHosts(discovery, this.env, this.applier.tables);
    this.#discovery = discovery;
    discovery.names.subscribe((names) => this.#dns?.update(names ?? []));
    discovery.store.secrets.subscribe((secrets) => this.env.tls.secrets.update(secrets));
    await new Promise<void>((resolve, reject) => {
      let first = true;
      discovery.snapshot.subscribe((snapshot) => {
        const applied = this.applier.apply(snapshot);
        if (first && discovery.ready.value) {
          first = false;
          applied.then(resolve, reject);
        } else {
          applied.catch((error) => this.#options.log.error(messageOf(error)));
        }
      });
      discovery.ready.subscribe((ready) => {
        if (!ready || !first) return;
        first = false;
        this.applier.apply(discovery.snapshot.value).then(resolve, reject);
      });
      // What the bootstrap has of its own does not wait for the server, but for endpoints that come from there.
      const own = discovery.snapshot.value;
      if (own.listeners.size > 0) this.applier.apply(own).catch(reject);
    });
  }
}

/** What the bootstrap itself holds. */
function staticSnapshot(bootstrap: Bootstrap): Snapshot {
  return {
    ...EMPTY_SNAPSHOT,
    listeners: new Map(bootstrap.listeners.map((listener) => [listener.name, listener])),
    clusters: new Map(bootstrap.clusters.map((cluster) => [cluster.name, cluster])),
  };
}
