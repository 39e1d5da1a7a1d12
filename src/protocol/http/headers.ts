/**
 * The one header representation, for requests and responses of every HTTP version.
 *
 * Case and order of what came in are kept. A block read from the wire stays one string (`raw`)
 * with offsets into it; a header becomes a string of its own only when somebody asks for it.
 * Headers that are removed are only marked, headers that are added are kept beside, and
 * {@link Headers.serialize} copies the surviving runs of `raw` whole.
 *
 * Names given to the methods are **lower case**; matching ignores case (RFC 9110 section 5.1).
 * Values are octets as latin1 characters (RFC 9110 section 5.5).
 */
export class Headers {
  /** The text the offsets point into; '' for a block that was not read from the wire. */
  raw = '';
  /** Four offsets a line: name start, name end, value start, value end. A removed line has name end = -1. */
  offsets: Int32Array = NO_OFFSETS;
  /** Lines in `raw`, removed ones included. */
  count = 0;
  /** Added headers: name, value, name, value… in the case they are to be sent. */
  added: string[] = [];
  /** Whether any line of `raw` was removed: when false, serialize copies one run. */
  trimmed = false;

  /** Makes a block from pairs, in their order and case. */
  static of(pairs: Iterable<readonly [name: string, value: string]>): Headers {
    const headers = new Headers();
    for (const [name, value] of pairs) headers.added.push(name, value);
    return headers;
  }

  /** Empties the block for reuse, keeping its memory. */
  reset(): void {
    this.raw = '';
    this.count = 0;
    this.trimmed = false;
    // Setting the length to 0 would free the array's memory, and the next request would allocate it again.
    const { added } = this;
    for (let i = added.length; i > 0; i--) added.pop();
  }

  /** Records a line of `raw`; for parsers. */
  pushLine(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const at = this.count * 4;
    if (at + 4 > this.offsets.length) this.#grow();
    const offsets = this.offsets;
    offsets[at] = nameStart;
    offsets[at + 1] = nameEnd;
    offsets[at + 2] = valueStart;
    offsets[at + 3] = valueEnd;
    this.count++;
  }

  /** The number of header lines that would be sent. */
  get size(): number {
    let size = this.added.length / 2;
    for (let i = 0; i < this.count; i++) if (this.offsets[i * 4 + 1]! >= 0) size++;
    return size;
  }

  /** The first value of a header, or undefined. */
  get(name: string): string | undefined {
    const line = this.#find(name, 0);
    if (line >= 0) return this.valueAt(line);
    const added = this.added;
    for (let i = 0; i < added.length; i += 2) if (equalsIgnoreCase(added[i]!, name)) return added[i + 1]!;
    return undefined;
  }

