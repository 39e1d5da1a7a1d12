import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger, LogRoot } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import type { AdsSource, Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import type { DynamicConfig, LastGoodPlace } from '../../xds/client/dynamic-config.ts';
import type { AdminServer } from '../admin/server.ts';
import type { DnsProxy } from '../dns/dns-proxy.ts';
import type { HostRequests } from '../http/host-requests.ts';
import { LogSinks } from '../telemetry/accesslog/sink.ts';
import { addCounted, CountedSince } from '../telemetry/metrics/carried.ts';
import { StatStore } from '../telemetry/metrics/store.ts';
import type { AppOptions } from './admin.ts';
import type { SnapshotApplier } from './apply.ts';
import { DataPlane } from './data-plane.ts';
import type { DnsOptions } from './dns.ts';
import type { DrainManager, DrainSettings } from './drain.ts';
import type { ProxyEnvironment } from './environment.ts';
import type { HotRestart } from './hot-restart.ts';
import type { IdentitySettings, ProxyIdentity } from './identity.ts';
import type { Workers } from './workers.ts';

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
  readonly lastGood?: LastGoodPlace;
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
  /** How many threads serve; 1 when absent, and then it is this one. More: this one coordinates. */
  readonly concurrency?: number;
  /** The supervisor that replaces this process by another; absent: nobody does. */
  readonly hotRestart?: HotRestart;
  /** Who it is, for mutual TLS; absent: nobody, and config that asks for an identity finds no secrets. */
  readonly identity?: IdentitySettings;
}

/** How often a process that drains tells the next one what it counts. */
const COUNTED_EVERY_MS = 5000;

/** One running proxy. This file is where its parts meet, and the only one. */
export class Proxy {
  readonly env: ProxyEnvironment;
  readonly applier: SnapshotApplier;
  /** Asks clients to leave, and ends what is to end. */
  readonly drain: DrainManager;
  readonly #options: ProxyOptions;
  readonly #sinks: LogSinks;
  readonly #plane: DataPlane;
  /** Null: this thread serves. */
  #workers: Workers | null = null;
  #discovery: DynamicConfig | null = null;
  #identity: ProxyIdentity | null = null;
  #dns: DnsProxy | null = null;
  readonly #admin: { readonly server: AdminServer; readonly address: SocketAddress }[] = [];
  /** True once the first whole config is in force. */
  ready = false;

