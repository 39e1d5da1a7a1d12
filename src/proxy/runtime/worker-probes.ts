import type { SharedBlock, SharedCounts } from '../../base/shared-counts.ts';
import { type OverloadProbes, processProbes } from './overload.ts';

/** The clock of a thread counts from its own start: what makes its time that of all. */
export function offsetOf(clock: { now(): number }): number {
  return Number(process.hrtime.bigint()) / 1e6 - clock.now();
}

/** Kilobytes of heap, and ms of the event loop's delay, of each member. */
export const PROBES = 2;

export function probesBlock(counts: SharedCounts): SharedBlock {
  return counts.numbers('overload probes', PROBES * counts.members);
}

/** Memory is that of all threads, and the slowest of their event loops counts. */
export function sharedProbes(counts: SharedCounts): OverloadProbes {
  const probes = processProbes();
  const block = probesBlock(counts);
  return {
    ...probes,
    heapBytes() {
      const { words, at } = block;
      words[at + PROBES * counts.member] = probes.heapBytes() / 1024;
      let sum = 0;
      for (let member = 0; member < counts.members; member++) sum += words[at + PROBES * member]!;
      return sum * 1024;
    },
    delayMs(own) {
      const { words, at } = block;
      words[at + PROBES * counts.member + 1] = own;
      let worst = 0;
      for (let member = 0; member < counts.members; member++) worst = Math.max(worst, words[at + PROBES * member + 1]!);
      return worst;
    },
  };
}
