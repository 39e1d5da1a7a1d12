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

/** Where series are made and counted in: the store itself, or a {@link StatScope} of it. */
export interface Stats {
  /** The store, whose own series stay for good. */
  readonly root: StatStore;
  counter(name: string, labels?: Labels, dotted?: string): number;
  gauge(name: string, labels?: Labels, dotted?: string): number;
  histogram(name: string, labels?: Labels, dotted?: string, buckets?: readonly number[]): number;
  inc(id: number): void;
  add(id: number, by: number): void;
  set(id: number, value: number): void;
  value(id: number): number;
  observe(id: number, value: number): void;
}

/** Envoy's default histogram buckets (stats/histogram_impl.cc), milliseconds for time histograms. */
export const DEFAULT_BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
];

/** How long the series of what is gone can still be read: Prometheus takes a series for stale after as long. */
const GRACE_MS = 300_000;

/** Scopes looked at for room when the store is full. */
const RECLAIM_LOOKS = 32;

/** Slots that nobody reads: where a scope counts that was released and freed. */
const DISCARD = 0;
const DISCARD_WIDTH = 64;

/** What another thread has to hear to read a store's numbers: in this order, and before it looks. */
export type StatChange =
  /** The numbers stand here from now on. */
  | { readonly type: 'memory'; readonly memory: SharedArrayBuffer }
  | { readonly type: 'made'; readonly series: Series; readonly buckets: readonly number[] | null }
  | { readonly type: 'freed'; readonly id: number };

/** A series and how many scopes hold it; the store's own are held for good. */
interface Kept extends Series {
  readonly key: string;
  readonly width: number;
  readonly buckets: readonly number[] | null;
  holders: number;
}

/**
 * All numbers of a proxy: slots in flat typed arrays. A series is looked up once, when config is compiled
 * (or when a label combination first occurs); a request only adds to slots. Exposition reads the arrays.
 *
 * What can go away makes its series in a {@link scope} and releases that. `sweep` then frees what nobody holds any
 * more, after a grace. The number of series is bounded: over `maxSeries` those in grace go first, then new label
 * sets share one overflow series per name.
 */
export class StatStore implements Stats {
  #values: Float64Array;
  #next = DISCARD_WIDTH;
  readonly #series = new Map<string, Kept>();
  readonly #histograms = new Map<number, readonly number[]>([[DISCARD, DEFAULT_BUCKETS]]);
  /** Freed slots by width. */
  readonly #free = new Map<number, number[]>();
  readonly #named = new Map<string, StatScope>();
  readonly #retired = new Set<StatScope>();
  readonly #maxSeries: number;
  readonly #tell: ((change: StatChange) => void) | null;

  /**
   * A cluster has about 40 series, so the default has room for 2,500. `tell`: another thread follows; null: the numbers
   * are for this thread.
   */
  constructor(maxSeries = 100_000, tell: ((change: StatChange) => void) | null = null) {
    this.#maxSeries = maxSeries;
    this.#tell = tell;
    this.#values = this.#memory(1024);
  }

  get root(): StatStore {
    return this;
  }
  /** Series there are, those in grace included. */
  get size(): number {
    return this.#series.size;
  }
  /** Slots that were ever made: what the store takes in memory. */
  get slots(): number {
    return this.#next;
  }

  /**
   * The scope of something that can go away. Those who ask for the same `name` share one, which goes when as many have
   * released it; '' is always a new one.
   */
  scope(name = ''): StatScope {
    const known = name === '' ? undefined : this.#named.get(name);
    if (known !== undefined) {
      this.#retired.delete(known);
      known.retain();
      return known;
    }
    const made = new StatScope(this, name);
    if (name !== '') this.#named.set(name, made);
    return made;
  }

  /** The slot of a counter, made on first use. */
  counter(name: string, labels: Labels = {}, dotted = ''): number {
    return this.find(null, 'counter', name, labels, dotted, null).id;
  }

  /** The slot of a gauge, made on first use. */
  gauge(name: string, labels: Labels = {}, dotted = ''): number {
    return this.find(null, 'gauge', name, labels, dotted, null).id;
  }

  /** The slot of a histogram: bucket counts, +Inf, then sum; made on first use. */
  histogram(name: string, labels: Labels = {}, dotted = '', buckets: readonly number[] = DEFAULT_BUCKETS): number {
    return this.find(null, 'histogram', name, labels, dotted, buckets).id;
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
    const buckets = this.#histograms.get(id)!;
    let i = 0;
    while (i < buckets.length && value > buckets[i]!) i++;
    this.#values[id + i]!++;
    this.#values[id + buckets.length + 1]! += value;
  }

  /** Cumulative bucket counts, count and sum of a histogram. */
  readHistogram(id: number): { buckets: readonly number[]; cumulative: number[]; count: number; sum: number } {
    const buckets = this.#histograms.get(id)!;
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
    for (const { kind, id, width } of this.#series.values()) {
      if (kind !== 'gauge') this.#values.fill(0, id, id + width);
    }
  }

  /** Frees the series of scopes released `GRACE_MS` ago or more. Called from time to time with the monotonic ms. */
  sweep(now: number): void {
    for (const scope of this.#retired) {
      if (scope.retiredAt < 0) scope.retiredAt = now;
      if (now - scope.retiredAt >= GRACE_MS && !scope.busy()) this.#drop(scope);
    }
  }

  /** @internal A scope was released: its series can still be read for a while. */
  retire(scope: StatScope): void {
    this.#retired.add(scope);
  }

  /** @internal A scope was released whose series nobody will miss. */
  drop(scope: StatScope): void {
    this.#drop(scope);
  }

