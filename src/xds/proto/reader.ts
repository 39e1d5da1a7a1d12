import { isUtf8 } from 'node:buffer';
import { Path, type Problems } from './problems.ts';

const TWO_32 = 0x1_0000_0000;

/** Wire types. */
export const VARINT = 0;
export const FIXED_64 = 1;
export const LENGTH = 2;
export const FIXED_32 = 5;

/**
 * Reads protobuf primitives from untrusted bytes. Nothing here throws: what is malformed is reported
 * where the path stands, and the rest of the innermost length-delimited part is given up, so that its
 * siblings are still read.
 */
export class Reader {
  pos = 0;
  end: number;
  depth = 0;
  readonly path: Path;
  readonly #bytes: Uint8Array;
  readonly #buffer: Buffer;
  readonly #view: DataView;
  /** The last varint's halves. */
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array, problems: Problems, path: string) {
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.byteLength;
    this.path = new Path(problems, path);
  }

  fail(reason: string): void {
    this.path.report(reason);
    this.pos = this.end;
  }

  /** The next field's tag; 0 when there is no sound one. */
  tag(): number {
    if (!this.#varint()) return 0;
    if (this.#high === 0 && this.#low >>> 3 !== 0) return this.#low >>> 0;
    this.fail('malformed field tag');
    return 0;
  }

  /** Enters a length-delimited part and returns the end to give to `leave`; -1 when it does not fit. */
  enter(): number {
    const length = this.#length();
    if (length < 0) return -1;
    const outer = this.end;
    this.end = this.pos + length;
    return outer;
  }

  leave(outer: number): void {
    this.pos = this.end;
    this.end = outer;
  }

  /** Skips a field's value. */
  skip(wire: number): void {
    if (wire === VARINT) this.#varint();
    else if (wire === FIXED_64) this.#take(8);
    else if (wire === FIXED_32) this.#take(4);
    else if (wire === LENGTH) {
      // Its own statement: `+=` would read `pos` before the length is read.
      const length = Math.max(this.#length(), 0);
      this.pos += length;
    } else this.fail(`unsupported wire type ${wire}`);
  }

  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  uint32(): number {
    this.#varint();
    return this.#low >>> 0;
  }

  sint32(): number {
    this.#varint();
    return (this.#low >>> 1) ^ -(this.#low & 1);
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  int64(): number {
    this.#varint();
    return this.#safe(this.#high | 0, this.#low >>> 0);
  }

  uint64(): number {
    this.#varint();
    return this.#safe(this.#high >>> 0, this.#low >>> 0);
  }

  sint64(): number {
    this.#varint();
    const mask = -(this.#low & 1);
    const low = ((this.#low >>> 1) | (this.#high << 31)) ^ mask;
    return this.#safe((this.#high >>> 1) ^ mask, low >>> 0);
  }

  fixed32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getUint32(at, true);
  }

  sfixed32(): number {
    return this.fixed32() | 0;
  }

  fixed64(): number {
    const at = this.#take(8);
    return at < 0 ? 0 : this.#safe(this.#view.getUint32(at + 4, true), this.#view.getUint32(at, true));
  }

  sfixed64(): number {
    const at = this.#take(8);
    return at < 0 ? 0 : this.#safe(this.#view.getInt32(at + 4, true), this.#view.getUint32(at, true));
  }

  float(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getFloat32(at, true);
  }

  double(): number {
    const at = this.#take(8);
    return at < 0 ? 0 : this.#view.getFloat64(at, true);
  }

  /** A view over the input, not a copy. */
  bytes(): Uint8Array {
    const length = Math.max(this.#length(), 0);
    this.pos += length;
    return this.#bytes.subarray(this.pos - length, this.pos);
  }

  string(): string {
    const length = this.#length();
    if (length <= 0) return '';
    const start = this.pos;
    this.pos += length;
    const short = length <= 24 ? this.#ascii(start, this.pos) : undefined;
    if (short !== undefined) return short;
    const text = this.#buffer.toString('utf8', start, this.pos);
    if (text.includes('\ufffd') && !isUtf8(this.#bytes.subarray(start, this.pos))) this.path.report('invalid UTF-8');
    return text;
  }

  #ascii(start: number, end: number): string | undefined {
    let text = '';
    for (let at = start; at < end; at++) {
      const code = this.#bytes[at] ?? 128;
      if (code > 127) return undefined;
      text += String.fromCharCode(code);
    }
    return text;
  }

  /** A length that fits in what is left, or -1. */
  #length(): number {
    if (!this.#varint()) return -1;
    const length = this.#low >>> 0;
    if (this.#high === 0 && length <= this.end - this.pos) return length;
    this.fail('length goes past the end');
    return -1;
  }

  #take(count: number): number {
    const at = this.pos;
    if (this.end - at < count) {
      this.fail('truncated');
      return -1;
    }
    this.pos = at + count;
    return at;
  }

  #safe(high: number, low: number): number {
    const value = high * TWO_32 + low;
    if (!Number.isSafeInteger(value)) this.path.report('64-bit number out of the safe range of ±(2^53 - 1)');
    return value;
  }

  /** Reads a varint into the two halves; false when it is broken. */
  #varint(): boolean {
    const first = this.pos < this.end ? (this.#bytes[this.pos] ?? 0) : 0x80;
    if (first < 0x80) {
      this.pos++;
      this.#low = first;
      this.#high = 0;
      return true;
    }
    return this.#longVarint();
  }

  #longVarint(): boolean {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.pos >= this.end) return this.#broken('truncated');
      const byte = this.#bytes[this.pos++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.#low = low;
        this.#high = high;
        return true;
      }
    }
    return this.#broken('varint longer than 10 bytes');
  }

  #broken(reason: string): boolean {
    this.#low = 0;
    this.#high = 0;
    this.fail(reason);
    return false;
  }
}
