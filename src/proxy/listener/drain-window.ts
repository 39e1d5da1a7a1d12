import type { Random } from '../../base/random.ts';

/**
 * `gradual`: connection after connection is asked to leave, evenly over the window. `immediate`: all at once; those
 * without requests are closed over the window. Envoy's `--drain-strategy`.
 */
export type DrainStrategy = 'gradual' | 'immediate';

/** A connection that was asked to leave and has been without a request for so long is closed: sooner, a request could be on its way. */
const QUIET_MS = 1000;

/** When one connection is asked to leave, and when it is closed if no request came; ms from now. */
export interface Departure {
  readonly announceMs: number;
  readonly closeMs: number;
}

/**
 * The time over which the clients of a listener are asked to leave. By the time `t` a share of `elapsed / ms` of the
 * connections was asked: as Envoy's gradual strategy, but drawn once a connection and not at each response, so that
 * the busy ones do not all go in the first seconds.
 */
export class DrainWindow {
  /** Monotonic ms. */
  readonly from: number;
  readonly ms: number;
  readonly strategy: DrainStrategy;

  constructor(from: number, ms: number, strategy: DrainStrategy) {
    this.from = from;
    this.ms = Math.max(0, ms);
    this.strategy = strategy;
  }

  get until(): number {
    return this.from + this.ms;
  }
  /** The share of connections that were asked to leave, 0 to 1. */
  progress(now: number): number {
    if (this.strategy === 'immediate' || now >= this.until) return 1;
    return Math.max(0, (now - this.from) / this.ms);
  }
  /** `fresh`: the connection was just accepted, so that its first request is still to come. */
  departure(now: number, random: Random, fresh: boolean): Departure {
    const left = Math.max(0, this.until - now);
    const quiet = Math.min(QUIET_MS, left / 4);
    // The last is asked so early that it has been quiet when the window is over.
    const drawn = (left - quiet) * random.next();
    const closeMs = drawn + (fresh ? QUIET_MS : quiet);
    return { announceMs: this.strategy === 'immediate' ? 0 : drawn, closeMs };
  }
}
