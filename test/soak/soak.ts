/** Mixed traffic through one proxy for a time, while config, endpoints and servers change, and what it must leave behind. */
import { type ChildProcess, fork } from 'node:child_process';
import { createServer } from 'node:net';
import { systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ENGINE_FLAGS } from '../../src/cli/process.ts';
import { newTally, SoakClient, type Tally } from './soak-client.ts';
import { soakConfig } from './soak-config.ts';
import type { FromProxy, Measures, ToProxy } from './soak-proxy.ts';
import { SoakUpstream } from './soak-upstream.ts';

export interface SoakOptions {
  readonly seconds: number;
  readonly clients: number;
  readonly seed: number;
  /** Hears a line at the end of each window. */
  readonly report: (line: string) => void;
}

export interface SoakResult {
  readonly tally: Tally;
  /** One a window, of which there are ten, in the midst of traffic. */
  readonly windows: readonly Measures[];
  /** After the last client went away. */
  readonly end: Measures;
  readonly configs: number;
  readonly restarts: number;
  readonly upstreamRequests: number;
  /** Everything that is not as it should be; empty when all is well. */
  readonly problems: readonly string[];
}

const WINDOWS = 10;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A port of loopback where nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The proxy's process, asked and answered in turn. */
class ProxyProcess {
  readonly log: string[] = [];
  readonly #child: ChildProcess;
  readonly #waiting: { readonly kind: string; readonly resolve: (message: FromProxy) => void }[] = [];
  readonly exited: Promise<number | null>;
  exitCode: number | null | undefined;

  constructor() {
    // The engine as it ships: what memory does depends on it.
    this.#child = fork(new URL('soak-proxy.ts', import.meta.url), {
      execArgv: [...ENGINE_FLAGS],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: FromProxy) => {
      if (message.kind === 'log') {
        if (this.log.length < 20) this.log.push(message.line);
        return;
      }
      const at = this.#waiting.findIndex(({ kind }) => kind === message.kind);
      if (at >= 0) this.#waiting.splice(at, 1)[0]!.resolve(message);
    });
    this.exited = new Promise((resolve) =>
      this.#child.once('exit', (code) => {
        this.exitCode = code;
        resolve(code);
      }),
    );
  }

  async ask<K extends FromProxy['kind']>(message: ToProxy, kind: K): Promise<Extract<FromProxy, { kind: K }>> {
    const answer = new Promise<FromProxy>((resolve) => this.#waiting.push({ kind, resolve }));
    this.#child.send(message);
    const first = await Promise.race([answer, this.exited]);
    if (typeof first !== 'object' || first === null) throw new Error(`the proxy ended: ${this.log.join('\n')}`);
    return first as Extract<FromProxy, { kind: K }>;
  }

  async close(): Promise<number | null> {
    this.#child.send({ kind: 'close' } satisfies ToProxy);
    const late = pause(10_000).then(() => 'late' as const);
    const code = await Promise.race([this.exited, late]);
    if (code !== 'late') return code;
    this.#child.kill('SIGKILL');
    throw new Error('the proxy does not end');
  }
}

export async function soak({ seconds, clients, seed, report }: SoakOptions): Promise<SoakResult> {
  const stable = await Promise.all([1, 2, 3].map(() => new SoakUpstream().start()));
  const flaky = await new SoakUpstream().start();
  const ports = { stable: stable.map(({ port }) => port), flaky: flaky.port, closed: await closedPort() };
  const proxy = new ProxyProcess();
  const { port } = await proxy.ask({ kind: 'config', text: soakConfig(0, ports) }, 'ready');
  const tally = newTally();
  const start = systemClock.now();
  const end = start + seconds * 1000;
  const running = () => systemClock.now() < end && proxy.exitCode === undefined;

  let configs = 0;
  const churning = (async () => {
    while (running()) {
      await proxy.ask({ kind: 'config', text: soakConfig(++configs, ports) }, 'applied');
      await pause(150);
    }
  })();
  let restarts = 0;
  const restarting = (async () => {
    while (running()) {
      await pause(700);
      await flaky.stop();
      await pause(200);
      await flaky.start();
      restarts++;
    }
  })();
  const load = Array.from({ length: clients }, async (_, i) => {
    const client = new SoakClient(port, seededRandom(seed * 1000 + i), tally);
    while (running()) await client.one();
    client.close();
  });

  const windows: Measures[] = [];
  let said = 0;
  for (let i = 1; i <= WINDOWS; i++) {
    await pause(Math.max(0, start + (i * seconds * 1000) / WINDOWS - systemClock.now()));
    if (proxy.exitCode !== undefined) break;
    const measures = await proxy.ask({ kind: 'measure' }, 'measures');
    windows.push(measures);
    report(describe(systemClock.now() - start, measures, tally, configs));
    for (; said < tally.faults.length; said++) report(`       ${tally.faults[said]}`);
  }
  await Promise.all([...load, churning, restarting]);
  if (proxy.exitCode !== undefined) throw new Error(`the proxy ended by itself: ${proxy.log.join('\n')}`);
  const last = await settled(proxy);
  report(describe(systemClock.now() - start, last, tally, configs));
  const code = await proxy.close();
  await Promise.all([...stable, flaky].map((one) => one.stop()));
  const seen = [...stable, flaky].map((one) => one.seen);
  const problems = [
    ...tally.faults,
    ...seen.flatMap(({ faults }) => faults),
    ...countersOf(last, tally),
    ...growthOf(windows, last),
    ...proxy.log.map((line) => `the proxy's log: ${line}`),
    ...(code === 0 ? [] : [`the proxy ended with ${code}`]),
  ];
  const upstreamRequests = seen.reduce((sum, { requests, upgrades }) => sum + requests + upgrades, 0);
  return { tally, windows, end: last, configs, restarts, upstreamRequests, problems };
}

