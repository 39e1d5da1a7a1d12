import { createServer, type Server } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { type FromSupervisor, HotRestart, type ToSupervisor } from '../../../../src/proxy/runtime/hot-restart.ts';

function channel() {
  const sent: [ToSupervisor, object | undefined][] = [];
  let listener: (message: FromSupervisor, handle: object | undefined) => void = () => {};
  return {
    sent,
    send(message: ToSupervisor, handle?: object, done?: () => void): void {
      sent.push([message, handle]);
      done?.();
    },
    onMessage: (given: typeof listener): void => {
      listener = given;
    },
    hear: (message: FromSupervisor, handle?: object): void => listener(message, handle),
  };
}

async function listening(): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

describe('the proxy’s side of a hot restart', () => {
  it('asks for sockets by key, and gets each its own', async () => {
    const wire = channel();
    const restart = new HotRestart(1, wire);
    const [one, two, three] = [restart.take('a'), restart.take('b'), restart.take('c')];
    const handle = {};
    wire.hear({ type: 'socket', key: 'b', found: true }, handle);
    wire.hear({ type: 'socket', key: 'a', found: false });
    wire.hear({ type: 'socket', key: 'c', found: true });
    expect(await two).toBe(handle);
    expect([await one, await three]).toEqual([null, null]);
  });

  it('hands the handle over and not the server, which would accept at the other end', async () => {
    const wire = channel();
    const restart = new HotRestart(0, wire);
    const server = await listening();
    restart.keep('a', server);
    expect(wire.sent[0]![0]).toEqual({ type: 'keep', key: 'a' });
    expect(wire.sent[0]![1]?.constructor.name).toBe('TCP');
    server.close();
  });

  it('says nothing of sockets once it leaves', async () => {
    const wire = channel();
    const restart = new HotRestart(0, wire);
    const server = await listening();
    restart.release('a');
    restart.beginLeaving();
    restart.release('b');
    restart.keep('c', server);
    restart.left();
    expect(wire.sent.map(([message]) => message)).toEqual([{ type: 'release', key: 'a' }, { type: 'left' }]);
    server.close();
  });

  it('begins, takes over and leaves as it is told', async () => {
    const wire = channel();
    const restart = new HotRestart(3, wire);
    wire.hear({ type: 'start', alone: false, startedAt: 7 });
    expect(await restart.started).toMatchObject({ alone: false, startedAt: 7 });
    const taken = restart.takeOver();
    expect(wire.sent.map(([message]) => message)).toEqual([{ type: 'ready' }]);
    wire.hear({ type: 'serve' });
    await taken;
    restart.onLeave = vi.fn();
    wire.hear({ type: 'leave' });
    expect(restart.onLeave).toHaveBeenCalledOnce();
  });

  it('hands on what was counted, a part at a time, and hears of it', async () => {
    const wire = channel();
    const restart = new HotRestart(1, wire);
    const counted = Array.from({ length: 1001 }, (_, i) => ({
      name: `envoy_${i}`,
      labels: {},
      dotted: '',
      buckets: null,
      values: [1],
    }));
    await restart.tellCounted(counted);
    const parts = wire.sent.map(([message]) => (message.type === 'counted' ? message.counted : []));
    expect(parts.map(({ length }) => length)).toEqual([500, 500, 1]);
    expect(parts.flat()).toEqual(counted);
    restart.onCounted = vi.fn();
    wire.hear({ type: 'counted', counted: parts[2]! });
    expect(restart.onCounted).toHaveBeenCalledExactlyOnceWith(parts[2]);
  });
});
