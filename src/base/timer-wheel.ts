import type { Clock, TimerHandle } from './clock.ts';

/**
 * A timer of a {@link TimerWheel}: an intrusive list node, made once per connection or
 * stream and armed again and again, so that a request arms its timeouts without allocating.
 */
export class WheelTimer {
  /** Called on expiry; the timer is disarmed first, so it may be armed again inside. */
  readonly expire: () => void;
  /** @internal */ deadline = 0;
  /** @internal */ slot = -1;
  /** @internal */ next: WheelTimer | null = null;
  /** @internal */ previous: WheelTimer | null = null;
  /** @internal */ armed = false;

  constructor(expire: () => void) {
    this.expire = expire;
  }
  get isArmed(): boolean {
    return this.armed;
  }
}

const SLOTS = 1024;
const MASK = SLOTS - 1;

/**
 * One coarse hashed timer wheel for the process instead of a platform timer per request.
 *
 * A timer never fires early and fires at most one tick plus the event loop's delay late.
 * Arming a timer again for a later time only moves its deadline; it is put into its new slot
 * when the old one comes round, so the common pattern (idle timer pushed back by every read)
 * costs one store. The wheel sleeps until the next occupied slot and holds no process alive.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #heads: (WheelTimer | null)[] = new Array(SLOTS).fill(null);
  #linked = 0;
  /** The first tick that has not been processed. */
  #cursor: number;
  #wake: TimerHandle | null = null;
  #wakeTick = Number.POSITIVE_INFINITY;
  #advancing = false;
  readonly #due: WheelTimer[] = [];

  constructor(clock: Clock, tickMs = 5) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#cursor = this.#tickOf(clock.now());
  }

  /** Arms `timer` to expire `ms` from now, whether or not it was armed before. */
  arm(timer: WheelTimer, ms: number): void {
    const deadline = this.#clock.now() + (ms > 0 ? ms : 0);
    timer.armed = true;
    if (timer.slot >= 0) {
      if (deadline >= timer.deadline) {
        timer.deadline = deadline;
        return;
      }
      this.#unlink(timer);
    }
    timer.deadline = deadline;
    this.#link(timer);
  }

  /** Milliseconds until `timer` expires; 0 when it is not armed. */
  left(timer: WheelTimer): number {
    return timer.armed ? Math.max(0, timer.deadline - this.#clock.now()) : 0;
  }

  /** Disarms `timer`; harmless when it is not armed. The node leaves its slot when that comes round or is re-armed. */
  disarm(timer: WheelTimer): void {
    timer.armed = false;
  }

  /** Disarms and unlinks at once, for an owner that is going away, so that the wheel does not hold it in memory. */
  release(timer: WheelTimer): void {
    timer.armed = false;
    if (timer.slot >= 0) this.#unlink(timer);
  }

  /** Stops the wheel for good. */
  close(): void {
    this.#wake?.cancel();
    this.#wake = null;
    this.#wakeTick = Number.POSITIVE_INFINITY;
    this.#heads.fill(null);
    this.#linked = 0;
  }

  #tickOf(time: number): number {
    return Math.floor(time / this.#tickMs);
  }

  #link(timer: WheelTimer): void {
    let tick = Math.ceil(timer.deadline / this.#tickMs);
    if (this.#linked === 0 && !this.#advancing) this.#cursor = this.#tickOf(this.#clock.now());
    if (tick < this.#cursor) tick = this.#cursor;
    const slot = tick & MASK;
    const head = this.#heads[slot] ?? null;
    timer.slot = slot;
    timer.previous = null;
    timer.next = head;
    if (head !== null) head.previous = timer;
    this.#heads[slot] = timer;
    this.#linked++;
    if (!this.#advancing && tick < this.#wakeTick) this.#sleepUntil(Math.min(tick, this.#cursor + SLOTS));
  }

  #unlink(timer: WheelTimer): void {
    if (timer.previous === null) this.#heads[timer.slot] = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next !== null) timer.next.previous = timer.previous;
    timer.next = null;
    timer.previous = null;
    timer.slot = -1;
    this.#linked--;
  }

  #sleepUntil(tick: number): void {
    this.#wake?.cancel();
    this.#wakeTick = tick;
    // Whole ms: the platform cuts fractions off and would wake us just before the tick, for nothing.
    this.#wake = this.#clock.after(Math.ceil(Math.max(0, tick * this.#tickMs - this.#clock.now())), this.#onWake);
  }

  readonly #onWake = (): void => {
    this.#wake = null;
    this.#wakeTick = Number.POSITIVE_INFINITY;
    this.#advancing = true;
    try {
      this.#advance();
    } finally {
      this.#advancing = false;
      // An expiry threw: those that were due with it must not wait for somebody to arm another timer.
      if (this.#due.length > 0) this.#sleepUntil(this.#cursor);
      else this.#sleepUntilNext();
    }
  };

  #advance(): void {
    const now = this.#clock.now();
    const last = this.#tickOf(now);
    // After a long stall one round visits every slot; more would visit them twice.
    const from = Math.max(this.#cursor, last - MASK);
    for (let tick = from; tick <= last; tick++) {
      this.#cursor = tick + 1;
      this.#expireSlot(tick & MASK, now);
    }
  }

  #expireSlot(slot: number, now: number): void {
    const due = this.#due;
    let timer = this.#heads[slot] ?? null;
    while (timer !== null) {
      const next: WheelTimer | null = timer.next;
      if (!timer.armed) {
        this.#unlink(timer);
      } else if (timer.deadline <= now) {
        this.#unlink(timer);
        // Collected first: an expiry may arm, release or unlink any other timer of this slot.
        due.push(timer);
      } else if ((Math.ceil(timer.deadline / this.#tickMs) & MASK) !== slot) {
        this.#unlink(timer);
        this.#link(timer);
      }
      timer = next;
    }
    for (const expired of due) {
      // An earlier expiry of this same turn may have disarmed it or armed it again.
      if (!expired.armed || expired.slot >= 0) continue;
      expired.armed = false;
      expired.expire();
    }
    due.length = 0;
  }

  #sleepUntilNext(): void {
    if (this.#linked === 0) return;
    for (let i = 0; i < SLOTS; i++) {
      if (this.#heads[(this.#cursor + i) & MASK] !== null) {
        this.#sleepUntil(this.#cursor + i);
        return;
      }
    }
  }
}
