import type { Clock, TimerHandle } from '../../base/clock.ts';

export interface PushBudgetOptions {
  readonly clock: Clock;
  /** Bytes that may be on their way to all clients together; one that is bigger goes alone. Default 8 MiB. */
  readonly limit?: number;
  /** A client that does not answer holds its share no longer than this; default 15 s. */
  readonly holdMs?: number;
}

/** Responses smaller than this wait for nobody. */
const SMALL = 64 * 1024;

/** A share of the budget that a response has. */
export interface Share {
  /** It has been answered, or never will be. Once. */
  release(): void;
}

const NOTHING: Share = { release: () => {} };

/**
 * What is sent to clients and not answered yet is held in memory, once for each of them: when many connect at once and
 * each is to have the whole mesh, they get it one after the other. Changes are small and wait for nothing.
 */
export class PushBudget {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #holdMs: number;
  readonly #waiting = new Set<() => void>();
  #used = 0;

  constructor({ clock, limit = 8 * 1024 * 1024, holdMs = 15_000 }: PushBudgetOptions) {
    this.#clock = clock;
    this.#limit = limit;
    this.#holdMs = holdMs;
  }

  /** Null when there is no room now: `retry` is called when there may be. */
  take(bytes: number, retry: () => void): Share | null {
    if (bytes < SMALL) return NOTHING;
    if (this.#used > 0 && this.#used + bytes > this.#limit) {
      this.#waiting.add(retry);
      return null;
    }
    this.#waiting.delete(retry);
    this.#used += bytes;
    let timer: TimerHandle | null = null;
    const release = (): void => {
      if (timer === null) return;
      timer.cancel();
      timer = null;
      this.#used -= bytes;
      this.#next();
    };
    timer = this.#clock.after(this.#holdMs, release);
    return { release };
  }

  forget(retry: () => void): void {
    this.#waiting.delete(retry);
  }

  /** Whoever waits longest has the first try; who finds no room waits again, in front of those behind. */
  #next(): void {
    for (const retry of [...this.#waiting]) {
      if (this.#used > 0 && this.#used >= this.#limit) return;
      this.#waiting.delete(retry);
      const waiting = this.#waiting.size;
      retry();
      if (this.#waiting.size > waiting) return;
    }
  }
}
