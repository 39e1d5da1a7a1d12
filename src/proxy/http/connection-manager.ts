import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { AccessLog } from '../../model/access-log.ts';
import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import type { ParserLimits } from '../../protocol/http1/framing.ts';
import { compileChain, type FilterChain } from '../filters/chain.ts';
import type { HttpFilterType, RuntimeValues } from '../filters/filter.ts';
import type { ForwardEnvironment } from '../forward/forward.ts';
import type { PlanSettings } from '../forward/plan.ts';
import { compileHostNormalizer, compilePathNormalizer, type PathVerdict } from '../router/normalize.ts';
import type { RouteTable } from '../router/table.ts';
import type { LogFilterDeps } from '../telemetry/accesslog/filter.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import type { StatScope, StatStore } from '../telemetry/metrics/store.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { type AddressRanges, internalAddresses } from './addresses.ts';
import { LocalReplies } from './local-reply.ts';
import { HttpStats } from './stats.ts';

/** What the HTTP side of a proxy needs of the process it runs in. */
export interface HttpEnvironment extends ForwardEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly stats: StatStore;
  readonly runtime: RuntimeValues;
  readonly log: Logger;
  readonly filterTypes: { get(kind: string): HttpFilterType | undefined };
  /** Records a finished request in the standard metrics. */
  record(info: StreamInfo): void;
  /** True once the process drains: responses say `Connection: close`. */
  readonly draining: boolean;
  /** Local replies say why in their bodies. */
  readonly explain: boolean;
  readonly headerMatcher: LogFilterDeps['headerMatcher'];
  /** `of` names whose logs they are in warnings. */
  compileAccessLogs(configs: readonly AccessLog[], of: string): AccessLogger | null;
}

/** A route table that can be replaced while connections are open: looked up per request. */
export interface RouteTableHolder {
  readonly table: RouteTable | null;
}

/** What a connection manager takes from its listener. */
export interface ListenerSettings {
  readonly port: number;
  readonly bufferLimitBytes: number;
  /** The name of its filter chain, for the access log. */
  readonly filterChain: string;
}

/** A connection manager compiled from config; shared by all connections of its filter chain. */
export class ConnectionManager {
  readonly config: HttpConnectionManager;
  readonly env: HttpEnvironment;
  readonly routes: RouteTableHolder;
  readonly chain: FilterChain;
  readonly filterChain: string;
  readonly accessLog: AccessLogger | null;
  readonly internal: AddressRanges;
  readonly localReplies: LocalReplies;
  readonly stats: HttpStats;
  readonly #scope: StatScope;
  readonly limits: ParserLimits;
  readonly planSettings: PlanSettings;
  /** null when there is nothing to do. */
  readonly normalizePath: ((head: RequestHead) => PathVerdict) | null;
  readonly normalizeHost: ((head: RequestHead) => void) | null;

  constructor(config: HttpConnectionManager, routes: RouteTableHolder, at: ListenerSettings, env: HttpEnvironment) {
    this.config = config;
    this.env = env;
    this.routes = routes;
    this.filterChain = at.filterChain;
    this.#scope = env.stats.scope(`http.${config.statPrefix}`);
    this.chain = compileChain(
      config.filters.map((filter, slot) => ({
        name: filter.name,
        disabled: filter.disabled,
        filter: env.filterTypes.get(filter.kind)!.create(filter.config, {
          clock: env.clock,
          wheel: env.wheel,
          random: env.random,
          stats: this.#scope,
          log: env.log.child(filter.kind),
          runtime: env.runtime,
          slot,
          statPrefix: config.statPrefix,
        }),
      })),
    );
    this.accessLog = env.compileAccessLogs(config.accessLog, config.statPrefix);
    this.internal = internalAddresses(config.internalAddresses);
    this.localReplies = new LocalReplies(config.localReply, env, env.explain);
    this.stats = new HttpStats(this.#scope, config.statPrefix);
    this.limits = { maxHeadBytes: config.maxRequestHeadersBytes, maxHeaders: config.maxHeadersCount };
    this.planSettings = {
      suppressEnvoyHeaders: config.router.suppressEnvoyHeaders,
      bufferLimitBytes: at.bufferLimitBytes,
      upgrades: new Set(config.upgrades.filter((upgrade) => upgrade.enabled).map((upgrade) => upgrade.type)),
      strictHeaders: config.router.strictCheckHeaders,
      respectExpectedTimeout: config.router.respectExpectedRqTimeout,
      bodyMayChange: this.chain.requestData !== null,
    };
    this.normalizePath = compilePathNormalizer(config);
    this.normalizeHost = compileHostNormalizer(config, at.port);
  }

  /** Nothing asks for it any more but connections that it has: its series follow them. */
  release(): void {
    const { stats } = this;
    this.#scope.release(() => stats.busy);
  }
}
