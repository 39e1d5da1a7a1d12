import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';

/**
 * Whether a TCP handle of this Node takes no request object and answers 0 for what went out whole. An older one ends the
 * process on such a call, and one that is newer by a major version was not looked at.
 */
const KNOWN = /^26\.(?:[1-9]\d)\./.test(process.versions.node);

/** Node's TCP handle below a socket; Node's types do not name it. */
interface WithHandle {
  _handle: { writeLatin1String(request: null, text: string): number | WriteRequest } | null;
}

/** A write that the kernel did not take whole. */
interface WriteRequest {
  oncomplete: (status: number) => void;
}

/**
 * Writes text on a TCP socket past its stream, while nothing waits in that: mostly the kernel takes all of it at once,
 * and the stream's bookkeeping, with a turn of the tick queue for each write, was for nothing. What the kernel does not
 * take waits in libuv's queue, which keeps the order of all writes of the handle, and of its shutdown.
 */
export class DirectWrites {
  readonly #socket: Socket;
  readonly #able: boolean;
  /** Some of the last text waits for the kernel: what comes behind it goes through the stream, which bounds it. */
  #waiting = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#able = KNOWN && socket.constructor === Socket;
  }

  /** False when it was not written, and is the stream's to write. */
  write(text: string): boolean {
    const socket = this.#socket;
    if (!this.#able || this.#waiting || socket.writableLength > 0 || socket.connecting || !socket.writable)
      return false;
    const { _handle: handle } = socket as unknown as WithHandle;
    if (handle === null) return false;
    const written = handle.writeLatin1String(null, text);
    if (written === 0) return true;
    // An error, of which the stream hears when it tries the same.
    if (typeof written === 'number') return false;
    this.#waiting = true;
    written.oncomplete = this.#onWritten;
    return true;
  }

  readonly #onWritten = (status: number): void => {
    this.#waiting = false;
    if (status >= 0 || this.#socket.destroyed) return;
    const code = getSystemErrorName(status);
    this.#socket.destroy(Object.assign(new Error(`write ${code}`), { code, syscall: 'write' }));
  };
}
