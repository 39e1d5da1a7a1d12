import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { Registry } from '../../base/registry.ts';
import { TimerWheel } from '../../base/timer-wheel.ts';
import type { AccessLog } from '../../model/access-log.ts';

import type { SocketAddress } from '../../model/address.ts';

import type { TrafficDirection } from '../../model/listener.ts';

import type { HeaderMatcher } from '../../model/matcher.ts';
import type { OverloadConfig } from '../../model/overload.ts';
import type { TlsSecret } from '../../model/tls.ts';
import type { HttpFilterType, RuntimeValues } from '../filters/filter.ts';
import type { HttpEnvironment } from '../http/connection-manager.ts';
import { type HostQueue, HostRequests } from '../http/host-requests.ts';
import type { OverloadState } from '../http/overload-state.ts';
import type { NodeIdentity } from '../http/request-options.ts';

import type { ListenSockets } from '../io/listen-sockets.ts';
import type { Admission } from '../listener/admission.ts';
import type { DrainWindow } from '../listener/drain-window.ts';

import type { Listener, ListenerEnvironment } from '../listener/listener.ts';
import { ListenerIndex } from '../listener/listener-index.ts';
import {
  loadOriginalDestinations,
  type NoOriginalDestinations,
  type OriginalDestinations,
} from '../listener/original-dst.ts';

import { compileHeaderMatcher, type HeaderTest } from '../router/header-match.ts';
import { type AccessLogger, compileAccessLogs } from '../telemetry/accesslog/logger.ts';
import type { LogSinks } from '../telemetry/accesslog/sink.ts';
import type { RequestMetrics } from '../telemetry/metrics/istio.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { TlsContexts } from '../tls/contexts.ts';
import type { UpstreamCluster, UpstreamEnvironment } from '../upstream/cluster.ts';
import type { Resolver } from '../upstream/dns.ts';
import type { BalancerType } from '../upstream/lb/balancer.ts';
import { ClusterManager } from '../upstream/manager.ts';
import type { SharedEjections } from '../upstream/outlier.ts';
import { TableAddressHosts } from './address-hosts.ts';
import { OverloadManager, type OverloadProbes } from './overload.ts';

export interface EnvironmentParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stats: StatStore;
  readonly sinks: LogSinks;
  /** The bootstrap's. */
  readonly node: NodeIdentity;
  readonly runtime: RuntimeValues;
  readonly filterTypes: Registry<HttpFilterType>;
  readonly balancers: Registry<BalancerType>;
  readonly resolve: Resolver;
  readonly metrics: RequestMetrics;
  /** What is shed when a resource runs short; null: nothing but connections beyond the limit. */
  readonly overload: OverloadConfig | null;
  /** Who keeps listening sockets for a process that takes over; absent: nobody. */
  readonly sockets?: ListenSockets | null;
  /** What workers have in common; absent: this thread is the only one. */
  readonly workers?: SharedEjections | null;
  readonly overloadProbes?: OverloadProbes;
  /** Where requests wait for hosts; absent: here, and this thread asks for them. */
  readonly hosts?: HostQueue;
  /** Where ticket keys come from; absent: random. */
  readonly ticketSeed?: Buffer;
  /** Numbers of connections, that no two of a process have the same; absent: 1, 2, 3 … */
  readonly connectionIds?: { readonly first: number; readonly step: number };
  /** The bootstrap's own. */
  readonly secrets?: Iterable<TlsSecret>;
  /** Local replies say why in their bodies. */
  readonly explain: boolean;
}

