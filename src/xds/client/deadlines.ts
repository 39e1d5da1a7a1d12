import type { Clock, TimerHandle } from '../../base/clock.ts';

/**
 * Time limits of things that wait, without a life cycle for each: in every round the store asks whether
 * a wait has lasted too long, and a wait that is not asked about in a round is over.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #since = new Map<string, number>();
  #asked = new Map<string, number>();
  #next = Number.POSITIVE_INFINITY;
  #timer: TimerHandle | null = null;

  /** `wake` is called when a wait that was asked about has lasted its time. */
  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  begin(): void {
    this.#asked = new Map();
    this.#next = Number.POSITIVE_INFINITY;
  }

  /** Whether the wait called `key` has lasted `ms`; it begins when first asked about. */
  passed(key: string, ms: number): boolean {
    const now = this.#clock.now();
    const since = this.#asked.get(key) ?? this.#since.get(key) ?? now;
    this.#asked.set(key, since);
    if (now - since >= ms) return true;
    this.#next = Math.min(this.#next, since + ms);
    return false;
  }

  end(): void {
    this.#since = this.#asked;
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#next === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.after(Math.max(0, this.#next - this.#clock.now()), () => {
      this.#timer = null;
      this.#wake();
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#since.clear();
  }
}
