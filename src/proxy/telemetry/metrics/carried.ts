import type { Labels, Series, StatStore } from './store.ts';

/** A counter or a histogram, with what was counted in its slots. Plain data. */
export interface Counted {
  readonly name: string;
  readonly labels: Labels;
  readonly dotted: string;
  /** null: a counter. */
  readonly buckets: readonly number[] | null;
  readonly values: readonly number[];
}

/** Of one worker, and in the sum of all too. */
const OF_WORKER = /^envoy_listener_worker_/;

/** What a process counts, for the one that takes over from it: all of it at first, then what has come to it since. */
export class CountedSince {
  readonly #told = new Map<string, readonly number[]>();

  take(store: StatStore): Counted[] {
    const found: Counted[] = [];
    for (const { kind, name, labels, dotted, id } of store.series()) {
      if (kind === 'gauge' || OF_WORKER.test(name)) continue;
      const buckets = kind === 'histogram' ? store.readHistogram(id).buckets : null;
      const now = Array.from({ length: buckets === null ? 1 : buckets.length + 2 }, (_, i) => store.value(id + i));
      const key = keyOf({ name, labels });
      const before = this.#told.get(key);
      this.#told.set(key, now);
      // Less than before: it was reset, or freed and made anew.
      const goesOn = before !== undefined && now.every((value, i) => value >= before[i]!);
      const values = goesOn ? now.map((value, i) => value - before[i]!) : now;
      if (values.some((value) => value !== 0)) found.push({ name, labels, dotted, buckets, values });
    }
    return found;
  }
}

/** What a series is known by. */
export function keyOf({ name, labels }: Pick<Series, 'name' | 'labels'>): string {
  return `${name} ${JSON.stringify(labels)}`;
}

function kindOf({ buckets }: Counted): Series['kind'] {
  return buckets === null ? 'counter' : 'histogram';
}

/** Adds it to the same series here. One that nothing here has is kept as long as that of something that is gone. */
export function addCounted(store: StatStore, counted: readonly Counted[]): void {
  const scope = store.scope();
  const kinds = new Map(Array.from(store.series(), (one) => [keyOf(one), one.kind]));
  for (const one of counted) {
    const { name, labels, dotted, buckets, values } = one;
    // Another build may know it as something else, or with other buckets.
    if ((kinds.get(keyOf(one)) ?? kindOf(one)) !== kindOf(one)) continue;
    const id = buckets === null ? scope.counter(name, labels, dotted) : scope.histogram(name, labels, dotted, buckets);
    if (buckets !== null && store.readHistogram(id).buckets.length !== buckets.length) continue;
    for (const [i, value] of values.entries()) store.add(id + i, value);
  }
  scope.release();
}
