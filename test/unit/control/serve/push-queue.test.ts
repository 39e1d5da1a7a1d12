import { describe, expect, it, vi } from 'vitest';
import { PushQueue } from '../../../../src/control/serve/push-queue.ts';
import type { ChangeScope } from '../../../../src/control/serve/source.ts';
import { manualClock } from '../../../support/clock.ts';

function rig(receivers = 1) {
  const clock = manualClock();
  const queue = new PushQueue({ clock, batch: 10 });
  const told: ChangeScope[] = [];
  for (let i = 0; i < receivers; i++) queue.add({ refresh: (scope) => told.push(scope) });
  return { clock, queue, told };
}

describe('push queue', () => {
  it('waits for 10 ms of quiet before a config push', () => {
    const { clock, queue, told } = rig();
    queue.changed('config');
    clock.advance(9);
    queue.changed('config');
    clock.advance(9);
    expect(told).toEqual([]);
    clock.advance(1);
    expect(told).toEqual(['config']);
  });

  it('waits no longer than 100 ms when it is never quiet', () => {
    const { clock, queue, told } = rig();
    for (let i = 0; i < 1000; i++) {
      queue.changed('config');
      clock.advance(1);
    }
    expect(told.length).toBeGreaterThanOrEqual(9);
    expect(told.length).toBeLessThanOrEqual(10);
  });

  it('never debounces endpoints, and takes those of one turn together', async () => {
    const { queue, told, clock } = rig();
    for (let i = 0; i < 1000; i++) queue.changed('endpoints');
    await Promise.resolve();
    expect(told).toEqual(['endpoints']);
    expect(clock.pending).toBe(0);
  });

  it.each([
    { scope: 'config', turns: [10, 20, 30, 40] },
    { scope: 'endpoints', turns: [10, 170, 330, 400] },
  ] as const)('serves a batch in a turn of the event loop, of $scope', async ({ scope, turns }) => {
    const { queue, told, clock } = rig(400);
    const counts: number[] = [];
    // One turn at a time: the manual clock takes all that are due after 0 ms in one step.
    const next: (() => void)[] = [];
    vi.spyOn(clock, 'after').mockImplementation((_ms, fn) => {
      next.push(fn);
      return { cancel: () => {} };
    });
    queue.changed(scope);
    await Promise.resolve();
    if (scope === 'config') next.shift()?.();
    while (counts.length < turns.length) {
      counts.push(told.length);
      next.shift()?.();
    }
    expect(counts).toEqual(turns);
  });

  it('says nothing after it is closed', async () => {
    const { queue, told, clock } = rig();
    queue.changed('config');
    queue.changed('endpoints');
    queue.close();
    clock.advance(100);
    await Promise.resolve();
    expect(told).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});
