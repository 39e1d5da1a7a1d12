/**
 * Time, injected. Everything that reads a clock or arms a timer takes one of these,
 * so that tests own time. Only `base/` may touch the platform's clocks and timers.
 */
export interface Clock {
  /** Monotonic milliseconds, fractional; only differences mean anything. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wall(): number;
  /**
   * Calls `fn` once after `ms`, 0: when the turn of the event loop is over and what came in meanwhile has been looked at;
   * the handle cancels it. Never keeps the process alive by itself.
   */
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

/** A timer of 0 ms would be one of 1 ms. */
class NodeTurn implements TimerHandle {
  readonly #immediate: NodeJS.Immediate;
  constructor(fn: () => void) {
    this.#immediate = setImmediate(fn);
    this.#immediate.unref();
  }
  cancel(): void {
    clearImmediate(this.#immediate);
  }
}

/** The platform's clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => (ms === 0 ? new NodeTurn(fn) : new NodeTimer(ms, fn)),
};

/** Keeps the process alive though nothing is open, until it is cancelled: no timer of a {@link Clock} does. */
export function stayAlive(): TimerHandle {
  const interval = setInterval(() => {}, 0x7fffffff);
  return { cancel: () => clearInterval(interval) };
}

/**
 * The platform's clock, read once a turn of the event loop: a request asks for the time a dozen times within
 * a few microseconds. Timers count from the start of the turn that arms them.
 */
export class TurnClock implements Clock {
  #now = 0;
  #fresh = false;
  readonly #endTurn = (): void => {
    this.#fresh = false;
  };

  now(): number {
    if (!this.#fresh) {
      this.#now = performance.now();
      this.#fresh = true;
      // Microtasks run when the callback that is running has returned.
      queueMicrotask(this.#endTurn);
    }
    return this.#now;
  }
  wall(): number {
    return Date.now();
  }
  after(ms: number, fn: () => void): TimerHandle {
    return new NodeTimer(ms, fn);
  }
}
