import type { Socket } from 'node:net';
import { latin1 } from '../../protocol/http1/octets.ts';

/** Body bytes up to this size that follow a head in the same turn are joined to it: one string, one write. */
const JOIN_LIMIT = 16 * 1024;

/**
 * The writing side of one HTTP/1 socket. Text (heads, chunk framing, small bodies) gathers in one latin1
 * string that goes out as a single write at the end of the turn; larger bodies go out as the buffers they
 * came in, corked together with the text before them.
 *
 * Back-pressure: {@link Output.flush} and {@link Output.body} answer false when the socket's buffer is
 * full; the owner stops its source until the socket emits `drain`.
 */
export class Output {
  readonly #socket: Socket;
  #text = '';
  #corked = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Appends latin1 text. */
  text(text: string): void {
    this.#text += text;
  }

  /** Appends body bytes; `chunk` must not be changed afterwards. */
  body(chunk: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length <= JOIN_LIMIT && !this.#corked && this.#text.length + length <= JOIN_LIMIT) {
      this.#text += latin1(chunk, start, end);
      return;
    }
    if (this.#text !== '') {
      this.#cork();
      this.#spill();
    }
    this.#socket.write(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end));
  }

  /** Enough has gathered, or is waiting in the socket, that a source should stop to see whether it gets away. */
  get full(): boolean {
    return this.#text.length > JOIN_LIMIT || this.#socket.writableNeedDrain;
  }

  /** Sends what has gathered; false when the socket's buffer is full. */
  flush(): boolean {
    const socket = this.#socket;
    this.#spill();
    if (this.#corked) {
      this.#corked = false;
      socket.uncork();
    }
    return !socket.writableNeedDrain;
  }

  /** Sends what has gathered, then ends our side of the connection. */
  end(): void {
    this.flush();
    this.#socket.end();
  }

  #spill(): void {
    if (this.#text === '') return;
    this.#socket.write(this.#text, 'latin1');
    this.#text = '';
  }

  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
  }
}
