import { type Clock, systemClock, type TimerHandle } from '../../src/base/clock.ts';

/** A clock that stands still until a test moves it. */
export interface ManualClock extends Clock {
  /** Moves time on by `ms`, firing what was armed with `after` on the way, each at its own time, in order. */
  advance(ms: number): void;
  /** Moves time on as a busy loop does: what became due meanwhile fires late, at the end. */
  stall(ms: number): void;
  /** Timers that have not fired. */
  readonly pending: number;
}

/** Waits of a debounce are at most so long; what is longer is a deadline. */
const DEBOUNCE_MS = 100;

/** The platform's clock, on which debounces take no time: for tests of very many changes, each of which waits for one. */
export function promptClock(): Clock {
  return { ...systemClock, after: (ms, fn) => systemClock.after(ms > DEBOUNCE_MS ? ms : 0, fn) };
}

export interface HeldClock extends Clock {
  /** Timers that wait. */
  readonly held: number;
  /** Lets all that wait fire now, whatever their time; what they arm waits again. */
  release(): void;
}

/** Waits of at least so long are held. */
const HELD_MS = 10_000;

/** The platform's clock, but long waits last until a test ends them: certificates are renewed when it says so. */
export function heldClock(): HeldClock {
  let waiting: (() => void)[] = [];
  return {
    ...systemClock,
    after(ms, fn) {
      if (ms < HELD_MS) return systemClock.after(ms, fn);
      waiting.push(fn);
      return {
        cancel() {
          waiting = waiting.filter((other) => other !== fn);
        },
      };
    },
    get held() {
      return waiting.length;
    },
    release() {
      const due = waiting;
      waiting = [];
      for (const fn of due) fn();
    },
  };
}

/** The platform's clock, which a test puts forward. */
export interface SkippingClock extends Clock {
  /** Time is `ms` later, and what became due by that fires now. */
  skip(ms: number): void;
}

export function skippingClock(): SkippingClock {
  let ahead = 0;
  const timers = new Map<() => void, { readonly at: number; readonly handle: TimerHandle }>();
  const now = (): number => systemClock.now() + ahead;
  return {
    now,
    wall: () => systemClock.wall() + ahead,
    after(ms, fn) {
      const fire = (): void => {
        timers.delete(fire);
        fn();
      };
      const handle = systemClock.after(ms, fire);
      timers.set(fire, { at: now() + ms, handle });
      return {
        cancel() {
          timers.delete(fire);
          handle.cancel();
        },
      };
    },
    skip(ms) {
      ahead += ms;
      const due = [...timers].filter(([, { at }]) => at <= now()).sort(([, a], [, b]) => a.at - b.at);
      for (const [fire, { handle }] of due) {
        // One of those before may have cancelled it.
        if (!timers.has(fire)) continue;
        handle.cancel();
        fire();
      }
    },
  };
}

interface Timer {
  readonly at: number;
  readonly fn: () => void;
}

/** Monotonic time starts at `start`; wall time is `wallStart` at that moment. */
export function manualClock(start = 1000, wallStart = Date.UTC(2026, 0, 1)): ManualClock {
  let now = start;
  let timers: Timer[] = [];

  const earliest = (until: number): Timer | undefined => {
    let found: Timer | undefined;
    // Of equal times the one armed first comes first.
    for (const timer of timers) if (timer.at <= until && (found === undefined || timer.at < found.at)) found = timer;
    return found;
  };

  return {
    now: () => now,
    wall: () => wallStart + (now - start),
    after(ms, fn): TimerHandle {
      const timer: Timer = { at: now + Math.max(0, ms), fn };
      timers.push(timer);
      return {
        cancel() {
          timers = timers.filter((other) => other !== timer);
        },
      };
    },
    advance(ms) {
      const end = now + ms;
      for (let timer = earliest(end); timer !== undefined; timer = earliest(end)) {
        const due = timer;
        timers = timers.filter((other) => other !== due);
        now = Math.max(now, due.at);
        due.fn();
      }
      now = end;
    },
    stall(ms) {
      now += ms;
      this.advance(0);
    },
    get pending() {
      return timers.length;
    },
  };
}
