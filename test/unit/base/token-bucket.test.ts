import { describe, expect, it } from 'vitest';
import { SharedCounts } from '../../../src/base/shared-counts.ts';
import { type Bucket, SharedTokenBucket, TokenBucket } from '../../../src/base/token-bucket.ts';

type Make = (maxTokens: number, tokensPerFill: number, intervalMs: number) => Bucket;

const counts = (member = 0, offsetMs = 0, memory = SharedCounts.allocate(1 << 17)): SharedCounts =>
  new SharedCounts(memory, member, 2, offsetMs);

const taken = (bucket: Bucket, now: number, tries = 100): number => {
  let n = 0;
  for (let i = 0; i < tries; i++) if (bucket.take(now)) n++;
  return n;
};

describe.each<[string, Make]>([
  ['token bucket', (...numbers) => new TokenBucket(...numbers)],
  ['shared token bucket', (...numbers) => new SharedTokenBucket(counts(0, 1e6), 'key', ...numbers)],
])('%s', (_kind, make) => {
  it('starts full', () => {
    expect(taken(make(5, 1, 1000), 0)).toBe(5);
  });

  it('gains tokens at whole intervals only', () => {
    const bucket = make(5, 2, 1000);
    taken(bucket, 100);
    expect(taken(bucket, 1099)).toBe(0);
    expect(taken(bucket, 1100)).toBe(2);
    expect(taken(bucket, 1150)).toBe(0);
    expect(taken(bucket, 2100)).toBe(2);
  });

  it('makes up for the intervals nobody looked, and keeps their phase', () => {
    const bucket = make(10, 2, 1000);
    taken(bucket, 0);
    expect(taken(bucket, 3500)).toBe(6);
    expect(bucket.msUntilFill(3500)).toBe(500);
    expect(taken(bucket, 4000)).toBe(2);
  });

  it('never holds more than it can', () => {
    const bucket = make(3, 2, 1000);
    taken(bucket, 0);
    expect(bucket.remaining(1_000_000)).toBe(3);
  });

  it('starts its first interval with the first look, whatever the clock says', () => {
    const bucket = make(1, 1, 1000);
    expect(taken(bucket, 123_456)).toBe(1);
    expect(bucket.msUntilFill(123_456)).toBe(1000);
    expect(taken(bucket, 124_455)).toBe(0);
    expect(taken(bucket, 124_456)).toBe(1);
  });

  it('bears a clock that stands still or steps back', () => {
    const bucket = make(1, 1, 1000);
    taken(bucket, 5000);
    expect(taken(bucket, 4000)).toBe(0);
    expect(taken(bucket, 6000)).toBe(1);
  });

  it('refills in full with fractional time', () => {
    const bucket = make(1, 1, 50);
    let n = 0;
    for (let now = 0; now < 10_000; now += 0.7) if (bucket.take(now)) n++;
    expect(n).toBe(200);
  });
});

describe('one bucket of two threads', () => {
  it('has the same tokens in both, whatever their clocks began with', () => {
    const memory = SharedCounts.allocate(1 << 17);
    // The second began 500 ms later.
    const one = new SharedTokenBucket(counts(0, 1000, memory), 'key', 10, 2, 1000);
    const two = new SharedTokenBucket(counts(1, 1500, memory), 'key', 10, 2, 1000);
    expect(taken(one, 500, 6)).toBe(6);
    expect(taken(two, 0, 100)).toBe(4);
    expect([one.remaining(1499), two.remaining(999)]).toEqual([0, 0]);
    expect(two.msUntilFill(999)).toBe(1);
    expect(taken(two, 1000)).toBe(2);
    expect(taken(one, 1500)).toBe(0);
  });

  it('is another where it is configured otherwise, or elsewhere', () => {
    const memory = SharedCounts.allocate(1 << 17);
    const one = new SharedTokenBucket(counts(0, 0, memory), 'key', 10, 2, 1000);
    taken(one, 0);
    expect(new SharedTokenBucket(counts(1, 0, memory), 'key', 11, 2, 1000).remaining(0)).toBe(11);
    expect(new SharedTokenBucket(counts(1, 0, memory), 'other', 10, 2, 1000).remaining(0)).toBe(10);
    expect(new SharedTokenBucket(counts(1, 0, memory), 'key', 10, 2, 1000).remaining(0)).toBe(0);
  });
});
