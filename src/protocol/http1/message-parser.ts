import { Headers } from '../http/headers.ts';
import { Framing, type RequestHead, type ResponseHead } from '../http/message.ts';
import { ChunkedDecoder } from './chunked.ts';
import type { MessageEvents } from './events.ts';
import { HeadNotes, isForbiddenTrailer, ParseError, type ParserLimits } from './framing.ts';
import { HeaderBlock } from './header-block.ts';
import { LF, latin1 } from './octets.ts';

const State = {
  /** Between messages. */
  Idle: 0,
  Head: 1,
  Length: 2,
  Chunked: 3,
  Trailers: 4,
  UntilClose: 5,
  /** The message ended, `onEnd` is to be called. */
  End: 6,
  /** What follows is not HTTP: kept for `takeRest`. */
  Tunnel: 7,
  /** The last message said that none follows: what comes is dropped. */
  Closed: 8,
  Failed: 9,
} as const;

/**
 * What the request and the response parser share: gathering a head, delimiting a body, pausing.
 *
 * States, seen from the owner: `execute` calls back synchronously. From inside any callback the owner
 * may `pause()`; nothing more is called until `resume()`, and unread bytes wait here. After `onError`
 * the parser ignores everything. In a tunnel it only gathers bytes for `takeRest`.
 */
export abstract class MessageParser<H extends RequestHead | ResponseHead> {
  /** Reused for every message. */
  readonly head: H;
  /** What the walker noticed about `head`: for `stripHopByHop`. */
  readonly notes: HeadNotes;
  protected readonly events: MessageEvents<H>;
  protected readonly limits: ParserLimits;
  /** Where the start line was found to end, relative to the head; 0 while it was not. */
  protected startLineEnd = 0;
  readonly #block: HeaderBlock;
  readonly #decoder = new ChunkedDecoder();
  #trailers: Headers | null = null;
  #trailerBlock: HeaderBlock | null = null;
  #state: number = State.Idle;
  #paused = false;
  #running = false;
  #eof = false;
  /** The chunk being read and the place in it; null when there is nothing unread. */
  #chunk: Buffer | null = null;
  #at = 0;
  /** Bytes of a Framing.Length body that are still to come. */
  #remaining = 0;
  /** A head or trailer section that came in pieces, gathered. */
  #gathered: Buffer | null = null;
  #gatheredLength = 0;

  constructor(head: H, events: MessageEvents<H>, limits: ParserLimits, isRequest: boolean) {
    this.head = head;
    this.events = events;
    this.limits = limits;
    this.notes = new HeadNotes(isRequest);
    this.#block = new HeaderBlock(head.headers, this.notes, limits.maxHeaders);
  }

  /** Skips what may stand before a message; returns the place of its first byte, or `end`. Throws ParseError. */
  protected abstract beginMessage(bytes: Buffer, at: number, end: number): number;
  /** Reads the start line at `base`; returns the place behind it or -1 when it is not whole yet. Throws ParseError. */
  protected abstract startLine(bytes: Buffer, base: number, end: number): number;
  /** Fills `head` in, its lines being read and `head.headers.raw` set. Throws ParseError. */
  protected abstract finishHead(bytes: Buffer, base: number): void;
  /** After `onEnd`: whether another message may follow. */
  protected abstract mayContinue(): boolean;
  /** What EOF means between messages or inside one; null when it is in order. */
  protected abstract eofError(inMessage: boolean): ParseError | null;
  protected abstract toOwnError(error: ParseError): ParseError;

  get paused(): boolean {
    return this.#paused;
  }

  /** Whether a message has begun and not ended: EOF or an idle timeout now would cut it short. */
  get inMessage(): boolean {
    return this.#state >= State.Head && this.#state <= State.End;
  }

  /** Bytes given to it that it has not looked at: what waits while it is paused, or follows the message that just ended. */
  get unread(): number {
    return this.#chunk === null ? 0 : this.#chunk.length - this.#at;
  }

