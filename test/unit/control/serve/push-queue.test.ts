import { describe, expect, it } from 'vitest';
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

  it('serves many receivers in batches, so that others get their turn', () => {
    const { queue, told, clock } = rig(25);
    queue.changed('config');
    clock.advance(10);
    expect(told).toHaveLength(25);
    const slow = rig(25);
    slow.queue.changed('config');
    slow.clock.advance(9);
    expect(slow.told).toHaveLength(0);
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
