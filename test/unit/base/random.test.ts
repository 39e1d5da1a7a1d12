import { describe, expect, it } from 'vitest';
import { seededRandom, systemRandom } from '../../../src/base/random.ts';

describe.each([
  ['seeded', seededRandom(7)],
  ['system', systemRandom],
])('%s random', (_name, random) => {
  it('gives numbers in [0, 1) that spread', () => {
    const buckets = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) {
      const value = random.next();
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThan(1);
      buckets[Math.floor(value * 10)]!++;
    }
    for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(200);
  });

  it('gives whole numbers below the bound, each of them', () => {
    const seen = new Set<number>();
    for (let i = 0; i < 1000; i++) seen.add(random.int(7));
    expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(random.int(1)).toBe(0);
  });
});

describe('seeded random', () => {
  it('repeats itself for a seed and differs between seeds', () => {
    const draw = (seed: number) => Array.from({ length: 5 }, seededRandom(seed).next);
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});
