/**
 * A bucket that is filled at whole intervals, as `envoy.type.v3.TokenBucket` is documented: it starts full, gains
 * `tokensPerFill` after every `intervalMs` up to `maxTokens`. No timer: the fills that are due are added when
 * somebody looks. The first interval begins with the first look.
 */
export class TokenBucket {
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

  /** Takes a token; false when there is none. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Tokens that could be taken now. */
  remaining(now: number): number {
    this.#fill(now);
    return this.#tokens;
  }

  /** Ms until tokens are added next. */
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
