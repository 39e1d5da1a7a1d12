import type { Clock } from '../../base/clock.ts';
import { stackOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { TokenBucket } from '../../base/token-bucket.ts';

/** A fault may come with every request: this many lines at once, and then one a second. */
const BURST = 5;

/** Logs what our own code threw while it worked on a request, with its stack, at a bounded rate. */
export class FaultLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #bucket = new TokenBucket(BURST, 1, 1000);
  #unlogged = 0;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** `method` and `requestId` say which request it was; its path might hold a secret. */
  report(error: unknown, method: string, requestId: string | undefined): void {
    if (!this.#bucket.take(this.#clock.now())) {
      this.#unlogged++;
      return;
    }
    const unlogged = this.#unlogged === 0 ? undefined : this.#unlogged;
    this.#unlogged = 0;
    this.#log.error('a fault in this proxy ended a request', {
      method,
      request_id: requestId,
      unlogged,
      stack: stackOf(error),
    });
  }
}
