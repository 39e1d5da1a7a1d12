import type { CircuitBreakerThresholds } from '../../model/cluster.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { ClusterStats } from './stats.ts';

/**
 * One bounded resource of a cluster. Whoever holds a unit calls `release` exactly once for it.
 * The `…_open` gauge is 1 while no further unit may be taken; it is written only when that changes.
 */
export class Resource {
  count = 0;
  #limit: number;
  readonly #store: StatStore;
  readonly #open: number;

  constructor(store: StatStore, limit: number, openGauge: number) {
    this.#store = store;
    this.#limit = limit;
    this.#open = openGauge;
    this.#publish();
  }
  get limit(): number {
    return this.#limit;
  }
  set limit(limit: number) {
    this.#limit = limit;
    this.#publish();
  }
  /** Whether a unit may be taken now. */
  canAcquire(): boolean {
    return this.count < this.#limit;
  }
  /** Takes a unit; false when none is free. The caller counts the overflow. */
  acquire(): boolean {
    if (this.count >= this.#limit) return false;
    this.take();
    return true;
  }
  /** Takes a unit even above the limit, as Envoy does for the first connection to an endpoint. */
  take(): void {
    if (++this.count === this.#limit) this.#store.set(this.#open, 1);
  }
  release(): void {
    if (this.count-- === this.#limit) this.#store.set(this.#open, 0);
  }

  #publish(): void {
    this.#store.set(this.#open, this.count >= this.#limit ? 1 : 0);
  }
}

/** Retries in flight, bounded by a fixed number or by a budget: a share of all requests under way. */
export class RetryResource {
  count = 0;
  #thresholds: CircuitBreakerThresholds;
  readonly #requests: Resource;
  readonly #pending: Resource;
  readonly #store: StatStore;
  readonly #open: number;

  constructor(store: StatStore, thresholds: CircuitBreakerThresholds, of: [Resource, Resource], openGauge: number) {
    this.#store = store;
    this.#thresholds = thresholds;
    [this.#requests, this.#pending] = of;
    this.#open = openGauge;
    this.#publish();
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
    if (this.count >= this.limit) return false;
    this.count++;
    this.#publish();
    return true;
  }
  release(): void {
    this.count--;
    this.#publish();
  }
  update(thresholds: CircuitBreakerThresholds): void {
    this.#thresholds = thresholds;
    this.#publish();
  }

  #publish(): void {
    this.#store.set(this.#open, this.count >= this.limit ? 1 : 0);
  }
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

  constructor(priority: 'default' | 'high', thresholds: CircuitBreakerThresholds, stats: ClusterStats) {
    const { store } = stats;
    const open = (resource: string): number =>
      stats.gauge(`circuit_breakers_${priority}_${resource}_open`, `circuit_breakers.${priority}.${resource}_open`);
    this.connections = new Resource(store, thresholds.maxConnections, open('cx'));
    this.pendingRequests = new Resource(store, thresholds.maxPendingRequests, open('rq_pending'));
    this.requests = new Resource(store, thresholds.maxRequests, open('rq'));
    this.retries = new RetryResource(store, thresholds, [this.requests, this.pendingRequests], open('rq_retry'));
  }

  /** Something holds a unit: a connection is open, or a request under way. */
  get inUse(): boolean {
    return (
      this.connections.count > 0 || this.requests.count > 0 || this.pendingRequests.count > 0 || this.retries.count > 0
    );
  }

  /** New limits for what is already counted. */
  update(thresholds: CircuitBreakerThresholds): void {
    this.connections.limit = thresholds.maxConnections;
    this.pendingRequests.limit = thresholds.maxPendingRequests;
    this.requests.limit = thresholds.maxRequests;
    this.retries.update(thresholds);
  }
}
