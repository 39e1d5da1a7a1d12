import type { LogLevel, LogRoot } from '../../base/log.ts';
import { routeSources, routesShape } from '../../model/http-connection-manager.ts';
import type { Listener as ListenerConfig } from '../../model/listener.ts';
import type { Bootstrap } from '../../xds/bootstrap/bootstrap.ts';
import { encodeNode } from '../../xds/bootstrap/node.ts';
import type { DynamicConfig } from '../../xds/client/dynamic-config.ts';
import { type ExplainRequest, type ExplainTarget, type Explanation, explainRequest } from '../admin/explain.ts';
import type {
  AdminActions,
  AdminView,
  CertificatesView,
  ClusterView,
  ConfigDumpSource,
  DrainingListener,
  DrainView,
  ListenerView,
  MemoryUse,
  ServerInfo,
  ServerState,
} from '../admin/view.ts';
import type { ConnectionManager } from '../http/connection-manager.ts';
import type { IdentityStatus } from '../identity/workload-identity.ts';
import type { Listener } from '../listener/listener.ts';
import type { LogSinks } from '../telemetry/accesslog/sink.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import { daysLeft } from '../tls/contexts.ts';
import { fingerprint } from '../upstream/fingerprint.ts';
import type { SnapshotApplier } from './apply.ts';
import { type AssignedCluster, ConfigSource } from './config-source.ts';
import type { DrainManager } from './drain.ts';
import type { ProxyEnvironment } from './environment.ts';
import { memoryUse, type RunningCounts, runningCounts } from './running-counts.ts';
import type { StaticRuntime } from './runtime-values.ts';

/** What the admin view shows and works on. */
export interface AdminViewParts {
  readonly env: ProxyEnvironment;
  /** Where its own gauges are; absent: the environment's. */
  readonly stats?: StatStore;
  readonly applier: SnapshotApplier;
  readonly bootstrap: Pick<Bootstrap, 'clusters' | 'node'>;
  /** The text it was read from, for `/config_dump`; '' without one. */
  readonly bootstrapText: string;
  readonly runtime: StaticRuntime;
  readonly sinks: Pick<LogSinks, 'reopen'>;
  readonly logRoot: Pick<LogRoot, 'level'>;
  readonly version: string;
  /** The first whole config is in force. */
  readonly ready: () => boolean;
  readonly discovery: () => DynamicConfig | null;
  /** The proxy's own certificate; absent: it has none. */
  readonly identity?: () => Pick<IdentityStatus, 'notBefore' | 'notAfter' | 'trouble'> | undefined;
  readonly drain: DrainManager;
  /** How many threads serve; absent: 1. */
  readonly concurrency?: number;
  /** Which process of a row of hot restarts this is, and when the first began (wall ms); absent: there is no row. */
  readonly restart?: { readonly epoch: number; readonly startedAt: number };
  /** Ends the process in good order. */
  readonly quit: () => void;
  /** Options that `/server_info` repeats, by Envoy's names (`config_path`, …). */
  readonly commandLine?: Readonly<Record<string, unknown>>;
}

const OWN_CERTIFICATE = { resource_name: 'default' };
/** Envoy's value for a process without certificates. */
const NO_CERTIFICATE = 4_294_967_295;
const STATE_NUMBERS: Readonly<Record<ServerState, number>> = {
  LIVE: 0,
  DRAINING: 1,
  PRE_INITIALIZING: 2,
  INITIALIZING: 3,
};

/** The running proxy, as its admin port sees it. */
export class ProxyAdminView implements AdminView {
  readonly config: ConfigDumpSource;
  readonly actions: AdminActions;
  readonly #parts: AdminViewParts;
  readonly #startedAt: number;
  /** What this view itself sets. */
  readonly #own: StatStore;
  readonly #gauges: ServerGauges;

