import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Output } from '../../../../src/proxy/io/output.ts';
import { DirectWrites } from '../../../../src/proxy/io/writes.ts';

describe('direct writes', () => {
  const server = createServer({ allowHalfOpen: true });
  let near: Socket;
  let far: Socket;

  beforeEach(async () => {
    if (!server.listening) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    const accepted = once(server, 'connection');
    near = connect((server.address() as { port: number }).port, '127.0.0.1');
    [[far]] = (await Promise.all([accepted, once(near, 'connect')])) as [[Socket], unknown];
    near.on('error', () => {});
    far.on('error', () => {});
  });
  afterEach(() => {
    near.destroy();
    far.destroy();
    server.close();
  });

  test('a text goes out without the stream', async () => {
    const got = once(far, 'data');
    expect(new DirectWrites(near).write('h\xe9')).toBe(true);
    expect((await got)[0].toString('latin1')).toBe('h\xe9');
    expect(near.bytesWritten).toBe(2);
    expect(near.writableLength).toBe(0);
  });

  test('what the kernel does not take comes behind it, in order, and before the end', async () => {
    const output = new Output(near);
    const texts = Array.from({ length: 300 }, (_, i) => String.fromCharCode(97 + (i % 26)).repeat(60_000 + i));
    far.pause();
    for (const text of texts) {
      output.text(text);
      output.flush();
    }
    // The first that waited bounded the rest: they are the stream's, which says that it is full.
    expect(near.writableNeedDrain).toBe(true);
    expect(output.flush()).toBe(false);
    output.end();
    const received: Buffer[] = [];
    far.on('data', (chunk: Buffer) => received.push(chunk));
    const ended = once(far, 'end');
    far.resume();
    await ended;
    expect(Buffer.concat(received).toString('latin1') === texts.join('')).toBe(true);
  });

  test('after what waited has gone, it writes again', async () => {
    const direct = new DirectWrites(near);
    far.pause();
    const text = 'x'.repeat(60_000);
    let count = 0;
    while (direct.write(text)) count++;
    // The last one waits for the kernel.
    expect(near.writableLength).toBe(0);
    let received = 0;
    far.on('data', (chunk) => {
      received += chunk.length;
    });
    far.resume();
    while (received < count * text.length) await once(far, 'data');
    expect(direct.write('more')).toBe(true);
    await once(far, 'data');
    expect(received).toBe(count * text.length + 4);
  });

  test('it leaves to the stream what waits there, what ended, and what is no TCP socket', () => {
    const direct = new DirectWrites(near);
    near.cork();
    near.write('first');
    expect(direct.write('second')).toBe(false);
    near.uncork();
    near.end();
    expect(direct.write('late')).toBe(false);
    near.destroy();
    expect(direct.write('later')).toBe(false);
    expect(new DirectWrites(new PassThrough() as unknown as Socket).write('text')).toBe(false);
  });

  test('a peer that is gone is an error of the socket', async () => {
    const output = new Output(near);
    const closed = new Promise((resolve) => near.once('close', resolve));
    far.resetAndDestroy();
    const send = (): void => {
      if (near.destroyed) return;
      output.text('x');
      output.flush();
      setImmediate(send);
    };
    send();
    await closed;
    expect(near.errored).toMatchObject({ code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) });
  });
});
