import { type StatsQuery, selectSeries } from './select.ts';
import type { Series, StatStore } from './store.ts';

/** How histograms are shown: quantiles, or counts by bucket. */
export const HISTOGRAM_MODES = ['summary', 'cumulative', 'disjoint'] as const;
export type HistogramMode = (typeof HISTOGRAM_MODES)[number];

export interface TextQuery extends StatsQuery {
  readonly histograms?: HistogramMode;
}

export type StatsText =
  | { readonly ok: string; readonly error?: never }
  | { readonly ok?: never; readonly error: string };

/**
 * Envoy's `/stats`: `name: value` lines sorted by name, then histograms. In `P50(nan,12.5)` the first number is
 * Envoy's last flush interval; there are none here, so it reads `nan`, as in Envoy before its first flush.
 */
export function formatStats(store: StatStore, query: TextQuery): StatsText {
  const selected = select(store, query);
  if (selected.ok === undefined) return selected;
  const { numbers, histograms } = selected.ok;
  const lines = numbers.map(({ dotted, id }) => `${dotted}: ${store.value(id)}`);
  const mode = query.histograms ?? 'summary';
  for (const series of histograms) lines.push(`${series.dotted}: ${histogramText(store, series, mode)}`);
  return { ok: lines.length === 0 ? '' : `${lines.join('\n')}\n` };
}

/** Envoy's `/stats?format=json`. */
export function formatStatsJson(store: StatStore, query: TextQuery): StatsText {
  const selected = select(store, query);
  if (selected.ok === undefined) return selected;
  const { numbers, histograms } = selected.ok;
  const stats: unknown[] = numbers.map(({ dotted, id }) => ({ name: dotted, value: store.value(id) }));
  const mode = query.histograms ?? 'summary';
  if (histograms.length > 0) {
    stats.push({
      histograms:
        mode === 'summary'
          ? {
              supported_quantiles: QUANTILES,
              computed_quantiles: histograms.map((series) => ({
                name: series.dotted,
                values: quantiles(store, series).map((cumulative) => ({ cumulative, interval: null })),
              })),
            }
          : histograms.map((series) => ({
              name: series.dotted,
              buckets: bucketCounts(store, series, mode).map(([upper_bound, cumulative]) => ({
                upper_bound,
                interval: 0,
                cumulative,
              })),
            })),
    });
  }
  return { ok: JSON.stringify({ stats }) };
}

type Split = { readonly numbers: Series[]; readonly histograms: Series[] };

function select(store: StatStore, query: StatsQuery): { ok: Split; error?: never } | { ok?: never; error: string } {
  const selected = selectSeries(store, query);
  if (selected.ok === undefined) return selected;
  // Istio's metrics have no dotted name.
  const named = selected.ok.filter(({ dotted }) => dotted !== '');
  named.sort((a, b) => (a.dotted < b.dotted ? -1 : a.dotted > b.dotted ? 1 : 0));
  return {
    ok: {
      numbers: named.filter(({ kind }) => kind !== 'histogram'),
      histograms: named.filter(({ kind }) => kind === 'histogram'),
    },
  };
}

const QUANTILES = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100];

function histogramText(store: StatStore, series: Series, mode: HistogramMode): string {
  if (store.readHistogram(series.id).count === 0) return 'No recorded values';
  if (mode === 'summary') {
    const values = quantiles(store, series);
    return QUANTILES.map((quantile, i) => `P${quantile}(nan,${values[i]})`).join(' ');
  }
  return bucketCounts(store, series, mode)
    .map(([bound, count]) => `B${general(bound)}(0,${count})`)
    .join(' ');
}

function bucketCounts(store: StatStore, { id }: Series, mode: HistogramMode): [bound: number, count: number][] {
  const { buckets, cumulative } = store.readHistogram(id);
  return buckets.map((bound, i) => [bound, cumulative[i]! - (mode === 'disjoint' && i > 0 ? cumulative[i - 1]! : 0)]);
}

/** Interpolated within a bucket; what lies beyond the last bound is given as that bound. */
function quantiles(store: StatStore, { id }: Series): (number | null)[] {
  const { buckets, cumulative, count } = store.readHistogram(id);
  return QUANTILES.map((quantile) => {
    if (count === 0) return null;
    const rank = (quantile / 100) * count;
    let i = 0;
    // The first bucket that reaches the rank and is not empty.
    while (i < buckets.length && (cumulative[i]! < rank || cumulative[i]! === (cumulative[i - 1] ?? 0))) i++;
    if (i === buckets.length) return buckets[i - 1]!;
    const below = cumulative[i - 1] ?? 0;
    const lower = buckets[i - 1] ?? 0;
    return round(lower + ((buckets[i]! - lower) * (rank - below)) / (cumulative[i]! - below));
  });
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** C's `%g`, as Envoy prints bounds. */
function general(value: number): string {
  if (value < 1e6) return String(value);
  return value.toExponential().replace(/e\+(\d)$/, 'e+0$1');
}