  constructor(parts: AdminViewParts) {
    const { env, bootstrap } = parts;
    this.#parts = parts;
    this.#startedAt = env.clock.now();
    this.#own = parts.stats ?? env.stats;
    this.#gauges = serverGauges(this.#own, parts.concurrency ?? 1);
    const epoch = this.#own.gauge('envoy_server_hot_restart_epoch', {}, 'server.hot_restart_epoch');
    this.#own.set(epoch, parts.restart?.epoch ?? 0);
    this.config = new ConfigSource({
      bootstrapText: parts.bootstrapText,
      node: bootstrap.node,
      version: parts.version,
      startedAt: env.clock.wall(),
      clusters: () => this.assignments(),
      discovery: parts.discovery,
    });
    this.actions = {
      logLevel: () => parts.logRoot.level,
      setLogLevel: (level: LogLevel) => {
        parts.logRoot.level = level;
      },
      reopenLogs: () => parts.sinks.reopen(),
      failHealthCheck: (failed) => parts.drain.failHealthCheck(failed),
      drainListeners: (how) => parts.drain.drainListeners(how),
      quit: () => parts.quit(),
    };
  }

  get stats(): StatStore {
    return this.#own;
  }

  state(): ServerState {
    if (!this.#parts.ready()) return 'PRE_INITIALIZING';
    return this.#parts.drain.active ? 'DRAINING' : 'LIVE';
  }

  stateReason(): string {
    const state = this.state();
    if (state === 'LIVE') return '';
    if (state === 'PRE_INITIALIZING') return this.#whatIsAwaited();
    return this.#parts.drain.healthCheckFailed
      ? 'Health checks were made to fail by POST /healthcheck/fail.'
      : 'The proxy drains: it is not to be sent new connections.';
  }

  serverInfo(): ServerInfo {
    const { env, bootstrap, version, drain, restart, concurrency = 1, commandLine = {} } = this.#parts;
    const uptimeMs = env.clock.now() - this.#startedAt;
    return {
      version: `remora/${version}/Clean/RELEASE/Node-${process.versions.node}`,
      uptimeMs,
      uptimeAllMs: restart === undefined ? uptimeMs : env.clock.wall() - restart.startedAt,
      node: encodeNode(bootstrap.node, version),
      options: {
        concurrency,
        log_level: this.#parts.logRoot.level,
        service_cluster: bootstrap.node.cluster,
        service_node: bootstrap.node.id,
        drain_time: `${drain.settings.timeMs / 1000}s`,
        drain_strategy: drain.settings.strategy === 'gradual' ? 'Gradual' : 'Immediate',
        mode: 'Serve',
        disable_hot_restart: restart === undefined,
        restart_epoch: restart?.epoch ?? 0,
        ...commandLine,
      },
    };
  }

  sample(): void {
    const stats = this.#own;
    const { env, discovery } = this.#parts;
    const gauges = this.#gauges;
    const memory = this.memory();
    const counts = this.counts();
    stats.set(gauges.daysUntilExpiry, counts.daysUntilExpiry ?? NO_CERTIFICATE);
    stats.set(gauges.live, this.state() === 'LIVE' ? 1 : 0);
    stats.set(gauges.state, STATE_NUMBERS[this.state()]);
    stats.set(gauges.uptime, Math.floor((env.clock.now() - this.#startedAt) / 1000));
    stats.set(gauges.memoryAllocated, memory.allocated);
    stats.set(gauges.memoryHeapSize, memory.heapSize);
    stats.set(gauges.memoryPhysicalSize, memory.physical);
    stats.set(gauges.totalConnections, counts.connections);
    stats.set(gauges.activeClusters, counts.activeClusters);
    stats.set(gauges.warmingClusters, counts.warmingClusters);
    stats.set(gauges.activeListeners, counts.activeListeners);
    stats.set(gauges.drainingListeners, counts.drainingListeners);
    const found = discovery();
    if (found !== null) {
      stats.set(this.#controlPlaneConnected(), found.client.connected ? 1 : 0);
      const stale = stats.gauge('remora_config_staleness_seconds', {}, 'control_plane.config_staleness_seconds');
      stats.set(stale, Math.floor(found.staleMs / 1000));
    }
    const certificate = this.#parts.identity?.();
    if (certificate !== undefined && certificate.notAfter > 0) {
      const now = env.clock.wall();
      const { notBefore, notAfter } = certificate;
      // Istio's agent's name, which dashboards have; then what to warn by.
      const left = stats.gauge('istio_agent_cert_expiry_seconds', OWN_CERTIFICATE, 'identity.expiry_seconds');
      const age = stats.gauge('remora_certificate_life_used_percent', OWN_CERTIFICATE, 'identity.life_used_percent');
      stats.set(left, Math.floor((notAfter - now) / 1000));
      stats.set(age, Math.floor((100 * (now - notBefore)) / (notAfter - notBefore)));
    }
  }

  protected counts(): RunningCounts {
    return runningCounts(this.#parts);
  }

  /** As in Envoy, absent where there is no control plane. */
  #controlPlaneConnected(): number {
    return this.#own.gauge('envoy_control_plane_connected_state', {}, 'control_plane.connected_state');
  }

  clusters(): readonly ClusterView[] {
    const statics = new Set(this.#parts.bootstrap.clusters.map(({ name }) => name));
    return Array.from(this.#parts.env.clusters.clusters(), (cluster) => {
      const { discovery, outlierDetection, name } = cluster.config;
      return {
        description: cluster.describe(),
        addedViaApi: !statics.has(name),
        edsServiceName: discovery.kind === 'EDS' && discovery.serviceName !== name ? discovery.serviceName : '',
        outlierDetection: outlierDetection !== null,
      };
    });
  }

  /** Every cluster with its endpoints. */
  protected assignments(): Iterable<AssignedCluster> {
    return this.#parts.env.clusters.clusters();
  }

  listeners(): readonly ListenerView[] {
    return Array.from(this.#parts.applier.listeners.values(), ({ name, addresses, config, connectionCount }) => ({
      name,
      addresses,
      direction: config.trafficDirection,
      connections: connectionCount,
    }));
  }

  drains(): DrainView {
    const { drain, applier, env } = this.#parts;
    const now = env.clock.now();
    const view = (listener: Listener, removed: boolean): DrainingListener => {
      const { name, accepting, drainWindow, config } = listener;
      const window = drainWindow ?? drain.windowOf(config.trafficDirection);
      return {
        name,
        removed,
        accepting,
        progress: window === null ? null : window.progress(now),
        leftMs: window === null ? null : Math.max(0, window.until - now),
        connections: listener.departures(),
      };
    };
    return {
      state: this.state(),
      causes: drain.causes,
      strategy: drain.settings.strategy,
      listeners: [
        ...Array.from(applier.listeners.values(), (listener) => view(listener, false)),
        ...Array.from(applier.drainingListeners, (listener) => view(listener, true)),
      ],
    };
  }

  certificates(): readonly CertificatesView[] {
    const now = this.#parts.env.clock.wall();
    return this.#parts.env.tls.views().map(({ roots, chain }) => {
      const view = ({ certificate, path }: (typeof chain)[number]): CertificatesView['chain'][number] => ({
        path,
        certificate,
        daysLeft: daysLeft(certificate.notAfter, now),
      });
      return { roots: roots.map(view), chain: chain.map(view) };
    });
  }

  runtime(): ReadonlyMap<string, number | boolean | string> {
    return this.#parts.runtime.values;
  }

  memory(): MemoryUse {
    return memoryUse();
  }

  explain(request: ExplainRequest): Explanation {
    const { applier, env } = this.#parts;
    return explainRequest(explainTargets(applier), env.clusters, request);
  }

  #whatIsAwaited(): string {
    const status = this.#parts.discovery()?.status;
    if (status === undefined) return 'The first configuration is not in force yet.';
    if (status.ads.state !== 'connected') {
      return `No configuration yet: the control server is not connected (${status.ads.lastError || status.ads.state}).`;
    }
    const waits = status.warming.flatMap(({ waitsFor }) => waitsFor);
    const identity = this.#parts.identity?.();
    if (waits.length === 0 && identity?.notAfter === 0)
      return `Waits for a certificate${identity.trouble === '' ? '' : `: ${identity.trouble}`}.`;
    return waits.length === 0 ? 'No configuration has come yet.' : `Waits for ${[...new Set(waits)].join(', ')}.`;
  }
}

