import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { ForwardPlan } from './plan.ts';

/** What hears of a forwarder's timers. */
export interface TimedForwarder {
  onRouteTimeout(): void;
  onTryTimeout(): void;
  /** No byte came from the upstream for `per_try_idle_timeout`. */
  onTryIdle(): void;
  onBackOff(): void;
  attemptFault(error: unknown): void;
}

/** The route's timeout, those of a try, and the wait between two. One a stream, reused. */
export class ForwardTimers {
  readonly #wheel: TimerWheel;
  readonly #route: WheelTimer;
  readonly #try: WheelTimer;
  readonly #idle: WheelTimer;
  readonly #backOff: WheelTimer;

  constructor(owner: TimedForwarder, wheel: TimerWheel) {
    const timer = (expire: () => void): WheelTimer =>
      new WheelTimer(() => {
        try {
          expire();
        } catch (error) {
          owner.attemptFault(error);
        }
      });
    this.#wheel = wheel;
    this.#route = timer(() => owner.onRouteTimeout());
    this.#try = timer(() => owner.onTryTimeout());
    this.#idle = timer(() => owner.onTryIdle());
    this.#backOff = timer(() => owner.onBackOff());
  }

  /** The request is whole. */
  startRoute(plan: ForwardPlan): void {
    if (plan.timeoutMs > 0) this.#wheel.arm(this.#route, plan.timeoutMs);
  }
  /** What is left of the route's timeout: all of it until the request is whole. */
  routeLeftMs(plan: ForwardPlan): number {
    return this.#route.isArmed ? this.#wheel.left(this.#route) : plan.timeoutMs;
  }
  startTry(plan: ForwardPlan): void {
    if (plan.perTryTimeoutMs > 0) this.#wheel.arm(this.#try, plan.perTryTimeoutMs);
  }
  /** The request is with the upstream whole, or a byte came from it. */
  touchTry(plan: ForwardPlan): void {
    if (plan.perTryIdleMs > 0) this.#wheel.arm(this.#idle, plan.perTryIdleMs);
  }
  startBackOff(ms: number): void {
    this.#wheel.arm(this.#backOff, ms);
  }

  stopRoute(): void {
    this.#wheel.disarm(this.#route);
  }
  /** A response's head came: the try is as good as any. */
  stopTry(): void {
    this.#wheel.disarm(this.#try);
  }
  /** The try is over. */
  endTry(): void {
    this.#wheel.disarm(this.#try);
    this.#wheel.disarm(this.#idle);
  }
  stop(): void {
    this.#wheel.disarm(this.#route);
    this.endTry();
    this.#wheel.disarm(this.#backOff);
  }
  /** Frees what the process-wide wheel holds. */
  release(): void {
    for (const timer of [this.#route, this.#try, this.#idle, this.#backOff]) this.#wheel.release(timer);
  }
}
