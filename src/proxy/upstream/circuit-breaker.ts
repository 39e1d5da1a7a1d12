import { type SharedBlock, SharedCount, type SharedCounts } from '../../base/shared-counts.ts';
import type { CircuitBreakerThresholds } from '../../model/cluster.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { ClusterStats } from './stats.ts';

/**
 * One bounded resource of a cluster. Whoever holds a unit calls `release` exactly once for it.
 * The `…_open` gauge is 1 while no further unit may be taken.
 */
export interface Resource {
  /** Units taken, by all threads. */
  readonly count: number;
  /** Units that this thread holds. */
  readonly held: number;
  limit: number;
  /** Whether a unit may be taken now. */
  canAcquire(): boolean;
  /** Takes a unit; false when none is free. The caller counts the overflow. */
  acquire(): boolean;
  /** Takes a unit even above the limit, as Envoy does for the first connection to an endpoint. */
  take(): void;
  release(): void;
  /** Sets the gauge, where that is not done at each change. */
  publish(): void;
}

/** Counted by one thread: the gauge is written only when it changes. */
class LocalResource implements Resource {
  count = 0;
  #limit: number;
  readonly #store: StatStore;
  readonly #open: number;

  constructor(store: StatStore, limit: number, openGauge: number) {
    this.#store = store;
    this.#limit = limit;
    this.#open = openGauge;
    this.publish();
  }
  get held(): number {
    return this.count;
  }
  get limit(): number {
    return this.#limit;
  }
  set limit(limit: number) {
    this.#limit = limit;
    this.publish();
  }
  canAcquire(): boolean {
    return this.count < this.#limit;
  }
  acquire(): boolean {
    if (this.count >= this.#limit) return false;
    this.take();
    return true;
  }
  take(): void {
    if (++this.count === this.#limit) this.#store.set(this.#open, 1);
  }
  release(): void {
    if (this.count-- === this.#limit) this.#store.set(this.#open, 0);
  }
  publish(): void {
    this.#store.set(this.#open, this.count >= this.#limit ? 1 : 0);
  }
}

/** Counted by all workers. Their gauges say the same when they are published: before they are read. */
class SharedResource implements Resource {
  limit: number;
  readonly #count: SharedCount;
  readonly #store: StatStore;
  readonly #open: number;

  constructor(store: StatStore, limit: number, openGauge: number, count: SharedCount) {
    this.#store = store;
    this.limit = limit;
    this.#open = openGauge;
    this.#count = count;
  }
  get count(): number {
    return this.#count.sum;
  }
  get held(): number {
    return this.#count.own;
  }
  canAcquire(): boolean {
    return this.#count.sum < this.limit;
  }
  acquire(): boolean {
    return this.#count.takeBelow(this.limit);
  }
  take(): void {
    this.#count.take();
  }
  release(): void {
    this.#count.release();
  }
  publish(): void {
    this.#store.set(this.#open, this.count >= this.limit ? 1 : 0);
  }
}

/** Retries in flight, bounded by a fixed number or by a budget: a share of all requests under way. */
export class RetryResource {
  #thresholds: CircuitBreakerThresholds;
  readonly #requests: Resource;
  readonly #pending: Resource;
  readonly #store: StatStore;
  readonly #open: number;
  #own = 0;
  /** Null: this thread is the only one. */
  readonly #shared: SharedCount | null;

  constructor(
    store: StatStore,
    thresholds: CircuitBreakerThresholds,
    of: [Resource, Resource],
    openGauge: number,
    shared: SharedCount | null,
  ) {
    this.#store = store;
    this.#thresholds = thresholds;
    [this.#requests, this.#pending] = of;
    this.#open = openGauge;
    this.#shared = shared;
    this.publish();
  }
  get count(): number {
    return this.#shared === null ? this.#own : this.#shared.sum;
  }
  /** What this thread has of them. */
  get held(): number {
    return this.#own;
  }
  /** Limited by a budget, not by a fixed number. */
  get budgeted(): boolean {
    return this.#thresholds.retryBudget !== null;
  }
  /** The limit now: with a budget it moves with the requests under way. */
  get limit(): number {
    const budget = this.#thresholds.retryBudget;
    if (budget === null) return this.#thresholds.maxRetries;
    const share = Math.floor((budget.budgetPercent * (this.#requests.count + this.#pending.count)) / 100);
    return Math.max(share, budget.minRetryConcurrency);
  }
  canAcquire(): boolean {
    return this.count < this.limit;
  }
  acquire(): boolean {
    if (this.#shared !== null) {
      if (!this.#shared.takeBelow(this.limit)) return false;
    } else if (this.#own >= this.limit) return false;
    this.#own++;
    this.publish();
    return true;
  }
  release(): void {
    this.#own--;
    this.#shared?.release();
    this.publish();
  }
  update(thresholds: CircuitBreakerThresholds): void {
    this.#thresholds = thresholds;
    this.publish();
  }
  publish(): void {
    this.#store.set(this.#open, this.count >= this.limit ? 1 : 0);
  }
}

/** Counters of a priority: connections, pending requests, requests, retries. */
const RESOURCES = 4;

/** What the breakers of a cluster count in with those of other workers; null: there are none. */
export function sharedBreakers(shared: SharedCounts | null, cluster: string, statName: string): SharedBlock | null {
  return shared === null ? null : shared.counters(`breakers ${cluster} ${statName}`, 2 * RESOURCES);
}

/**
 * The limits of one cluster at one routing priority. It outlives config changes of its cluster: units taken
 * under the old config are given back here, and new thresholds count what is already under way.
 */
export class CircuitBreaker {
  readonly connections: Resource;
  /** Requests that wait for a connection. */
  readonly pendingRequests: Resource;
  readonly requests: Resource;
  readonly retries: RetryResource;

  /** `shared`: counters that all workers have, from the first of these four on; null: this thread is the only one. */
  constructor(
    priority: 'default' | 'high',
    thresholds: CircuitBreakerThresholds,
    stats: ClusterStats,
    shared: SharedBlock | null = null,
  ) {
    const { store } = stats;
    const open = (resource: string): number =>
      stats.gauge(`circuit_breakers_${priority}_${resource}_open`, `circuit_breakers.${priority}.${resource}_open`);
    const first = priority === 'default' ? 0 : RESOURCES;
    const resource = (at: number, limit: number, gauge: number): Resource =>
      shared === null
        ? new LocalResource(store, limit, gauge)
        : new SharedResource(store, limit, gauge, new SharedCount(shared, first + at));
    this.connections = resource(0, thresholds.maxConnections, open('cx'));
    this.pendingRequests = resource(1, thresholds.maxPendingRequests, open('rq_pending'));
    this.requests = resource(2, thresholds.maxRequests, open('rq'));
    const of: [Resource, Resource] = [this.requests, this.pendingRequests];
    const retries = shared === null ? null : new SharedCount(shared, first + 3);
    this.retries = new RetryResource(store, thresholds, of, open('rq_retry'), retries);
  }

  /** Something here holds a unit: a connection is open, or a request under way. */
  get inUse(): boolean {
    return (
      this.connections.held > 0 || this.requests.held > 0 || this.pendingRequests.held > 0 || this.retries.held > 0
    );
  }

  /** Brings the gauges up to date where several threads count: each of them is to say the same. */
  publish(): void {
    this.connections.publish();
    this.pendingRequests.publish();
    this.requests.publish();
    this.retries.publish();
  }

  /** New limits for what is already counted. */
  update(thresholds: CircuitBreakerThresholds): void {
    this.connections.limit = thresholds.maxConnections;
    this.pendingRequests.limit = thresholds.maxPendingRequests;
    this.requests.limit = thresholds.maxRequests;
    this.retries.update(thresholds);
  }
}
