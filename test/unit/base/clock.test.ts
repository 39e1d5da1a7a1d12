import { expect, test } from 'vitest';
import { TurnClock } from '../../../src/base/clock.ts';

/** Keeps the processor busy until the platform's clock has moved on. */
function passTime(): void {
  const start = performance.now();
  while (performance.now() === start);
}

test('time stands still within a turn', () => {
  const clock = new TurnClock();
  const first = clock.now();
  passTime();
  expect(clock.now()).toBe(first);
});

test('time moves on in the next turn', async () => {
  const clock = new TurnClock();
  const first = clock.now();
  passTime();
  await Promise.resolve();
  expect(clock.now()).toBeGreaterThan(first);
});
