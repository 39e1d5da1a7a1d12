import { keep } from '../io/reads.ts';

/**
 * The request body bytes that an attempt may still need: those that came before its connection was ready,
 * and, while the request can be tried again, those already sent.
 */
export class BodyBuffer {
  readonly chunks: Buffer[] = [];
  bytes = 0;
  /** Keep what was sent, for another attempt. */
  replayable = false;

  reset(replayable: boolean): void {
    if (this.chunks.length > 0) this.chunks.length = 0;
    this.bytes = 0;
    this.replayable = replayable;
  }

  push(chunk: Buffer, start: number, end: number): void {
    this.chunks.push(keep(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end)));
    this.bytes += end - start;
  }

  /** Gives up another attempt: what was sent is forgotten. */
  release(): void {
    this.replayable = false;
    if (this.chunks.length > 0) this.chunks.length = 0;
    this.bytes = 0;
  }
}
