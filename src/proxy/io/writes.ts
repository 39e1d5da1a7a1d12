import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';

/**
 * Whether a TCP or TLS handle of this Node takes no request object and answers 0 for what went out whole. An older one ends
 * the process on such a call, and one that is newer by a major version was not looked at.
 */
const KNOWN = /^26\.(?:[1-9]\d)\./.test(process.versions.node);

/** Node's handle below a socket; Node's types do not name it. */
interface WithHandle {
  readonly _handle: { writeLatin1String(request: WriteRequest | null, text: string): number | WriteRequest } | null;
  /** Of TLS: OpenSSL takes nothing more. */
  readonly _hadError?: boolean;
}

/** A write that goes on: what the kernel did not take whole, and any of TLS. Once ended it may be that of another. */
interface WriteRequest {
  oncomplete: ((status: number) => void) | null;
  /** How it ended, where nobody asked to be called; null: it goes on. */
  writeStatus: number | null;
}

/**
 * Writes text on a TCP or TLS socket past its stream, while nothing waits in that: mostly the kernel takes all of it at
 * once, and the stream's bookkeeping, with a turn of the tick queue for each write, was for nothing.
 *
 * What the kernel does not take of plain text waits in libuv's queue, which keeps the order of all writes of the handle,
 * and of its shutdown. TLS ends every write in a later phase of the loop, and the process if there is a second before
 * that: so the stream has to be {@link hold held} until then. Nobody is called then but who waits for it.
 */
export class DirectWrites {
  readonly #socket: Socket;
  readonly #able: boolean;
  readonly #secured: boolean;
  /** Some of the last text waits for the kernel: what comes behind it goes through the stream, which bounds it. */
  #waiting = false;
  /** The last write of TLS, until it is known to have ended. */
  #last: WriteRequest | null = null;
  /** That of the first write of TLS, for all that follow: making one costs more than the rest of the call. */
  #request: WriteRequest | null = null;
  /** The stream is corked until that write ends. */
  #held = false;
  #atEnd: 'nothing' | 'end' | 'destroy' = 'nothing';

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#secured = 'encrypted' in socket;
    this.#able = KNOWN && (this.#secured ? socket instanceof Socket : socket.constructor === Socket);
  }

  /** False when it was not written, and is the stream's to write. */
  write(text: string): boolean {
    const socket = this.#socket;
    if (!this.#able || this.#waiting || socket.writableLength > 0 || socket.connecting || !socket.writable)
      return false;
    if (this.#last !== null && this.#inFlight) return false;
    const { _handle: handle, _hadError: broken } = socket as unknown as WithHandle;
    if (handle === null || broken === true) return false;
    const request = this.#request;
    if (request !== null) request.writeStatus = null;
    const written = handle.writeLatin1String(request, text);
    if (written === 0) {
      this.#last = request;
      return true;
    }
    // An error, of which the stream hears when it tries the same.
    if (typeof written === 'number') return false;
    if (this.#secured) {
      this.#request = written;
      this.#last = written;
    } else {
      this.#waiting = true;
      written.oncomplete = this.#onWritten;
    }
    return true;
  }

  /** To be called before the stream is written to: it keeps what it gets until it may write. */
  hold(): void {
    if (this.#last === null || this.#held || !this.#inFlight) return;
    this.#held = true;
    this.#socket.cork();
    this.#last.oncomplete = this.#onSecured;
  }

  /** `end` of the socket, once it may be. */
  end(): void {
    this.hold();
    if (this.#held) this.#atEnd = 'end';
    else this.#socket.end();
  }

  /** `destroySoon` of the socket, once it may be. */
  destroySoon(): void {
    this.hold();
    if (this.#held) this.#atEnd = 'destroy';
    else this.#socket.destroySoon();
  }

  /** Of TLS. One that failed has ended: the stream hears of it with the next. */
  get #inFlight(): boolean {
    if (this.#last !== null && this.#last.writeStatus !== null) this.#last = null;
    return this.#last !== null;
  }

  readonly #onWritten = (status: number): void => {
    this.#waiting = false;
    if (status < 0) this.#fail(status);
  };

  readonly #onSecured = (status: number): void => {
    const socket = this.#socket;
    // Node is still busy with it.
    this.#request = null;
    this.#last = null;
    this.#held = false;
    if (status < 0) this.#fail(status);
    if (socket.destroyed) return;
    socket.uncork();
    if (this.#atEnd === 'destroy') socket.destroySoon();
    else if (this.#atEnd === 'end') socket.end();
  };

  #fail(status: number): void {
    if (this.#socket.destroyed) return;
    const code = getSystemErrorName(status);
    this.#socket.destroy(Object.assign(new Error(`write ${code}`), { code, syscall: 'write' }));
  }
}
