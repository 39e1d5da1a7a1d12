import { describe, expect, it } from 'vitest';
import { addCounted, CountedSince } from '../../../../../src/proxy/telemetry/metrics/carried.ts';
import { MergedStats } from '../../../../../src/proxy/telemetry/metrics/merged.ts';
import { StatStore } from '../../../../../src/proxy/telemetry/metrics/store.ts';

/** What a store of this process has counted, by dotted name. */
function read(store: StatStore): Record<string, number> {
  return Object.fromEntries(
    Array.from(store.series(), (one) => [
      one.dotted,
      one.kind === 'histogram' ? store.readHistogram(one.id).count : store.value(one.id),
    ]),
  );
}

function counting(): { store: StatStore; requests: number; ms: number; since: CountedSince } {
  const store = new StatStore();
  const requests = store.counter('envoy_requests', { code: '2' }, 'requests');
  const ms = store.histogram('envoy_ms', {}, 'ms', [1, 10]);
  store.set(store.gauge('envoy_open', {}, 'open'), 7);
  store.counter('envoy_never', {}, 'never');
  return { store, requests, ms, since: new CountedSince() };
}

describe('what a process counted', () => {
  it('is all of it at first, then what has come to it; no gauges, and nothing that is 0', () => {
    const { store, requests, ms, since } = counting();
    store.add(requests, 3);
    store.observe(ms, 5);
    expect(since.take(store)).toEqual([
      { name: 'envoy_requests', labels: { code: '2' }, dotted: 'requests', buckets: null, values: [3] },
      { name: 'envoy_ms', labels: {}, dotted: 'ms', buckets: [1, 10], values: [0, 1, 0, 5] },
    ]);
    expect(since.take(store)).toEqual([]);
    store.inc(requests);
    expect(since.take(store).map(({ values }) => values)).toEqual([[1]]);
  });

  it('is what came since it was reset', () => {
    const { store, requests, since } = counting();
    store.add(requests, 3);
    since.take(store);
    store.resetCounters();
    store.add(requests, 2);
    expect(since.take(store).map(({ values }) => values)).toEqual([[2]]);
    store.inc(requests);
    expect(since.take(store).map(({ values }) => values)).toEqual([[1]]);
  });

  it('has no number twice: those of a worker are in the sum too', () => {
    const store = new StatStore();
    store.inc(store.counter('envoy_listener_worker_downstream_cx_total', { envoy_worker_id: '0' }, 'worker_0'));
    store.inc(store.counter('envoy_listener_downstream_cx_total', {}, 'all'));
    expect(new CountedSince().take(store).map(({ dotted }) => dotted)).toEqual(['all']);
  });
});

/** As it arrives. */
function counted(): ReturnType<CountedSince['take']> {
  const { store, requests, ms, since } = counting();
  store.add(requests, 3);
  store.observe(ms, 5);
  return JSON.parse(JSON.stringify(since.take(store)));
}

describe('the next process', () => {
  it('goes on from there, bucket by bucket', () => {
    const { store, requests, ms } = counting();
    store.inc(requests);
    store.observe(ms, 0.5);
    addCounted(store, counted());
    expect(store.value(requests)).toBe(4);
    expect(store.readHistogram(ms)).toEqual({ buckets: [1, 10], cumulative: [1, 2], count: 2, sum: 5.5 });
  });

  it('lets go of what nothing of it has, after the usual grace, and keeps what it has begun to count itself', () => {
    const store = new StatStore();
    addCounted(store, counted());
    expect(read(store)).toEqual({ requests: 3, ms: 1 });
    store.sweep(0);
    store.scope().counter('envoy_requests', { code: '2' }, 'requests');
    store.sweep(300_000);
    expect(read(store)).toEqual({ requests: 3 });
  });

  it('passes over what it knows as something else', () => {
    const store = new StatStore();
    store.gauge('envoy_requests', { code: '2' }, 'requests');
    store.histogram('envoy_ms', {}, 'ms', [1, 10, 100]);
    addCounted(store, counted());
    expect(read(store)).toEqual({ requests: 0, ms: 0 });
  });

  it('adds it to the sum of its threads, for as long as one of them or it itself has the series', () => {
    const own = new StatStore();
    const mine = own.counter('envoy_requests', { code: '2' }, 'requests');
    const merged = new MergedStats(own);
    merged.begin(0);
    const thread = new StatStore(undefined, (change) => merged.follow(0, [change]));
    merged.carry(counted());
    own.inc(mine);
    expect(read(merged.read())).toEqual({ requests: 4, ms: 1 });
    thread.observe(thread.histogram('envoy_ms', {}, 'ms', [1, 10]), 2);
    merged.carry(counted());
    for (const now of [0, 300_000, 600_000]) merged.sweep(now);
    expect(read(merged.read())).toEqual({ requests: 7, ms: 3 });
    merged.end(0);
    for (const now of [900_000, 1_200_000]) merged.sweep(now);
    expect(read(merged.read())).toEqual({ requests: 7 });
  });

  it('adds it also to what it counts itself only later', () => {
    const own = new StatStore();
    const merged = new MergedStats(own);
    merged.carry(counted());
    own.inc(own.counter('envoy_requests', { code: '2' }, 'requests'));
    for (const now of [0, 300_000]) merged.sweep(now);
    expect(read(merged.read())).toEqual({ requests: 4 });
  });
});
