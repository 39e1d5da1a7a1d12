import type { Output } from '../io/output.ts';

/** What a stream needs of the connection it came on. */
export interface StreamConnection {
  readonly output: Output;
  /** A turn of reads from the client is going on: what is written will be flushed at its end. */
  readonly reading: boolean;
  pauseReading(): void;
  resumeReading(): void;
  /** No bytes of the request are delivered until `resumeParsing`. */
  pauseParsing(): void;
  resumeParsing(): void;
  /** The stream is over; `reuse` false: the connection ends once what was written is sent. */
  streamEnded(reuse: boolean): void;
  /** Cut the connection: the response cannot be completed. `reset`: even a FIN would look like its end. */
  abort(reset: boolean): void;
  /** From now on everything read goes to `onTunnel`. */
  enterTunnel(): void;
  readonly draining: boolean;
}
