import { ParseError } from './framing.ts';
import { CR, FIELD_VALUE, HEX_VALUE, LF, showOctet, TOKEN } from './octets.ts';

/** Bytes of chunk extensions one body may carry; node:http's limit. */
const MAX_EXTENSION_BYTES = 16 * 1024;
const MAX_SIZE_DIGITS = 16;

const State = {
  SizeStart: 0,
  Size: 1,
  SizeLf: 2,
  ExtensionName: 3,
  ExtensionValueStart: 4,
  ExtensionToken: 5,
  ExtensionQuoted: 6,
  ExtensionEscape: 7,
  ExtensionQuotedEnd: 8,
  Data: 9,
  DataCr: 10,
  DataLf: 11,
  Trailers: 12,
} as const;

/**
 * Decodes the framing of a chunked body (RFC 9112 section 7.1), strictly: 1 to 16 hex digits, extensions
 * exactly as the grammar has them (without its optional "bad" white space), CRLF everywhere.
 * The owner alternates {@link ChunkedDecoder.skip}, which consumes framing, and {@link ChunkedDecoder.take}.
 */
export class ChunkedDecoder {
  #state: number = State.SizeStart;
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  #tokenLength = 0;

  reset(): void {
    this.#state = State.SizeStart;
    this.#size = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
  }

  /** The last chunk was read: what follows is the trailer section. */
  get atTrailers(): boolean {
    return this.#state === State.Trailers;
  }

  /** How many of `available` bytes are data of the current chunk; they count as consumed. */
  take(available: number): number {
    if (this.#state !== State.Data) return 0;
    const taken = Math.min(available, this.#size);
    this.#size -= taken;
    if (this.#size === 0) this.#state = State.DataCr;
    return taken;
  }

  /** Consumes framing up to the next data byte, the trailer section or `end`; returns where it stopped. Throws ParseError. */
  skip(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (at < end && this.#state !== State.Data && this.#state !== State.Trailers) {
      const octet = bytes[at++]!;
      switch (this.#state) {
        case State.SizeStart:
        case State.Size:
          this.#sizeOctet(octet);
          break;
        case State.SizeLf:
          if (octet !== LF) throw badChunk('A CR in a chunk header is not followed by LF');
          this.#state = this.#size === 0 ? State.Trailers : State.Data;
          break;
        case State.DataCr:
          if (octet !== CR) throw badChunk('Chunk data is longer than its size says or not followed by CRLF');
          this.#state = State.DataLf;
          break;
        case State.DataLf:
          if (octet !== LF) throw badChunk('Chunk data is not followed by CRLF');
          this.#state = State.SizeStart;
          this.#digits = 0;
          break;
        default:
          this.#extensionOctet(octet);
      }
    }
    return at;
  }

  #sizeOctet(octet: number): void {
    const value = HEX_VALUE[octet]!;
    if (value !== 0xff) {
      this.#size = this.#digits === 0 ? value : this.#size * 16 + value;
      this.#state = State.Size;
      if (++this.#digits > MAX_SIZE_DIGITS || this.#size > Number.MAX_SAFE_INTEGER) {
        throw badChunk('The chunk size is too large');
      }
    } else if (this.#digits === 0) {
      throw badChunk(`A chunk size begins with ${showOctet(octet)}`);
    } else if (octet === CR) {
      this.#state = State.SizeLf;
    } else if (octet === 0x3b) {
      this.#beginExtension();
    } else {
      throw badChunk(`A chunk size holds ${showOctet(octet)}`);
    }
  }

  #beginExtension(): void {
    this.#state = State.ExtensionName;
    this.#tokenLength = 0;
    this.#extensionBytes++;
  }

  #extensionOctet(octet: number): void {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) {
      throw new ParseError('chunk_extensions_too_large', 'The chunk extensions of a body are too large.', 413);
    }
    switch (this.#state) {
      case State.ExtensionName:
        if (TOKEN[octet] === 1) this.#tokenLength++;
        else if (octet === 0x3d && this.#tokenLength > 0) this.#state = State.ExtensionValueStart;
        else this.#endExtension(octet, this.#tokenLength > 0);
        return;
      case State.ExtensionValueStart:
        if (octet === 0x22) this.#state = State.ExtensionQuoted;
        else if (TOKEN[octet] === 1) this.#state = State.ExtensionToken;
        else throw badChunk('A chunk extension has no value');
        return;
      case State.ExtensionToken:
        if (TOKEN[octet] === 0) this.#endExtension(octet, true);
        return;
      case State.ExtensionQuoted:
        if (octet === 0x22) this.#state = State.ExtensionQuotedEnd;
        else if (octet === 0x5c) this.#state = State.ExtensionEscape;
        else if (FIELD_VALUE[octet] === 0) throw badChunk(`A chunk extension holds ${showOctet(octet)}`);
        return;
      case State.ExtensionEscape:
        if (FIELD_VALUE[octet] === 0) throw badChunk(`A chunk extension holds ${showOctet(octet)}`);
        this.#state = State.ExtensionQuoted;
        return;
      default:
        this.#endExtension(octet, true);
    }
  }

  #endExtension(octet: number, whole: boolean): void {
    if (!whole) throw badChunk('A chunk extension has no name');
    if (octet === CR) this.#state = State.SizeLf;
    else if (octet === 0x3b) this.#beginExtension();
    else throw badChunk(`A chunk extension holds ${showOctet(octet)}`);
  }
}

function badChunk(what: string): ParseError {
  return new ParseError('bad_chunk', `${what}.`);
}
