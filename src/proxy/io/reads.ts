import { type OnReadOpts, Socket } from 'node:net';
import { holdTime, releaseTime } from '../../base/clock.ts';

/** What every connection reads into while it gets little: bytes of it are valid until the read's callback returns. */
const SHARED: Buffer<ArrayBuffer> = Buffer.allocUnsafeSlow(64 * 1024);

/** The beginnings of it that requests were, by length: most are short, and as long as one before. */
const heads: (Buffer | undefined)[] = new Array(2048).fill(undefined);

/** What a connection reads into that has just filled the shared buffer: a body in transit needs fewer calls. */
const OWN_SIZE = 256 * 1024;

/** A connection that reads less than this at a time goes back to the shared buffer. */
const OWN_WORTH = 32 * 1024;

/** A buffer that one connection reads into, and whoever needs bytes of it longer than a read. */
interface OwnBuffer {
  readonly bytes: Buffer;
  /** The connection and those that {@link hold} some of it: with the last it is free for another connection. */
  holders: number;
  /** Somebody keeps some of it who will not say when he is through: it is nobody else's any more. */
  kept: boolean;
}

const owned = new WeakMap<ArrayBufferLike, OwnBuffer>();

/** Own buffers that nobody holds, for the next who needs one: their memory is there already, and in the caches. */
const idle: OwnBuffer[] = [];
const MAX_IDLE = 16;

/**
 * The reads of one socket, into buffers of ours (Node's `onread`): no memory is allocated and no stream is
 * passed per read. All connections share one buffer until one of them fills it.
 *
 * The chunk that `onBytes` gets is valid until it returns; who needs bytes longer asks {@link keep} or {@link hold}.
 */
export class Reads {
  onBytes: (chunk: Buffer) => void = drop;
  /** What is read into next: all that is left of `#own`, or the shared buffer. */
  #buffer: Buffer = SHARED;
  #own: OwnBuffer | null = null;
  /** Where in `#own` that begins. */
  #at = 0;

  readonly options: OnReadOpts = {
    buffer: () => this.#next(),
    callback: (length) => this.#onRead(length),
  };

  #onRead(length: number): boolean {
    holdTime();
    try {
      this.onBytes(this.#own === null ? sharedBytes(length) : this.#buffer.subarray(0, length));
    } finally {
      releaseTime();
      this.#choose(length);
    }
    return true;
  }

  /** After a read of `length`: chooses what the next one goes into. */
  #choose(length: number): void {
    const own = this.#own;
    if (own === null) {
      if (length === SHARED.length) this.#useOwn();
    } else if (length < OWN_WORTH) {
      leave(own);
      this.#own = null;
      this.#buffer = SHARED;
    } else if (own.holders === 1 && !own.kept) {
      if (this.#at > 0) {
        this.#at = 0;
        this.#buffer = own.bytes;
      }
    } else {
      this.#at += length;
      if (this.#at > OWN_SIZE - SHARED.length) {
        leave(own);
        this.#useOwn();
      } else {
        this.#buffer = own.bytes.subarray(this.#at);
      }
    }
  }

  #useOwn(): void {
    const own = idle.pop() ?? newBuffer();
    own.holders = 1;
    this.#own = own;
    this.#at = 0;
    this.#buffer = own.bytes;
  }

  #next(): Buffer {
    return this.#buffer;
  }
}

/** The bytes of `chunk` for longer than the callback of the read that brought them: itself, or a copy of shared ones. */
export function keep(chunk: Buffer): Buffer {
  if (chunk.buffer === SHARED.buffer) return Buffer.from(chunk);
  const own = owned.get(chunk.buffer);
  if (own !== undefined) own.kept = true;
  return chunk;
}

/** {@link keep} for whoever calls {@link letGo} with the answer, once, when he needs the bytes no more. */
export function hold(chunk: Buffer): Buffer {
  if (chunk.buffer === SHARED.buffer) return Buffer.from(chunk);
  const own = owned.get(chunk.buffer);
  if (own !== undefined) own.holders++;
  return chunk;
}

/** Ends a {@link hold}: the bytes may be read over from now on. */
export function letGo(chunk: Buffer): void {
  const own = owned.get(chunk.buffer);
  if (own !== undefined) leave(own);
}

/** The bytes of `chunk`, copied when they lie in the buffer that other connections read into too. */
export function ownBytes(chunk: Buffer): Buffer {
  return chunk.buffer === SHARED.buffer ? Buffer.from(chunk) : chunk;
}

/**
 * Has `onBytes` called with what an accepted socket reads, and returns the socket to use from now on: a plain
 * TCP socket is taken over by one that reads into buffers of ours, one of TLS is told to, any other emits `data`.
 */
export function readFrom(socket: Socket, onBytes: (chunk: Buffer) => void): Socket {
  const reads = new Reads();
  reads.onBytes = onBytes;
  if (readSecured(socket, reads.options)) return socket;
  const handle = takeHandle(socket);
  if (handle === null) {
    socket.on('data', onBytes);
    return socket;
  }
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

/** Node's TCP or TLS handle below a socket; its constructor's options name it, its types do not. */
interface WithHandle {
  _handle: { useUserBuffer?: (buffer: Uint8Array) => void } | null;
}

/** Where `net.Socket` keeps its option `onread`. */
interface OnReadFields {
  readonly buffer: symbol;
  readonly generator: symbol;
  readonly callback: symbol;
}

/** The same for all sockets; looked for with the first, null where this Node has others. */
let onReadFields: OnReadFields | null | undefined;

/** By their descriptions, which are Node's. */
function findOnReadFields(socket: Socket): OnReadFields | null {
  const own = Object.getOwnPropertySymbols(socket);
  const [buffer, generator, callback] = ['kBuffer', 'kBufferGen', 'kBufferCb'].map((name) =>
    own.find((symbol) => symbol.description === name),
  );
  return buffer && generator && callback ? { buffer, generator, callback } : null;
}

/**
 * Does to an accepted TLS socket what the option `onread` does to one that connects: `TLSSocket` drops the option when it
 * is given a socket. False, and nothing done, where this Node keeps it elsewhere, or bytes were read already.
 */
function readSecured(socket: Socket, options: OnReadOpts): boolean {
  if (!('encrypted' in socket) || socket.readableLength > 0 || typeof options.buffer !== 'function') return false;
  const handle = (socket as unknown as WithHandle)._handle;
  if (typeof handle?.useUserBuffer !== 'function') return false;
  if (onReadFields === undefined) onReadFields = findOnReadFields(socket);
  if (onReadFields === null) return false;
  const fields = socket as unknown as Record<symbol, unknown>;
  const { buffer, generator, callback } = onReadFields;
  if (fields[buffer] !== null || fields[generator] !== null || fields[callback] !== null) return false;
  const first = options.buffer();
  fields[buffer] = first;
  fields[generator] = options.buffer;
  fields[callback] = options.callback;
  handle.useUserBuffer(first);
  return true;
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

/** What a read of `length` brought into the shared buffer. */
function sharedBytes(length: number): Buffer {
  const known = heads[length];
  if (known !== undefined) return known;
  const chunk = SHARED.subarray(0, length);
  if (length < heads.length) heads[length] = chunk;
  return chunk;
}

function newBuffer(): OwnBuffer {
  const own = { bytes: Buffer.allocUnsafeSlow(OWN_SIZE), holders: 0, kept: false };
  owned.set(own.bytes.buffer, own);
  return own;
}

/** One holder less. */
function leave(own: OwnBuffer): void {
  if (--own.holders === 0 && !own.kept && idle.length < MAX_IDLE) idle.push(own);
}

function drop(): void {}
