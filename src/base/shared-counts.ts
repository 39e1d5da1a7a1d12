/**
 * Numbers that the threads of one process share, by key: memory that each of them has, with a table in it of who uses
 * what. Whoever asks for a key first makes it; what nobody has any more is freed. Counters have a column a member, so
 * that what a member held can be given back when it dies.
 *
 * Looked up when config is compiled, never by a request. The table is under a lock that is held for microseconds; the
 * numbers themselves are for `Atomics`.
 */

/** Words before the blocks: lock, end of what was ever used, heads of the free lists, heads of the table's chains. */
const LOCK = 0;
const USED = 1;
const FREE = 2;
const SIZES = 16;
const BUCKETS_AT = FREE + SIZES;
const BUCKETS = 1 << 13;
const FIRST = BUCKETS_AT + BUCKETS;

/** A block's own words, before its numbers. */
const NEXT = 0;
const HASH_1 = 1;
const HASH_2 = 2;
/** Which members have it, a bit each. */
const HOLDERS = 3;
/** Its size as a power of two, in words. */
const SIZE = 5;
/** How many of its numbers are counters with columns. */
const COUNTERS = 6;
const HEADER = 8;

export const MAX_MEMBERS = 64;
/** Reserved, not used: pages come into being when they are written to. */
const DEFAULT_BYTES = 64 * 1024 * 1024;

/** The numbers of a key: `words[at]` and those behind it. Held as long as this object is referred to. */
export class SharedBlock {
  readonly words: Int32Array;
  readonly at: number;
  /** Where this member's column of the counters begins. */
  readonly own: number;
  /** The same memory for numbers that are no integers: index `at / 2`. */
  readonly doubles: Float64Array;

  /** @internal */
  constructor(words: Int32Array, doubles: Float64Array, at: number, own: number) {
    this.words = words;
    this.doubles = doubles;
    this.at = at;
    this.own = own;
  }
}

/** A block that this thread has asked for. */
interface Held {
  readonly key: string;
  /** 0: it is this thread's alone. */
  readonly at: number;
  readonly block: WeakRef<SharedBlock>;
}

export class SharedCounts {
  readonly memory: SharedArrayBuffer;
  /** Which of the threads this is, from 0. */
  readonly member: number;
  readonly members: number;
  /** What is added to a thread's own monotonic ms to get those that all have. */
  readonly offsetMs: number;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #held = new Map<string, Held>();
  readonly #gone = new FinalizationRegistry<Held>((held) => this.#letGo(held));

  constructor(memory: SharedArrayBuffer, member: number, members: number, offsetMs = 0) {
    if (members > MAX_MEMBERS || member >= members) throw new Error(`${members} members are more than ${MAX_MEMBERS}`);
    this.memory = memory;
    this.member = member;
    this.members = members;
    this.offsetMs = offsetMs;
    this.#words = new Int32Array(memory);
    this.#doubles = new Float64Array(memory);
  }

  static allocate(bytes = DEFAULT_BYTES): SharedArrayBuffer {
    const memory = new SharedArrayBuffer(bytes);
    new Int32Array(memory)[USED] = FIRST;
    return memory;
  }

  /** `size` numbers that are 0 at first and are no one member's. */
  numbers(key: string, size: number): SharedBlock {
    return this.#block(key, size, 0);
  }

  /** `count` counters: the sums at `at`, what of them is this member's at `own`. */
  counters(key: string, count: number): SharedBlock {
    return this.#block(key, count * (1 + this.members), count);
  }

  /** Gives back what a member held that has died. Only while it is certain that it runs no more. */
  dropMember(member: number): void {
    const words = this.#words;
    // It may have died in the middle of a change; a block that was not yet in the table is lost, no more.
    if (Atomics.load(words, LOCK) === member + 1) this.#unlock();
    this.#lock();
    try {
      for (let bucket = BUCKETS_AT; bucket < FIRST; bucket++) {
        for (let at = words[bucket]!; at !== 0; ) {
          const next = words[at + NEXT]!;
          if (this.#holds(at, member)) {
            this.#giveBack(at, member);
            this.#unhold(bucket, at, member);
          }
          at = next;
        }
      }
    } finally {
      this.#unlock();
    }
  }

  #block(key: string, size: number, counters: number): SharedBlock {
    const known = this.#held.get(key)?.block.deref();
    if (known !== undefined) return known;
    const at = this.#find(key, size, counters);
    const first = at + HEADER;
    const block =
      at === 0
        ? // There is no room: this member counts by itself.
          new SharedBlock(...privateMemory(size), 0, counters * (1 + this.member))
        : new SharedBlock(this.#words, this.#doubles, first, first + counters * (1 + this.member));
    const held: Held = { key, at, block: new WeakRef(block) };
    this.#held.set(key, held);
    this.#gone.register(block, held);
    return block;
  }

