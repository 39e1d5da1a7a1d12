import { describe, expect, test } from 'vitest';
import { exposePrometheus } from '../../../../../src/proxy/telemetry/metrics/prometheus.ts';
import { StatStore } from '../../../../../src/proxy/telemetry/metrics/store.ts';

async function lines(store: StatStore, query = {}): Promise<string[]> {
  const { ok } = await exposePrometheus(store, query);
  return ok!.split('\n').filter((line) => line !== '' && !line.startsWith('# HELP'));
}

describe('exposition', () => {
  test('one TYPE line for all series of a name', async () => {
    const store = new StatStore();
    for (const [i, name] of ['a', 'b'].entries()) {
      const labels = { envoy_cluster_name: name };
      store.add(store.counter('envoy_cluster_upstream_rq_total', labels, `cluster.${name}.upstream_rq_total`), i + 1);
    }
    store.set(store.gauge('envoy_server_live', {}, 'server.live'), 1);
    expect(await lines(store)).toEqual([
      '# TYPE envoy_cluster_upstream_rq_total counter',
      'envoy_cluster_upstream_rq_total{envoy_cluster_name="a"} 1',
      'envoy_cluster_upstream_rq_total{envoy_cluster_name="b"} 2',
      '# TYPE envoy_server_live gauge',
      'envoy_server_live 1',
    ]);
  });

  test('a histogram has cumulative buckets, a sum and a count', async () => {
    const store = new StatStore();
    const id = store.histogram('h', { route: 'r' }, 'h', [1, 10]);
    for (const value of [0.5, 5, 50]) store.observe(id, value);
    expect(await lines(store)).toEqual([
      '# TYPE h histogram',
      'h_bucket{route="r",le="1"} 1',
      'h_bucket{route="r",le="10"} 2',
      'h_bucket{route="r",le="+Inf"} 3',
      'h_sum{route="r"} 55.5',
      'h_count{route="r"} 3',
    ]);
  });

  test('label values are escaped', async () => {
    const store = new StatStore();
    store.counter('c', { name: 'a"b\\c\nd' });
    expect((await lines(store))[1]).toBe('c{name="a\\"b\\\\c\\nd"} 0');
  });

  test('reads the numbers of now, and nothing when nothing is asked for', async () => {
    const store = new StatStore();
    const id = store.counter('c', {}, 'scope.c');
    await exposePrometheus(store);
    store.add(id, 3);
    expect(await lines(store)).toContain('c 3');
    expect(await exposePrometheus(store, { filter: 'nothing' })).toEqual({ ok: '' });
  });

  test('filter goes by the dotted name, usedonly by the value', async () => {
    const store = new StatStore();
    store.inc(store.counter('used', {}, 'cluster.a.used'));
    store.counter('unused', {}, 'cluster.a.unused');
    store.inc(store.counter('other', {}, 'http.other'));
    expect(await lines(store, { filter: '^cluster\\.', usedOnly: true })).toEqual(['# TYPE used counter', 'used 1']);
    expect((await exposePrometheus(store, { filter: '(' })).error).toMatch(/^Invalid re2 regex: /);
  });
});
