/** Cuts a stream of bytes into lines of UTF-8 text. */
export class LineSplitter {
  readonly #limit: number;
  readonly #line: (text: string) => void;
  #parts: Buffer[] = [];
  #size = 0;

  constructor(limit: number, line: (text: string) => void) {
    this.#limit = limit;
    this.#line = line;
  }

  /** False when a line is longer than the limit: nothing more can be read then. */
  push(chunk: Buffer): boolean {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      const rest = chunk.subarray(start, end);
      start = end + 1;
      const whole = this.#parts.length === 0 ? rest : Buffer.concat([...this.#parts, rest]);
      this.#parts = [];
      this.#size = 0;
      if (whole.length > this.#limit) return false;
      if (whole.length > 0) this.#line(whole.toString('utf8'));
    }
    if (start < chunk.length) {
      this.#parts.push(chunk.subarray(start));
      this.#size += chunk.length - start;
    }
    return this.#size <= this.#limit;
  }
}
