import { describe, expect, it } from 'vitest';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { CircuitBreaker } from '../../../../src/proxy/upstream/circuit-breaker.ts';
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
