import { describe, expect, it } from 'vitest';
import { MergedStats } from '../../../../../src/proxy/telemetry/metrics/merged.ts';
import { StatStore } from '../../../../../src/proxy/telemetry/metrics/store.ts';

function threads(count: number) {
  const own = new StatStore();
  const merged = new MergedStats(own);
  const begin = (thread: number): StatStore => {
    merged.begin(thread);
    return new StatStore(undefined, (change) => merged.follow(thread, [change]));
  };
  return { own, merged, begin, stores: Array.from({ length: count }, (_, i) => begin(i)) };
}

function read(merged: MergedStats): Record<string, number> {
  const store = merged.read();
  return Object.fromEntries(
    Array.from(store.series(), (one) => [
      one.dotted,
      one.kind === 'histogram' ? store.readHistogram(one.id).count : store.value(one.id),
    ]),
  );
}

describe('numbers of several threads', () => {
  it('are sums, read where they are written', () => {
    const { own, merged, stores } = threads(2);
    const [a, b] = stores.map((store) => store.counter('envoy_requests', {}, 'requests'));
    stores[0]!.add(a!, 3);
    stores[1]!.add(b!, 4);
    own.add(own.counter('envoy_requests', {}, 'requests'), 1);
    own.set(own.gauge('envoy_own', {}, 'own'), 5);
    expect(read(merged)).toEqual({ requests: 8, own: 5 });
    stores[0]!.inc(a!);
    expect(read(merged)).toEqual({ requests: 9, own: 5 });
  });

  it('add histograms bucket by bucket', () => {
    const { merged, stores } = threads(2);
    for (const [i, store] of stores.entries()) {
      const id = store.histogram('envoy_ms', {}, 'ms', [1, 10]);
      store.observe(id, 0.5);
      store.observe(id, i === 0 ? 5 : 50);
    }
    const store = merged.read();
    const [series] = store.series();
    expect(store.readHistogram(series!.id)).toEqual({ buckets: [1, 10], cumulative: [2, 3], count: 4, sum: 56 });
  });

  it('are one number where all threads say the same', () => {
    const { merged, stores } = threads(2);
    for (const store of stores) {
      store.set(store.gauge('envoy_cluster_membership_total', {}, 'total'), 3);
      store.set(store.gauge('envoy_cluster_circuit_breakers_default_rq_open', {}, 'open'), 1);
      store.set(store.gauge('envoy_cluster_upstream_rq_active', {}, 'active'), 1);
    }
    expect(read(merged)).toEqual({ total: 3, open: 1, active: 2 });
  });

  it('are told of each worker too, where Envoy does', () => {
    const { merged, stores } = threads(2);
    for (const [i, store] of stores.entries()) {
      const labels = { envoy_listener_address: 'a_1' };
      store.add(store.counter('envoy_listener_downstream_cx_total', labels, 'listener.a_1.downstream_cx_total'), i + 1);
    }
    expect(read(merged)).toEqual({
      'listener.a_1.downstream_cx_total': 3,
      'listener.a_1.worker_0.downstream_cx_total': 1,
      'listener.a_1.worker_1.downstream_cx_total': 2,
    });
    const worker = [...merged.read().series()].find(({ dotted }) => dotted.includes('worker_1'))!;
    expect([worker.name, worker.labels]).toEqual([
      'envoy_listener_worker_downstream_cx_total',
      { envoy_worker_id: '1', envoy_listener_address: 'a_1' },
    ]);
  });

  it('follow a store that grows, and slots that serve another series', () => {
    const { merged, stores } = threads(1);
    const [store] = stores;
    const scope = store!.scope();
    store!.add(scope.counter('envoy_old', {}, 'old'), 7);
    scope.discard();
    store!.inc(store!.counter('envoy_new', {}, 'new'));
    for (let i = 0; i < 3000; i++) store!.inc(store!.counter('envoy_many', { i: String(i) }, `many.${i}`));
    const numbers = read(merged);
    expect([numbers['old'], numbers['new'], numbers['many.2999']]).toEqual([undefined, 1, 1]);
  });
});

describe('a thread that ends', () => {
  it('leaves what it has counted, and not what it had', () => {
    const { merged, begin, stores } = threads(2);
    const count = (store: StatStore): void => {
      store.add(store.counter('envoy_requests', {}, 'requests'), 5);
      store.set(store.gauge('envoy_active', {}, 'active'), 2);
      store.observe(store.histogram('envoy_ms', {}, 'ms'), 3);
    };
    for (const store of stores) count(store);
    merged.end(1);
    expect(read(merged)).toEqual({ requests: 10, active: 2, ms: 2 });
    count(begin(1));
    expect(read(merged)).toEqual({ requests: 15, active: 4, ms: 3 });
    // Begun anew without a word that the one before had ended.
    count(begin(1));
    expect(read(merged)).toEqual({ requests: 20, active: 4, ms: 4 });
  });

  it('is forgotten by a reset, and in time where nobody else counts the same', () => {
    const { merged, stores } = threads(2);
    const [a, b] = stores;
    a!.inc(a!.counter('envoy_both', {}, 'both'));
    b!.inc(b!.counter('envoy_both', {}, 'both'));
    b!.inc(b!.counter('envoy_its', {}, 'its'));
    merged.end(1);
    merged.sweep(0);
    merged.sweep(299_999);
    expect(read(merged)).toEqual({ both: 2, its: 1 });
    merged.sweep(300_000);
    expect(read(merged)).toEqual({ both: 2 });
    merged.resetCounters();
    a!.resetCounters();
    expect(read(merged)).toEqual({ both: 0 });
  });
});
