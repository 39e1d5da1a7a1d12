import { closeSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ListenSockets } from '../../../../src/proxy/io/listen-sockets.ts';
import { bindShared, type ListenHandle, loadDuplicate } from '../../../../src/proxy/runtime/listen-handle.ts';
import { WorkerSockets } from '../../../../src/proxy/runtime/worker-sockets.ts';

const ANY = { host: '127.0.0.1', port: 0 };
const duplicate = loadDuplicate()!;

function sockets(beyond: ListenSockets | null = null): WorkerSockets {
  const made = new WorkerSockets(duplicate, beyond);
  onTestFinished(() => made.close());
  return made;
}

/** Listens as a worker does. */
async function listening(fd: number, answer: string): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => socket.end(answer));
  await new Promise<void>((resolve) => server.listen({ fd }, resolve));
  onTestFinished(() => void server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

function call(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1');
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('close', () => resolve(text));
    socket.on('error', (error) => resolve((error as NodeJS.ErrnoException).code ?? ''));
  });
}

describe('sockets of workers', () => {
  it('share a port that the first was given, each with a queue of its own', async () => {
    const made = sockets();
    const fds = await Promise.all([made.take(0, 'l@:0', ANY), made.take(1, 'l@:0', ANY)]);
    const one = await listening(fds[0], 'one');
    const two = await listening(fds[1], 'two');
    expect(two.port).toBe(one.port);
    const seen = new Set<string>();
    while (seen.size < 2) seen.add(await call(one.port));
    expect(seen).toEqual(new Set(['one', 'two']));
  });

  it('outlive who listens on them: who waits is served by the next', async () => {
    const made = sockets();
    const { server, port } = await listening(await made.take(0, 'k', ANY), 'first');
    await new Promise((resolve) => server.close(resolve));
    const waiting = call(port);
    await listening(await made.take(0, 'k', ANY), 'second');
    expect(await waiting).toBe('second');
  });

  it('are closed when they are released', async () => {
    const made = sockets();
    const { server, port } = await listening(await made.take(0, 'k', ANY), 'first');
    await new Promise((resolve) => server.close(resolve));
    made.release(0, 'k');
    expect(await call(port)).toBe('ECONNREFUSED');
  });

  it('are refused where somebody listens, also one who would share', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen({ port: 0, host: '127.0.0.1', reusePort: true }, resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    await expect(sockets().take(0, 'k', { host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('of a process before are taken over, and the first has the key that it had without workers', async () => {
    const kept = new Map<string, object>();
    const asked: string[] = [];
    const beyond: ListenSockets = {
      take: (key) => {
        asked.push(key);
        return Promise.resolve(kept.get(key) ?? null);
      },
      keep: (key, server) => void kept.set(key, (server as unknown as { _handle: object })._handle),
      release: (key) => void kept.delete(key),
    };
    const first = sockets(beyond);
    const fds = [await first.take(0, 'k', ANY), await first.take(1, 'k', ANY)];
    expect([...kept.keys()]).toEqual(['k', 'k#1']);
    const next = new WorkerSockets(duplicate, beyond);
    const again = [await next.take(0, 'k', ANY), await next.take(1, 'k', ANY)];
    const ports = await Promise.all([...fds, ...again].map(async (fd) => (await listening(fd, 'x')).port));
    expect(new Set(ports).size).toBe(1);
    first.releaseAll(1);
    expect([...kept.keys()]).toEqual(['k']);
  });

  it('are one for all where the process before had but one, which shares with nobody', async () => {
    const alone = createServer();
    await new Promise<void>((resolve) => alone.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void alone.close());
    const { port } = alone.address() as AddressInfo;
    const handle = (alone as unknown as { _handle: ListenHandle })._handle;
    const beyond: ListenSockets = {
      take: (key) => Promise.resolve(key === 'k' ? handle : null),
      keep() {},
      release() {},
    };
    const made = new WorkerSockets(duplicate, beyond);
    const fds = [
      await made.take(0, 'k', { host: '127.0.0.1', port }),
      await made.take(1, 'k', { host: '127.0.0.1', port }),
    ];
    expect(new Set(fds).size).toBe(2);
    for (const fd of fds) closeSync(fd);
  });

  it('say why they cannot be bound', () => {
    expect(() => bindShared({ host: '192.0.2.1', port: 0 })).toThrow('EADDRNOTAVAIL');
  });
});