interface ServerGauges {
  readonly live: number;
  readonly daysUntilExpiry: number;
  readonly state: number;
  readonly uptime: number;
  readonly memoryAllocated: number;
  readonly memoryHeapSize: number;
  readonly memoryPhysicalSize: number;
  readonly totalConnections: number;
  readonly activeClusters: number;
  readonly warmingClusters: number;
  readonly activeListeners: number;
  readonly drainingListeners: number;
}

/** Those of Envoy's gauges that stock dashboards show and nothing else here sets. */
function serverGauges(store: StatStore, concurrency: number): ServerGauges {
  const gauge = (scope: string, name: string): number => store.gauge(`envoy_${scope}_${name}`, {}, `${scope}.${name}`);
  store.set(gauge('server', 'concurrency'), concurrency);
  gauge('server', 'parent_connections');
  gauge('listener_manager', 'total_listeners_warming');
  return {
    live: gauge('server', 'live'),
    daysUntilExpiry: gauge('server', 'days_until_first_cert_expiring'),
    state: gauge('server', 'state'),
    uptime: gauge('server', 'uptime'),
    memoryAllocated: gauge('server', 'memory_allocated'),
    memoryHeapSize: gauge('server', 'memory_heap_size'),
    memoryPhysicalSize: gauge('server', 'memory_physical_size'),
    totalConnections: gauge('server', 'total_connections'),
    activeClusters: gauge('cluster_manager', 'active_clusters'),
    warmingClusters: gauge('cluster_manager', 'warming_clusters'),
    activeListeners: gauge('listener_manager', 'total_listeners_active'),
    drainingListeners: gauge('listener_manager', 'total_listeners_draining'),
  };
}

