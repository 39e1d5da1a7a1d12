import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { Registry } from '../../base/registry.ts';
import { TimerWheel } from '../../base/timer-wheel.ts';
import type { AccessLog } from '../../model/access-log.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { HeaderMatcher } from '../../model/matcher.ts';
import type { HttpFilterType, RuntimeValues } from '../filters/filter.ts';
import type { HttpEnvironment } from '../http/connection-manager.ts';
import type { NodeIdentity } from '../http/request-options.ts';
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
import type { UpstreamCluster, UpstreamEnvironment } from '../upstream/cluster.ts';
import type { Resolver } from '../upstream/dns.ts';
import type { BalancerType } from '../upstream/lb/balancer.ts';
import { ClusterManager } from '../upstream/manager.ts';

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
  readonly clusters: ClusterManager;
  /** Which listener is for which address. */
  readonly listenerIndex = new ListenerIndex();
  readonly headerMatcher: (matcher: HeaderMatcher) => HeaderTest = compileHeaderMatcher;
  /** True once the process drains: responses say `Connection: close`. */
  draining = false;
  readonly #sinks: LogSinks;
  #connectionId = 0;
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
    this.wheel = new TimerWheel(parts.clock);
    this.clusters = new ClusterManager(this);
  }

  /** Time and log, for parts outside the request path. */
  get shared(): { readonly clock: Clock; readonly wheel: TimerWheel; readonly log: Logger } {
    return { clock: this.clock, wheel: this.wheel, log: this.log };
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
    return ++this.#connectionId;
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
