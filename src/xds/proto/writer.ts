const TWO_32 = 0x1_0000_0000;
const KEEP = 1 << 20;

/** Writes protobuf primitives into a buffer that grows, and that serves the next message too. */
export class Writer {
  pos = 0;
  #bytes = Buffer.allocUnsafeSlow(4096);
  #view = new DataView(this.#bytes.buffer);

  /** Drops what was written; a buffer that one huge message has left behind goes too. */
  reset(): void {
    this.pos = 0;
    if (this.#bytes.length > KEEP) this.#resize(4096);
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return new Uint8Array(this.#bytes.buffer.slice(0, this.pos));
  }

  tag(number: number, wire: number): void {
    this.uint32((number << 3) | wire);
  }

  uint32(value: number): void {
    this.#reserve(5);
    let rest = value >>> 0;
    while (rest > 127) {
      this.#bytes[this.pos++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#bytes[this.pos++] = rest;
  }

  int32(value: number): void {
    if (value < 0) this.int64(value);
    else this.uint32(value);
  }

  sint32(value: number): void {
    this.uint32((value << 1) ^ (value >> 31));
  }

  int64(value: number): void {
    const high = Math.floor(value / TWO_32);
    this.#varint64(high >>> 0, (value - high * TWO_32) >>> 0);
  }

  sint64(value: number): void {
    const magnitude = Math.abs(value);
    const high = Math.floor(magnitude / TWO_32) >>> 0;
    const low = (magnitude - high * TWO_32) >>> 0;
    const doubledHigh = ((high << 1) | (low >>> 31)) >>> 0;
    const doubledLow = (low << 1) >>> 0;
    if (value >= 0) this.#varint64(doubledHigh, doubledLow);
    else this.#varint64(doubledLow === 0 ? (doubledHigh - 1) >>> 0 : doubledHigh, (doubledLow - 1) >>> 0);
  }

  bool(value: boolean): void {
    this.#reserve(1);
    this.#bytes[this.pos++] = value ? 1 : 0;
  }

  fixed32(value: number): void {
    this.#reserve(4);
    this.#view.setInt32(this.pos, value, true);
    this.pos += 4;
  }

  fixed64(value: number): void {
    this.#reserve(8);
    const high = Math.floor(value / TWO_32);
    this.#view.setUint32(this.pos, value - high * TWO_32, true);
    this.#view.setInt32(this.pos + 4, high, true);
    this.pos += 8;
  }

  float(value: number): void {
    this.#reserve(4);
    this.#view.setFloat32(this.pos, value, true);
    this.pos += 4;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.pos, value, true);
    this.pos += 8;
  }

  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.pos);
    this.pos += value.length;
  }

  string(value: string): void {
    const start = this.begin();
    this.#reserve(value.length * 3);
    this.pos += value.length < 16 ? this.#ascii(value) : this.#bytes.write(value, this.pos, 'utf8');
    this.end(start);
  }

  /** Begins a length-delimited part: one byte is kept for its length, which is usually enough. */
  begin(): number {
    this.#reserve(1);
    return ++this.pos;
  }

  end(start: number): void {
    const length = this.pos - start;
    if (length < 128) {
      this.#bytes[start - 1] = length;
      return;
    }
    const extra = length < 1 << 14 ? 1 : length < 1 << 21 ? 2 : length < 1 << 28 ? 3 : 4;
    this.#reserve(extra);
    this.#bytes.copyWithin(start + extra, start, this.pos);
    this.pos = start - 1;
    this.uint32(length);
    this.pos += length;
  }

  /** Writes a short string byte by byte, which is quicker, or leaves it to the encoder. */
  #ascii(value: string): number {
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      if (code > 127) return this.#bytes.write(value, this.pos, 'utf8');
      this.#bytes[this.pos + i] = code;
    }
    return value.length;
  }

  #varint64(high: number, low: number): void {
    this.#reserve(10);
    let lo = low;
    let hi = high;
    while (hi > 0 || lo > 127) {
      this.#bytes[this.pos++] = (lo & 127) | 128;
      lo = ((lo >>> 7) | (hi << 25)) >>> 0;
      hi >>>= 7;
    }
    this.#bytes[this.pos++] = lo;
  }

  #reserve(count: number): void {
    const needed = this.pos + count;
    if (needed > this.#bytes.length) this.#resize(Math.max(needed, this.#bytes.length * 2));
  }

  #resize(size: number): void {
    const old = this.#bytes;
    this.#bytes = Buffer.allocUnsafeSlow(size);
    this.#view = new DataView(this.#bytes.buffer);
    old.copy(this.#bytes, 0, 0, this.pos);
  }
}
