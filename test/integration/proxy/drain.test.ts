// Issue 4 §4, pains rows 3 and 4: leaving is announced, ramped over the window, and the same whatever the cause.
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { type RawClient, rawClient } from '../../support/client.ts';
import { type ManualClock, manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, type TestProxy, turns, upstream } from '../../support/proxy.ts';

const WINDOW_MS = 60_000;
const HELD: RawClient[] = [];

afterEach(() => {
  for (const { socket } of HELD.splice(0)) socket.destroy();
});

async function connectTo(p: TestProxy, listener = 'main'): Promise<RawClient> {
  const client = await rawClient(p.proxy.addressOf(listener)!.port);
  HELD.push(client);
  return client;
}

/** A proxy that answers by itself, with connections that have each served a request. */
async function started(
  clock: ManualClock,
  count: number,
  fields = {},
): Promise<{ p: TestProxy; clients: RawClient[] }> {
  const p = await proxy()
    .clock(clock)
    .drain(WINDOW_MS)
    .listener(fields)
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const clients: RawClient[] = [];
  for (let i = 0; i < count; i++) clients.push(await connectTo(p));
  for (const client of clients) await client.get().response();
  return { p, clients };
}

/** Asks on every connection that is open, and answers how many were told to leave. */
async function toldToLeave(clients: RawClient[]): Promise<number> {
  let told = 0;
  for (const client of clients) {
    if (client.ended) continue;
    const response = await client.get().response();
    expect(response.status).toBe(200);
    if (response.header('connection') !== 'close') continue;
    told++;
    await client.untilEnded();
  }
  return told;
}

const CAUSES: readonly [cause: string, begin: (p: TestProxy) => unknown][] = [
  ['a listener is removed', (p) => p.proxy.applier.apply(p.snapshot({ listeners: new Map() }))],
  [
    'POST /drain_listeners?graceful',
    (p) => p.proxy.drain.drainListeners({ graceful: true, inboundOnly: false, skipExit: false }),
  ],
  [
    'POST /drain_listeners',
    (p) => p.proxy.drain.drainListeners({ graceful: false, inboundOnly: false, skipExit: false }),
  ],
  ['POST /healthcheck/fail', (p) => p.proxy.drain.failHealthCheck(true)],
  ['SIGTERM', (p) => void p.proxy.drain.terminate({ acceptMs: 0, deadlineMs: 2 * WINDOW_MS })],
  ['hot restart', (p) => void p.proxy.drain.handOver(2 * WINDOW_MS)],
];

describe.each(CAUSES)('%s', (_cause, begin) => {
  test('busy connections are asked one after the other over the window, and every request is answered', async () => {
    const clock = manualClock();
    const { p, clients } = await started(clock, 40);
    await begin(p);
    await turns(2);
    const told = [await toldToLeave(clients)];
    for (let quarter = 0; quarter < 4; quarter++) {
      // In steps: a connection that was asked and has no request for a second is closed.
      for (let step = 0; step < 16; step++) {
        clock.advance(WINDOW_MS / 64);
        told[quarter + 1] = (told[quarter + 1] ?? 0) + (await toldToLeave(clients));
      }
    }
    expect(told[0]).toBe(0);
    for (const count of told.slice(1)) expect(count).toBeGreaterThan(2);
    expect(told.reduce((sum, count) => sum + count)).toBe(40);
    expect(p.stat('http.main.downstream_cx_drain_close')).toBe(40);
    // What has begun to end ends; nothing may be left that waits for it.
    clock.advance(2 * WINDOW_MS);
  });

  test('connections without requests are closed over the window too', async () => {
    const clock = manualClock();
    const { p, clients } = await started(clock, 40);
    await begin(p);
    const open = [];
    for (let half = 0; half < 2; half++) {
      clock.advance(WINDOW_MS / 2);
      await turns();
      open.push(clients.filter(({ ended }) => !ended).length);
    }
    clock.advance(1100);
    await eventually(() => clients.every(({ ended }) => ended));
    expect(open[0]).toBeGreaterThan(10);
    expect(open[0]).toBeLessThan(30);
    expect(open[1]).toBeLessThan(4);
    clock.advance(2 * WINDOW_MS);
  });
});

