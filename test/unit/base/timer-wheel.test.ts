import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/base/random.ts';
import { TimerWheel, WheelTimer } from '../../../src/base/timer-wheel.ts';
import { manualClock } from '../../support/clock.ts';

const TICK = 5;

function wheel() {
  const clock = manualClock(1003.7);
  const start = clock.now();
  const made = new TimerWheel(clock, TICK);
  const fired: number[] = [];
  /** Notes the ms after the start at which it expires. */
  const timer = (): WheelTimer => new WheelTimer(() => fired.push(clock.now() - start));
  return { clock, wheel: made, timer, fired };
}

const expectOnTime = (at: number, deadline: number): void => {
  expect(at).toBeGreaterThanOrEqual(deadline);
  // A tick, and the fraction that the platform's timers cannot sleep.
  expect(at).toBeLessThanOrEqual(deadline + TICK + 1);
};

describe('timer wheel', () => {
  it.each([0, 1, 4.9, 5, 5.1, 37, 1000, 5119, 5120, 5121, 5125, 10_240, 60_000, 3_600_000])(
    'fires a timer of %i ms once, never early and at most a tick late',
    (ms) => {
      const t = wheel();
      t.wheel.arm(t.timer(), ms);
      t.clock.advance(ms + 20_000);
      expect(t.fired).toHaveLength(1);
      expectOnTime(t.fired[0]!, ms);
      expect(t.clock.pending).toBe(0);
    },
  );

  it('expires at the same turn for a timer in the past', () => {
    const t = wheel();
    t.wheel.arm(t.timer(), -50);
    t.clock.advance(TICK);
    expect(t.fired).toHaveLength(1);
  });

  it('keeps order among far and near timers', () => {
    const t = wheel();
    for (const ms of [30_000, 10, 6000, 500]) t.wheel.arm(t.timer(), ms);
    t.clock.advance(40_000);
    expect(t.fired).toHaveLength(4);
    [10, 500, 6000, 30_000].forEach((ms, i) => {
      expectOnTime(t.fired[i]!, ms);
    });
  });

  it('moves to a later time when it is armed again', () => {
    const t = wheel();
    const timer = t.timer();
    t.wheel.arm(timer, 100);
    t.clock.advance(90);
    t.wheel.arm(timer, 100);
    t.clock.advance(95);
    expect(t.fired).toEqual([]);
    t.clock.advance(100);
    expect(t.fired).toHaveLength(1);
    expectOnTime(t.fired[0]!, 190);
  });

  it('moves to an earlier time when it is armed again', () => {
    const t = wheel();
    const timer = t.timer();
    t.wheel.arm(timer, 10_000);
    t.clock.advance(50);
    t.wheel.arm(timer, 20);
    t.clock.advance(30);
    expect(t.fired).toHaveLength(1);
    expectOnTime(t.fired[0]!, 70);
    t.clock.advance(20_000);
    expect(t.fired).toHaveLength(1);
  });

  it('moves later by whole rounds of the wheel without losing the timer', () => {
    const t = wheel();
    const timer = t.timer();
    t.wheel.arm(timer, 100);
    t.wheel.arm(timer, 100 + TICK * 1024);
    t.clock.advance(5200);
    expect(t.fired).toEqual([]);
    t.clock.advance(100);
    expect(t.fired).toHaveLength(1);
    expectOnTime(t.fired[0]!, 100 + TICK * 1024);
  });

  it('stays silent when it is disarmed, and can be armed again', () => {
    const t = wheel();
    const timer = t.timer();
    t.wheel.arm(timer, 50);
    t.wheel.disarm(timer);
    expect(timer.isArmed).toBe(false);
    t.clock.advance(20);
    t.wheel.arm(timer, 100);
    t.clock.advance(95);
    expect(t.fired).toEqual([]);
    t.clock.advance(20);
    expect(t.fired).toHaveLength(1);
    expectOnTime(t.fired[0]!, 120);
  });

  it('does not fire early when it is disarmed and then armed for a time before the old one', () => {
    const t = wheel();
    const timer = t.timer();
    t.wheel.arm(timer, 1000);
    t.wheel.disarm(timer);
    t.wheel.arm(timer, 100);
    t.clock.advance(2000);
    expect(t.fired).toHaveLength(1);
    expectOnTime(t.fired[0]!, 100);
  });

  it('holds nothing of a released timer', () => {
    const t = wheel();
    const timer = t.timer();
    t.wheel.arm(timer, 50);
    t.wheel.release(timer);
    t.wheel.release(timer);
    expect(timer.next).toBeNull();
    t.clock.advance(100);
    expect(t.fired).toEqual([]);
    expect(t.clock.pending).toBe(0);
  });

  it('releases from the middle of a slot', () => {
    const t = wheel();
    const timers = [t.timer(), t.timer(), t.timer()];
    for (const timer of timers) t.wheel.arm(timer, 50);
    t.wheel.release(timers[1]!);
    t.clock.advance(100);
    expect(t.fired).toHaveLength(2);
  });

  it('lets an expiry arm its own timer again', () => {
    const t = wheel();
    let n = 0;
    const timer: WheelTimer = new WheelTimer(() => {
      if (++n < 5) t.wheel.arm(timer, 10);
    });
    t.wheel.arm(timer, 10);
    t.clock.advance(200);
    expect(n).toBe(5);
    expect(t.clock.pending).toBe(0);
  });

  it('lets an expiry arm a timer for at once without running for ever', () => {
    const t = wheel();
    let n = 0;
    const timer: WheelTimer = new WheelTimer(() => {
      n++;
      t.wheel.arm(timer, 0);
    });
    t.wheel.arm(timer, 0);
    t.clock.advance(100);
    expect(n).toBeGreaterThanOrEqual(10);
    expect(n).toBeLessThanOrEqual(30);
  });

  it('lets an expiry disarm, release and re-arm others of its slot', () => {
    const t = wheel();
    const others = [t.timer(), t.timer(), t.timer()];
    let done = false;
    const act = (): void => {
      if (done) return;
      done = true;
      t.wheel.disarm(others[0]!);
      t.wheel.release(others[1]!);
      t.wheel.arm(others[2]!, 500);
    };
    // Whichever of the two comes first in the slot does it.
    t.wheel.arm(new WheelTimer(act), 50);
    for (const timer of others) t.wheel.arm(timer, 50);
    t.wheel.arm(new WheelTimer(act), 50);
    t.clock.advance(60);
    expect(t.fired).toEqual([]);
    t.clock.advance(1000);
    expect(t.fired).toHaveLength(1);
    expect(t.fired[0]).toBeGreaterThanOrEqual(550);
    expect(t.fired[0]).toBeLessThanOrEqual(550 + 2 * TICK);
  });

  it('goes on when an expiry throws', () => {
    const t = wheel();
    t.wheel.arm(
      new WheelTimer(() => {
        throw new Error('boom');
      }),
      50,
    );
    t.wheel.arm(t.timer(), 50);
    t.wheel.arm(t.timer(), 100);
    expect(() => t.clock.advance(60)).toThrow('boom');
    t.clock.advance(200);
    expect(t.fired).toHaveLength(2);
  });

  it('fires what was due with an expiry that threw, though nothing else is armed', () => {
    const t = wheel();
    const broken = new WheelTimer(() => {
      throw new Error('boom');
    });
    // The slot is a stack: the one armed last expires first.
    t.wheel.arm(t.timer(), 50);
    t.wheel.arm(broken, 50);
    expect(() => t.clock.advance(60)).toThrow('boom');
    t.clock.advance(60);
    expect(t.fired).toHaveLength(1);
  });

  it.each([100, 5000, 5120, 20_000])('catches up after the loop stood still for %i ms', (ms) => {
    const t = wheel();
    t.wheel.arm(t.timer(), 10);
    t.wheel.arm(t.timer(), ms - 50);
    t.wheel.arm(t.timer(), ms + 500);
    t.wheel.arm(t.timer(), 100_000);
    t.clock.stall(ms);
    expect(t.fired).toEqual([ms, ms]);
    t.clock.advance(510);
    expect(t.fired).toHaveLength(3);
    expectOnTime(t.fired[2]!, ms + 500);
    t.clock.advance(100_000);
    expect(t.fired).toHaveLength(4);
    expectOnTime(t.fired[3]!, 100_000);
  });

  it('wakes no more than it must for an idle timer that is pushed back again and again', () => {
    const t = wheel();
    const timer = t.timer();
    for (let i = 0; i < 1000; i++) {
      t.wheel.arm(timer, 1000);
      t.clock.advance(1);
    }
    t.clock.advance(2000);
    expect(t.fired).toHaveLength(1);
    expectOnTime(t.fired[0]!, 1999);
  });

  it('starts anew after it was empty for long', () => {
    const t = wheel();
    t.wheel.arm(t.timer(), 10);
    t.clock.advance(1_000_000);
    t.wheel.arm(t.timer(), 10);
    t.clock.advance(20);
    expect(t.fired).toHaveLength(2);
    expectOnTime(t.fired[1]!, 1_000_010);
  });

  it('is silent after close', () => {
    const t = wheel();
    t.wheel.arm(t.timer(), 10);
    t.wheel.close();
    t.clock.advance(100);
    expect(t.fired).toEqual([]);
    expect(t.clock.pending).toBe(0);
  });

  it('does what a list of deadlines would do, under random use', () => {
    const wrong: string[] = [];
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const clock = manualClock(random.next() * 10_000);
      const w = new TimerWheel(clock, TICK);
      const deadlines = new Array<number>(40).fill(Number.POSITIVE_INFINITY);
      const timers = deadlines.map((_, i) => {
        return new WheelTimer(() => {
          const late = clock.now() - deadlines[i]!;
          if (!(late >= 0 && late <= TICK + 1.001)) wrong.push(`seed ${seed}: ${late} ms late`);
          deadlines[i] = Number.POSITIVE_INFINITY;
          if (random.int(3) === 0) arm(i);
        });
      });
      const arm = (i: number): void => {
        const ms = random.int(4) === 0 ? random.next() * 30_000 : random.next() * 300;
        deadlines[i] = clock.now() + ms;
        w.arm(timers[i]!, ms);
      };
      for (let step = 0; step < 3000; step++) {
        const i = random.int(timers.length);
        const what = random.int(10);
        if (what < 6) arm(i);
        else {
          deadlines[i] = Number.POSITIVE_INFINITY;
          if (what < 8) w.disarm(timers[i]!);
          else w.release(timers[i]!);
        }
        clock.advance(random.next() * 40);
        if (Math.min(...deadlines) + TICK + 1.001 < clock.now()) wrong.push(`seed ${seed}: step ${step} lost a timer`);
      }
      for (const timer of timers) w.release(timer);
    }
    expect(wrong).toEqual([]);
  });
});
