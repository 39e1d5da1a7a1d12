import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { DrainWindow } from '../../../../src/proxy/listener/drain-window.ts';

const random = seededRandom(7);

/** The share of 1,000 connections asked to leave so many ms into the window. */
function asked(window: DrainWindow, atMs: number): number {
  const drawn = Array.from({ length: 1000 }, () => window.departure(window.from, random, false));
  return drawn.filter(({ announceMs }) => announceMs <= atMs).length / 1000;
}

describe('a drain window', () => {
  it('asks connection after connection, evenly', () => {
    const window = new DrainWindow(5000, 60_000, 'gradual');
    expect(asked(window, 0)).toBeLessThan(0.01);
    expect(asked(window, 15_000)).toBeCloseTo(0.25, 1);
    expect(asked(window, 30_000)).toBeCloseTo(0.5, 1);
    expect(asked(window, 60_000)).toBe(1);
    expect([5000, 20_000, 65_000, 90_000].map((now) => window.progress(now))).toEqual([0, 0.25, 1, 1]);
  });

  it('closes who was asked and sent no request a second later', () => {
    const { announceMs, closeMs } = new DrainWindow(0, 60_000, 'gradual').departure(0, random, false);
    expect(closeMs - announceMs).toBe(1000);
  });

  it('immediate: asks all at once, and closes those without requests over the window', () => {
    const window = new DrainWindow(0, 60_000, 'immediate');
    const drawn = Array.from({ length: 1000 }, () => window.departure(0, random, false));
    expect(drawn.every(({ announceMs }) => announceMs === 0)).toBe(true);
    expect(drawn.filter(({ closeMs }) => closeMs < 30_000).length / 1000).toBeCloseTo(0.5, 1);
    expect(Math.min(...drawn.map(({ closeMs }) => closeMs))).toBeGreaterThanOrEqual(1000);
    expect(window.progress(0)).toBe(1);
  });

  it('gives who comes late its part of what is left, and who just came time for a request', () => {
    const window = new DrainWindow(0, 60_000, 'gradual');
    for (let i = 0; i < 100; i++) expect(window.departure(59_000, random, false).announceMs).toBeLessThanOrEqual(1000);
    expect(window.departure(60_000, random, true)).toEqual({ announceMs: 0, closeMs: 1000 });
    expect(window.departure(60_000, random, false)).toEqual({ announceMs: 0, closeMs: 0 });
  });

  it('may have no length', () => {
    expect(new DrainWindow(9, 0, 'gradual').departure(9, random, false)).toEqual({ announceMs: 0, closeMs: 0 });
    expect(new DrainWindow(9, -5, 'gradual').progress(9)).toBe(1);
  });
});
