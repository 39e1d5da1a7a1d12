import { describe, expect, test } from 'vitest';
import { StatStore } from '../../../../../src/proxy/telemetry/metrics/store.ts';
import { formatStats, formatStatsJson, type TextQuery } from '../../../../../src/proxy/telemetry/metrics/text.ts';

function store(): StatStore {
  const stats = new StatStore();
  stats.add(stats.counter('rq', { c: 'b' }, 'cluster.b.rq_total'), 5);
  stats.counter('rq', { c: 'a' }, 'cluster.a.rq_total');
  stats.set(stats.gauge('live', {}, 'server.live'), 1);
  stats.inc(stats.counter('istio_requests_total', { x: 'y' }));
  const time = stats.histogram('time', {}, 'cluster.a.time', [10, 20, 1_800_000]);
  for (const value of [5, 15, 15, 15]) stats.observe(time, value);
  stats.histogram('unused', {}, 'cluster.a.unused');
  return stats;
}

const text = (query: TextQuery): string[] => formatStats(store(), query).ok!.split('\n').slice(0, -1);

describe('text', () => {
  test('numbers sorted by name, then histograms; series without a dotted name are left out', () => {
    expect(text({})).toEqual([
      'cluster.a.rq_total: 0',
      'cluster.b.rq_total: 5',
      'server.live: 1',
      'cluster.a.time: P0(nan,0) P25(nan,10) P50(nan,13.333) P75(nan,16.667) P90(nan,18.667) P95(nan,19.333) P99(nan,19.867) P99.5(nan,19.933) P99.9(nan,19.987) P100(nan,20)',
      'cluster.a.unused: No recorded values',
    ]);
  });

  test('histograms by bucket', () => {
    expect(text({ filter: 'a.time', histograms: 'cumulative' })).toEqual([
      'cluster.a.time: B10(0,1) B20(0,4) B1.8e+06(0,4)',
    ]);
    expect(text({ filter: 'a.time', histograms: 'disjoint' })).toEqual([
      'cluster.a.time: B10(0,1) B20(0,3) B1.8e+06(0,0)',
    ]);
  });

  test.each([
    ['a literal', { filter: 'b.rq' }, ['cluster.b.rq_total: 5']],
    [
      'a regex, found anywhere',
      { filter: 'a|b', type: 'Counters' },
      ['cluster.a.rq_total: 0', 'cluster.b.rq_total: 5'],
    ],
    ['anchors', { filter: '^server\\.l.*e$' }, ['server.live: 1']],
    ['an inverted filter', { filter: 'cluster', invertFilter: true }, ['server.live: 1']],
    ['used only', { usedOnly: true, type: 'Counters' }, ['cluster.b.rq_total: 5']],
    ['gauges', { type: 'Gauges' }, ['server.live: 1']],
    ['text readouts, of which there are none', { type: 'TextReadouts' }, []],
  ] as const)('filters by %s', (_, query, expected) => {
    expect(text(query)).toEqual(expected);
  });

  test('a filter that RE2 refuses is an error, one that would hang another engine is not', () => {
    expect(formatStats(store(), { filter: '*(' }).error).toMatch(/^Invalid re2 regex: .*repetition operator/);
    expect(formatStats(store(), { filter: '(a+)+$' }).error).toBeUndefined();
    expect(formatStats(store(), { filter: '(?=a)' }).error).toBeDefined();
  });
});

describe('json', () => {
  test('numbers and quantiles', () => {
    const { stats } = JSON.parse(formatStatsJson(store(), { filter: 'a\\.' }).ok!);
    expect(stats[0]).toEqual({ name: 'cluster.a.rq_total', value: 0 });
    const { supported_quantiles, computed_quantiles } = stats[1].histograms;
    expect(supported_quantiles).toEqual([0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]);
    expect(computed_quantiles[0].name).toBe('cluster.a.time');
    expect(computed_quantiles[0].values[2]).toEqual({ cumulative: 13.333, interval: null });
    expect(computed_quantiles[1].values[0]).toEqual({ cumulative: null, interval: null });
  });

  test('buckets', () => {
    const { stats } = JSON.parse(formatStatsJson(store(), { filter: 'a.time', histograms: 'cumulative' }).ok!);
    expect(stats[0].histograms[0].buckets[1]).toEqual({ upper_bound: 20, interval: 0, cumulative: 4 });
  });
});
