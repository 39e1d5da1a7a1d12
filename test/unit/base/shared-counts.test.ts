import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { SharedCount, SharedCounts } from '../../../src/base/shared-counts.ts';

function members(count: number, bytes = 1 << 20): SharedCounts[] {
  const memory = SharedCounts.allocate(bytes);
  return Array.from({ length: count }, (_, member) => new SharedCounts(memory, member, count));
}

describe('numbers by key', () => {
  it('are the same for all members, and start at 0', () => {
    const [a, b] = members(2);
    const one = a!.numbers('x', 3);
    one.words[one.at + 2] = 7;
    const other = b!.numbers('x', 3);
    expect(other.at).toBe(one.at);
    expect([...other.words.subarray(other.at, other.at + 3)]).toEqual([0, 0, 7]);
    expect(b!.numbers('y', 3).at).not.toBe(one.at);
  });

  it('are one object for who asks twice', () => {
    const [a] = members(1);
    expect(a!.numbers('x', 3)).toBe(a!.numbers('x', 3));
  });

  it('have room for 64 bits at even places', () => {
    const [a, b] = members(2);
    const one = a!.numbers('odd', 3);
    const next = a!.numbers('even', 4);
    expect([one.at % 2, next.at % 2]).toEqual([0, 0]);
    next.doubles[next.at >> 1] = 1e15 + 0.5;
    expect(b!.numbers('even', 4).doubles[next.at >> 1]).toBe(1e15 + 0.5);
  });

  it('are a member’s own when the memory is full, and never somebody else’s', () => {
    const [a, b] = members(2, 40_000);
    const blocks = Array.from({ length: 2000 }, (_, i) => a!.numbers(`key ${i}`, 8));
    const last = blocks.at(-1)!;
    last.words[last.at] = 1;
    const same = b!.numbers('key 1999', 8);
    expect(same.words[same.at]).toBe(0);
    const shared = blocks.filter(({ words }) => words === blocks[0]!.words);
    expect(shared.length).toBeGreaterThan(10);
    expect(new Set(shared.map(({ at }) => at)).size).toBe(shared.length);
  });
});

describe('counters', () => {
  it('sum up what all members have, and know what is whose', () => {
    const [a, b] = members(2);
    const one = new SharedCount(a!.counters('c', 2), 1);
    const two = new SharedCount(b!.counters('c', 2), 1);
    one.take();
    two.take();
    two.take();
    expect([one.sum, one.own, two.own]).toEqual([3, 1, 2]);
    two.release();
    expect([one.sum, two.own]).toEqual([2, 1]);
    expect(new SharedCount(a!.counters('c', 2), 0).sum).toBe(0);
  });

  it('do not go beyond a limit', () => {
    const [a, b] = members(2);
    const one = new SharedCount(a!.counters('c', 1));
    const two = new SharedCount(b!.counters('c', 1));
    expect([one.takeBelow(2), two.takeBelow(2), one.takeBelow(2), two.takeBelow(2)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    one.release();
    expect(two.takeBelow(2)).toBe(true);
  });

  it('are given back when a member dies, and free when the last has', () => {
    const [a, b] = members(2);
    const one = new SharedCount(a!.counters('c', 1));
    const two = new SharedCount(b!.counters('c', 1));
    one.take();
    two.take();
    two.take();
    // Who looks after the members is one of them, or not.
    a!.dropMember(1);
    expect([one.sum, one.own]).toEqual([1, 1]);
    a!.dropMember(0);
    const fresh = b!.counters('d', 1);
    // The place of the first is taken again, and empty.
    expect(fresh.at).toBe(one.block.at);
    expect(new SharedCount(fresh).sum).toBe(0);
  });

  it('frees the lock of a member that died with it', () => {
    const [a, b] = members(2);
    b!.counters('c', 1);
    const words = new Int32Array(a!.memory);
    words[0] = 2;
    a!.dropMember(1);
    expect(words[0]).toBe(0);
    expect(a!.counters('c', 1).at).toBeGreaterThan(0);
  });

  it('hold while threads take and give back at a time', async () => {
    const memory = SharedCounts.allocate(1 << 20);
    const source = `
      import { parentPort, workerData } from 'node:worker_threads';
      const { SharedCounts, SharedCount } = await import(workerData.module);
      const counts = new SharedCounts(workerData.memory, workerData.member, 3);
      const count = new SharedCount(counts.counters('c', 1));
      let most = 0;
      for (let i = 0; i < 20000; i++) {
        // Others ask for keys at the same time.
        if (i % 1000 === 0) counts.numbers('key ' + i, 4);
        if (!count.takeBelow(2)) continue;
        most = Math.max(most, count.sum);
        count.release();
      }
      count.take();
      parentPort.postMessage({ most, at: counts.numbers('key 5000', 4).at });
    `;
    const module = new URL('../../../src/base/shared-counts.ts', import.meta.url).href;
    const run = (member: number): Promise<{ most: number; at: number }> =>
      new Promise((resolve, reject) => {
        const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
        const worker = new Worker(url, { workerData: { memory, member, module } });
        worker.once('message', resolve).once('error', reject);
      });
    const results = await Promise.all([run(0), run(1)]);
    const counts = new SharedCounts(memory, 2, 3);
    expect(Math.max(...results.map(({ most }) => most))).toBeLessThanOrEqual(2);
    expect(results[0]!.at).toBe(results[1]!.at);
    expect(new SharedCount(counts.counters('c', 1)).sum).toBe(2);
  });
});
