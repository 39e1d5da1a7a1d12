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
   * the handle cancels it. Never keeps the process alive by itself, but for that turn.
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

/** A timer of 0 ms would be one of 1 ms. It is not unref'd: the loop would sleep until something else comes in. */
class NodeTurn implements TimerHandle {
  readonly #immediate: NodeJS.Immediate;
  constructor(fn: () => void) {
    this.#immediate = setImmediate(fn);
  }
  cancel(): void {
    clearImmediate(this.#immediate);
  }
}

/** Called when it is due and sockets have been looked at since. */
class LateTimer implements TimerHandle {
  #waiting: TimerHandle;
  constructor(ms: number, fn: () => void) {
    this.#waiting = new NodeTimer(ms, () => {
      this.#waiting = new NodeTurn(fn);
    });
  }
  cancel(): void {
    this.#waiting.cancel();
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

/** Whether what a socket has read is being worked on, and the time that this work has for now; below 0: not asked yet. */
let held = false;
let heldNow = -1;

/** Until {@link releaseTime}, which must come before the callback returns, a {@link TurnClock} is read once. */
export function holdTime(): void {
  held = true;
  heldNow = -1;
}
export function releaseTime(): void {
  held = false;
}

/**
 * The platform's clock, read once for what a socket has read: a request asks for the time a dozen times within
 * a few microseconds. Timers come after what has come in: a process that had no CPU for a while finds them due before
 * it has read its sockets, and would take whom it has not heard for idle, or for late.
 */
export class TurnClock implements Clock {
  now(): number {
    if (!held) return performance.now();
    if (heldNow < 0) heldNow = performance.now();
    return heldNow;
  }
  wall(): number {
    return Date.now();
  }
  after(ms: number, fn: () => void): TimerHandle {
    return ms === 0 ? new NodeTurn(fn) : new LateTimer(ms, fn);
  }
}
