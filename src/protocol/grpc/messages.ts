import { GrpcError } from './status.ts';

/** A flag octet and a 32-bit length before each message (doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;

/** `message` with its prefix, not compressed. */
export function prefixed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/** Gathers messages from DATA, however they were cut. Each message is bytes of its own. */
export class MessageReader {
  readonly #maxBytes: number;
  readonly #onMessage: (message: Uint8Array) => void;
  #parts: Buffer[] = [];
  #held = 0;
  #needed = PREFIX_BYTES;

  constructor(maxBytes: number, onMessage: (message: Uint8Array) => void) {
    this.#maxBytes = maxBytes;
    this.#onMessage = onMessage;
  }

  /** Whether a message has begun and not ended. */
  get partial(): boolean {
    return this.#held > 0;
  }

  /** Calls back for every message that is whole. Throws for a message that is compressed or too long. */
  execute(data: Buffer): void {
    this.#parts.push(data);
    this.#held += data.length;
    while (this.#held >= this.#needed) {
      const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#held);
      // It announces no compression, so nobody may use any.
      if (bytes[0] !== 0) throw new GrpcError('INTERNAL', 'a compressed message came, which nobody asked for');
      const length = bytes.readUInt32BE(1);
      if (length > this.#maxBytes) {
        throw new GrpcError('RESOURCE_EXHAUSTED', `a message of ${length} bytes, more than ${this.#maxBytes}`);
      }
      const end = PREFIX_BYTES + length;
      if (bytes.length < end) {
        this.#parts = [bytes];
        this.#needed = end;
        return;
      }
      const rest = bytes.subarray(end);
      this.#parts = rest.length === 0 ? [] : [rest];
      this.#held = rest.length;
      this.#needed = PREFIX_BYTES;
      this.#onMessage(new Uint8Array(bytes.subarray(PREFIX_BYTES, end)));
    }
    // What waits must not hold the bytes of everything that came with it.
    if (this.#parts.length === 1 && this.#parts[0]!.buffer.byteLength > 2 * this.#held + PREFIX_BYTES) {
      this.#parts = [Buffer.from(this.#parts[0]!)];
    }
  }
}
