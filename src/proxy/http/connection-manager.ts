import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { SharedCounts } from '../../base/shared-counts.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { AccessLog } from '../../model/access-log.ts';
import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import type { ParserLimits } from '../../protocol/http1/framing.ts';
import { compileChain, type FilterChain } from '../filters/chain.ts';
import type { HttpFilterType, RuntimeValues } from '../filters/filter.ts';
import { inheritFilters } from '../filters/inheritance.ts';
import type { ForwardEnvironment } from '../forward/forward.ts';
import type { PlanSettings } from '../forward/plan.ts';
import { compileHostNormalizer, compilePathNormalizer, type PathVerdict } from '../router/normalize.ts';
import type { RouteTable } from '../router/table.ts';
import type { LogFilterDeps } from '../telemetry/accesslog/filter.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import type { StatScope, StatStore } from '../telemetry/metrics/store.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { type AddressRanges, internalAddresses } from './addresses.ts';
import { FaultLog } from './fault-log.ts';
import type { HostQueue } from './host-requests.ts';
import { LocalReplies } from './local-reply.ts';
import { NO_OVERLOAD, type OverloadState } from './overload-state.ts';
import { ProxyStatus } from './proxy-status.ts';
import { type NodeIdentity, type RequestOptions, requestOptions } from './request-options.ts';
import { ScopedRoutes } from './scoped-routes.ts';
import { HttpStats } from './stats.ts';
import { UpgradeChains } from './upgrade-chains.ts';

/** What the HTTP side of a proxy needs of the process it runs in. */
export interface HttpEnvironment extends ForwardEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly stats: StatStore;
  readonly runtime: RuntimeValues;
  readonly log: Logger;
  readonly node: NodeIdentity;
  readonly filterTypes: { get(kind: string): HttpFilterType | undefined };
  /** Records a finished request in the standard metrics. */
  record(info: StreamInfo): void;
  /** Where unknown hosts are asked for; absent: nowhere. */
  readonly hosts?: HostQueue;
  /** What is shed now; one object that changes. */
  readonly overload: OverloadState;
  /** What workers have in common; null: this thread is the only one. */
  readonly workers?: { readonly counts: SharedCounts } | null;
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
  readonly bypassOverload: boolean;
  /** The name of its filter chain, for the access log. */
  readonly filterChain: string;
  /** The chain itself, for what workers share: the same text in each of them, and of no other chain. */
  readonly place: string;
}

/** A connection manager compiled from config; shared by all connections of its filter chain. */
export class ConnectionManager {
  readonly config: HttpConnectionManager;
  readonly env: HttpEnvironment;
  /** The tables, in the order of `routeSources`. */
  readonly tables: readonly RouteTableHolder[];
  readonly #table: RouteTableHolder;
  /** Null where all requests go by one table. */
  readonly #scopes: ScopedRoutes | null;
  readonly chain: FilterChain;
  /** Null where every upgrade uses the filters above. */
  readonly upgradeChains: UpgradeChains | null;
  readonly filterChain: string;
  readonly accessLog: AccessLogger | null;
  readonly internal: AddressRanges;
  readonly localReplies: LocalReplies;
  readonly stats: HttpStats;
  readonly faults: FaultLog;
  readonly #scope: StatScope;
  readonly limits: ParserLimits;
  readonly planSettings: PlanSettings;
  readonly overload: OverloadState;
  /** null when there is nothing to do. */
  readonly normalizePath: ((head: RequestHead) => PathVerdict) | null;
  readonly normalizeHost: ((head: RequestHead) => void) | null;
  readonly requestOptions: RequestOptions | null;
  readonly proxyStatus: ProxyStatus | null;
  /** Null where hosts are not discovered on demand. */
  readonly hosts: HostQueue | null;
  /** The access log where it also hears of requests that begin. */
  readonly startLog: AccessLogger | null;