const ACTIVE = /(rq|cx|pending)_active$/;

/** Once nothing is active any more; as it is after half a minute otherwise. */
async function settled(proxy: ProxyProcess): Promise<Measures> {
  for (let i = 0; ; i++) {
    const measures = await proxy.ask({ kind: 'measure' }, 'measures');
    const busy = Object.entries(measures.stats).some(
      ([name, value]) => ACTIVE.test(name) && value !== 0 && !name.includes('upstream_cx_active'),
    );
    await pause(1000);
    // Once more: the access log's last lines may wait for a moment.
    if (!busy || i === 30) return proxy.ask({ kind: 'measure' }, 'measures');
  }
}

/** Requests in = responses + resets, a line of the log for each, and none under way at the end. */
function countersOf({ stats, logLines, badLines }: Measures, tally: Tally): string[] {
  const problems: string[] = [];
  const of = (name: string) => stats[`http.main.${name}`] ?? 0;
  const total = of('downstream_rq_total');
  const classes = [1, 2, 3, 4, 5].map((digit) => of(`downstream_rq_${digit}xx`));
  const answered = classes.reduce((sum, count) => sum + count, 0);
  const resets = of('downstream_rq_rx_reset');
  if (total !== answered + resets) problems.push(`${total} requests, but ${answered} answers and ${resets} resets`);
  if (total !== logLines) problems.push(`${total} requests, but ${logLines} lines of the access log`);
  for (const line of badLines) problems.push(`not a line of the access log: ${line}`);
  for (const [name, value] of Object.entries(stats)) {
    if (ACTIVE.test(name) && value !== 0 && !name.includes('upstream_cx_active'))
      problems.push(`${name} is ${value} at the end`);
    if (value < 0) problems.push(`${name} is ${value}`);
  }
  for (let digit = 1; digit <= 5; digit++) {
    const here = tally.answers.get(`${digit}xx`) ?? 0;
    const there = classes[digit - 1]!;
    // What a client left in the middle may be counted as either.
    const unsure = tally.aborted + tally.repeated + (tally.done.get('pipeline') ?? 0) * 8;
    if (there < here || there > here + unsure)
      problems.push(`${here} answers ${digit}xx here, ${there} counted by the proxy`);
  }
  return problems;
}

/** KiB of heap and MiB of rss that are noise. */
const HEAP_NOISE = 3072;
const RSS_NOISE = 24;

function growthOf(windows: readonly Measures[], end: Measures): string[] {
  const problems: string[] = [];
  // The first third warms caches and compiled code.
  const settledAt = windows.slice(3, 6);
  const late = windows.slice(7);
  if (settledAt.length > 0 && late.length > 0) {
    const low = (of: readonly Measures[], get: (one: Measures) => number) => Math.min(...of.map(get));
    const heap = (low(late, ({ heap: bytes }) => bytes) - low(settledAt, ({ heap: bytes }) => bytes)) / 1024;
    const rss = (low(late, ({ rss: bytes }) => bytes) - low(settledAt, ({ rss: bytes }) => bytes)) / 1024 / 1024;
    if (heap > HEAP_NOISE) problems.push(`the heap grew by ${Math.round(heap)} KiB`);
    if (rss > RSS_NOISE) problems.push(`rss grew by ${Math.round(rss)} MiB`);
  }
  // Node names a listening socket after where it was bound: `TCPSocketWrap` for one of `BoundSocket`.
  const open = (end.handles['TCPServerWrap'] ?? 0) + (end.handles['TCPSocketWrap'] ?? 0);
  const upstream = Object.entries(end.stats)
    .filter(([name]) => name.endsWith('upstream_cx_active'))
    .reduce((sum, [, value]) => sum + value, 0);
  if (open !== upstream + 1)
    problems.push(`${open} sockets are open at the end, for ${upstream} upstream connections and one that listens`);
  return problems;
}

function describe(
  ms: number,
  { rss, heap, external, handles, stats }: Measures,
  tally: Tally,
  configs: number,
): string {
  const scenarios = [...tally.done.values()].reduce((sum, count) => sum + count, 0);
  const mib = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  const open = Object.entries(handles)
    .filter(([kind]) => /TCP/.test(kind))
    .map(([kind, count]) => `${kind.replace('Wrap', '')} ${count}`)
    .join(' ');
  return (
    `${String(Math.round(ms / 1000)).padStart(5)} s  ${scenarios} scenarios  ${stats['http.main.downstream_rq_total']} requests  ` +
    `${configs} configs  ${tally.faults.length} faults  heap ${mib(heap)}  external ${mib(external)}  rss ${mib(rss)}  ${open}`
  );
}