  /** 0: there is no room. */
  #find(key: string, size: number, counters: number): number {
    const words = this.#words;
    const [hash1, hash2] = hashOf(key);
    const bucket = BUCKETS_AT + ((hash1 >>> 0) % BUCKETS);
    this.#lock();
    try {
      let at = words[bucket]!;
      while (at !== 0 && (words[at + HASH_1] !== hash1 || words[at + HASH_2] !== hash2)) at = words[at + NEXT]!;
      if (at === 0) {
        at = this.#allocate(size + HEADER);
        if (at === 0) return 0;
        words[at + HASH_1] = hash1;
        words[at + HASH_2] = hash2;
        words[at + COUNTERS] = counters;
        words[at + NEXT] = words[bucket]!;
        words[bucket] = at;
      }
      words[at + HOLDERS + (this.member >> 5)]! |= 1 << (this.member & 31);
      return at;
    } finally {
      this.#unlock();
    }
  }

  #letGo(held: Held): void {
    const { key, at } = held;
    // Asked for again meanwhile: that one holds it now.
    if (this.#held.get(key) !== held) return;
    this.#held.delete(key);
    if (at === 0) return;
    const bucket = BUCKETS_AT + ((this.#words[at + HASH_1]! >>> 0) % BUCKETS);
    this.#lock();
    try {
      this.#unhold(bucket, at, this.member);
    } finally {
      this.#unlock();
    }
  }

  #holds(at: number, member: number): boolean {
    return (this.#words[at + HOLDERS + (member >> 5)]! & (1 << (member & 31))) !== 0;
  }

  #giveBack(at: number, member: number): void {
    const words = this.#words;
    const count = words[at + COUNTERS]!;
    for (let i = 0; i < count; i++) {
      const own = at + HEADER + count * (1 + member) + i;
      Atomics.sub(words, at + HEADER + i, words[own]!);
      words[own] = 0;
    }
  }

  #unhold(bucket: number, at: number, member: number): void {
    const words = this.#words;
    words[at + HOLDERS + (member >> 5)]! &= ~(1 << (member & 31));
    if (words[at + HOLDERS] !== 0 || words[at + HOLDERS + 1] !== 0) return;
    let before = bucket;
    while (words[before] !== at) before = words[before]! + NEXT;
    words[before] = words[at + NEXT]!;
    const size = words[at + SIZE]!;
    words[at + NEXT] = words[FREE + size]!;
    words[FREE + size] = at;
  }

  #allocate(wanted: number): number {
    const words = this.#words;
    const size = 32 - Math.clz32(wanted - 1);
    if (size >= SIZES) return 0;
    const length = 1 << size;
    let at = words[FREE + size]!;
    if (at !== 0) words[FREE + size] = words[at + NEXT]!;
    else {
      at = (words[USED]! + 1) & ~1;
      if (at + length > words.length) return 0;
      words[USED] = at + length;
    }
    words.fill(0, at, at + length);
    words[at + SIZE] = size;
    return at;
  }

  #lock(): void {
    const words = this.#words;
    for (;;) {
      const holder = Atomics.compareExchange(words, LOCK, 0, this.member + 1);
      if (holder === 0) return;
      Atomics.wait(words, LOCK, holder, 1);
    }
  }

  #unlock(): void {
    Atomics.store(this.#words, LOCK, 0);
    Atomics.notify(this.#words, LOCK, 1);
  }
}

function privateMemory(size: number): [Int32Array, Float64Array] {
  const memory = new SharedArrayBuffer((size + (size & 1)) * 4);
  return [new Int32Array(memory), new Float64Array(memory)];
}

/** 64 bits in two words (cyrb53 without its last step): that two keys share them does not happen. */
function hashOf(key: string): [number, number] {
  let a = 0xdeadbeef | 0;
  let b = 0x41c6ce57 | 0;
  for (let i = 0; i < key.length; i++) {
    const c = key.charCodeAt(i);
    a = Math.imul(a ^ c, 0x9e3779b1);
    b = Math.imul(b ^ c, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return [a, b];
}

/** Something of which there may be so many. */
export interface Count {
  /** What all threads have. */
  readonly sum: number;
  take(): void;
  release(): void;
}

/** Counted by a thread that is the only one. */
export class LocalCount implements Count {
  sum = 0;
  take(): void {
    this.sum++;
  }
  release(): void {
    this.sum--;
  }
}

/** One counter of a block. */
export class SharedCount implements Count {
  readonly #words: Int32Array;
  readonly #sum: number;
  readonly #own: number;
  // Kept, so that the block is.
  readonly #block: SharedBlock;

  constructor(block: SharedBlock, index = 0) {
    this.#block = block;
    this.#words = block.words;
    this.#sum = block.at + index;
    this.#own = block.own + index;
  }

  /** What all have. */
  get sum(): number {
    return Atomics.load(this.#words, this.#sum);
  }
  /** What this thread has. */
  get own(): number {
    return this.#words[this.#own]!;
  }
  get block(): SharedBlock {
    return this.#block;
  }
  take(): void {
    Atomics.add(this.#words, this.#sum, 1);
    this.#words[this.#own]!++;
  }
  /** Takes one while there are fewer than `limit`: never more, however many threads ask at a time. */
  takeBelow(limit: number): boolean {
    const words = this.#words;
    let seen = Atomics.load(words, this.#sum);
    for (;;) {
      if (seen >= limit) return false;
      const before = Atomics.compareExchange(words, this.#sum, seen, seen + 1);
      if (before === seen) break;
      seen = before;
    }
    words[this.#own]!++;
    return true;
  }
  release(): void {
    this.#words[this.#own]!--;
    Atomics.sub(this.#words, this.#sum, 1);
  }
}
