import { expect, it } from 'vitest';
import { SharedCounts } from '../../../../src/base/shared-counts.ts';
import { beat, beatsBlock, WorkerWatch } from '../../../../src/proxy/runtime/worker-watch.ts';
import { manualClock } from '../../../support/clock.ts';

function rig() {
  const clock = manualClock();
  const worker = { beats: 0, cpuMs: 500, ended: false };
  const hung: number[] = [];
  const watch = new WorkerWatch(
    clock,
    {
      beats: () => worker.beats,
      cpuMs: async () => {
        if (worker.ended) throw new Error('the worker is not running');
        return worker.cpuMs;
      },
    },
    (busyMs) => void hung.push(busyMs),
  );
  /** Seconds of the main thread, in each of which the worker gets so much CPU and beats or not. */
  const pass = async (seconds: number, cpuMs: number, beats: boolean): Promise<void> => {
    for (let s = 0; s < seconds; s++) {
      worker.cpuMs += cpuMs;
      if (beats) worker.beats++;
      clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, worker, hung, watch, pass };
}

it('one that runs for 10 s without a beat hangs, and is said to once', async () => {
  const { clock, hung, pass } = rig();
  await pass(5, 900, true);
  await pass(10, 1000, false);
  expect(hung).toEqual([]);
  await pass(10, 1000, false);
  expect(hung).toHaveLength(1);
  expect(hung[0]).toBeGreaterThanOrEqual(10_000);
  expect(clock.pending).toBe(0);
});

it('one that is busy and gets back to its event loop now and then does not', async () => {
  const { worker, hung, pass } = rig();
  for (let i = 0; i < 20; i++) {
    await pass(9, 1000, false);
    worker.beats++;
  }
  expect(hung).toEqual([]);
});

it('one that gets no CPU does not', async () => {
  const { hung, pass } = rig();
  // A container that may use a hundredth of a core.
  await pass(300, 10, false);
  expect(hung).toEqual([]);
});

it('one does not that stood still with the machine', async () => {
  const { clock, worker, hung, pass } = rig();
  await pass(3, 100, true);
  for (let i = 0; i < 5; i++) {
    clock.stall(3_600_000);
    await new Promise((resolve) => setImmediate(resolve));
    // The main thread comes first.
    await pass(1, 1000, false);
    worker.beats++;
  }
  expect(hung).toEqual([]);
});

it('one that has ended does not, and nobody looks when it is stopped', async () => {
  const { clock, worker, hung, pass, watch } = rig();
  worker.ended = true;
  await pass(60, 0, false);
  expect(hung).toEqual([]);
  watch.stop();
  expect(clock.pending).toBe(0);
});

it('one beat a second, each worker its own', () => {
  const clock = manualClock();
  const memory = SharedCounts.allocate(1 << 20);
  const main = new SharedCounts(memory, 2, 3);
  const second = new SharedCounts(memory, 1, 3);
  const { words, at } = beatsBlock(main);
  beat(second, clock);
  clock.advance(3000);
  expect([...words.subarray(at, at + 3)]).toEqual([0, 4, 0]);
});
