import { describe, expect, it } from 'vitest';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { ClusterStats } from '../../../../src/proxy/upstream/stats.ts';
import { stat } from './support.ts';

describe('cluster stats', () => {
  it('counts statuses by code and class under the names of stock Envoy', () => {
    const store = new StatStore();
    const stats = new ClusterStats(store, 'reviews');
    for (const status of [200, 200, 404, 503, 99, 700]) stats.countStatus(status);
    const found = [...store.series()].filter((series) => series.name.startsWith('envoy_cluster_upstream_rq'));
    const line = (name: string, label: string, value: string) =>
      found.find((series) => series.name === name && series.labels[label] === value)!;
    expect(store.value(line('envoy_cluster_upstream_rq', 'envoy_response_code', '200').id)).toBe(2);
    expect(store.value(line('envoy_cluster_upstream_rq_xx', 'envoy_response_code_class', '5').id)).toBe(1);
    expect(line('envoy_cluster_upstream_rq_xx', 'envoy_response_code_class', '4').labels).toEqual({
      envoy_response_code_class: '4',
      envoy_cluster_name: 'reviews',
    });
    expect(stat(store, 'cluster.reviews.upstream_rq_200')).toBe(2);
    expect(stat(store, 'cluster.reviews.upstream_rq_4xx')).toBe(1);
    expect(stat(store, 'cluster.reviews.upstream_rq_completed')).toBe(6);
  });

  it('makes the slot of a rare event when it first happens', () => {
    const store = new StatStore();
    const stats = new ClusterStats(store, 'c');
    expect(stat(store, 'cluster.c.upstream_rq_rx_reset')).toBeUndefined();
    stats.count('upstream_rq_rx_reset');
    stats.count('upstream_rq_rx_reset');
    expect(stat(store, 'cluster.c.upstream_rq_rx_reset')).toBe(2);
  });

  it('shares slots between two objects of one name', () => {
    const store = new StatStore();
    expect(new ClusterStats(store, 'c').upstreamRqTotal).toBe(new ClusterStats(store, 'c').upstreamRqTotal);
  });

  it('keeps responses that a retry follows apart', () => {
    const store = new StatStore();
    const stats = new ClusterStats(store, 'c');
    stats.countRetriedStatus(503);
    stats.countRetriedStatus(503);
    stats.countStatus(200);
    expect(stat(store, 'cluster.c.retry.upstream_rq_503')).toBe(2);
    expect(stat(store, 'cluster.c.retry.upstream_rq_5xx')).toBe(2);
    expect(stat(store, 'cluster.c.retry.upstream_rq_completed')).toBe(2);
    expect(stat(store, 'cluster.c.upstream_rq_completed')).toBe(1);
    expect(stat(store, 'cluster.c.upstream_rq_503')).toBeUndefined();
    const retried = [...store.series()].find(({ name }) => name === 'envoy_cluster_retry_upstream_rq')!;
    expect(retried.labels).toEqual({ envoy_response_code: '503', envoy_cluster_name: 'c' });
  });
});