  constructor(options: ProxyOptions) {
    const { clock, random, log, bootstrap } = options;
    this.#options = options;
    // Access log files and streams outlive the config that names them.
    this.#sinks = new LogSinks(clock, options);
    // Where workers serve, this has the clock, the log and the numbers that are the process's, and no listener.
    this.#plane = new DataPlane({
      clock,
      random,
      log,
      // Numbers first: everything counts in them.
      stats: new StatStore(),
      sinks: this.#sinks,
      bootstrap,
      drain: options.drain,
      sockets: options.hotRestart ?? null,
    });
    this.env = this.#plane.env;
    this.applier = this.#plane.applier;
    this.drain = this.#plane.drain;
  }

  /**
   * Binds what the bootstrap says, follows its discovery, and resolves when the first whole config is in
   * force. Rejects when that cannot be: an address in use, say.
   */
  async start(): Promise<void> {
    const { bootstrap } = this.#options;
    const statics = staticSnapshot(bootstrap);
    const { hotRestart } = this.#options;
    await this.#startWorkers();
    this.#plane.start();
    if (hotRestart !== undefined) {
      hotRestart.onCounted = (counted) => {
        if (this.#workers === null) addCounted(this.env.stats, counted);
        else this.#workers.stats.carry(counted);
      };
    }
    const takesOver = hotRestart !== undefined && !(await hotRestart.started).alone;
    // Before the config: `/ready` answers while it is awaited. Where another process serves, that one answers.
    if (!takesOver) await this.#serveAdmin();
    await this.#startIdentity();
    await this.#startDns();
    if (bootstrap.ads === null) await this.apply(statics);
    else await this.#followDiscovery(bootstrap.ads, statics);
    await this.#dns?.synced;
    // Whoever is told to call this proxy does so by mutual TLS.
    await this.#identity?.workload.ready;
    await hotRestart?.takeOver();
    this.ready = true;
    if (takesOver) await this.#serveAdmin();
    hotRestart?.settled();
    for (const { name, addresses } of this.#listeners()) {
      for (const address of addresses) {
        this.#options.log.info('listening', { listener: name, address: formatAddress(address) });
      }
    }
  }

  get #hostRequests(): HostRequests {
    // Only workers have none.
    return this.env.hostRequests!;
  }

  #listeners(): Iterable<{ readonly name: string; readonly addresses: readonly SocketAddress[] }> {
    return this.#workers === null ? this.applier.listeners.values() : this.#workers.listeners;
  }

  /** Resolves when `snapshot`, or a later one, is in force in every thread; rejects when it cannot be. */
  apply(snapshot: Snapshot): Promise<void> {
    return this.#workers === null ? this.applier.apply(snapshot) : this.#workers.apply(snapshot);
  }

  async #startWorkers(): Promise<void> {
    const { concurrency = 1, bootstrap, log, logLevel, clock, stdout, stderr, version, drain } = this.#options;
    if (concurrency === 1) return;
    const { loadDuplicate } = await import('./listen-handle.ts');
    const duplicate = loadDuplicate();
    if (duplicate === null) {
      log.warn('one thread serves: workers need Linux and a Node with node:ffi (26.1 or later)', { concurrency });
      return;
    }
    const { Workers } = await import('./workers.ts');
    this.#workers = new Workers({
      count: concurrency,
      clock,
      log,
      logLine: (line) => void stderr.write(line),
      logLevel: logLevel?.level ?? 'info',
      stats: this.env.stats,
      stdout,
      stderr,
      bootstrap,
      drain,
      version,
      duplicate,
      sockets: this.env.sockets,
      hostRequests: this.#hostRequests,
    });
    this.drain.followers = this.#workers;
    this.#workers.start();
  }

  /** Access log files are opened anew, in every thread: somebody has moved them. */
  reopenLogs(): void {
    this.#sinks.reopen();
    this.#workers?.reopenLogs();
  }

  /** Where a listener really listens (port 0 resolved), or undefined when there is no such listener. */
  addressOf(listener: string): SocketAddress | undefined {
    for (const { name, addresses } of this.#listeners()) if (name === listener) return addresses[0];
    return undefined;
  }

  /** Where the admin port really is; undefined without one. */
  get adminAddress(): SocketAddress | undefined {
    return this.#admin.find(({ server }) => server.name === 'admin')?.address;
  }

  /** Where DNS is answered; none where it is not. */
  get dnsAddresses(): readonly SocketAddress[] {
    return this.#dns?.addresses ?? [];
  }

  /** The numbers of all threads as they are now. */
  async stats(): Promise<StatStore> {
    if (this.#workers === null) return this.env.stats;
    await this.#workers.sync();
    return this.#workers.stats.read();
  }

  get discovery(): DynamicConfig | null {
    return this.#discovery;
  }

  /** Another process has taken over: ends when the clients of this one are gone, or after `shutdownMs`. */
  async handOver(shutdownMs: number): Promise<void> {
    const { hotRestart, clock } = this.#options;
    hotRestart?.beginLeaving();
    for (const { server } of this.#admin) server.leave();
    this.#dns?.leave();
    const gone = this.drain.handOver(shutdownMs);
    // Workers accept no more when they have heard of it.
    await this.#workers?.sync();
    if (hotRestart === undefined) return gone;
    const counted = new CountedSince();
    const tell = async (): Promise<void> => hotRestart.tellCounted(counted.take(await this.stats()));
    // First, so that the next one shows no number smaller than this one did.
    await tell();
    hotRestart.left();
    let over = false;
    const ended = gone.then(() => {
      over = true;
    });
    while (!over) {
      await Promise.race([ended, new Promise<void>((resolve) => clock.after(COUNTED_EVERY_MS, resolve))]);
      await tell();
    }
  }

  /** Cuts every connection and frees everything. */
  async close(): Promise<void> {
    for (const { server } of this.#admin) await server.close();
    await this.#discovery?.close();
    this.#identity?.close();
    await this.#dns?.close();
    await this.#workers?.close();
    this.#plane.close();
    await this.#sinks.close();
  }

  /** The admin, health and metrics ports that were asked for. */
  async #serveAdmin(): Promise<void> {
    const { bootstrap, health, prometheus, log, hotRestart } = this.#options;
    if (bootstrap.admin === null && health === undefined && prometheus === undefined) return;
    const admin = await import('./admin.ts');
    const parts = {
      env: this.env,
      applier: this.applier,
      drain: this.drain,
      bootstrap,
      bootstrapText: this.#options.bootstrapText ?? '',
      runtime: this.#plane.runtime,
      sinks: this.#sinks,
      logRoot: this.#options.logLevel ?? { level: 'info' as const },
      version: this.#options.version,
      ready: () => this.ready,
      discovery: () => this.#discovery,
      identity: () => this.#identity?.workload.status,
      quit: this.#options.quit ?? (() => {}),
      ...(hotRestart === undefined
        ? {}
        : { restart: { epoch: hotRestart.epoch, startedAt: (await hotRestart.started).startedAt } }),
    };
    for (const { server, at } of admin.adminServers(
      await admin.adminPages(parts, this.#workers),
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
    this.#identity = new ProxyIdentity(identity, this.env, (secrets) => {
      this.env.tls.secrets.updateOwn(secrets);
      this.#workers?.updateSecrets('own', secrets);
    });
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
    const { bootstrap, version, lastGood } = this.#options;
    // gRPC and HTTP/2 cost a fifth of the process's memory: only a proxy that asks somebody loads them.
    const { followHosts, startDiscovery } = await import('./xds-bridge.ts');
    const discovery = startDiscovery(bootstrap, ads, statics, this.env, version, {
      lastGood,
      dial: this.#identity?.adsDial,
      names: this.#dns !== null,
      // What a gateway may be called by is known; what an app calls is a small part of its mesh.
      onDemand: bootstrap.node.id.startsWith('sidecar~') && this.#plane.runtime.boolean('remora.on_demand', true),
    });
    const hosts = this.#workers?.hosts ?? null;
    followHosts(discovery, this.#hostRequests, hosts ?? this.applier.tables, hosts);
    this.#discovery = discovery;
    discovery.names.subscribe((names) => this.#dns?.update(names ?? []));
    discovery.store.secrets.subscribe((secrets) =>
      this.#workers === null
        ? this.env.tls.secrets.update(secrets)
        : this.#workers.updateSecrets('discovered', secrets),
    );
    await new Promise<void>((resolve, reject) => {
      let first = true;
      discovery.snapshot.subscribe((snapshot) => {
        const applied = this.apply(snapshot);
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
        this.apply(discovery.snapshot.value).then(resolve, reject);
      });
      // What the bootstrap has of its own does not wait for the server, but for endpoints that come from there.
      const own = discovery.snapshot.value;
      if (own.listeners.size > 0) this.apply(own).catch(reject);
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
