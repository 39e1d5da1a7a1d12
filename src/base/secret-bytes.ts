/**
 * Bytes that must not be seen: a private key, a ticket key, a password. They leave by `reveal` only. Whatever
 * prints the object, or makes a fingerprint of it, gets a digest, which still tells two values apart.
 */
export class SecretBytes {
  readonly #bytes: Buffer;
  #digest = '';

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  reveal(): Buffer {
    return this.#bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  toJSON(): string {
    if (this.#digest === '') {
      const { hash } = process.getBuiltinModule('node:crypto');
      this.#digest = `[redacted ${hash('sha256', this.#bytes, 'hex').slice(0, 16)}]`;
    }
    return this.#digest;
  }

  toString(): string {
    return this.toJSON();
  }
}
