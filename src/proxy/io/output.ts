import type { Socket } from 'node:net';
import { latin1 } from '../../protocol/http1/octets.ts';
import { hold, letGo, ownBytes } from './reads.ts';
import { DirectWrites } from './writes.ts';

/** Body bytes up to this size that follow a head in the same turn are joined to it: one string, one write. */
const JOIN_LIMIT = 16 * 1024;

/**
 * The writing side of one HTTP/1 socket. Text (heads, chunk framing, small bodies) gathers in one latin1
 * string that goes out as a single write at the end of the turn; larger bodies go out as the buffers they
 * came in, in one `writev` with the text before them.
 *
 * Back-pressure: {@link Output.flush} answers false when the socket's buffer is full; the owner stops its
 * source until the socket emits `drain`.
 */
export class Output {
  readonly #socket: Socket;
  readonly #direct: DirectWrites;
  #text = '';
  /** Of each buffer that was written and not reported as such yet: what the socket still needs of it, or null. */
  readonly #writing: (Buffer | null)[] = [];
  readonly #onWritten = (): void => {
    const bytes = this.#writing.shift();
    if (bytes != null) letGo(bytes);
  };

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#direct = new DirectWrites(socket);
  }

  /** Appends latin1 text. */
  text(text: string): void {
    this.#text += text;
  }

  /** Appends body bytes. */
  body(chunk: Buffer, start: number, end: number): void {
    const length = end - start;
    const text = this.#text;
    if (length <= JOIN_LIMIT && text.length + length <= JOIN_LIMIT) {
      this.#text = text + latin1(chunk, start, end);
      return;
    }
    const socket = this.#socket;
    this.#direct.hold();
    const bytes = ownBytes(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end));
    if (text === '') {
      socket.write(bytes, this.#onWritten);
    } else {
      this.#text = '';
      socket.cork();
      socket.write(text, 'latin1');
      socket.write(bytes, this.#onWritten);
      socket.uncork();
    }
    // Where not all went out at once, the socket needs the bytes until it has.
    this.#writing.push(socket.writableLength > 0 ? hold(bytes) : null);
  }

  /** Enough has gathered, or is waiting in the socket, that a source should stop to see whether it gets away. */
  get full(): boolean {
    return this.#text.length > JOIN_LIMIT || this.#socket.writableNeedDrain;
  }

  /** Sends what has gathered; false when the socket's buffer is full. */
  flush(): boolean {
    const text = this.#text;
    if (text !== '') {
      this.#text = '';
      if (!this.#direct.write(text)) {
        this.#direct.hold();
        this.#socket.write(text, 'latin1');
      }
    }
    return !this.#socket.writableNeedDrain;
  }

  /** Sends what has gathered, then ends our side of the connection. */
  end(): void {
    this.flush();
    this.#direct.end();
  }

  /** As {@link end}; and the connection is cut once all is sent. */
  destroySoon(): void {
    this.flush();
    this.#direct.destroySoon();
  }
}
