import { getHeapStatistics } from 'node:v8';
import { expect, it } from 'vitest';
import { collectStart } from '../../../src/cli/process.ts';
import { manualClock } from '../../support/clock.ts';

/** What is large and referred to by nobody when it has returned. */
function litter(): WeakRef<object> {
  const objects = Array.from({ length: 1_500_000 }, (_, i) => ({ i, text: [i] }));
  return new WeakRef(objects);
}

it('collects a large heap at once, and leaves no collector behind', async () => {
  const left = litter();
  // A WeakRef holds its object to the end of the turn that made it.
  await new Promise((resolve) => setImmediate(resolve));
  expect(getHeapStatistics().used_heap_size).toBeGreaterThan(64 * 1024 * 1024);
  const clock = manualClock();
  collectStart(clock);
  expect(left.deref()).toBeUndefined();
  // The program's pages go later.
  expect(clock.pending).toBe(1);
  expect('gc' in globalThis).toBe(false);
});
