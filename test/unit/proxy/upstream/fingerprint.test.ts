import { describe, expect, it } from 'vitest';
import { fingerprint } from '../../../../src/proxy/upstream/fingerprint.ts';

describe('fingerprint', () => {
  it('does not depend on the order of keys, at any depth', () => {
    expect(fingerprint({ a: 1, b: { c: [1, { d: 2, e: 3 }] } })).toBe(
      fingerprint({ b: { c: [1, { e: 3, d: 2 }] }, a: 1 }),
    );
    expect(
      fingerprint(
        new Map([
          ['a', 1],
          ['b', 2],
        ]),
      ),
    ).toBe(
      fingerprint(
        new Map([
          ['b', 2],
          ['a', 1],
        ]),
      ),
    );
  });

  it.each([
    [{ a: 1 }, { a: 2 }],
    [{ a: null }, {}],
    [
      [1, 2],
      [2, 1],
    ],
    [new Map([['a', 1]]), new Map([['a', 2]])],
    [new Set([1]), new Set([2])],
    [Number.POSITIVE_INFINITY, Number.NaN],
    [Buffer.from('a'), Buffer.from('b')],
  ])('tells %j from %j', (a, b) => {
    expect(fingerprint({ v: a })).not.toBe(fingerprint({ v: b }));
  });

  it('tells whole numbers of any size apart', () => {
    expect(fingerprint({ v: 1n })).not.toBe(fingerprint({ v: 2n }));
  });
});
