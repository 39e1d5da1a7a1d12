import type { Clock, TimerHandle } from '../../base/clock.ts';
import type { ChangeScope } from './source.ts';

export interface PushQueueOptions {
  readonly clock: Clock;
  /** A config change waits until there was none for so long … */
  readonly quietMs?: number;
  /** … but no longer than this. */
  readonly maxMs?: number;
  /**
   * Clients served before what was written goes out and others get a turn of the event loop, default 16; of endpoint
   * changes, which cost each client little, 16 times as many in all turns but the first.
   */
  readonly batch?: number;
}

/** While the first batch is at work with what it got, the others get theirs; ACKs are looked at when these have it. */
const ENDPOINT_BATCHES = 16;

/** Somebody who is told of changes; a session. */
export interface Receiver {
  refresh(scope: ChangeScope): void;
}

/**
 * Between a change and the pushes: config changes are debounced, endpoint changes never are (those of
 * one turn of the event loop go together). Every receiver is told once a round, a batch at a time.
 */
export class PushQueue {
  readonly #clock: Clock;
  readonly #quietMs: number;
  readonly #maxMs: number;
  readonly #batch: number;
  readonly #receivers = new Set<Receiver>();
  readonly #due = new Map<Receiver, ChangeScope>();
  #quiet: TimerHandle | null = null;
  #firstChange = 0;
  #endpointsDue = false;
  #draining: TimerHandle | null = null;

  constructor(options: PushQueueOptions) {
    this.#clock = options.clock;
    this.#quietMs = options.quietMs ?? 10;
    this.#maxMs = options.maxMs ?? 100;
    this.#batch = options.batch ?? 16;
  }

  add(receiver: Receiver): void {
    this.#receivers.add(receiver);
  }
  delete(receiver: Receiver): void {
    this.#receivers.delete(receiver);
    this.#due.delete(receiver);
  }

  changed(scope: ChangeScope): void {
    if (scope === 'endpoints') {
      if (this.#endpointsDue) return;
      this.#endpointsDue = true;
      queueMicrotask(() => {
        this.#endpointsDue = false;
        this.#round('endpoints');
      });
      return;
    }
    const now = this.#clock.now();
    if (this.#quiet === null) this.#firstChange = now;
    this.#quiet?.cancel();
    const wait = Math.min(this.#quietMs, this.#firstChange + this.#maxMs - now);
    this.#quiet = this.#clock.after(Math.max(0, wait), () => {
      this.#quiet = null;
      this.#round('config');
    });
  }

  close(): void {
    this.#quiet?.cancel();
    this.#draining?.cancel();
    this.#receivers.clear();
    this.#due.clear();
  }

  #round(scope: ChangeScope): void {
    for (const receiver of this.#receivers) {
      if (scope === 'config' || !this.#due.has(receiver)) this.#due.set(receiver, scope);
    }
    if (this.#draining === null) this.#drain(1);
  }

  #drain(batches: number): void {
    this.#draining = null;
    let left = this.#batch * batches;
    for (const [receiver, scope] of this.#due) {
      left -= scope === 'endpoints' ? 1 : batches;
      if (left < 0) {
        this.#draining = this.#clock.after(0, () => this.#drain(ENDPOINT_BATCHES));
        return;
      }
      this.#due.delete(receiver);
      receiver.refresh(scope);
    }
  }
}
