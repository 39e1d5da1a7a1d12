import type { Clock } from '../../base/clock.ts';
import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import { UpstreamEndpoint } from './endpoint.ts';
import type { ClusterStats } from './stats.ts';

/** Envoy's default `cleanup_interval`. */
const SWEEP_MS = 5000;
const MAX_ENDPOINTS = 10_000;
const ANYWHERE = { region: '', zone: '', subZone: '' };

interface Entry {
  readonly endpoint: UpstreamEndpoint;
  lastUsed: number;
}

/**
 * The endpoints of a cluster whose callers name them (ORIGINAL_DST, dynamic forward proxy): made when somebody asks
 * for an address, dropped when nobody has asked for it for a while and it has neither requests nor connections. Their
 * number is bounded, since callers choose the addresses.
 */
export class OnDemandEndpoints {
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #stats: ClusterStats;
  readonly #limit: number;
  readonly #byAddress = new Map<string, Entry>();
  readonly #sweepTimer = new WheelTimer(() => this.#sweep());

  constructor(clock: Clock, wheel: TimerWheel, stats: ClusterStats, limit = MAX_ENDPOINTS) {
    this.#clock = clock;
    this.#wheel = wheel;
    this.#stats = stats;
    this.#limit = limit;
  }

  get size(): number {
    return this.#byAddress.size;
  }
  *endpoints(): IterableIterator<UpstreamEndpoint> {
    for (const entry of this.#byAddress.values()) yield entry.endpoint;
  }

  /** `name`: how the caller wrote the host. Null when there are too many and none is idle. */
  pick(destination: SocketAddress, name = ''): UpstreamEndpoint | null {
    const address = formatAddress(destination);
    const known = this.#byAddress.get(address);
    if (known !== undefined) {
      known.lastUsed = this.#clock.now();
      return known.endpoint;
    }
    if (this.#byAddress.size >= this.#limit && !this.#evictOne()) return null;
    const config = { address: destination, hostname: name, weight: 1, health: 'UNKNOWN', workload: '' } as const;
    const endpoint = new UpstreamEndpoint(config, 0, ANYWHERE);
    this.#byAddress.set(address, { endpoint, lastUsed: this.#clock.now() });
    if (!this.#sweepTimer.isArmed) this.#wheel.arm(this.#sweepTimer, SWEEP_MS);
    this.#publish();
    return endpoint;
  }

  /** Takes every endpoint out; the caller drains them. */
  close(): UpstreamEndpoint[] {
    this.#wheel.release(this.#sweepTimer);
    const all = [...this.endpoints()];
    this.#byAddress.clear();
    return all;
  }

  #sweep(): void {
    const now = this.#clock.now();
    for (const [address, entry] of this.#byAddress) {
      if (now - entry.lastUsed >= SWEEP_MS && isIdle(entry)) this.#drop(address, entry);
    }
    if (this.#byAddress.size > 0) this.#wheel.arm(this.#sweepTimer, SWEEP_MS);
    this.#publish();
  }

  #evictOne(): boolean {
    for (const [address, entry] of this.#byAddress) {
      if (entry.endpoint.activeRequests > 0) continue;
      this.#drop(address, entry);
      return true;
    }
    return false;
  }

  #drop(address: string, { endpoint }: Entry): void {
    this.#byAddress.delete(address);
    endpoint.present = false;
    endpoint.pool?.drain();
  }

  #publish(): void {
    const { store, membershipTotal, membershipHealthy } = this.#stats;
    store.set(membershipTotal, this.#byAddress.size);
    store.set(membershipHealthy, this.#byAddress.size);
  }
}

function isIdle({ endpoint }: Entry): boolean {
  return endpoint.activeRequests === 0 && (endpoint.pool === null || endpoint.pool.connections === 0);
}
