import type { Metric, Registry } from 'prom-client';
import { type Selection, type StatsQuery, selectSeries } from './select.ts';
import type { Labels, Series, StatStore } from './store.ts';

export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export type Exposition =
  | { readonly ok: string; readonly error?: never }
  | { readonly ok?: never; readonly error: string };

/**
 * The store in Prometheus' text format, for `/stats/prometheus` and `/metrics`. prom-client escapes and lays out;
 * it holds no numbers and is loaded by the first scrape only, for it costs 20 MB.
 */
export async function exposePrometheus(store: StatStore, query: StatsQuery = {}): Promise<Exposition> {
  const selected: Selection = selectSeries(store, query);
  if (selected.ok === undefined) return selected;
  const { Registry } = (await import('prom-client')).default;
  const registry: Registry = new Registry();
  const families = new Map<string, Family>();
  for (const series of selected.ok) {
    let family = families.get(series.name);
    if (family === undefined) {
      family = new Family(series, store);
      families.set(series.name, family);
      registry.registerMetric(family as unknown as Metric);
    }
    family.series.push(series);
  }
  return { ok: families.size === 0 ? '' : await registry.metrics() };
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Labels;
  readonly value: number;
}

/** All series of one name, as prom-client's registry reads a metric. */
class Family {
  readonly name: string;
  readonly help: string;
  readonly type: Series['kind'];
  readonly aggregator = 'sum';
  readonly series: Series[] = [];
  readonly #store: StatStore;

  constructor({ name, kind, dotted }: Series, store: StatStore) {
    this.name = name;
    this.type = kind;
    this.help = HELP[name] ?? helpOf(name, dotted);
    this.#store = store;
  }

  get(): object {
    const { name, help, type, aggregator } = this;
    const values: Sample[] = [];
    for (const series of this.series) {
      if (type === 'histogram') this.#histogram(series, values);
      else values.push({ labels: series.labels, value: this.#store.value(series.id) });
    }
    return { name, help, type, aggregator, values };
  }

  #histogram({ id, labels }: Series, values: Sample[]): void {
    const { buckets, cumulative, count, sum } = this.#store.readHistogram(id);
    const bucket = `${this.name}_bucket`;
    for (let i = 0; i < buckets.length; i++) {
      values.push({ metricName: bucket, labels: { ...labels, le: String(buckets[i]) }, value: cumulative[i]! });
    }
    values.push({ metricName: bucket, labels: { ...labels, le: '+Inf' }, value: count });
    values.push({ metricName: `${this.name}_sum`, labels, value: sum });
    values.push({ metricName: `${this.name}_count`, labels, value: count });
  }
}

const HELP: Readonly<Record<string, string>> = {
  istio_requests_total: 'Requests, by who sent them, who answered them and how.',
  istio_request_duration_milliseconds: 'Time from the first byte of a request to the last byte of its response.',
  istio_request_bytes: 'Size of requests, heads included.',
  istio_response_bytes: 'Size of responses, heads included.',
  istio_tcp_connections_opened_total: 'TCP connections that got their upstream.',
  istio_tcp_connections_closed_total: 'TCP connections that ended.',
  istio_tcp_sent_bytes_total: 'Bytes sent to who opened the TCP connection.',
  istio_tcp_received_bytes_total: 'Bytes received from who opened the TCP connection.',
};

function helpOf(name: string, dotted: string): string {
  return dotted === '' ? name : `Envoy's ${dotted.slice(dotted.lastIndexOf('.') + 1)}.`;
}
