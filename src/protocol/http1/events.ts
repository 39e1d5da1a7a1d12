import type { Headers } from '../http/headers.ts';
import type { RequestHead, ResponseHead } from '../http/message.ts';
import type { ParseError } from './framing.ts';

/**
 * What a parser tells its owner, in this order for each message:
 * `onHead` `onData`* `onTrailers`? `onEnd`. `onError` ends everything: the owner closes the connection.
 * All calls are synchronous, made from inside `execute()`.
 */
export interface MessageEvents<H extends RequestHead | ResponseHead> {
  /** A whole head. It and its headers are reused for the next message: copy what must outlive `onEnd`. */
  onHead(head: H): void;
  /** Body bytes `chunk[start, end)`, without transfer coding. `chunk` is the buffer given to `execute`, not a copy. */
  onData(chunk: Buffer, start: number, end: number): void;
  /** Trailer section of a chunked body; only when it is not empty. */
  onTrailers(trailers: Headers): void;
  onEnd(): void;
  onError(error: ParseError): void;
}
