import { Http2Error } from './http2-error.ts';
import { huffmanDecode } from './huffman.ts';

/** RFC 7541 appendix A; the index of the first is 1. */
const STATIC: readonly (readonly [name: string, value: string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map((status): [string, string] => [':status', status]),
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ...(
    'accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control ' +
    'content-disposition content-encoding content-language content-length content-location content-range ' +
    'content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range ' +
    'if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range ' +
    'referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via ' +
    'www-authenticate'
  )
    .split(' ')
    .map((name): [string, string] => [name, '']),
];

/** SETTINGS_HEADER_TABLE_SIZE when nothing is said. */
const TABLE_BYTES = 4096;
/** What an entry counts besides its octets (section 4.1). */
const ENTRY_BYTES = 32;

/** Reads header blocks (RFC 7541). Its table lives as long as the connection: every block must pass through it. */
export class HpackDecoder {
  /** The oldest first: entries leave at the front and come at the end. */
  readonly #entries: (readonly [name: string, value: string])[] = [];
  #bytes = 0;
  #limit = TABLE_BYTES;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Calls back for every field of a whole block, in order. Throws COMPRESSION_ERROR. */
  decode(block: Buffer, onField: (name: string, value: string) => void): void {
    this.#block = block;
    this.#at = 0;
    let fields = 0;
    while (this.#at < block.length) {
      const byte = block[this.#at]!;
      if ((byte & 0xe0) === 0x20) {
        if (fields > 0) throw bad('a table size update after a field');
        this.#resize(this.#integer(5));
        continue;
      }
      fields++;
      if ((byte & 0x80) !== 0) {
        const [name, value] = this.#entry(this.#integer(7));
        onField(name, value);
        continue;
      }
      const indexed = (byte & 0x40) !== 0;
      const index = this.#integer(indexed ? 6 : 4);
      const name = index === 0 ? this.#string() : this.#entry(index)[0];
      const value = this.#string();
      if (indexed) this.#add(name, value);
      onField(name, value);
    }
  }

  #entry(index: number): readonly [name: string, value: string] {
    const entry =
      index <= STATIC.length ? STATIC[index - 1] : this.#entries[this.#entries.length + STATIC.length - index];
    if (entry === undefined) throw bad(`index ${index} is in no table`);
    return entry;
  }

  #add(name: string, value: string): void {
    this.#entries.push([name, value]);
    this.#bytes += name.length + value.length + ENTRY_BYTES;
    this.#evict();
  }

  #resize(limit: number): void {
    // We never announce another size than the default.
    if (limit > TABLE_BYTES) throw bad(`a table of ${limit} bytes, more than ${TABLE_BYTES}`);
    this.#limit = limit;
    this.#evict();
  }

  #evict(): void {
    while (this.#bytes > this.#limit) {
      const [name, value] = this.#entries.shift()!;
      this.#bytes -= name.length + value.length + ENTRY_BYTES;
    }
  }

  /** Section 5.1; at most 28 bits after the prefix. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#octet() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#octet();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw bad('an integer is too long');
  }

  #string(): string {
    const huffman = (this.#block[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#block.length) throw bad('a string goes beyond its block');
    this.#at = end;
    return huffman ? huffmanDecode(this.#block, start, end) : this.#block.toString('latin1', start, end);
  }

  #octet(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) throw bad('the block ends inside a field');
    return byte;
  }
}

/** A header block of literals that enter no table: nothing to remember, and readable by every decoder. */
export function literalBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) parts.push(Buffer.from([0]), literal(name), literal(value));
  return Buffer.concat(parts);
}

function literal(text: string): Buffer {
  const prefix: number[] = [];
  let rest = text.length;
  if (rest < 0x7f) prefix.push(rest);
  else {
    prefix.push(0x7f);
    for (rest -= 0x7f; rest >= 0x80; rest >>>= 7) prefix.push(0x80 | (rest & 0x7f));
    prefix.push(rest);
  }
  return Buffer.concat([Buffer.from(prefix), Buffer.from(text, 'latin1')]);
}

function bad(reason: string): Http2Error {
  return new Http2Error('COMPRESSION_ERROR', `the header block is broken: ${reason}`);
}
