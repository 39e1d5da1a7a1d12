import { addCounted, type Counted, keyOf } from './carried.ts';
import { DEFAULT_BUCKETS, type Series, type StatChange, StatStore } from './store.ts';

/** A series of another thread's store. */
interface Followed {
  readonly series: Series;
  readonly buckets: readonly number[] | null;
}

/** Numbers of another thread, which go on changing: read where they stand, without asking. */
export class FollowedStats {
  readonly series = new Map<number, Followed>();
  #values: Float64Array = new Float64Array(0);

  follow(change: StatChange): void {
    if (change.type === 'memory') this.#values = new Float64Array(change.memory);
    else if (change.type === 'made') this.series.set(change.series.id, change);
    else this.series.delete(change.id);
  }

  value(id: number): number {
    return this.#values[id] ?? 0;
  }
}

/**
 * What is the same in each thread, and not a part of the whole: numbers of config, and of what threads share. Of
 * Prometheus' names.
 */
const COMMON =
  /^envoy_(?:cluster_(?:membership_|circuit_breakers_.*_open$|update_|outlier_detection_ejections_active$)|overload_)/;

/** A series over all threads. `kept`: what those that ended have counted in it. */
interface Kept extends Followed {
  readonly kept: Float64Array;
  /** When no thread had it any more; -1: one has. */
  since: number;
}

/** As long as a store keeps what has gone. */
const GRACE_MS = 300_000;

/**
 * The numbers of a process with several threads as one store: counters and histograms are sums, those of threads that
 * have ended included; gauges are sums of what there is now, or where all threads say the same, that.
 */
export class MergedStats {
  /** Of the thread that reads. */
  readonly #own: StatStore;
  readonly #threads = new Map<number, FollowedStats>();
  readonly #ended = new Map<string, Kept>();

  constructor(own: StatStore) {
    this.#own = own;
  }

  /** A thread began; one that had its number has ended. */
  begin(thread: number): void {
    this.end(thread);
    this.#threads.set(thread, new FollowedStats());
  }
  follow(thread: number, changes: readonly StatChange[]): void {
    const followed = this.#threads.get(thread);
    for (const change of changes) followed?.follow(change);
  }
  /** What it counted stays, what it had is gone. */
  end(thread: number): void {
    const followed = this.#threads.get(thread);
    if (followed === undefined) return;
    this.#threads.delete(thread);
    for (const one of followed.series.values()) {
      if (one.series.kind === 'gauge') continue;
      const kept = this.#keptOf(one);
      for (let i = 0; i < kept.length; i++) {
        kept[i] = combine(one.series, kept[i]!, followed.value(one.series.id + i));
      }
    }
  }

  /** What a process before this one counted: as if a thread had that has ended. */
  carry(counted: readonly Counted[]): void {
    const own = new Set(Array.from(this.#own.series(), keyOf));
    addCounted(
      this.#own,
      counted.filter((one) => own.has(keyOf(one))),
    );
    for (const one of counted) {
      if (own.has(keyOf(one))) continue;
      const { name, labels, dotted, buckets, values } = one;
      const kind = buckets === null ? 'counter' : 'histogram';
      const kept = this.#keptOf({ series: { name, labels, dotted, kind, id: -1 }, buckets });
      if (kept.length === values.length) for (const [i, value] of values.entries()) kept[i]! += value;
    }
  }

  #keptOf(one: Followed): Float64Array {
    const key = keyOf(one.series);
    let found = this.#ended.get(key);
    if (found === undefined) {
      found = { ...one, kept: new Float64Array(widthOf(one)), since: -1 };
      this.#ended.set(key, found);
    }
    return found.kept;
  }

  /** `POST /reset_counters`: threads that run reset theirs themselves. */
  resetCounters(): void {
    this.#own.resetCounters();
    this.#ended.clear();
  }

  /** Forgets what ended threads counted in series that no other has any more. */
  sweep(now: number): void {
    if (this.#ended.size === 0) return;
    const live = new Set<string>();
    for (const { series } of this.#threads.values()) for (const one of series.values()) live.add(keyOf(one.series));
    for (const series of this.#own.series()) live.add(keyOf(series));
    for (const [key, one] of this.#ended) {
      if (live.has(key)) one.since = -1;
      else if (one.since < 0) one.since = now;
      else if (now - one.since >= GRACE_MS) this.#ended.delete(key);
    }
  }

  /** All of it as it is now. */
  read(): StatStore {
    const merged = new StatStore(Number.POSITIVE_INFINITY);
    const add = ({ series, buckets }: Followed, value: (i: number) => number): void => {
      const { name, labels, dotted, kind } = series;
      const width = widthOf({ series, buckets });
      const id = merged.find(null, kind, name, labels, dotted, buckets).id;
      for (let i = 0; i < width; i++) merged.set(id + i, combine(series, merged.value(id + i), value(i)));
    };
    for (const series of this.#own.series()) {
      const buckets = series.kind === 'histogram' ? this.#own.readHistogram(series.id).buckets : null;
      add({ series, buckets }, (i) => this.#own.value(series.id + i));
    }
    for (const one of this.#ended.values()) add(one, (i) => one.kept[i]!);
    for (const [thread, followed] of this.#threads) {
      for (const one of followed.series.values()) {
        add(one, (i) => followed.value(one.series.id + i));
        const own = ofThread(one.series, thread);
        if (own !== null) add({ series: own, buckets: null }, () => followed.value(one.series.id));
      }
    }
    return merged;
  }
}

function combine({ name, kind }: Series, a: number, b: number): number {
  return kind !== 'histogram' && COMMON.test(name) ? Math.max(a, b) : a + b;
}

function widthOf({ series, buckets }: Followed): number {
  return series.kind === 'histogram' ? (buckets ?? DEFAULT_BUCKETS).length + 2 : 1;
}

const PER_THREAD = /^envoy_listener_(downstream_cx_(?:total|active))$/;

/** Envoy's `listener.<address>.worker_<i>.downstream_cx_…`; null for what it has for all workers only. */
function ofThread({ name, labels, dotted, kind, id }: Series, thread: number): Series | null {
  const stat = PER_THREAD.exec(name)?.[1];
  if (stat === undefined) return null;
  const worker = `worker_${thread}`;
  return {
    name: `envoy_listener_worker_${stat}`,
    labels: { envoy_worker_id: String(thread), ...labels },
    dotted: dotted.replace(/(downstream_cx_[a-z]+)$/, `${worker}.$1`),
    kind,
    id,
  };
}
