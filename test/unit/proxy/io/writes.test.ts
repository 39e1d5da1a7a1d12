import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Output } from '../../../../src/proxy/io/output.ts';
import { DirectWrites } from '../../../../src/proxy/io/writes.ts';
import { key, pem } from '../../../support/certs/index.ts';

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

describe('direct writes of TLS', () => {
  const server = createTlsServer({ cert: pem('server'), key: key('server'), allowHalfOpen: true });
  let near: TLSSocket;
  let far: TLSSocket;
  /** What the far side got, and whether it ended as TLS ends. */
  let received: string;
  let ended: Promise<unknown>;

  beforeEach(async () => {
    if (!server.listening) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
    far = connectTls({
      port: (server.address() as { port: number }).port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
    });
    [[near]] = await Promise.all([accepted, once(far, 'secureConnect')]);
    near.on('error', () => {});
    far.on('error', () => {});
    received = '';
    far.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
    });
    ended = once(far, 'end');
  });
  afterEach(() => {
    near.destroy();
    far.destroy();
    server.close();
  });

  const arrived = async (length: number): Promise<void> => {
    while (received.length < length) await once(far, 'data');
  };

  test('a text goes out without the stream, the next one when it has', async () => {
    const direct = new DirectWrites(near);
    expect(direct.write('one')).toBe(true);
    expect(near.writableLength).toBe(0);
    // The process would end if this one were written too.
    expect(direct.write('two')).toBe(false);
    await arrived(3);
    await new Promise(setImmediate);
    expect(direct.write('three')).toBe(true);
    await arrived(8);
    expect(received).toBe('onethree');
  });

  test('all that were not waited for are one request of Node, and what follows one that was is another', async () => {
    const handle = (near as unknown as { _handle: { writeLatin1String(request: unknown, text: string): unknown } })
      ._handle;
    const write = vi.spyOn(handle, 'writeLatin1String');
    const output = new Output(near);
    let sent = '';
    const send = async (text: string): Promise<void> => {
      output.text(text);
      output.flush();
      sent += text;
      await arrived(sent.length);
      await new Promise(setImmediate);
    };
    for (const text of ['one', 'two', 'three']) await send(text);
    const first = write.mock.results[0]!.value;
    expect(write.mock.results.slice(1).map(({ value }) => value)).toEqual([0, 0]);
    expect(write.mock.calls.map(([request]) => request)).toEqual([null, first, first]);
    // The stream waits for this one.
    output.text('held');
    output.flush();
    await send('stream');
    for (const text of ['four', 'five']) await send(text);
    const last = write.mock.calls.slice(-2).map(([request]) => request);
    expect(last[0]).toBeNull();
    expect(last[1]).toBe(write.mock.results.at(-2)!.value);
  });

  test('what comes while one goes out keeps its place, and so does the end', async () => {
    const output = new Output(near);
    const big = Buffer.alloc(20_000, 'b');
    for (let i = 0; i < 3; i++) {
      output.text(`text ${i} `);
      output.flush();
      output.body(big, 0, big.length);
      output.text('tail ');
      output.flush();
    }
    output.end();
    await ended;
    const one = `${big.toString()}tail `;
    expect(received === `text 0 ${one}text 1 ${one}text 2 ${one}`).toBe(true);
  });

  test.each(['end', 'destroySoon'] as const)('%s waits for the one that goes out', async (method) => {
    const output = new Output(near);
    output.text('last');
    output[method]();
    // A connection that was only cut would be an error of the other side.
    await ended;
    expect(received).toBe('last');
    expect(far.errored).toBeNull();
    if (method === 'end') far.end();
    if (!near.destroyed) await once(near, 'close');
  });

  test('a peer that does not read bounds what is written, and gets all of it', async () => {
    const output = new Output(near);
    far.pause();
    let written = '';
    for (let i = 0; output.flush(); i++) {
      const text = String.fromCharCode(97 + (i % 26)).repeat(30_000);
      written += text;
      output.text(text);
      output.flush();
      await new Promise(setImmediate);
    }
    expect(near.writableNeedDrain).toBe(true);
    const drained = once(near, 'drain');
    far.resume();
    await drained;
    output.text('more');
    output.end();
    await ended;
    expect(received === `${written}more`).toBe(true);
  });

  test('a peer that is gone is an error of the socket', async () => {
    const output = new Output(near);
    const closed = new Promise((resolve) => near.once('close', resolve));
    far.destroy();
    const send = (): void => {
      if (near.destroyed) return;
      output.text('x');
      output.flush();
      output.text('y');
      output.flush();
      setImmediate(send);
    };
    send();
    await closed;
    expect(near.errored).toMatchObject({ code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) });
  });

  test('nothing comes of a write that is on its way when the socket is destroyed', async () => {
    const output = new Output(near);
    output.text('one');
    output.flush();
    output.text('two');
    output.flush();
    output.end();
    const closed = once(near, 'close');
    near.destroy();
    await closed;
    expect(near.errored).toBeNull();
  });
});