  /** `tables`: one for each of the config's route sources, in their order. */
  constructor(
    config: HttpConnectionManager,
    tables: readonly RouteTableHolder[],
    at: ListenerSettings,
    env: HttpEnvironment,
  ) {
    this.config = config;
    this.env = env;
    this.tables = tables;
    this.#scopes = config.routes.kind === 'scoped' ? new ScopedRoutes(config.routes, tables) : null;
    this.#table = tables[0] ?? NO_TABLE;
    this.filterChain = at.filterChain;
    this.#scope = env.stats.scope(`http.${config.statPrefix}`);
    this.chain = this.#compileFilters(config.filters, at.place);
    this.upgradeChains = config.upgrades.every(({ filters }) => filters === null)
      ? null
      : new UpgradeChains(config.upgrades, (filters, type) => this.#compileFilters(filters, `${at.place} ${type}`));
    this.accessLog = env.compileAccessLogs(config.accessLog, config.statPrefix);
    this.internal = internalAddresses(config.internalAddresses);
    this.localReplies = new LocalReplies(config.localReply, env, env.explain);
    this.stats = new HttpStats(this.#scope, config.statPrefix);
    this.faults = new FaultLog(env.log.child('http'), env.clock);
    this.limits = { maxHeadBytes: config.maxRequestHeadersBytes, maxHeaders: config.maxHeadersCount };
    this.overload = at.bypassOverload ? NO_OVERLOAD : env.overload;
    this.planSettings = {
      suppressEnvoyHeaders: config.router.suppressEnvoyHeaders,
      bufferLimitBytes: at.bufferLimitBytes,
      upgrades: new Set(config.upgrades.filter((upgrade) => upgrade.enabled).map((upgrade) => upgrade.type)),
      strictHeaders: config.router.strictCheckHeaders,
      respectExpectedTimeout: config.router.respectExpectedRqTimeout,
      bodyMayChange:
        this.chain.requestData?.some(({ filter }) => filter.keepsBody !== true) === true ||
        this.upgradeChains?.readBodies === true,
    };
    this.normalizePath = compilePathNormalizer(config);
    this.normalizeHost = compileHostNormalizer(config, at.port);
    this.requestOptions = requestOptions(config, env.node);
    this.proxyStatus =
      config.proxyStatus === null ? null : new ProxyStatus(config.proxyStatus, config.serverName, env.node);
    const onDemand = config.filters.some(({ kind, disabled }) => kind === 'on_demand' && !disabled);
    this.hosts = onDemand ? (env.hosts ?? null) : null;
    this.startLog = config.accessLogFlush.onNewRequest ? this.accessLog : null;
  }

  #compileFilters(filters: HttpConnectionManager['filters'], place: string): FilterChain {
    const { env, config } = this;
    const workers = env.workers ?? null;
    return compileChain(
      filters.map((filter, slot) => ({
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
          shared: workers === null ? null : { counts: workers.counts, place: `${place} ${nameIn(filters, slot)}` },
        }),
      })),
    );
  }

  /** Filters take over what must outlive an edit of something else; before the first stream. */
  inherit(previous: ConnectionManager): void {
    inheritFilters(this.chain, previous.chain);
    if (previous.upgradeChains !== null) this.upgradeChains?.inherit(previous.upgradeChains);
  }

  /** The routes that such a request goes by; null when they have not arrived, or when it is in no scope. */
  tableFor(head: RequestHead): RouteTable | null {
    return this.#scopes === null ? this.#table.table : this.#scopes.tableFor(head);
  }

  /** Nothing asks for it any more but connections that it has: its series follow them. */
  release(): void {
    const { stats } = this;
    this.#scope.release(() => stats.busy);
  }
}

/** A filter's name, told apart from others of the same name before it. */
function nameIn(filters: HttpConnectionManager['filters'], slot: number): string {
  const { name } = filters[slot]!;
  return `${name} ${filters.slice(0, slot).filter((other) => other.name === name).length}`;
}

const NO_TABLE: RouteTableHolder = { table: null };
