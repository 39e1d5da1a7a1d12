/**
 * Time, injected. Everything that reads a clock or arms a timer takes one of these,
 * so that tests own time. Only `base/` may touch the platform's clocks and timers.
 */
export interface Clock {
  /** Monotonic milliseconds, fractional; only differences mean anything. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wall(): number;
  /** Calls `fn` once after `ms`; the handle cancels it. Never keeps the process alive by itself. */
  after(ms: number, fn: () => void): TimerHandle;
}

export interface TimerHandle {
  cancel(): void;
}

class NodeTimer implements TimerHandle {
  readonly #timeout: NodeJS.Timeout;
  constructor(ms: number, fn: () => void) {
    this.#timeout = setTimeout(fn, ms);
    this.#timeout.unref();
  }
  cancel(): void {
    clearTimeout(this.#timeout);
  }
}

/** The platform's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => new NodeTimer(ms, fn),
};
