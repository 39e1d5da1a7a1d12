import { expect, test } from 'vitest';
import { StatSweeper } from '../../../../../src/proxy/telemetry/metrics/sweeper.ts';
import { manualClock } from '../../../../support/clock.ts';

test('sweeps every 30 s until it is stopped', () => {
  const clock = manualClock(0);
  const at: number[] = [];
  const sweeper = new StatSweeper(clock, [{ sweep: (now) => at.push(now) }]);
  sweeper.start();
  clock.advance(65_000);
  expect(at).toEqual([30_000, 60_000]);
  sweeper.stop();
  clock.advance(100_000);
  expect(at).toHaveLength(2);
  expect(clock.pending).toBe(0);
});
