import type { SharedBlock, SharedCounts } from '../../base/shared-counts.ts';

/** Which errors in a row are counted. */
export const Run = { All5xx: 0, GatewayFailures: 1, LocalOriginFailures: 2 } as const;
export type Run = (typeof Run)[keyof typeof Run];

/** What outlier detection knows of an endpoint. */
export interface OutlierState {
  ejected: boolean;
  /** Monotonic ms at which the ejection ends; 0 when not ejected. */
  ejectedUntil: number;
  /** How often it was ejected, which multiplies the next ejection's length; it decays while the host is well. */
  ejections: number;
  /** One more error of the kind: how many that are in a row. */
  add(run: Run): number;
  /** The row ends. */
  clear(run: Run): void;
  /** False: another thread has ejected it just now. */
  eject(until: number): boolean;
  /** Lets it back; false: another thread has just done so. */
  readmit(): boolean;
}

/** Of a thread that is the only one. */
export class LocalOutlierState implements OutlierState {
  #all5xx = 0;
  #gatewayFailures = 0;
  #localOriginFailures = 0;
  ejected = false;
  ejectedUntil = 0;
  ejections = 0;

  add(run: Run): number {
    if (run === Run.All5xx) return ++this.#all5xx;
    return run === Run.GatewayFailures ? ++this.#gatewayFailures : ++this.#localOriginFailures;
  }
  clear(run: Run): void {
    if (run === Run.All5xx) this.#all5xx = 0;
    else if (run === Run.GatewayFailures) this.#gatewayFailures = 0;
    else this.#localOriginFailures = 0;
  }
  eject(until: number): boolean {
    this.ejected = true;
    this.ejectedUntil = until;
    return true;
  }
  readmit(): boolean {
    this.ejected = false;
    this.ejectedUntil = 0;
    return true;
  }
}

const EJECTED = 3;
const EJECTIONS = 4;
/** The member that ejected it last, plus 1: it sees to the decay. */
const OWNER = 5;
/** A number of 64 bits. */
const UNTIL = 6;
const WORDS = 8;

/** What all workers have seen of an endpoint together. */
export class SharedOutlierState implements OutlierState {
  readonly #block: SharedBlock;
  readonly #words: Int32Array;
  readonly #at: number;
  readonly #offsetMs: number;
  readonly #member: number;

  constructor(shared: SharedCounts, cluster: string, address: string) {
    this.#block = shared.numbers(`outlier ${cluster} ${address}`, WORDS);
    this.#words = this.#block.words;
    this.#at = this.#block.at;
    this.#offsetMs = shared.offsetMs;
    this.#member = shared.member;
  }

  get ejected(): boolean {
    return Atomics.load(this.#words, this.#at + EJECTED) === 1;
  }
  /** A fresh start, whoever ejected it. */
  set ejected(ejected: boolean) {
    Atomics.store(this.#words, this.#at + EJECTED, ejected ? 1 : 0);
  }
  get ejectedUntil(): number {
    const until = this.#block.doubles[(this.#at + UNTIL) >> 1]!;
    return until === 0 ? 0 : until - this.#offsetMs;
  }
  set ejectedUntil(until: number) {
    this.#block.doubles[(this.#at + UNTIL) >> 1] = until === 0 ? 0 : until + this.#offsetMs;
  }
  get ejections(): number {
    return this.#words[this.#at + EJECTIONS]!;
  }
  /** Decays by one thread's hand only. */
  set ejections(ejections: number) {
    const own = this.#words[this.#at + OWNER] === this.#member + 1;
    if (own || ejections > this.ejections) this.#words[this.#at + EJECTIONS] = ejections;
  }

  add(run: Run): number {
    return Atomics.add(this.#words, this.#at + run, 1) + 1;
  }
  clear(run: Run): void {
    // Nearly always 0 already, and then nobody else's cache has to hear of it.
    if (this.#words[this.#at + run] !== 0) Atomics.store(this.#words, this.#at + run, 0);
  }
  eject(until: number): boolean {
    // Before the flag, by which others know that it holds.
    if (this.ejected) return false;
    this.ejectedUntil = until;
    if (Atomics.compareExchange(this.#words, this.#at + EJECTED, 0, 1) !== 0) return false;
    this.#words[this.#at + OWNER] = this.#member + 1;
    return true;
  }
  readmit(): boolean {
    return Atomics.compareExchange(this.#words, this.#at + EJECTED, 1, 0) === 1;
  }
  /** The endpoint has left the cluster: one of its address that comes later is another. */
  reset(): void {
    this.#words.fill(0, this.#at, this.#at + WORDS);
  }
}
