import { compileRegex } from '../../../base/regex.ts';
import type { Series, StatStore } from './store.ts';

export const STAT_TYPES = ['All', 'Counters', 'Histograms', 'Gauges', 'TextReadouts'] as const;
export type StatType = (typeof STAT_TYPES)[number];

/** Which series a reader wants, in the terms of Envoy's `/stats` parameters. */
export interface StatsQuery {
  /** RE2, found anywhere in the dotted name; the Prometheus name where a series has no other. */
  readonly filter?: string;
  readonly invertFilter?: boolean;
  readonly usedOnly?: boolean;
  readonly type?: StatType;
}

export type Selection =
  | { readonly ok: readonly Series[]; readonly error?: never }
  | { readonly ok?: never; readonly error: string };

/** The series that a query asks for, or why its filter cannot be compiled. */
export function selectSeries(store: StatStore, query: StatsQuery): Selection {
  const matches = compileFilter(query.filter ?? '');
  if (typeof matches === 'string') return { error: `Invalid re2 regex: ${matches}` };
  const { type = 'All', usedOnly = false, invertFilter = false } = query;
  const found: Series[] = [];
  for (const series of store.series()) {
    if (type !== 'All' && type !== TYPE_OF[series.kind]) continue;
    if (matches !== null && matches(series.dotted || series.name) === invertFilter) continue;
    if (usedOnly && !isUsed(store, series)) continue;
    found.push(series);
  }
  return { ok: found };
}

const TYPE_OF: Readonly<Record<Series['kind'], StatType>> = {
  counter: 'Counters',
  gauge: 'Gauges',
  histogram: 'Histograms',
};

/** Envoy remembers whether a stat was ever written; here one that is zero counts as unused. */
function isUsed(store: StatStore, { kind, id }: Series): boolean {
  return kind === 'histogram' ? store.readHistogram(id).count > 0 : store.value(id) !== 0;
}

type Filter = (name: string) => boolean;

/** Null when everything matches; a text when RE2 refuses the pattern. */
function compileFilter(pattern: string): Filter | string | null {
  if (pattern === '') return null;
  if (/^[\w|:-]+$/.test(pattern) && !pattern.includes('|')) return (name) => name.includes(pattern);
  // Compiled alone first, so that an error speaks of what the caller wrote.
  const alone = compileRegex(pattern);
  if (alone.ok === undefined) return alone.error;
  const { ok, error } = compileRegex(`(?s:.*?)(?:${pattern})(?s:.*)`);
  return ok === undefined ? error : (name) => ok.matches(name);
}
