import { describe, expect, it } from 'vitest';
import { SharedCounts } from '../../../../src/base/shared-counts.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { CircuitBreaker, sharedBreakers } from '../../../../src/proxy/upstream/circuit-breaker.ts';
import { ClusterStats } from '../../../../src/proxy/upstream/stats.ts';
import { stat } from './support.ts';

const THRESHOLDS = { maxConnections: 2, maxPendingRequests: 1, maxRequests: 3, maxRetries: 1, retryBudget: null };

function breaker(thresholds: ConstructorParameters<typeof CircuitBreaker>[1] = THRESHOLDS) {
  const store = new StatStore();
  const made = new CircuitBreaker('default', thresholds, new ClusterStats(store, 'c'));
  return { store, breaker: made, open: (name: string) => stat(store, `cluster.c.circuit_breakers.default.${name}`) };
}

describe('circuit breaker', () => {
  it('gives out units up to the limit and shows when it is reached', () => {
    const { breaker: b, open } = breaker();
    expect(b.connections.acquire()).toBe(true);
    expect(open('cx_open')).toBe(0);
    expect(b.connections.acquire()).toBe(true);
    expect(open('cx_open')).toBe(1);
    expect(b.connections.canAcquire()).toBe(false);
    expect(b.connections.acquire()).toBe(false);
    b.connections.release();
    expect(open('cx_open')).toBe(0);
    expect(b.connections.acquire()).toBe(true);
  });

  it('stays open until units taken above the limit are back below it', () => {
    const { breaker: b, open } = breaker();
    for (let i = 0; i < 3; i++) b.connections.take();
    b.connections.release();
    expect(open('cx_open')).toBe(1);
    b.connections.release();
    expect(open('cx_open')).toBe(0);
  });

  it('is open from the start with a limit of 0', () => {
    const { breaker: b, open } = breaker({ ...THRESHOLDS, maxRequests: 0 });
    expect(open('rq_open')).toBe(1);
    expect(b.requests.acquire()).toBe(false);
  });

  it('counts what is under way against new thresholds', () => {
    const { breaker: b, open } = breaker();
    b.requests.acquire();
    b.requests.acquire();
    b.update({ ...THRESHOLDS, maxRequests: 1 });
    expect(open('rq_open')).toBe(1);
    expect(b.requests.acquire()).toBe(false);
    b.update({ ...THRESHOLDS, maxRequests: 5 });
    expect(open('rq_open')).toBe(0);
    b.requests.release();
    b.requests.release();
    expect(b.requests.count).toBe(0);
  });

  it('limits retries by number without a budget', () => {
    const { breaker: b, open } = breaker();
    expect(b.retries.acquire()).toBe(true);
    expect(open('rq_retry_open')).toBe(1);
    expect(b.retries.acquire()).toBe(false);
    b.retries.release();
    expect(open('rq_retry_open')).toBe(0);
  });

  it('limits retries by a share of active and pending requests, but not below the minimum', () => {
    const { breaker: b } = breaker({
      ...THRESHOLDS,
      maxPendingRequests: 100,
      maxRequests: 100,
      retryBudget: { budgetPercent: 20, minRetryConcurrency: 3 },
    });
    expect(b.retries.limit).toBe(3);
    for (let i = 0; i < 15; i++) b.requests.acquire();
    expect(b.retries.limit).toBe(3);
    for (let i = 0; i < 10; i++) b.pendingRequests.acquire();
    expect(b.retries.limit).toBe(5);
    for (let i = 0; i < 5; i++) expect(b.retries.acquire()).toBe(true);
    expect(b.retries.acquire()).toBe(false);
  });
});

describe('circuit breakers of two threads', () => {
  type Thresholds = ConstructorParameters<typeof CircuitBreaker>[1];
  function two(thresholds: Partial<Thresholds> = {}) {
    const memory = SharedCounts.allocate(1 << 17);
    return [0, 1].map((member) => {
      const store = new StatStore();
      const block = sharedBreakers(new SharedCounts(memory, member, 2), 'c', 'c');
      const all: Thresholds = { ...THRESHOLDS, ...thresholds };
      const made = new CircuitBreaker('default', all, new ClusterStats(store, 'c'), block);
      const high = new CircuitBreaker('high', all, new ClusterStats(store, 'c'), block);
      const open = () => stat(store, 'cluster.c.circuit_breakers.default.rq_open');
      return { breaker: made, high, open };
    });
  }

  it('give out units up to the limit together, each priority its own', () => {
    const [a, b] = two();
    expect([a, b, a, b].map((of) => of!.breaker.requests.acquire())).toEqual([true, true, true, false]);
    expect(b!.breaker.requests.canAcquire()).toBe(false);
    expect(b!.high.requests.acquire()).toBe(true);
    expect([a!.breaker.requests.count, a!.breaker.requests.held, b!.breaker.requests.held]).toEqual([3, 2, 1]);
    a!.breaker.requests.release();
    expect(b!.breaker.requests.acquire()).toBe(true);
  });

  it('say the same when they are asked', () => {
    const [a, b] = two({ maxRequests: 1 });
    a!.breaker.requests.take();
    for (const of of [a, b]) of!.breaker.publish();
    expect([a!.open(), b!.open()]).toEqual([1, 1]);
    a!.breaker.requests.release();
    for (const of of [a, b]) of!.breaker.publish();
    expect([a!.open(), b!.open()]).toEqual([0, 0]);
  });

  it('are in use for who holds something', () => {
    const [a, b] = two();
    a!.breaker.connections.take();
    expect([a!.breaker.inUse, b!.breaker.inUse]).toEqual([true, false]);
  });

  it('take the requests of both for a retry budget', () => {
    const [a, b] = two({ maxRequests: 100, retryBudget: { budgetPercent: 20, minRetryConcurrency: 1 } });
    for (let i = 0; i < 10; i++) b!.breaker.requests.acquire();
    expect([a!.breaker.retries.limit, a!.breaker.retries.acquire(), a!.breaker.retries.acquire()]).toEqual([
      2,
      true,
      true,
    ]);
    expect(b!.breaker.retries.acquire()).toBe(false);
    a!.breaker.retries.release();
    expect(b!.breaker.retries.acquire()).toBe(true);
  });
});
