/**
 * What a request's timeouts cost: `node bench/micro/timer-wheel.ts`. Beside the platform's timers, which a proxy
 * without a wheel would make and clear for every request.
 */
import type { Clock } from '../../src/base/clock.ts';
import { TimerWheel, WheelTimer } from '../../src/base/timer-wheel.ts';

const ROUNDS = 7;
const OPERATIONS = 400_000;
const TIMERS = 1024;

/** Moved by hand: the wheel's own wake-ups are not what is measured here, but in the last line. */
let now = 1000;
let wake: (() => void) | null = null;
const clock: Clock = {
  now: () => now,
  wall: () => now,
  after: (_ms, fn) => {
    wake = fn;
    return { cancel: () => {} };
  },
};

let fired = 0;
const timers = Array.from({ length: TIMERS }, () => new WheelTimer(() => fired++));

function measure(name: string, run: (i: number) => void): void {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const since = process.cpuUsage();
    for (let i = 0; i < OPERATIONS; i++) run(i);
    const { user, system } = process.cpuUsage(since);
    rounds.push(((user + system) * 1000) / OPERATIONS);
  }
  const median = rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
  console.log(`${name.padEnd(58)} ${median.toFixed(1).padStart(7)} ns`);
}

console.log(`CPU time, median of ${ROUNDS} × ${OPERATIONS.toLocaleString('en')}; node ${process.version}`);
const wheel = new TimerWheel(clock);
measure('arm and disarm: a request timeout that never comes', (i) => {
  const timer = timers[i & (TIMERS - 1)]!;
  wheel.arm(timer, 15_000);
  wheel.disarm(timer);
});
for (const timer of timers) wheel.arm(timer, 300_000);
measure('arm again, later: an idle timeout pushed back by a read', (i) => {
  if ((i & (TIMERS - 1)) === 0) now += 1;
  wheel.arm(timers[i & (TIMERS - 1)]!, 300_000);
});
for (const timer of timers) wheel.disarm(timer);
measure('arm and expire, 1,024 in 100 ms', (i) => {
  wheel.arm(timers[i & (TIMERS - 1)]!, 5 + (i & 63));
  if ((i & (TIMERS - 1)) !== TIMERS - 1) return;
  now += 100;
  wake?.();
});
if (fired < OPERATIONS) throw new Error(`only ${fired} timers fired`);
measure('setTimeout and clearTimeout', () => clearTimeout(setTimeout(() => {}, 15_000)));
