import { expect, test } from 'vitest';
import { stayAlive, systemClock, TurnClock } from '../../../src/base/clock.ts';

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

test('what keeps the process alive is a resource of the loop until it is cancelled', () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  const alive = stayAlive();
  expect(timers()).toBe(before + 1);
  alive.cancel();
  expect(timers()).toBe(before);
});

test('a timer of nothing is called in the next turn, before one of a millisecond, unless it is cancelled', async () => {
  const called: string[] = [];
  systemClock.after(0, () => called.push('cancelled')).cancel();
  systemClock.after(0, () => called.push('turn'));
  expect(called).toEqual([]);
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(called).toEqual(['turn']);
});