test('immediate: every response says so at once', async () => {
  const p = await proxy()
    .clock(manualClock())
    .drain(WINDOW_MS, 'immediate')
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const clients = [await connectTo(p), await connectTo(p), await connectTo(p)];
  p.proxy.drain.failHealthCheck(true);
  expect(await toldToLeave(clients)).toBe(3);
});

test('after healthcheck/ok nobody leaves', async () => {
  const clock = manualClock();
  const { p, clients } = await started(clock, 20);
  p.proxy.drain.failHealthCheck(true);
  clock.advance(WINDOW_MS / 2);
  p.proxy.drain.failHealthCheck(false);
  await turns();
  clock.advance(WINDOW_MS * 2);
  await turns();
  const open = clients.filter(({ ended }) => !ended);
  expect(open.length).toBeGreaterThan(4);
  expect(await toldToLeave(open)).toBe(0);
  expect(await toldToLeave([await connectTo(p)])).toBe(0);
});

test('a graceful drain accepts until its window is over, and new clients are served', async () => {
  const clock = manualClock();
  const { p } = await started(clock, 0);
  p.proxy.drain.drainListeners({ graceful: true, inboundOnly: false, skipExit: false });
  clock.advance(WINDOW_MS - 1);
  const late = await connectTo(p);
  await turns();
  expect((await late.get().response()).status).toBe(200);
  clock.advance(1);
  await expect(connectTo(p)).rejects.toThrow();
});

test('skip_exit goes on accepting, and asks who comes to leave after the first request', async () => {
  const clock = manualClock();
  const { p } = await started(clock, 0);
  p.proxy.drain.drainListeners({ graceful: true, inboundOnly: false, skipExit: true });
  clock.advance(WINDOW_MS * 2);
  expect(await toldToLeave([await connectTo(p)])).toBe(1);
});

test('at the end of the window a removed listener cuts tunnels, which would never end', async () => {
  const server = await scripted();
  const clock = manualClock();
  const p = await proxy()
    .clock(clock)
    .drain(WINDOW_MS)
    .cluster('a', server.port)
    .manager({ upgrade_configs: [{ upgrade_type: 'websocket' }] })
    .start();
  const client = await connectTo(p);
  client.get('/', 'Connection: Upgrade', 'Upgrade: websocket');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await client.response();
  await p.proxy.applier.apply({ ...p.snapshot(), listeners: new Map() });
  expect([...p.proxy.applier.drainingListeners].map(({ name }) => name)).toEqual(['main']);
  clock.advance(WINDOW_MS - 1);
  connection.write('still');
  expect(await client.bytes(5)).toBe('still');
  clock.advance(1);
  await client.untilEnded();
  client.end();
  await eventually(() => [...p.proxy.applier.drainingListeners].length === 0);
});

