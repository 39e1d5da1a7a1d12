import type { Random } from '../../../base/random.ts';

/**
 * Earliest-deadline-first schedule over items 0…n-1: an item of weight w comes round every 1/w units of
 * virtual time, so picks interleave smoothly in proportion to weight. A binary heap in typed arrays.
 * Deadlines start at random phases, so that many proxies do not march in step.
 */
export class EdfSchedule {
  readonly #deadlines: Float64Array;
  /** Item numbers, a heap by deadline; equal deadlines by the order in which they were set. */
  readonly #heap: Int32Array;
  readonly #order: Float64Array;
  #sequence = 0;

  constructor(weights: readonly number[], random: Random) {
    const n = weights.length;
    this.#deadlines = new Float64Array(n);
    this.#heap = new Int32Array(n);
    this.#order = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      this.#deadlines[i] = random.next() / weights[i]!;
      this.#heap[i] = i;
      this.#order[i] = this.#sequence++;
    }
    for (let i = (n >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  /** The item that is due. */
  peek(): number {
    return this.#heap[0]!;
  }

  /** Puts the item that is due back for its next turn, at its weight as it is now. */
  advance(weight: number): void {
    const item = this.#heap[0]!;
    this.#deadlines[item]! += 1 / weight;
    this.#order[item] = this.#sequence++;
    this.#sink(0);
  }

  #sink(at: number): void {
    const heap = this.#heap;
    const n = heap.length;
    const item = heap[at]!;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= n) break;
      if (child + 1 < n && this.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#before(heap[child]!, item)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = item;
  }

  #before(a: number, b: number): boolean {
    const difference = this.#deadlines[a]! - this.#deadlines[b]!;
    return difference < 0 || (difference === 0 && this.#order[a]! < this.#order[b]!);
  }
}
