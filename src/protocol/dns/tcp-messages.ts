import { MAX_MESSAGE } from './message.ts';

/** Cuts a stream into DNS messages, each behind its length in two octets (RFC 1035 section 4.2.2). */
export class TcpMessages {
  readonly #most: number;
  #held: Uint8Array = new Uint8Array(0);

  constructor(most = MAX_MESSAGE) {
    this.#most = most;
  }

  /** Octets of a message that is not whole yet; they are at most one message. */
  get pending(): number {
    return this.#held.length;
  }

  /** The messages that `chunk` completes, as views over it; null when one is longer than the most. */
  push(chunk: Uint8Array): Uint8Array[] | null {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (at + 2 <= bytes.length) {
      const length = (bytes[at]! << 8) | bytes[at + 1]!;
      if (length > this.#most) return null;
      const end = at + 2 + length;
      if (end > bytes.length) break;
      messages.push(bytes.subarray(at + 2, end));
      at = end;
    }
    this.#held = at === bytes.length ? new Uint8Array(0) : Uint8Array.from(bytes.subarray(at));
    return messages;
  }
}

/** The message behind its length. */
export function framed(message: Uint8Array): Uint8Array {
  if (message.length > MAX_MESSAGE) throw new RangeError(`a DNS message of ${message.length} octets`);
  const framed = Buffer.allocUnsafe(message.length + 2);
  framed.writeUInt16BE(message.length, 0);
  framed.set(message, 2);
  return framed;
}
