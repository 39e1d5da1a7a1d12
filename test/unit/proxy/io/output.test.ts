import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { Output } from '../../../../src/proxy/io/output.ts';

function fake() {
  const calls: string[] = [];
  const socket = {
    writableNeedDrain: false,
    write(data: string | Buffer) {
      calls.push(typeof data === 'string' ? `text ${data.length}` : `bytes ${data.length}`);
      return true;
    },
    cork: () => calls.push('cork'),
    uncork: () => calls.push('uncork'),
    end: () => calls.push('end'),
  };
  return { calls, socket, output: new Output(socket as unknown as Socket) };
}

test('text and a small body go out as one write', () => {
  const { calls, output } = fake();
  output.text('head');
  output.body(Buffer.from('-body-'), 1, 5);
  expect(calls).toEqual([]);
  expect(output.flush()).toBe(true);
  expect(calls).toEqual(['text 8']);
});

test('a large body goes out as it is, in one write with the text before it', () => {
  const { calls, output } = fake();
  output.text('head');
  output.body(Buffer.alloc(20_000), 0, 20_000);
  output.text('tail');
  output.flush();
  expect(calls).toEqual(['cork', 'text 4', 'bytes 20000', 'uncork', 'text 4']);
});

test('small bodies behind a large one keep their place', () => {
  const { calls, output } = fake();
  output.body(Buffer.alloc(20_000), 0, 20_000);
  output.body(Buffer.alloc(3), 0, 3);
  output.flush();
  expect(calls).toEqual(['bytes 20000', 'text 3']);
});

test('what has gathered beyond 16 KiB, or a socket that needs to drain, is full', () => {
  const { socket, output } = fake();
  expect(output.full).toBe(false);
  output.text('x'.repeat(17 * 1024));
  expect(output.full).toBe(true);
  output.flush();
  expect(output.full).toBe(false);
  socket.writableNeedDrain = true;
  expect(output.full).toBe(true);
  expect(output.flush()).toBe(false);
});

test('end sends what is left first', () => {
  const { calls, output } = fake();
  output.text('last');
  output.end();
  expect(calls).toEqual(['text 4', 'end']);
});