/** What one proxy process gives its parts: each part sees only the interface it declares. */
export class ProxyEnvironment implements HttpEnvironment, ListenerEnvironment, UpstreamEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly stats: StatStore;
  readonly node: NodeIdentity;
  readonly runtime: RuntimeValues;
  readonly filterTypes: Registry<HttpFilterType>;
  readonly balancers: Registry<BalancerType>;
  readonly resolve: Resolver;
  readonly metrics: RequestMetrics;
  readonly record: (info: StreamInfo) => void;
  readonly explain: boolean;
  readonly wheel: TimerWheel;
  readonly tls: TlsContexts;
  readonly clusters: ClusterManager;
  /** Null: another thread asks for hosts. */
  readonly hostRequests: HostRequests | null;
  readonly hosts: HostQueue;
  readonly addressHosts: TableAddressHosts;
  /** Which listener is for which address. */
  readonly listenerIndex = new ListenerIndex();
  readonly headerMatcher: (matcher: HeaderMatcher) => HeaderTest = compileHeaderMatcher;
  /** Over which the connections of each direction are asked to leave; the {@link DrainManager} sets it. */
  readonly drains: Record<TrafficDirection, DrainWindow | null> = { UNSPECIFIED: null, INBOUND: null, OUTBOUND: null };
  /** Called when a listener has no connection any more. */
  onListenerEmpty: (() => void) | null = null;
  readonly sockets: ListenSockets | null;
  readonly workers: SharedEjections | null;
  readonly overloadManager: OverloadManager;
  readonly overload: OverloadState;
  readonly admission: Admission;
  readonly #sinks: LogSinks;
  #connectionId: number;
  readonly #connectionStep: number;
  #originalDestinations: OriginalDestinations | NoOriginalDestinations | null = null;

  constructor(parts: EnvironmentParts) {
    this.clock = parts.clock;
    this.random = parts.random;
    this.log = parts.log;
    this.stats = parts.stats;
    this.node = parts.node;
    this.runtime = parts.runtime;
    this.filterTypes = parts.filterTypes;
    this.balancers = parts.balancers;
    this.resolve = parts.resolve;
    this.metrics = parts.metrics;
    this.record = (info) => parts.metrics.record(info);
    this.explain = parts.explain;
    this.#sinks = parts.sinks;
    this.sockets = parts.sockets ?? null;
    this.workers = parts.workers ?? null;
    const { first, step } = parts.connectionIds ?? { first: 1, step: 1 };
    this.#connectionId = first - step;
    this.#connectionStep = step;
    this.overloadManager = new OverloadManager(parts.overload, parts, parts.overloadProbes);
    this.overload = this.overloadManager.state;
    this.admission = this.overloadManager;
    this.wheel = new TimerWheel(parts.clock);
    this.tls = new TlsContexts({ ...parts, wheel: this.wheel });
    this.clusters = new ClusterManager(this);
    const requests = parts.hosts === undefined ? new HostRequests(parts.clock, this.wheel, parts.stats) : null;
    this.hostRequests = requests;
    this.hosts = parts.hosts ?? requests!;
    this.addressHosts = new TableAddressHosts(this.hosts);
  }

  /** Time, log and sockets, for parts outside the request path. */
  get shared(): Pick<ProxyEnvironment, 'clock' | 'wheel' | 'log' | 'sockets'> {
    return { clock: this.clock, wheel: this.wheel, log: this.log, sockets: this.sockets };
  }
  drainWindow(direction: TrafficDirection): DrainWindow | null {
    return this.drains[direction];
  }
  listenerEmpty(): void {
    this.onListenerEmpty?.();
  }
  cluster(name: string): UpstreamCluster | undefined {
    return this.clusters.get(name);
  }
  originalDestinations(): OriginalDestinations | NoOriginalDestinations {
    this.#originalDestinations ??= loadOriginalDestinations();
    return this.#originalDestinations;
  }
  listenerFor(destination: SocketAddress): Listener | null {
    return this.listenerIndex.find(destination);
  }
  nextConnectionId(): number {
    this.#connectionId += this.#connectionStep;
    return this.#connectionId;
  }
  compileAccessLogs(configs: readonly AccessLog[], of: string): AccessLogger | null {
    return compileAccessLogs(configs, {
      sinks: this.#sinks,
      random: this.random,
      runtime: this.runtime,
      headerMatcher: this.headerMatcher,
      warn: (warning) => this.log.warn(`${of}: ${warning}`),
    });
  }
}