/** The connection managers in force with the listeners and chains they serve. */
export function explainTargets(applier: SnapshotApplier): ExplainTarget[] {
  const left = applier.managers();
  const targets: ExplainTarget[] = [];
  for (const listener of applier.listeners.values()) {
    for (const { name, filter } of chainsOf(listener.config)) {
      if (filter.kind !== 'http') continue;
      const at = indexOfManager(left, filter.http);
      if (at < 0) continue;
      targets.push(target(listener, name, left[at]!));
      left.splice(at, 1);
    }
  }
  return targets;
}

function chainsOf(config: ListenerConfig): ListenerConfig['filterChains'] {
  return config.defaultFilterChain === null ? config.filterChains : [...config.filterChains, config.defaultFilterChain];
}

function target(listener: Listener, filterChain: string, manager: ConnectionManager): ExplainTarget {
  const { name, addresses, config } = listener;
  return { listener: name, addresses, direction: config.trafficDirection, filterChain, manager };
}

/** A manager outlives edits that change its routes only, so its config may be an older object that says the same. */
function indexOfManager(managers: readonly ConnectionManager[], config: ConnectionManager['config']): number {
  const same = managers.findIndex((manager) => manager.config === config);
  if (same >= 0) return same;
  const inline = routeSources(config.routes).flatMap((source) => (source.kind === 'inline' ? [source.config] : []));
  const byRoutes = managers.findIndex(({ tables }) =>
    tables.some(({ table }) => table !== null && inline.includes(table.config)),
  );
  if (byRoutes >= 0) return byRoutes;
  const print = printOf(config);
  return managers.findIndex((manager) => printOf(manager.config) === print);
}

function printOf(config: ConnectionManager['config']): string {
  return fingerprint({ ...config, routes: routesShape(config.routes) });
}
