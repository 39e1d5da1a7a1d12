import { connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { holdTime, releaseTime, stayAlive, systemClock, TurnClock } from '../../../src/base/clock.ts';

/** Keeps the processor busy until the platform's clock has moved on. */
function passTime(): void {
  const start = performance.now();
  while (performance.now() === start);
}

test('time stands still while it is held, and is that of the first question', () => {
  const clock = new TurnClock();
  const before = clock.now();
  passTime();
  holdTime();
  const first = clock.now();
  expect(first).toBeGreaterThan(before);
  passTime();
  expect(clock.now()).toBe(first);
  expect(new TurnClock().now()).toBe(first);
  releaseTime();
  expect(clock.now()).toBeGreaterThan(first);
  holdTime();
  expect(clock.now()).toBeGreaterThan(first);
  releaseTime();
});

test('time moves on where nobody holds it', () => {
  const clock = new TurnClock();
  const first = clock.now();
  passTime();
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

test.each([
  ['the platform’s clock', systemClock],
  ['a clock of turns', new TurnClock()],
])('%s: a timer of nothing is called in the next turn, unless it is cancelled', async (_, clock) => {
  const called: string[] = [];
  clock.after(0, () => called.push('cancelled')).cancel();
  clock.after(0, () => called.push('turn'));
  expect(called).toEqual([]);
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(called).toEqual(['turn']);
});

test('a timer of nothing does not wait for something else to happen: the loop does not sleep meanwhile', () => {
  const turns = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Immediate').length;
  const before = turns();
  const timer = systemClock.after(0, () => {});
  expect(turns()).toBe(before + 1);
  timer.cancel();
  expect(turns()).toBe(before);
});

test('a timer of a clock of turns comes after what came in before it was due', async () => {
  const clock = new TurnClock();
  const called: string[] = [];
  const over = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on('data', (bytes) => called.push(String(bytes)));
    client.write('first');
  }).listen(0);
  const client: Socket = connect((server.address() as { port: number }).port);
  server.on('connection', (socket) =>
    socket.once('data', () => {
      clock.after(5, () => {
        called.push('timer');
        over.resolve();
      });
      client.write('second');
      const start = performance.now();
      while (performance.now() < start + 20);
    }),
  );
  await over.promise;
  expect(called).toEqual(['first', 'second', 'timer']);
  client.destroy();
  server.close();
});