describe('SIGTERM, under one deadline', () => {
  const PLAN = { acceptMs: 5000, deadlineMs: 30_000 };

  /** Inbound and outbound side of a sidecar; the upstream is the app's and everybody else's. */
  async function sidecar(clock: ManualClock) {
    const server = await scripted();
    const p = await proxy()
      .clock(clock)
      .drain(WINDOW_MS)
      .cluster('a', server.port)
      .to('a', { timeout: '0s' })
      .listener({ traffic_direction: 'INBOUND' })
      .start();
    const outbound = { ...p.bootstrap.listeners[0]!, name: 'out', trafficDirection: 'OUTBOUND' as const };
    const listeners: Snapshot['listeners'] = new Map([...p.snapshot().listeners, ['out', outbound]]);
    await p.proxy.applier.apply(p.snapshot({ listeners }));
    return { p, server };
  }

  test('not ready at once, accepting at first, gone as soon as nobody is left', async () => {
    const clock = manualClock();
    const { p } = await sidecar(clock);
    const over = vi.fn();
    const done = p.proxy.drain.terminate(PLAN).then(over);
    expect(p.proxy.drain.active).toBe(true);
    clock.advance(4999);
    await turns(2);
    const late = await connectTo(p);
    late.socket.destroy();
    await turns();
    expect(over).not.toHaveBeenCalled();
    clock.advance(1);
    await done;
    await expect(connectTo(p)).rejects.toThrow();
  });

  test('requests are finished, and outbound stays open while the app answers and calls', async () => {
    const clock = manualClock();
    const { p, server } = await sidecar(clock);
    const inbound = await connectTo(p);
    inbound.get('/in');
    const asked = await server.accept();
    await asked.head();
    const over = vi.fn();
    const done = p.proxy.drain.terminate(PLAN).then(over);
    clock.advance(5000);
    await turns(2);
    clock.advance(12_500);
    await turns();
    // The inbound side is closed now; the app calls out to answer what it was asked.
    await expect(connectTo(p)).rejects.toThrow();
    const outbound = await connectTo(p, 'out');
    outbound.get('/out');
    const called = await server.accept();
    expect(await called.head()).toContain('/out');
    called.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    expect((await outbound.response()).header('connection')).toBeUndefined();
    asked.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const answer = await inbound.response();
    expect(answer.body).toBe('ok');
    expect(answer.header('connection')).toBe('close');
    await inbound.untilEnded();
    inbound.end();
    await inbound.untilClosed();
    expect(over).not.toHaveBeenCalled();
    outbound.end();
    await outbound.untilClosed();
    await done;
  });

  test('an app that keeps its connections is asked too, in the last quarter', async () => {
    const clock = manualClock();
    const { p } = await sidecar(clock);
    const idle = await connectTo(p, 'out');
    await eventually(() => p.proxy.applier.listeners.get('out')!.connectionCount === 1);
    const done = p.proxy.drain.terminate(PLAN);
    for (const ms of [5000, 17_500 - 1]) {
      clock.advance(ms);
      await turns();
    }
    expect(idle.ended).toBe(false);
    clock.advance(1);
    await turns(2);
    clock.advance(3750 + 1000);
    await idle.untilEnded();
    idle.end();
    await done;
  });

  test('what is open at the deadline is cut, and said', async () => {
    const clock = manualClock();
    const { p, server } = await sidecar(clock);
    const stuck = await connectTo(p);
    stuck.get('/stuck');
    await (await server.accept()).head();
    const over = vi.fn();
    const done = p.proxy.drain.terminate(PLAN).then(over);
    for (const ms of [5000, 12_500, 5000, 7499]) {
      clock.advance(ms);
      await turns(2);
    }
    expect(over).not.toHaveBeenCalled();
    expect(stuck.ended).toBe(false);
    clock.advance(1);
    await done;
    await stuck.untilEnded();
    expect(p.processLog.join('')).toMatch(/the time to drain is over: connections are cut.*connections=1/);
  });
});

test('SIGTERM to a process that is being replaced: both ends come with the last connection', async () => {
  const clock = manualClock();
  const { p, clients } = await started(clock, 1);
  const handedOver = p.proxy.drain.handOver(10 * WINDOW_MS);
  const terminated = p.proxy.drain.terminate({ acceptMs: 0, deadlineMs: 10 * WINDOW_MS });
  clients[0]!.end();
  await Promise.all([handedOver, terminated]);
});

test('a quick end refuses new clients, ends who is idle, and waits for a request', async () => {
  const server = await upstream();
  const clock = manualClock();
  const held = Promise.withResolvers<void>();
  server.answer = (_request, response) => void held.promise.then(() => response.end('done'));
  const p = await proxy().clock(clock).cluster('a', server.port).start();
  const [idle, busy] = [await connectTo(p), await connectTo(p)];
  busy.get();
  await eventually(() => server.requests.length === 1);
  const done = p.proxy.drain.drain(10_000);
  await idle.untilEnded();
  idle.end();
  await expect(connectTo(p)).rejects.toThrow();
  held.resolve();
  const response = await busy.response();
  expect([response.body, response.header('connection')]).toEqual(['done', 'close']);
  await busy.untilEnded();
  busy.end();
  await done;
});
