import type { Clock, TimerHandle } from '../../../base/clock.ts';

/** What frees series that nobody needs any more. `now` is monotonic ms. */
export interface Sweepable {
  sweep(now: number): void;
}

const PERIOD_MS = 30_000;

/** Sweeps in turn, off every request's path. */
export class StatSweeper {
  readonly #clock: Clock;
  readonly #sweepables: readonly Sweepable[];
  #timer: TimerHandle | null = null;

  constructor(clock: Clock, sweepables: readonly Sweepable[]) {
    this.#clock = clock;
    this.#sweepables = sweepables;
  }

  start(): void {
    this.#timer = this.#clock.after(PERIOD_MS, () => {
      const now = this.#clock.now();
      for (const one of this.#sweepables) one.sweep(now);
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }
}
