/** From one case, the family of its neighbours: nothing at random, every place of the bytes in turn. */
import type { FuzzCase } from './generate.ts';

/** One case of a run: a generated one, or a neighbour of it. */
export interface Variant {
  readonly kind: 'generated' | 'truncated' | 'split in two' | 'octet by octet' | 'octet replaced' | 'octet inserted';
  readonly test: FuzzCase;
}

/** Those that some parser somewhere takes for white space, a line end, a delimiter, a digit or a letter. */
const OCTETS = [0x00, 0x09, 0x0a, 0x0b, 0x0d, 0x20, 0x22, 0x2c, 0x30, 0x3a, 0x3b, 0x3d, 0x61, 0x7f, 0x80, 0xff];

/** The bytes cut off at every place, read in two pieces at every place, and one by one. */
export function* boundaries(test: FuzzCase): Generator<Variant> {
  const { type, bytes, methods } = test;
  for (let at = 1; at < bytes.length; at++) {
    yield { kind: 'truncated', test: { type, bytes: bytes.subarray(0, at), cuts: [], methods } };
    yield { kind: 'split in two', test: { type, bytes, cuts: [at], methods } };
  }
  const cuts = Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) => i + 1);
  yield { kind: 'octet by octet', test: { type, bytes, cuts, methods } };
}

/** Each of {@link OCTETS} instead of every octet, and before it. */
export function* octets(test: FuzzCase): Generator<Variant> {
  const { type, bytes, methods } = test;
  for (let at = 0; at < bytes.length; at++) {
    for (const octet of OCTETS) {
      if (bytes[at] !== octet) {
        const replaced = Buffer.from(bytes);
        replaced[at] = octet;
        yield { kind: 'octet replaced', test: { type, bytes: replaced, cuts: [], methods } };
      }
      const inserted = Buffer.concat([bytes.subarray(0, at), Buffer.of(octet), bytes.subarray(at)]);
      yield { kind: 'octet inserted', test: { type, bytes: inserted, cuts: [], methods } };
    }
  }
}