  execute(chunk: Buffer): void {
    if (this.#state === State.Failed || chunk.length === 0) return;
    if (this.#chunk !== null) {
      this.#chunk = Buffer.concat([this.#chunk.subarray(this.#at), chunk]);
    } else {
      this.#chunk = chunk;
    }
    this.#at = 0;
    if (!this.#running && !this.#paused) this.#run();
  }

  /** Stops the callbacks; from inside one too. */
  pause(): void {
    this.#paused = true;
  }

  /** Goes on with the bytes kept since `pause`; returns when they are used up or it is paused again. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.#running && this.#state !== State.Failed) this.#run();
  }

  /** The unread bytes will be needed after the chunk they lie in is gone: `keep` gives them a place of their own. */
  keepUnread(keep: (chunk: Buffer) => Buffer): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    this.#chunk = this.#at >= chunk.length ? null : keep(chunk.subarray(this.#at));
    this.#at = 0;
  }

  /** Hands over the unread bytes, for a tunnel; null when there are none. */
  takeRest(): Buffer | null {
    const chunk = this.#chunk;
    if (chunk === null) return null;
    this.#chunk = null;
    return this.#at >= chunk.length ? null : chunk.subarray(this.#at);
  }

  /**
   * Says that the peer sent EOF: ends a body that lasts until close; any other unfinished message is
   * an error. While paused, it waits until the bytes before it are read.
   */
  finish(): void {
    this.#eof = true;
    if (!this.#running && !this.#paused && this.#state !== State.Failed) this.#run();
  }

  #atEof(): void {
    if (this.#state === State.UntilClose) {
      this.#end();
    } else if (this.#state < State.End) {
      const error = this.eofError(this.#state !== State.Idle);
      if (error !== null) this.#fail(error);
    }
  }

  #fail(error: ParseError): void {
    this.#state = State.Failed;
    this.#chunk = null;
    this.#gathered = null;
    this.events.onError(this.toOwnError(error));
  }

  #run(): void {
    this.#running = true;
    try {
      while (!this.#paused && this.#step());
      if (this.#eof && !this.#paused) this.#atEof();
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#fail(error);
    } finally {
      this.#running = false;
    }
  }

  /** Reads up to the next event; false when there is nothing to read. */
  #step(): boolean {
    if (this.#state === State.End) {
      this.#end();
      return true;
    }
    const chunk = this.#chunk;
    if (chunk === null || this.#state >= State.Tunnel) {
      if (this.#state === State.Closed) this.#chunk = null;
      return false;
    }
    const end = chunk.length;
    if (this.#at >= end) {
      this.#chunk = null;
      return false;
    }
    switch (this.#state) {
      case State.Idle:
        this.#at = this.beginMessage(chunk, this.#at, end);
        if (this.#at < end) this.#beginHead();
        return true;
      case State.Head:
        if (this.#gathered === null) this.#wholeHead(chunk, end);
        else this.#splitHead(chunk, end);
        return true;
      case State.Length:
        this.#takeLength(chunk, end);
        return true;
      case State.Chunked:
        this.#takeChunked(chunk, end);
        return true;
      case State.Trailers:
        this.#takeTrailers(chunk, end);
        return true;
      default:
        this.#data(chunk, end);
        return true;
    }
  }

  #beginHead(): void {
    this.#state = State.Head;
    this.head.reset();
    this.notes.reset();
    this.startLineEnd = 0;
  }

  /** The usual case: the head lies whole in the chunk. */
  #wholeHead(chunk: Buffer, end: number): void {
    const base = this.#at;
    const limit = base + this.limits.maxHeadBytes;
    const headEnd = this.#walkHead(chunk, base, Math.min(end, limit));
    if (headEnd >= 0) {
      this.#at = headEnd;
      this.#headDone(chunk, base, headEnd);
    } else {
      if (end >= limit) throw this.#tooLarge();
      // Places in the chunk become places in the gathered head.
      this.#block.lineStart -= base;
      this.#gather(chunk, base, end);
      this.#at = end;
    }
  }

  #splitHead(chunk: Buffer, end: number): void {
    const before = this.#gatheredLength;
    const room = this.limits.maxHeadBytes - before;
    const upTo = Math.min(end, this.#at + room);
    const hasLine = chunk.indexOf(LF, this.#at) >= 0;
    this.#gather(chunk, this.#at, upTo);
    const gathered = this.#gathered!;
    const headEnd = hasLine ? this.#walkHead(gathered, 0, this.#gatheredLength) : -1;
    if (headEnd >= 0) {
      this.#at += headEnd - before;
      this.#gathered = null;
      this.#gatheredLength = 0;
      this.#headDone(gathered, 0, headEnd);
    } else {
      if (end - this.#at >= room) throw this.#tooLarge();
      this.#at = end;
    }
  }

  #walkHead(bytes: Buffer, base: number, end: number): number {
    if (this.startLineEnd === 0) {
      const lineEnd = this.startLine(bytes, base, end);
      if (lineEnd < 0) {
        this.#block.lineStart = base;
        return -1;
      }
      this.startLineEnd = lineEnd - base;
      this.#block.lineStart = lineEnd;
    }
    return this.#block.walk(bytes, base, end);
  }

  #gather(chunk: Buffer, from: number, to: number): void {
    const length = this.#gatheredLength + to - from;
    let gathered = this.#gathered;
    if (gathered === null || gathered.length < length) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(1024, length * 2));
      if (gathered !== null) gathered.copy(bigger, 0, 0, this.#gatheredLength);
      gathered = bigger;
      this.#gathered = bigger;
    }
    chunk.copy(gathered, this.#gatheredLength, from, to);
    this.#gatheredLength = length;
  }

  #tooLarge(): ParseError {
    const { maxHeadBytes } = this.limits;
    return new ParseError('header_too_large', `The head is larger than ${maxHeadBytes} bytes.`, 431);
  }

  #headDone(bytes: Buffer, base: number, headEnd: number): void {
    const { head } = this;
    head.headers.raw = latin1(bytes, base, headEnd);
    this.finishHead(bytes, base);
    switch (head.framing) {
      case Framing.None:
        this.#state = State.End;
        break;
      case Framing.Length:
        this.#remaining = head.contentLength;
        this.#state = head.contentLength === 0 ? State.End : State.Length;
        break;
      case Framing.Chunked:
        this.#decoder.reset();
        this.#state = State.Chunked;
        break;
      case Framing.UntilClose:
        this.#state = State.UntilClose;
        break;
      default:
        this.#state = State.Tunnel;
    }
    this.events.onHead(head);
  }

