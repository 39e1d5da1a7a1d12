// Issue 4 §3: a worker that ends otherwise than by an error of ours. Real threads, made to fail by their inspector.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { Session } from 'node:inspector';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { LogRoot } from '../../../src/base/log.ts';
import { TimerWheel } from '../../../src/base/timer-wheel.ts';
import { EMPTY_SNAPSHOT } from '../../../src/model/snapshot.ts';
import { HostRequests } from '../../../src/proxy/http/host-requests.ts';
import { loadDuplicate } from '../../../src/proxy/runtime/listen-handle.ts';
import { Workers } from '../../../src/proxy/runtime/workers.ts';
import { StatStore } from '../../../src/proxy/telemetry/metrics/store.ts';
import { type RawClient, rawClient } from '../../support/client.ts';
import { eventually, proxy } from '../../support/proxy.ts';
import { oneEach } from '../../support/two-workers.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Two {
  readonly workers: Workers;
  readonly port: number;
  /** A connection to each. */
  readonly both: readonly [RawClient, RawClient];
  readonly log: string[];
  readonly value: (dotted: string) => number;
}

async function connect(port: number): Promise<RawClient> {
  const client = await rawClient(port);
  cleanups.push(() => client.socket.destroy());
  return client;
}

/** Workers by themselves, so that it can be said how long one may hang. */
async function two(hungMs = 10_000): Promise<Two> {
  const bootstrap = proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hello' } } })
    .bootstrap();
  const log: string[] = [];
  const stats = new StatStore();
  const workers = new Workers({
    count: 2,
    clock: systemClock,
    log: new LogRoot(systemClock, (line) => void log.push(line)).logger(),
    logLine: (line) => void log.push(line),
    logLevel: 'info',
    stats,
    stdout: process.stderr,
    stderr: process.stderr,
    bootstrap: { ...bootstrap, clusters: [] },
    drain: undefined,
    version: 'test',
    duplicate: loadDuplicate()!,
    sockets: null,
    hostRequests: new HostRequests(systemClock, new TimerWheel(systemClock), stats),
    hungMs,
  });
  cleanups.push(() => workers.close());
  workers.start();
  const listeners = new Map(
    bootstrap.listeners.map((one) => [
      one.name,
      // What they log to standard output is of no interest.
      {
        ...one,
        filterChains: one.filterChains.map((chain) =>
          chain.filter.kind === 'http'
            ? { ...chain, filter: { ...chain.filter, http: { ...chain.filter.http, accessLog: [] } } }
            : chain,
        ),
      },
    ]),
  );
  await workers.apply({ ...EMPTY_SNAPSHOT, listeners });
  const { port } = workers.listeners[0]!.addresses[0]!;
  const all = {
    async stats() {
      await workers.sync();
      return workers.stats.read();
    },
  };
  const both = await oneEach(all, port, (client) => cleanups.push(() => client.socket.destroy()));
  const value = (dotted: string): number => {
    const read = workers.stats.read();
    for (const series of read.series()) if (series.dotted === dotted) return read.value(series.id);
    return -1;
  };
  return { workers, port, both, log, value };
}

/** Has worker 0 run a program that does not end, whatever else it is at; resolves when it does nothing else any more. */
async function runInFirst(program: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'remora-worker-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const begun = join(folder, 'begun');
  const session = new Session();
  session.connect();
  cleanups.push(() => session.disconnect());
  const { promise, resolve } = Promise.withResolvers<string>();
  session.on('NodeWorker.attachedToWorker', ({ params: { sessionId, workerInfo } }) => {
    if (workerInfo.title.includes('worker 0')) resolve(sessionId);
  });
  session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  const sessionId = await promise;
  const expression = `process.getBuiltinModule('node:fs').writeFileSync(${JSON.stringify(begun)}, ''); ${program}`;
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
  session.post('NodeWorker.sendMessageToWorker', { sessionId, message });
  // What it accepted before ends with it.
  await eventually(() => existsSync(begun));
}

/** The other serves; who waits in the first one's queue is served when that is there again. */
async function goesOn({ both, port, value }: Two): Promise<void> {
  const [a, b] = both;
  const waiting = Array.from({ length: 10 }, async () => (await (await connect(port)).get().response()).body);
  for (let i = 0; i < 5; i++) expect((await b.get().response()).status).toBe(200);
  expect(await Promise.all(waiting)).toEqual(Array(10).fill('hello'));
  await a.untilEnded();
  expect((await b.get().response()).status).toBe(200);
  await eventually(() => value('server.worker_restarts') === 1);
}

it('one that hangs is ended and started again, and the others go on', async () => {
  const it = await two(1500);
  await runInFirst('for (;;) {}');
  await goesOn(it);
  expect(it.value('server.worker_hung')).toBe(1);
  expect(it.log.filter((line) => line.includes('worker 0'))).toEqual([
    expect.stringMatching(/worker 0 hangs: its thread has run for \d\.\d s without serving; it is ended\n$/),
    expect.stringMatching(/worker 0 ended because it hung: it is started again inMs=0\n$/),
  ]);
});

it('one that is out of memory is started again, and the others go on', async () => {
  // Of threads that start from now on.
  setFlagsFromString('--max-old-space-size=32');
  const it = await two().finally(() => setFlagsFromString('--max-old-space-size=0'));
  await runInFirst('globalThis.all = []; for (;;) all.push([{}])');
  await goesOn(it);
  expect(it.value('server.worker_hung')).toBe(0);
  expect(it.log.filter((line) => line.includes('worker 0'))).toEqual([
    expect.stringMatching(/worker 0 ended by an error: .*memory.*: it is started again inMs=0\n$/),
  ]);
});
