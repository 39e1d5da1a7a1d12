import type { SharedBlock, SharedCounts } from './shared-counts.ts';

/** Whole tokens; `now` is monotonic ms. */
export interface Bucket {
  readonly maxTokens: number;
  /** Takes a token; false when there is none. */
  take(now: number): boolean;
  /** Tokens that could be taken now. */
  remaining(now: number): number;
  /** Ms until tokens are added next. */
  msUntilFill(now: number): number;
}

/**
 * A bucket that is filled at whole intervals, as `envoy.type.v3.TokenBucket` is documented: it starts full, gains
 * `tokensPerFill` after every `intervalMs` up to `maxTokens`. No timer: the fills that are due are added when
 * somebody looks. The first interval begins with the first look.
 */
export class TokenBucket implements Bucket {
  readonly maxTokens: number;
  readonly #tokensPerFill: number;
  readonly #intervalMs: number;
  #tokens: number;
  #filledAt = Number.NaN;

  constructor(maxTokens: number, tokensPerFill: number, intervalMs: number) {
    this.maxTokens = maxTokens;
    this.#tokensPerFill = tokensPerFill;
    this.#intervalMs = intervalMs;
    this.#tokens = maxTokens;
  }

  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  remaining(now: number): number {
    this.#fill(now);
    return this.#tokens;
  }

  msUntilFill(now: number): number {
    this.#fill(now);
    return this.#filledAt + this.#intervalMs - now;
  }

  #fill(now: number): void {
    const elapsed = now - this.#filledAt;
    if (elapsed < this.#intervalMs) return;
    if (Number.isNaN(elapsed)) {
      this.#filledAt = now;
      return;
    }
    const fills = Math.floor(elapsed / this.#intervalMs);
    this.#filledAt += fills * this.#intervalMs;
    this.#tokens = Math.min(this.maxTokens, this.#tokens + fills * this.#tokensPerFill);
  }
}

/** Words of a shared bucket: what it is at, tokens, intervals that were filled, and when the first began (64 bits). */
const STATE = 0;
const TOKENS = 1;
const FILLS = 2;
const BEGAN = 4;
const WORDS = 6;
const EMPTY = 0;
const BEGINNING = 1;
const READY = 2;

/** The same bucket for all workers: who asks with the same key and the same numbers has the same tokens. */
export class SharedTokenBucket implements Bucket {
  readonly maxTokens: number;
  readonly #tokensPerFill: number;
  readonly #intervalMs: number;
  readonly #offsetMs: number;
  readonly #block: SharedBlock;
  readonly #words: Int32Array;
  readonly #at: number;

  constructor(shared: SharedCounts, key: string, maxTokens: number, tokensPerFill: number, intervalMs: number) {
    this.maxTokens = maxTokens;
    this.#tokensPerFill = tokensPerFill;
    this.#intervalMs = intervalMs;
    this.#offsetMs = shared.offsetMs;
    this.#block = shared.numbers(`bucket ${maxTokens} ${tokensPerFill} ${intervalMs} ${key}`, WORDS);
    this.#words = this.#block.words;
    this.#at = this.#block.at;
  }

  take(now: number): boolean {
    this.#fill(now);
    const words = this.#words;
    const at = this.#at + TOKENS;
    for (;;) {
      const tokens = Atomics.load(words, at);
      if (tokens < 1) return false;
      if (Atomics.compareExchange(words, at, tokens, tokens - 1) === tokens) return true;
    }
  }
  remaining(now: number): number {
    this.#fill(now);
    return Atomics.load(this.#words, this.#at + TOKENS);
  }
  msUntilFill(now: number): number {
    const began = this.#fill(now);
    const fills = Atomics.load(this.#words, this.#at + FILLS);
    return began + (fills + 1) * this.#intervalMs - (now + this.#offsetMs);
  }

  /** Adds what is due: one thread does, the others go on. Gives when the first interval began. */
  #fill(now: number): number {
    const words = this.#words;
    const at = this.#at;
    while (Atomics.load(words, at + STATE) !== READY) this.#begin(now);
    const began = this.#block.doubles[(at + BEGAN) >> 1]!;
    const due = Math.floor((now + this.#offsetMs - began) / this.#intervalMs);
    const fills = Atomics.load(words, at + FILLS);
    if (due <= fills || Atomics.compareExchange(words, at + FILLS, fills, due) !== fills) return began;
    const more = (due - fills) * this.#tokensPerFill;
    for (;;) {
      const tokens = Atomics.load(words, at + TOKENS);
      const full = Math.min(this.maxTokens, tokens + more);
      if (Atomics.compareExchange(words, at + TOKENS, tokens, full) === tokens) return began;
    }
  }

  #begin(now: number): void {
    const words = this.#words;
    const at = this.#at;
    if (Atomics.compareExchange(words, at + STATE, EMPTY, BEGINNING) === EMPTY) {
      this.#block.doubles[(at + BEGAN) >> 1] = now + this.#offsetMs;
      Atomics.store(words, at + TOKENS, this.maxTokens);
      Atomics.store(words, at + STATE, READY);
      return;
    }
    // Two stores away. A thread that died between them must not hold up the others.
    for (let i = 0; i < 1000 && Atomics.load(words, at + STATE) !== READY; i++);
    Atomics.compareExchange(words, at + STATE, BEGINNING, EMPTY);
  }
}
