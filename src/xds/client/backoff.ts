import type { Random } from '../../base/random.ts';

export interface BackoffOptions {
  readonly baseMs?: number;
  readonly maxMs?: number;
  readonly factor?: number;
  /** Share of the delay that is random, 0 to 1: the delay is between (1 - jitter) and 1 of the step. */
  readonly jitter?: number;
}

/** Exponential back-off with jitter: 500 ms, 1 s, 2 s … 30 s, each shortened at random by up to half. */
export class Backoff {
  readonly #random: Random;
  readonly #base: number;
  readonly #max: number;
  readonly #factor: number;
  readonly #jitter: number;
  #step = 0;

  constructor(random: Random, options: BackoffOptions = {}) {
    this.#random = random;
    this.#base = options.baseMs ?? 500;
    this.#max = options.maxMs ?? 30_000;
    this.#factor = options.factor ?? 2;
    this.#jitter = options.jitter ?? 0.5;
  }

  /** The delay before the next attempt, at most `maxMs`; each call is one failure more. */
  next(maxMs = this.#max): number {
    const max = Math.min(maxMs, this.#max);
    const full = Math.min(max, this.#base * this.#factor ** this.#step);
    if (full < max) this.#step++;
    return full * (1 - this.#jitter * this.#random.next());
  }

  reset(): void {
    this.#step = 0;
  }
}
