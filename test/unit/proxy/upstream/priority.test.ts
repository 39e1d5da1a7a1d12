import { describe, expect, it } from 'vitest';
import { splitLoad } from '../../../../src/proxy/upstream/priority.ts';

/** Levels as [total, healthy, degraded]. */
const split = (panicThreshold: number, ...levels: [number, number, number?][]) =>
  splitLoad(
    levels.map(([total, healthy, degraded]) => ({ total, healthy, degraded: degraded ?? 0 })),
    140,
    panicThreshold,
  );

// The tables are Envoy's own (docs: load_balancing/priority.rst, degraded.rst, panic_threshold.rst).
describe('load over priorities', () => {
  it.each([
    [100, [100, 0]],
    [72, [100, 0]],
    [71, [99, 1]],
    [50, [70, 30]],
    [25, [35, 65]],
    [0, [0, 100]],
  ])('spills over when %i%% of the first level is healthy', (healthy, shares) => {
    expect(split(50, [100, healthy], [100, 100]).healthy).toEqual(shares);
  });

  it.each([
    [100, 100, 100, [100, 0, 0]],
    [72, 72, 100, [100, 0, 0]],
    [71, 71, 100, [99, 1, 0]],
    [50, 50, 100, [70, 30, 0]],
    [25, 100, 100, [35, 65, 0]],
    [25, 25, 100, [35, 35, 30]],
  ])('spills over three levels: %i, %i, %i', (p0, p1, p2, shares) => {
    expect(split(50, [100, p0], [100, p1], [100, p2]).healthy).toEqual(shares);
  });

  it.each([
    [100, 0, [100, 0], [0, 0]],
    [0, 100, [0, 100], [0, 0]],
  ])('uses healthy endpoints of any level first: %i, %i', (p0, p1, healthy, degraded) => {
    const shares = split(0, [100, p0, 100 - p0], [100, p1, 100 - p1]);
    expect(shares.healthy).toEqual(healthy);
    expect(shares.degraded).toEqual(degraded);
  });

  it('gives the degraded what the healthy cannot take', () => {
    const shares = split(0, [100, 25, 75]);
    expect(shares).toEqual({ healthy: [35], degraded: [65], panic: [false] });
  });

  it('scales up when nobody can take everything but no level panics', () => {
    // 20% of each of two levels healthy: 28 + 28 of 100, scaled to 50 + 50.
    expect(split(0, [100, 20], [100, 20]).healthy).toEqual([50, 50]);
  });

  it('panics below the threshold only while the levels together cannot serve everything', () => {
    expect(split(50, [100, 25], [100, 100]).panic).toEqual([false, false]);
    expect(split(50, [100, 25], [100, 25]).panic).toEqual([true, true]);
  });

  it('splits by size when every level panics', () => {
    expect(split(50, [20, 0], [60, 0], [20, 0])).toEqual({
      healthy: [20, 60, 20],
      degraded: [0, 0, 0],
      panic: [true, true, true],
    });
  });

  it('never panics with a threshold of 0', () => {
    expect(split(0, [10, 0])).toEqual({ healthy: [100], degraded: [0], panic: [false] });
    expect(split(0, [10, 1]).panic).toEqual([false]);
  });

  it('counts the degraded as usable when it decides on panic', () => {
    expect(split(50, [10, 1, 4]).panic).toEqual([false]);
  });

  it('has an answer for empty levels', () => {
    expect(split(50, [0, 0]).healthy).toEqual([100]);
    expect(split(50, [0, 0], [4, 4]).healthy).toEqual([0, 100]);
    expect(split(50).healthy).toEqual([]);
  });
});
