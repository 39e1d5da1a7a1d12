import { hold, letGo } from '../io/reads.ts';

/**
 * The request body bytes that an attempt may still need: those that came before its connection was ready,
 * and, while the request can be tried again, those already sent.
 */
export class BodyBuffer {
  chunks: Buffer[] = [];
  bytes = 0;
  /** Keep what was sent, for another attempt. */
  replayable = false;

  reset(replayable: boolean): void {
    this.release();
    this.replayable = replayable;
  }

  push(chunk: Buffer, start: number, end: number): void {
    this.chunks.push(hold(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end)));
    this.bytes += end - start;
  }

  /** Gives up another attempt: what was sent is forgotten. */
  release(): void {
    this.replayable = false;
    this.bytes = 0;
    if (this.chunks.length === 0) return;
    for (const chunk of this.chunks) letGo(chunk);
    this.chunks.length = 0;
  }

  /** Hands all of it over, for good. */
  take(): Buffer[] {
    const { chunks } = this;
    this.chunks = [];
    this.bytes = 0;
    return chunks;
  }
}