  #takeLength(chunk: Buffer, end: number): void {
    const available = end - this.#at;
    if (available < this.#remaining) {
      this.#remaining -= available;
      this.#data(chunk, end);
    } else {
      const upTo = this.#at + this.#remaining;
      this.#remaining = 0;
      this.#state = State.End;
      this.#data(chunk, upTo);
    }
  }

  #takeChunked(chunk: Buffer, end: number): void {
    const decoder = this.#decoder;
    this.#at = decoder.skip(chunk, this.#at, end);
    if (decoder.atTrailers) {
      this.#beginTrailers();
      return;
    }
    const taken = decoder.take(end - this.#at);
    if (taken > 0) this.#data(chunk, this.#at + taken);
  }

  #data(chunk: Buffer, upTo: number): void {
    const from = this.#at;
    this.#at = upTo;
    this.events.onData(chunk, from, upTo);
  }

  #beginTrailers(): void {
    this.#state = State.Trailers;
    if (this.#trailers === null) {
      this.#trailers = new Headers();
      this.#trailerBlock = new HeaderBlock(this.#trailers, null, this.limits.maxHeaders);
    }
    this.#trailers.reset();
    this.#trailerBlock!.lineStart = 0;
  }

  #takeTrailers(chunk: Buffer, end: number): void {
    // Nearly always there are none, and the blank line lies in the chunk.
    if (this.#gathered === null && end - this.#at >= 2 && chunk[this.#at] === 0x0d && chunk[this.#at + 1] === LF) {
      this.#at += 2;
      this.#state = State.End;
      return;
    }
    const before = this.#gatheredLength;
    const room = this.limits.maxHeadBytes - before;
    const upTo = Math.min(end, this.#at + room);
    const hasLine = before === 0 || chunk.indexOf(LF, this.#at) >= 0;
    this.#gather(chunk, this.#at, upTo);
    const gathered = this.#gathered!;
    const sectionEnd = hasLine ? this.#walkTrailers(gathered) : -1;
    if (sectionEnd < 0) {
      if (end - this.#at >= room) throw this.#tooLarge();
      this.#at = end;
      return;
    }
    this.#at += sectionEnd - before;
    this.#gathered = null;
    this.#gatheredLength = 0;
    this.#state = State.End;
    const trailers = this.#trailers!;
    trailers.raw = latin1(gathered, 0, sectionEnd);
    if (trailers.count === 0) return;
    trailers.removeWhere(isForbiddenTrailer);
    if (trailers.size > 0) this.events.onTrailers(trailers);
  }

  #walkTrailers(gathered: Buffer): number {
    try {
      return this.#trailerBlock!.walk(gathered, 0, this.#gatheredLength);
    } catch (error) {
      if (!(error instanceof ParseError) || error.code !== 'bad_header') throw error;
      throw new ParseError('bad_trailer', error.reason);
    }
  }

  #end(): void {
    this.#state = this.mayContinue() ? State.Idle : State.Closed;
    this.events.onEnd();
  }
}