  /** @internal The series of a name and labels, made when there is none; `scope` null: held for good. */
  find(
    scope: StatScope | null,
    kind: Series['kind'],
    name: string,
    labels: Labels,
    dotted: string,
    buckets: readonly number[] | null,
  ): Kept {
    const key = seriesKey(name, labels);
    let found = this.#series.get(key);
    if (found === undefined) {
      if (this.#series.size >= this.#maxSeries && !this.#makeRoom() && labels['overflow'] === undefined) {
        return this.find(null, kind, name, { overflow: 'true' }, '', buckets);
      }
      const width = buckets === null ? 1 : buckets.length + 2;
      found = { name, labels, dotted, kind, id: this.#allocate(width), key, width, buckets, holders: 0 };
      this.#series.set(key, found);
      if (buckets !== null) this.#histograms.set(found.id, buckets);
      this.#tell?.({ type: 'made', series: { name, labels, dotted, kind, id: found.id }, buckets });
    } else if (found.kind !== kind) throw new Error(`series ${key} is a ${found.kind}, not a ${kind}`);
    if (scope === null) found.holders = Number.POSITIVE_INFINITY;
    else scope.hold(found);
    return found;
  }

  #allocate(width: number): number {
    const freed = this.#free.get(width)?.pop();
    if (freed !== undefined) return freed;
    const id = this.#next;
    this.#next += width;
    if (this.#next > this.#values.length) {
      const bigger = this.#memory(Math.max(this.#next, this.#values.length * 2), this.#values);
      this.#values = bigger;
    }
    return id;
  }

  #memory(length: number, before?: Float64Array): Float64Array {
    if (this.#tell === null) {
      const values = new Float64Array(length);
      if (before !== undefined) values.set(before);
      return values;
    }
    const memory = new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT);
    const values = new Float64Array(memory);
    if (before !== undefined) values.set(before);
    this.#tell({ type: 'memory', memory });
    return values;
  }

  /** The budget goes before the grace. True when a series was freed. */
  #makeRoom(): boolean {
    const before = this.#series.size;
    let looks = 0;
    for (const scope of this.#retired) {
      if (looks++ === RECLAIM_LOOKS) break;
      // Behind the others, so that the next search begins with them.
      this.#retired.delete(scope);
      if (scope.busy()) this.#retired.add(scope);
      else this.#drop(scope);
      if (this.#series.size < before) return true;
    }
    return false;
  }

  #drop(scope: StatScope): void {
    this.#retired.delete(scope);
    if (this.#named.get(scope.name) === scope) this.#named.delete(scope.name);
    for (const held of scope.end()) {
      if (--held.holders > 0) continue;
      const { id, width, key } = held;
      this.#series.delete(key);
      this.#histograms.delete(id);
      this.#values.fill(0, id, id + width);
      this.#tell?.({ type: 'freed', id });
      const free = this.#free.get(width);
      if (free === undefined) this.#free.set(width, [id]);
      else free.push(id);
    }
  }
}

/**
 * The series of something that can go away: a cluster, a listener, a connection manager. Scopes may share series: each
 * stays until the last scope that holds it is freed, and keeps its value as long.
 */
export class StatScope implements Stats {
  readonly root: StatStore;
  readonly name: string;
  /** @internal Monotonic ms of the first sweep after the release; -1 before. */
  retiredAt = -1;
  #held: Kept[] | null = [];
  #users = 1;
  #busy: () => boolean = never;

  constructor(root: StatStore, name: string) {
    this.root = root;
    this.name = name;
  }

  counter(name: string, labels: Labels = {}, dotted = ''): number {
    return this.#held === null ? DISCARD : this.root.find(this, 'counter', name, labels, dotted, null).id;
  }
  gauge(name: string, labels: Labels = {}, dotted = ''): number {
    return this.#held === null ? DISCARD : this.root.find(this, 'gauge', name, labels, dotted, null).id;
  }
  /** Buckets may be {@link DISCARD_WIDTH} - 2 at most. */
  histogram(name: string, labels: Labels = {}, dotted = '', buckets: readonly number[] = DEFAULT_BUCKETS): number {
    return this.#held === null ? DISCARD : this.root.find(this, 'histogram', name, labels, dotted, buckets).id;
  }

  inc(id: number): void {
    this.root.inc(id);
  }
  add(id: number, by: number): void {
    this.root.add(id, by);
  }
  set(id: number, value: number): void {
    this.root.set(id, value);
  }
  value(id: number): number {
    return this.root.value(id);
  }
  observe(id: number, value: number): void {
    this.root.observe(id, value);
  }

  /**
   * An owner is gone, once for every time it was asked for. While `busy` holds (a connection still counts in the slots)
   * nothing is freed: whoever may write to a slot of this scope must make it true. Of several owners the last one's
   * counts.
   */
  release(busy: () => boolean = never): void {
    if (--this.#users !== 0) return;
    this.#busy = busy;
    this.root.retire(this);
  }

  /** As `release`, without a grace: nobody writes to its slots from here on. */
  discard(): void {
    this.root.drop(this);
  }

  /** @internal */
  busy(): boolean {
    return this.#busy();
  }
  /** @internal One more owner, perhaps during the grace. */
  retain(): void {
    this.#users++;
    this.retiredAt = -1;
  }
  /** @internal */
  hold(series: Kept): void {
    const held = this.#held!;
    if (held.includes(series)) return;
    held.push(series);
    series.holders++;
  }
  /** @internal Gives up what it holds. */
  end(): readonly Kept[] {
    const held = this.#held ?? [];
    this.#held = null;
    return held;
  }
}

function never(): boolean {
  return false;
}

function seriesKey(name: string, labels: Labels): string {
  let key = name;
  for (const label in labels) key += `\u0000${label}\u0001${labels[label]}`;
  return key;
}
