import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { TurnClock } from '../../../../src/base/clock.ts';
import { hold, keep, letGo, ownBytes, Reads, readFrom } from '../../../../src/proxy/io/reads.ts';

/** Gives `reads` what a socket would: bytes in the buffer it asked for. */
function feed(reads: Reads, text: string): void {
  const { buffer, callback } = reads.options;
  const target = (buffer as () => Uint8Array)();
  target.set(Buffer.from(text, 'latin1'));
  callback(Buffer.byteLength(text, 'latin1'), target);
}

function bufferOf(reads: Reads): Uint8Array {
  return (reads.options.buffer as () => Uint8Array)();
}

const FULL = 'x'.repeat(64 * 1024);
const LARGE = 'y'.repeat(100 * 1024);

describe('reads', () => {
  test('connections share a buffer while they read little', () => {
    const a = new Reads();
    const b = new Reads();
    expect(bufferOf(a)).toBe(bufferOf(b));
    const seen: string[] = [];
    a.onBytes = (chunk) => seen.push(chunk.toString('latin1'));
    feed(a, 'one');
    feed(a, 'two');
    expect(seen).toEqual(['one', 'two']);
    expect(bufferOf(a)).toBe(bufferOf(b));
  });

  test('time stands still while a read is worked on, and no longer, also where that fails', () => {
    const clock = new TurnClock();
    const passTime = (): number => {
      const start = performance.now();
      while (performance.now() === start);
      return clock.now();
    };
    const reads = new Reads();
    let times: number[] = [];
    reads.onBytes = () => {
      times = [clock.now(), passTime()];
      throw new Error('ours');
    };
    expect(() => feed(reads, 'one')).toThrow('ours');
    expect(times[1]).toBe(times[0]);
    expect(passTime()).toBeGreaterThan(times[0]!);
  });

  test('what is kept of the shared buffer is a copy', () => {
    const reads = new Reads();
    let kept: Buffer = Buffer.alloc(0);
    reads.onBytes = (chunk) => {
      kept = keep(chunk);
    };
    feed(reads, 'first');
    reads.onBytes = () => {};
    feed(reads, 'other');
    expect(kept.toString('latin1')).toBe('first');
  });

  test('a connection that fills the shared buffer gets a larger one of its own, and gives it back', () => {
    const reads = new Reads();
    const shared = bufferOf(reads);
    feed(reads, FULL);
    const own = bufferOf(reads);
    expect(own.length).toBeGreaterThan(shared.length);
    feed(reads, LARGE);
    expect(bufferOf(reads)).toBe(own);
    feed(reads, 'the last bytes of the body');
    expect(bufferOf(reads)).toBe(shared);
    const next = new Reads();
    feed(next, FULL);
    expect(bufferOf(next)).toBe(own);
    feed(next, 'end');
  });

  test('an own buffer of which something is kept is not read into again', () => {
    const reads = new Reads();
    feed(reads, FULL);
    const own = bufferOf(reads);
    let kept: Buffer = Buffer.alloc(0);
    reads.onBytes = (chunk) => {
      kept = keep(chunk);
    };
    feed(reads, LARGE);
    expect(kept.buffer).toBe(own.buffer);
    expect(bufferOf(reads)).not.toBe(own);
    reads.onBytes = () => {};
    feed(reads, 'z');
    expect(kept.toString('latin1', 0, 3)).toBe('yyy');
  });

  test('what is held is not read over until it is let go', () => {
    const reads = new Reads();
    feed(reads, FULL);
    const own = bufferOf(reads);
    const held: Buffer[] = [];
    reads.onBytes = (chunk) => held.push(hold(chunk));
    feed(reads, LARGE);
    feed(reads, 'z'.repeat(40_000));
    expect(held.map((chunk) => chunk.toString('latin1', 0, 1))).toEqual(['y', 'z']);
    expect(held.every((chunk) => chunk.buffer === own.buffer)).toBe(true);
    expect(bufferOf(reads).byteOffset).toBe(LARGE.length + 40_000);
    for (const chunk of held) letGo(chunk);
    reads.onBytes = () => {};
    feed(reads, LARGE);
    expect(bufferOf(reads)).toBe(own);
    feed(reads, 'end');
  });

  test('a buffer that was read full goes to another connection once all of it was let go', () => {
    const reads = new Reads();
    feed(reads, FULL);
    const own = bufferOf(reads);
    const held: Buffer[] = [];
    reads.onBytes = (chunk) => held.push(hold(chunk));
    feed(reads, LARGE);
    feed(reads, LARGE);
    expect(bufferOf(reads).buffer).not.toBe(own.buffer);
    const other = new Reads();
    letGo(held[0]!);
    feed(other, FULL);
    expect(bufferOf(other).buffer).not.toBe(own.buffer);
    letGo(held[1]!);
    const third = new Reads();
    feed(third, FULL);
    expect(bufferOf(third)).toBe(own);
    for (const each of [reads, other, third]) {
      each.onBytes = () => {};
      feed(each, 'end');
    }
  });

  test('what was kept besides is never read over', () => {
    const reads = new Reads();
    feed(reads, FULL);
    const own = bufferOf(reads);
    let held = Buffer.alloc(0);
    reads.onBytes = (chunk) => {
      keep(chunk.subarray(10));
      held = hold(chunk) as Buffer<ArrayBuffer>;
    };
    feed(reads, LARGE);
    letGo(held);
    reads.onBytes = () => {};
    feed(reads, 'end');
    const next = new Reads();
    feed(next, FULL);
    expect(bufferOf(next).buffer).not.toBe(own.buffer);
    feed(next, 'end');
  });

  test('outside a read, and for bytes of other buffers, keeping costs nothing', () => {
    const bytes = Buffer.from('somebody else');
    expect(keep(bytes)).toBe(bytes);
    expect(ownBytes(bytes)).toBe(bytes);
    const reads = new Reads();
    reads.onBytes = (chunk) => {
      expect(keep(bytes)).toBe(bytes);
      expect(ownBytes(chunk).buffer).not.toBe(chunk.buffer);
    };
    feed(reads, 'shared');
  });

  test('an exception of the reader leaves nothing behind', () => {
    const reads = new Reads();
    reads.onBytes = () => {
      throw new Error('ours');
    };
    expect(() => feed(reads, 'bytes')).toThrow('ours');
    const bytes = Buffer.from('kept later');
    expect(keep(bytes)).toBe(bytes);
  });
});

