/**
 * The proxy of the soak, in a process of its own so that its memory and handles are its own: takes bootstrap texts
 * over IPC, makes each be in force as a control server's snapshot would be, and says how it stands when asked.
 */
import { Writable } from 'node:stream';
import v8 from 'node:v8';
import vm from 'node:vm';
import { systemClock } from '../../src/base/clock.ts';
import { LogRoot } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { proxyDecodeContext } from '../../src/proxy/runtime/extensions.ts';
import { Proxy } from '../../src/proxy/runtime/server.ts';
import { type Bootstrap, readBootstrap } from '../../src/xds/bootstrap/bootstrap.ts';

export type ToProxy =
  | { readonly kind: 'config'; readonly text: string }
  | { readonly kind: 'measure' }
  | { readonly kind: 'close' };

/** How the process stands, after everything that can be collected was. */
export interface Measures {
  readonly kind: 'measures';
  /** Bytes. */
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  /** Kind of what is open → how many. */
  readonly handles: Readonly<Record<string, number>>;
  /** Lines of the access log since the start, and those that were not as they should be. */
  readonly logLines: number;
  readonly badLines: readonly string[];
  /** By dotted name. */
  readonly stats: Readonly<Record<string, number>>;
}

export type FromProxy =
  | Measures
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'applied' }
  | { readonly kind: 'log'; readonly line: string };

/** Counts the access log's lines and forgets them. */
class LineCount extends Writable {
  lines = 0;
  readonly bad: string[] = [];
  #partial = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const texts = (this.#partial + chunk.toString('latin1')).split('\n');
    this.#partial = texts.pop()!;
    this.lines += texts.length;
    for (const text of texts) {
      // Method, path, status, flags, details, bytes in and out.
      if (!/^\S+ \S+ \d+ \S+ \S+ \d+ \d+$/.test(text) && this.bad.length < 10) this.bad.push(text);
    }
    done();
  }
}

const output = new LineCount();
const send = (message: FromProxy) => process.send!(message);
let proxy: Proxy | undefined;

v8.setFlagsFromString('--expose_gc');
const gc = vm.runInNewContext('gc') as () => void;

function read(text: string): Bootstrap {
  const result = readBootstrap(text, proxyDecodeContext());
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.bootstrap;
}

async function config(text: string): Promise<void> {
  const bootstrap = read(text);
  if (proxy === undefined) {
    proxy = new Proxy({
      bootstrap,
      clock: systemClock,
      random: systemRandom,
      log: new LogRoot(systemClock, (line) => send({ kind: 'log', line }), 'warning').logger(),
      stdout: output,
      stderr: output,
      version: 'soak',
    });
    await proxy.start();
    send({ kind: 'ready', port: proxy.addressOf('main')!.port });
    return;
  }
  const { listeners, clusters } = bootstrap;
  await proxy.applier.apply({
    listeners: new Map(listeners.map((listener) => [listener.name, listener])),
    clusters: new Map(clusters.map((cluster) => [cluster.name, cluster])),
    routes: new Map(),
    endpoints: new Map(),
  });
  send({ kind: 'applied' });
}

function measure(): void {
  gc();
  gc();
  const { rss, external } = process.memoryUsage();
  const heap = v8
    .getHeapSpaceStatistics()
    .filter(({ space_name }) => !/code|trusted|read_only/.test(space_name))
    .reduce((sum, space) => sum + space.space_used_size, 0);
  const handles: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1;
  const { stats } = proxy!.env;
  const values: Record<string, number> = {};
  for (const series of stats.series()) {
    const value = stats.value(series.id);
    if (typeof value === 'number') values[series.dotted] = (values[series.dotted] ?? 0) + value;
  }
  send({ kind: 'measures', rss, heap, external, handles, logLines: output.lines, badLines: output.bad, stats: values });
}

process.on('message', (message: ToProxy) => {
  if (message.kind === 'config') {
    config(message.text).catch((error: unknown) => {
      send({ kind: 'log', line: `config: ${error instanceof Error ? error.stack : String(error)}` });
      process.exitCode = 1;
      process.disconnect?.();
    });
  } else if (message.kind === 'measure') measure();
  else void proxy?.close().then(() => process.disconnect?.());
});
