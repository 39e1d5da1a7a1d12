import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import type { AccessLog } from '../../model/access-log.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { TcpProxy as TcpProxyConfig } from '../../model/listener.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import type { RequestMetrics } from '../telemetry/metrics/istio.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import { TcpStats } from './stats.ts';

/** A connection that is held until the host of its address is there, or known not to be. */
export interface AddressWaiter {
  readonly generation: number;
  hostAnswered(): void;
}

/** Virtual hosts as bytes go by them: by the address that was called. */
export interface AddressHosts {
  /** Whether the connection waits: then `waiter.hostAnswered()` is called later, once. */
  awaits(routes: string, address: string, waiter: AddressWaiter): boolean;
  /** The cluster for bytes to the address; null: no host is for it in particular. */
  bytesTo(routes: string, address: string): string | null;
}

/** Asked before anything is dialled; null: the connection may pass. */
export type Admit = (info: StreamInfo) => { readonly details: string; readonly reason: string } | null;

/** What TCP proxying needs of the process. */
export interface TcpEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly log: Logger;
  readonly stats: StatStore;
  readonly metrics: Pick<RequestMetrics, 'tcpOpened' | 'tcpClosed'>;
  readonly addressHosts: AddressHosts;
  cluster(name: string): UpstreamCluster | undefined;
  nextConnectionId(): number;
  /** `of` names whose logs they are in warnings. */
  compileAccessLogs(configs: readonly AccessLog[], of: string): AccessLogger | null;
}

/** A TCP proxy compiled from config; shared by all connections of its filter chain. */
export class TcpProxy {
  readonly config: TcpProxyConfig;
  readonly filterChain: string;
  readonly env: TcpEnvironment;
  readonly stats: TcpStats;
  readonly accessLog: AccessLogger | null;
  /** null: everybody passes. */
  readonly admit: Admit | null;
  readonly #totalWeight: number;

  constructor(config: TcpProxyConfig, filterChain: string, env: TcpEnvironment, admit: Admit | null = null) {
    this.admit = admit;
    this.config = config;
    this.filterChain = filterChain;
    this.env = env;
    this.accessLog = env.compileAccessLogs(config.accessLog, config.statPrefix);
    this.stats = new TcpStats(env.stats, config.statPrefix);
    this.#totalWeight = config.clusters.reduce((sum, { weight }) => sum + weight, 0);
  }

  /** Whether a connection to the address waits for its host, where bytes go by hosts. */
  awaits(address: SocketAddress, waiter: AddressWaiter): boolean {
    const { addressRoutes: routes } = this.config;
    return routes !== undefined && this.env.addressHosts.awaits(routes, formatAddress(address), waiter);
  }

  /** The cluster of the next connect: that of the address where it has one, else drawn by weight. */
  pickCluster(address: SocketAddress): string {
    const { clusters, addressRoutes: routes } = this.config;
    const own = routes === undefined ? null : this.env.addressHosts.bytesTo(routes, formatAddress(address));
    if (own !== null) return own;
    let left = this.#totalWeight > 0 ? this.env.random.int(this.#totalWeight) : 0;
    for (const { name, weight } of clusters) {
      left -= weight;
      if (left < 0) return name;
    }
    return clusters[0]?.name ?? '';
  }

  /** No chain has it any more; connections that are open go on. */
  release(): void {
    this.stats.release();
  }
}