describe('reading from an accepted socket', () => {
  test('a TCP socket is taken over: its bytes, its end and its pauses come through the new one', async () => {
    const seen: string[] = [];
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = new Promise<{ first: Socket; own: Socket }>((resolve) => {
      server.once('connection', (first) => {
        const own = readFrom(first, (chunk) => {
          seen.push(chunk.toString('latin1'));
          own.emit('bytes');
        });
        resolve({ first, own });
      });
    });
    const client = connect((server.address() as { port: number }).port, '127.0.0.1');
    const { first, own } = await accepted;
    expect(own).not.toBe(first);
    expect(first.destroyed).toBe(true);
    client.write('hello');
    await once(own, 'bytes');
    own.pause();
    own.resume();
    client.end('bye');
    const ended = once(own, 'end');
    await once(own, 'bytes');
    await ended;
    expect(seen).toEqual(['hello', 'bye']);
    const answered = once(client, 'data');
    own.end('answer');
    expect((await answered)[0].toString()).toBe('answer');
    await new Promise((resolve) => server.close(resolve));
  });

  test('a TLS socket reads into ours: its bytes, its end and its pauses', async () => {
    const { connect: connectTls, createServer: createTlsServer } = await import('node:tls');
    const [cert, key] = ['server.pem', 'server.key'].map((name) =>
      readFileSync(new URL(`../../../support/certs/${name}`, import.meta.url)),
    );
    const seen: string[] = [];
    const server = createTlsServer({ cert, key, allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = new Promise<{ secured: Socket; own: Socket }>((resolve) => {
      server.once('secureConnection', (secured) => {
        const own = readFrom(secured, (chunk) => {
          // Not memory that Node made for this read: that of all connections.
          expect(ownBytes(chunk)).not.toBe(chunk);
          seen.push(chunk.toString('latin1'));
          own.emit('bytes');
        });
        resolve({ secured, own });
      });
    });
    const port = (server.address() as { port: number }).port;
    const client = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    const { secured, own } = await accepted;
    expect(own).toBe(secured);
    client.write('hello');
    await once(own, 'bytes');
    own.pause();
    own.resume();
    client.end('bye');
    const ended = once(own, 'end');
    await once(own, 'bytes');
    await ended;
    expect(seen).toEqual(['hello', 'bye']);
    const answered = once(client, 'data');
    own.end('answer');
    expect((await answered)[0].toString()).toBe('answer');
    await new Promise((resolve) => server.close(resolve));
  });

  test('any other stream emits data', async () => {
    const stream = new PassThrough() as unknown as Socket;
    const seen: Buffer[] = [];
    expect(readFrom(stream, (chunk) => seen.push(chunk))).toBe(stream);
    const got = once(stream, 'data');
    stream.write('abc');
    await got;
    expect(Buffer.concat(seen).toString('latin1')).toBe('abc');
  });
});
