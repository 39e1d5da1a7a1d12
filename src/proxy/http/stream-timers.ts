import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { ConnectionManager } from './connection-manager.ts';

/** What hears of a stream's timeouts. */
export interface TimedStream {
  /** Its response flag and details; no byte moved for `ms`, or 0: it took too long as a whole. */
  onTimeout(flag: number, details: string, ms: number): void;
  /** An entry of the access log is due while it goes on. */
  onLogDue(): void;
  onFault(error: unknown): void;
}

/**
 * `stream_idle_timeout` and `max_stream_duration` of a connection manager or route, and its `access_log_flush_interval`.
 * One a stream, reused.
 */
export class StreamTimers {
  readonly #wheel: TimerWheel;
  #manager: ConnectionManager;
  readonly #idle: WheelTimer;
  readonly #duration: WheelTimer;
  readonly #stream: TimedStream;
  /** Null until a connection manager asks for it. */
  #log: WheelTimer | null = null;
  #idleMs = 0;

  constructor(stream: TimedStream, manager: ConnectionManager) {
    this.#stream = stream;
    this.#manager = manager;
    this.#wheel = manager.env.wheel;
    const guarded = (expire: () => void) => () => {
      try {
        expire();
      } catch (error) {
        stream.onFault(error);
      }
    };
    this.#idle = new WheelTimer(guarded(() => this.#onIdle(stream)));
    this.#duration = new WheelTimer(
      guarded(() => stream.onTimeout(ResponseFlag.DurationTimeout, 'max_duration_timeout', 0)),
    );
  }

  #onIdle(stream: TimedStream): void {
    const { stats } = this.#manager;
    stats.count(stats.idleTimeouts);
    stream.onTimeout(ResponseFlag.StreamIdleTimeout, 'stream_idle_timeout', this.#idleMs);
  }

  begin(manager: ConnectionManager): void {
    this.#manager = manager;
    const { streamIdleTimeoutMs, maxStreamDurationMs } = manager.config;
    this.#idleMs = streamIdleTimeoutMs;
    if (streamIdleTimeoutMs > 0) this.#wheel.arm(this.#idle, streamIdleTimeoutMs);
    if (maxStreamDurationMs > 0) this.#wheel.arm(this.#duration, maxStreamDurationMs);
    if (manager.config.accessLogFlush.intervalMs > 0) this.#logLater();
  }

  #logLater(): void {
    this.#log ??= new WheelTimer(() => {
      this.#stream.onLogDue();
      this.#logLater();
    });
    this.#wheel.arm(this.#log, this.#manager.config.accessLogFlush.intervalMs);
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
    if (this.#log !== null) this.#wheel.disarm(this.#log);
  }

  /** Frees what the process-wide wheel holds. */
  release(): void {
    this.#wheel.release(this.#idle);
    this.#wheel.release(this.#duration);
    if (this.#log !== null) this.#wheel.release(this.#log);
  }
}