  has(name: string): boolean {
    if (this.#find(name, 0) >= 0) return true;
    const added = this.added;
    for (let i = 0; i < added.length; i += 2) if (equalsIgnoreCase(added[i]!, name)) return true;
    return false;
  }

  /** All values of a header joined by "," as RFC 9110 section 5.3 allows; undefined when absent. */
  getJoined(name: string): string | undefined {
    let joined: string | undefined;
    for (let line = this.#find(name, 0); line >= 0; line = this.#find(name, line + 1)) {
      const value = this.valueAt(line);
      joined = joined === undefined ? value : `${joined},${value}`;
    }
    const added = this.added;
    for (let i = 0; i < added.length; i += 2) {
      if (!equalsIgnoreCase(added[i]!, name)) continue;
      joined = joined === undefined ? added[i + 1]! : `${joined},${added[i + 1]!}`;
    }
    return joined;
  }

  /** Whether one of the header's values, each line by itself, passes; undefined when the header is absent. */
  someValue(name: string, test: (value: string) => boolean): boolean | undefined {
    let found: false | undefined;
    for (let line = this.#find(name, 0); line >= 0; line = this.#find(name, line + 1)) {
      if (test(this.valueAt(line))) return true;
      found = false;
    }
    const added = this.added;
    for (let i = 0; i < added.length; i += 2) {
      if (!equalsIgnoreCase(added[i]!, name)) continue;
      if (test(added[i + 1]!)) return true;
      found = false;
    }
    return found;
  }

  /** Appends a line, whether or not the header is there. The caller vouches that name and value hold no CR, LF or NUL. */
  add(name: string, value: string): void {
    this.added.push(name, value);
  }

  /** Replaces every line of the header by one. */
  set(name: string, value: string): void {
    this.remove(name);
    this.added.push(name, value);
  }

  /** Removes every line of the header; true when there was one. */
  remove(name: string): boolean {
    let found = false;
    for (let line = this.#find(name, 0); line >= 0; line = this.#find(name, line + 1)) {
      this.offsets[line * 4 + 1] = -1;
      this.trimmed = true;
      found = true;
    }
    const added = this.added;
    for (let i = added.length - 2; i >= 0; i -= 2) {
      if (!equalsIgnoreCase(added[i]!, name)) continue;
      added.splice(i, 2);
      found = true;
    }
    return found;
  }

  /** Removes one line of `raw` by its index; for parsers and hop-by-hop removal, which know it. */
  removeLine(line: number): void {
    this.offsets[line * 4 + 1] = -1;
    this.trimmed = true;
  }

  /** Whether line `line` of `raw` has this lower-case name. */
  lineIs(line: number, name: string): boolean {
    const at = line * 4;
    const start = this.offsets[at]!;
    return this.offsets[at + 1]! - start === name.length && matchesAt(this.raw, start, name);
  }

  nameAt(line: number): string {
    const at = line * 4;
    return this.raw.substring(this.offsets[at]!, this.offsets[at + 1]!);
  }

  valueAt(line: number): string {
    const at = line * 4 + 2;
    return this.raw.substring(this.offsets[at]!, this.offsets[at + 1]!);
  }

  /** Calls `visit` for each header that would be sent, in order, with its name as it came. */
  forEach(visit: (name: string, value: string) => void): void {
    for (let i = 0; i < this.count; i++) if (this.offsets[i * 4 + 1]! >= 0) visit(this.nameAt(i), this.valueAt(i));
    for (let i = 0; i < this.added.length; i += 2) visit(this.added[i]!, this.added[i + 1]!);
  }

  /** Removes every header whose lower-cased name satisfies `test`. */
  removeWhere(test: (lowerName: string) => boolean): void {
    for (let i = 0; i < this.count; i++) {
      if (this.offsets[i * 4 + 1]! >= 0 && test(this.nameAt(i).toLowerCase())) this.removeLine(i);
    }
    const added = this.added;
    for (let i = added.length - 2; i >= 0; i -= 2) if (test(added[i]!.toLowerCase())) added.splice(i, 2);
  }

  entries(): [name: string, value: string][] {
    const out: [string, string][] = [];
    this.forEach((name, value) => {
      out.push([name, value]);
    });
    return out;
  }

  /** Bytes the block takes on the wire, without the blank line. */
  get byteSize(): number {
    let size = 0;
    for (let i = 0; i < this.count; i++) {
      const at = i * 4;
      if (this.offsets[at + 1]! >= 0) size += this.offsets[at + 3]! - this.offsets[at]! + 2;
    }
    for (let i = 0; i < this.added.length; i++) size += this.added[i]!.length + 2;
    return size;
  }

  /** The header lines as HTTP/1.1 sends them, each ended by CRLF, without the blank line. */
  serialize(): string {
    let out = '';
    if (this.count > 0) {
      out = this.trimmed ? this.#serializeRuns() : this.raw.substring(this.offsets[0]!, this.#lineEnd(this.count - 1));
    }
    const added = this.added;
    for (let i = 0; i < added.length; i += 2) out += `${added[i]!}: ${added[i + 1]!}\r\n`;
    return out;
  }

  #serializeRuns(): string {
    const { raw, offsets, count } = this;
    let out = '';
    let runStart = -1;
    for (let i = 0; i < count; i++) {
      if (offsets[i * 4 + 1]! < 0) {
        if (runStart >= 0) out += raw.substring(runStart, offsets[i * 4]!);
        runStart = -1;
      } else if (runStart < 0) {
        runStart = offsets[i * 4]!;
      }
    }
    if (runStart >= 0) out += raw.substring(runStart, this.#lineEnd(count - 1));
    return out;
  }

  /** Just behind the CRLF of a line. Trailing white space between value and CRLF belongs to the line. */
  #lineEnd(line: number): number {
    if (line + 1 < this.count) return this.offsets[(line + 1) * 4]!;
    return this.raw.indexOf('\n', this.offsets[line * 4 + 3]!) + 1;
  }

  #find(name: string, from: number): number {
    const { offsets, count, raw } = this;
    const length = name.length;
    for (let i = from; i < count; i++) {
      const start = offsets[i * 4]!;
      if (offsets[i * 4 + 1]! - start === length && matchesAt(raw, start, name)) return i;
    }
    return -1;
  }

  #grow(): void {
    const bigger = new Int32Array(Math.max(4 * 32, this.offsets.length * 2));
    bigger.set(this.offsets);
    this.offsets = bigger;
  }
}

/** Of a block that nothing was read into: most of a connection's blocks, and memory outside the heap is dear to make. */
const NO_OFFSETS = new Int32Array(0);

/** Whether `text` holds the lower-case `name` at `start`, ignoring the case of `text`. */
function matchesAt(text: string, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    let c = text.charCodeAt(start + i);
    if (c >= 0x41 && c <= 0x5a) c |= 0x20;
    if (c !== name.charCodeAt(i)) return false;
  }
  return true;
}

/** Whether `text` equals the lower-case `name`, ignoring the case of `text`. */
export function equalsIgnoreCase(text: string, name: string): boolean {
  return text.length === name.length && matchesAt(text, 0, name);
}
