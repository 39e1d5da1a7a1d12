import { type OnReadOpts, Socket } from 'node:net';

/** What every connection reads into while it gets little: bytes of it are valid until the read's callback returns. */
const SHARED: Buffer<ArrayBuffer> = Buffer.allocUnsafeSlow(64 * 1024);

/** What a connection reads into that has just filled the shared buffer: a body in transit needs fewer calls. */
const OWN_SIZE = 256 * 1024;

/** A connection that reads less than this at a time goes back to the shared buffer. */
const OWN_WORTH = 32 * 1024;

/** Own buffers that nobody reads into, kept for the next who needs one. */
const idle: Buffer[] = [];
const MAX_IDLE = 8;

/** The reader whose callback is running. */
let current: Reads | null = null;

/**
 * The reads of one socket, into buffers of ours (Node's `onread`): no memory is allocated and no stream is
 * passed per read. All connections share one buffer until one of them fills it.
 *
 * The chunk that `onBytes` gets is valid until it returns; who needs bytes longer asks {@link keep}.
 */
export class Reads {
  onBytes: (chunk: Buffer) => void = drop;
  #buffer: Buffer = SHARED;
  #kept = false;

  readonly options: OnReadOpts = {
    buffer: () => this.#next(),
    callback: (length) => this.#onRead(length),
  };

  /** See {@link keep}. */
  keep(chunk: Buffer): Buffer {
    if (chunk.buffer !== this.#buffer.buffer) return chunk;
    if (this.#buffer === SHARED) return Buffer.from(chunk);
    this.#kept = true;
    return chunk;
  }

  #onRead(length: number): boolean {
    const buffer = this.#buffer;
    current = this;
    try {
      this.onBytes(buffer.subarray(0, length));
    } finally {
      current = null;
    }
    if (this.#kept) {
      this.#kept = false;
      this.#buffer = length < OWN_WORTH ? SHARED : ownBuffer();
    } else if (buffer === SHARED) {
      if (length === SHARED.length) this.#buffer = ownBuffer();
    } else if (length < OWN_WORTH) {
      if (idle.length < MAX_IDLE) idle.push(buffer);
      this.#buffer = SHARED;
    }
    return true;
  }

  #next(): Buffer {
    return this.#buffer;
  }
}

/**
 * The bytes of `chunk` for longer than the callback of the read that brought them: itself, or a copy when what
 * it lies in is read into again.
 */
export function keep(chunk: Buffer): Buffer {
  return current === null ? chunk : current.keep(chunk);
}

/** The bytes of `chunk`, copied when they lie in the buffer that other connections read into too. */
export function ownBytes(chunk: Buffer): Buffer {
  return chunk.buffer === SHARED.buffer ? Buffer.from(chunk) : chunk;
}

/**
 * Has `onBytes` called with what an accepted socket reads, and returns the socket to use from now on: a plain
 * TCP socket is taken over by one that reads into buffers of ours, any other emits `data`.
 */
export function readFrom(socket: Socket, onBytes: (chunk: Buffer) => void): Socket {
  const handle = takeHandle(socket);
  if (handle === null) {
    socket.on('data', onBytes);
    return socket;
  }
  const reads = new Reads();
  reads.onBytes = onBytes;
  return new Socket({
    handle,
    allowHalfOpen: socket.allowHalfOpen,
    readable: true,
    writable: true,
    readableHighWaterMark: socket.readableHighWaterMark,
    writableHighWaterMark: socket.writableHighWaterMark,
    onread: reads.options,
  } as ConstructorParameters<typeof Socket>[0]);
}

/** Node's TCP handle below a socket; its constructor's options name it, its types do not. */
interface WithHandle {
  _handle: { useUserBuffer?: unknown } | null;
}

function takeHandle(socket: Socket): object | null {
  if (socket.constructor !== Socket || socket.readableLength > 0) return null;
  const owner = socket as unknown as WithHandle;
  const handle = owner._handle;
  if (handle === null || typeof handle?.useUserBuffer !== 'function') return null;
  owner._handle = null;
  // Without its handle it only tells the server that it is gone.
  socket.destroy();
  return handle;
}

function ownBuffer(): Buffer {
  return idle.pop() ?? Buffer.allocUnsafeSlow(OWN_SIZE);
}

function drop(): void {}
