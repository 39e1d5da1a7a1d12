import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../../src/base/token-bucket.ts';

const taken = (bucket: TokenBucket, now: number, tries = 100): number => {
  let n = 0;
  for (let i = 0; i < tries; i++) if (bucket.take(now)) n++;
  return n;
};

describe('token bucket', () => {
  it('starts full', () => {
    expect(taken(new TokenBucket(5, 1, 1000), 0)).toBe(5);
  });

  it('gains tokens at whole intervals only', () => {
    const bucket = new TokenBucket(5, 2, 1000);
    taken(bucket, 100);
    expect(taken(bucket, 1099)).toBe(0);
    expect(taken(bucket, 1100)).toBe(2);
    expect(taken(bucket, 1150)).toBe(0);
    expect(taken(bucket, 2100)).toBe(2);
  });

  it('makes up for the intervals nobody looked, and keeps their phase', () => {
    const bucket = new TokenBucket(10, 2, 1000);
    taken(bucket, 0);
    expect(taken(bucket, 3500)).toBe(6);
    expect(bucket.msUntilFill(3500)).toBe(500);
    expect(taken(bucket, 4000)).toBe(2);
  });

  it('never holds more than it can', () => {
    const bucket = new TokenBucket(3, 2, 1000);
    taken(bucket, 0);
    expect(bucket.remaining(1_000_000)).toBe(3);
  });

  it('starts its first interval with the first look, whatever the clock says', () => {
    const bucket = new TokenBucket(1, 1, 1000);
    expect(taken(bucket, 123_456)).toBe(1);
    expect(bucket.msUntilFill(123_456)).toBe(1000);
    expect(taken(bucket, 124_455)).toBe(0);
    expect(taken(bucket, 124_456)).toBe(1);
  });

  it('bears a clock that stands still or steps back', () => {
    const bucket = new TokenBucket(1, 1, 1000);
    taken(bucket, 5000);
    expect(taken(bucket, 4000)).toBe(0);
    expect(taken(bucket, 6000)).toBe(1);
  });

  it('refills in full with fractional time', () => {
    const bucket = new TokenBucket(1, 1, 50);
    let n = 0;
    for (let now = 0; now < 10_000; now += 0.7) if (bucket.take(now)) n++;
    expect(n).toBe(200);
  });
});
