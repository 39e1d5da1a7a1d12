import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';

/** What hears of a stream's timeouts. */
export interface TimedStream {
  /** No byte moved for `idleMs`. */
  onIdle(idleMs: number): void;
  onMaxDuration(): void;
  onFault(error: unknown): void;
}

/** `stream_idle_timeout` and `max_stream_duration` of a connection manager or route. One a stream, reused. */
export class StreamTimers {
  readonly #wheel: TimerWheel;
  readonly #idle: WheelTimer;
  readonly #duration: WheelTimer;
  #idleMs = 0;

  constructor(stream: TimedStream, wheel: TimerWheel) {
    this.#wheel = wheel;
    const guarded = (expire: () => void) => () => {
      try {
        expire();
      } catch (error) {
        stream.onFault(error);
      }
    };
    this.#idle = new WheelTimer(guarded(() => stream.onIdle(this.#idleMs)));
    this.#duration = new WheelTimer(guarded(() => stream.onMaxDuration()));
  }

  begin({ streamIdleTimeoutMs, maxStreamDurationMs }: HttpConnectionManager): void {
    this.#idleMs = streamIdleTimeoutMs;
    if (streamIdleTimeoutMs > 0) this.#wheel.arm(this.#idle, streamIdleTimeoutMs);
    if (maxStreamDurationMs > 0) this.#wheel.arm(this.#duration, maxStreamDurationMs);
  }

  /** What the route says in place of the connection manager; `idleMs` null: nothing, 0: off. `durationMs` 0: nothing. */
  ofRoute(idleMs: number | null, durationMs: number): void {
    if (idleMs !== null && idleMs !== this.#idleMs) {
      this.#idleMs = idleMs;
      if (idleMs > 0) this.#wheel.arm(this.#idle, idleMs);
      else this.#wheel.disarm(this.#idle);
    }
    if (durationMs > 0) this.#wheel.arm(this.#duration, durationMs);
  }

  /** Bytes moved. */
  touch(): void {
    if (this.#idleMs > 0) this.#wheel.arm(this.#idle, this.#idleMs);
  }

  stop(): void {
    this.#wheel.disarm(this.#idle);
    this.#wheel.disarm(this.#duration);
  }

  /** Frees what the process-wide wheel holds. */
  release(): void {
    this.#wheel.release(this.#idle);
    this.#wheel.release(this.#duration);
  }
}
