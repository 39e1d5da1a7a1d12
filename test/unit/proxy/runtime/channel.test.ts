import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RemoraError } from '../../../../src/base/errors.ts';
import { Channel } from '../../../../src/proxy/runtime/channel.ts';

interface Mine {
  double(value: number): number;
  fail(value: string): void;
  note(value: string): void;
}
type Theirs = Record<never, (value: null) => null>;

function pair() {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const noted: string[] = [];
  new Channel<Mine, Theirs>(port2, {
    double: (value) => Promise.resolve(2 * value),
    fail: (value) => {
      throw new RemoraError('EADDRINUSE', value);
    },
    note: (value) => void noted.push(value),
  });
  return { channel: new Channel<Theirs, Mine>(port1, {}), noted };
}

describe('a channel', () => {
  it('answers who asks, in whatever order', async () => {
    const { channel } = pair();
    expect(await Promise.all([channel.ask('double', 1), channel.ask('double', 2)])).toEqual([2, 4]);
  });

  it('brings errors with their code', async () => {
    const { channel } = pair();
    await expect(channel.ask('fail', 'in use')).rejects.toMatchObject({ code: 'EADDRINUSE', message: 'in use' });
  });

  it('keeps the order of what is told and asked', async () => {
    const { channel, noted } = pair();
    channel.tell('note', 'a');
    channel.tell('note', 'b');
    await channel.ask('double', 1);
    expect(noted).toEqual(['a', 'b']);
  });

  it('rejects what nobody will answer', async () => {
    const { channel } = pair();
    const asked = channel.ask('double', 1);
    channel.close();
    await expect(asked).rejects.toThrow('the worker has ended');
    await expect(channel.ask('double', 1)).rejects.toThrow('the worker has ended');
    channel.tell('note', 'nobody hears it');
  });
});
