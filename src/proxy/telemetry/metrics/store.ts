/** Label names and values of a series, in exposition order. */
export type Labels = Readonly<Record<string, string>>;

/** A metric family's identity in both of Envoy's views. */
export interface Series {
  /** Prometheus name, e.g. `envoy_cluster_upstream_rq_total`. */
  readonly name: string;
  readonly labels: Labels;
  /** Envoy's dotted name for `/stats`, e.g. `cluster.outbound|9080||reviews.upstream_rq_total`; '' to leave it out there. */
  readonly dotted: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly id: number;
}

/** Envoy's default histogram buckets (stats/histogram_impl.cc), milliseconds for time histograms. */
export const DEFAULT_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
];

/**
 * All numbers of a proxy: slots in flat typed arrays. A series is looked up once, when config is compiled
 * (or when a label combination first occurs); a request only adds to slots. Exposition reads the arrays.
 *
 * The number of series is bounded: over `maxSeries` new label sets share one overflow slot per name.
 */
export class StatStore {
  #values = new Float64Array(1024);
  #next = 0;
  readonly #series = new Map<string, Series>();
  readonly #histograms = new Map<number, { readonly buckets: readonly number[] }>();
  readonly #maxSeries: number;

  constructor(maxSeries = 20_000) {
    this.#maxSeries = maxSeries;
  }

  /** The slot of a counter, made on first use. */
  counter(name: string, labels: Labels = {}, dotted = ''): number {
    return this.#slot('counter', name, labels, dotted, 1);
  }

  /** The slot of a gauge, made on first use. */
  gauge(name: string, labels: Labels = {}, dotted = ''): number {
    return this.#slot('gauge', name, labels, dotted, 1);
  }

  /** The slot of a histogram: bucket counts, +Inf, then sum; made on first use. */
  histogram(name: string, labels: Labels = {}, dotted = '', buckets: readonly number[] = DEFAULT_BUCKETS): number {
    const id = this.#slot('histogram', name, labels, dotted, buckets.length + 2);
    if (!this.#histograms.has(id)) this.#histograms.set(id, { buckets });
    return id;
  }

  inc(id: number): void {
    this.#values[id]!++;
  }
  add(id: number, by: number): void {
    this.#values[id]! += by;
  }
  set(id: number, value: number): void {
    this.#values[id] = value;
  }
  value(id: number): number {
    return this.#values[id]!;
  }

  observe(id: number, value: number): void {
    const buckets = this.#histograms.get(id)!.buckets;
    let i = 0;
    while (i < buckets.length && value > buckets[i]!) i++;
    this.#values[id + i]!++;
    this.#values[id + buckets.length + 1]! += value;
  }

  /** Cumulative bucket counts, count and sum of a histogram. */
  readHistogram(id: number): { buckets: readonly number[]; cumulative: number[]; count: number; sum: number } {
    const { buckets } = this.#histograms.get(id)!;
    const cumulative: number[] = [];
    let count = 0;
    for (let i = 0; i <= buckets.length; i++) {
      count += this.#values[id + i]!;
      if (i < buckets.length) cumulative.push(count);
    }
    return { buckets, cumulative, count, sum: this.#values[id + buckets.length + 1]! };
  }

  /** Every series, in order of creation. */
  series(): IterableIterator<Series> {
    return this.#series.values();
  }

  /** Sets every counter and histogram to zero (`POST /reset_counters`); gauges stay. */
  resetCounters(): void {
    for (const series of this.#series.values()) {
      if (series.kind === 'gauge') continue;
      const width = series.kind === 'counter' ? 1 : this.#histograms.get(series.id)!.buckets.length + 2;
      this.#values.fill(0, series.id, series.id + width);
    }
  }

  #slot(kind: Series['kind'], name: string, labels: Labels, dotted: string, width: number): number {
    const key = seriesKey(name, labels);
    const known = this.#series.get(key);
    if (known !== undefined) {
      if (known.kind !== kind) throw new Error(`series ${key} is a ${known.kind}, not a ${kind}`);
      return known.id;
    }
    if (this.#series.size >= this.#maxSeries && labels['overflow'] === undefined) {
      return this.#slot(kind, name, { overflow: 'true' }, '', width);
    }
    const id = this.#next;
    this.#next += width;
    if (this.#next > this.#values.length) {
      const bigger = new Float64Array(Math.max(this.#next, this.#values.length * 2));
      bigger.set(this.#values);
      this.#values = bigger;
    }
    this.#series.set(key, { name, labels, dotted, kind, id });
    return id;
  }
}

function seriesKey(name: string, labels: Labels): string {
  let key = name;
  for (const label in labels) key += `\u0000${label}\u0001${labels[label]}`;
  return key;
}
