/** Randomness, injected, so that tests and replays are deterministic. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, bound). `bound` must be a positive integer below 2^32. */
  int(bound: number): number;
}

/** The platform's generator: fast, not for secrets. */
export const systemRandom: Random = {
  next: () => Math.random(),
  int: (bound) => Math.floor(Math.random() * bound),
};

/** A repeatable generator (mulberry32) for tests, fuzzers and simulations. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { next, int: (bound) => Math.floor(next() * bound) };
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** A random (version 4) UUID for naming things, not for secrets: it costs no cryptography. RFC 9562 section 5.4. */
export function uuid(random: Random): string {
  const a = (random.next() * 4294967296) >>> 0;
  const b = (random.next() * 4294967296) >>> 0;
  const c = (random.next() * 4294967296) >>> 0;
  const d = (random.next() * 4294967296) >>> 0;
  return `${HEX[a >>> 24]}${HEX[(a >>> 16) & 255]}${HEX[(a >>> 8) & 255]}${HEX[a & 255]}-${HEX[b >>> 24]}${
    HEX[(b >>> 16) & 255]
  }-${HEX[((b >>> 8) & 0x0f) | 0x40]}${HEX[b & 255]}-${HEX[((c >>> 24) & 0x3f) | 0x80]}${HEX[(c >>> 16) & 255]}-${
    HEX[(c >>> 8) & 255]
  }${HEX[c & 255]}${HEX[d >>> 24]}${HEX[(d >>> 16) & 255]}${HEX[(d >>> 8) & 255]}${HEX[d & 255]}`;
}
