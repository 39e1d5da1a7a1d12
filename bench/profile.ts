/**
 * Where Remora's time goes: `node bench/profile.ts [--seconds S] [--top N] [--bundle FILE] [--features] [--tls] [--handshakes]
 * [--startup] [--out FILE]`. Runs the small scenario, or that with features, with TLS on both hops, or with a handshake for
 * each request, and prints the functions with the most time of their own, by place in the sources; `--startup` profiles from start to first answer instead. FILE opens in Chrome's DevTools.
 */
import { copyFileSync, existsSync, globSync, readFileSync } from 'node:fs';
import { type SourceMap as Map_, SourceMap } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SMALL } from './load/small.ts';
import { HANDSHAKES, TLS } from './load/tls.ts';
import { remora } from './rivals/remora.ts';
import { firstAnswer, pause } from './support/ask.ts';
import { type Ask, autocannon, findWrk } from './support/load.ts';
import { withProxy } from './support/measure.ts';
import { startOrigin } from './support/origin.ts';
import { runToEnd, stop, temporaryFolder } from './support/processes.ts';
import { BUNDLE, ROOT } from './support/programs.ts';

/** The part of V8's profile that is read here. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
      readonly columnNumber: number;
    };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Source maps of the bundle's chunks, read once. */
const maps = new Map<string, Map_ | null>();

await runToEnd(async () => {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '5' },
      top: { type: 'string', default: '40' },
      bundle: { type: 'string', default: BUNDLE },
      startup: { type: 'boolean', default: false },
      features: { type: 'boolean', default: false },
      tls: { type: 'boolean', default: false },
      handshakes: { type: 'boolean', default: false },
      out: { type: 'string' },
    },
  });
  const file = join(temporaryFolder(), 'profile.cpuprofile');
  const bundle = resolve(values.bundle);
  const ask: Ask = values.handshakes ? HANDSHAKES.ask : values.tls ? TLS.ask : {};
  const origin = await startOrigin(SMALL.bodyBytes, false, ask.tls);
  const title = values.startup
    ? await profileStart(bundle, origin.port, file)
    : await profileLoad(bundle, origin.port, file, Number(values.seconds), values.features, ask);
  await stop(origin.child);
  process.stdout.write(`${title}\n${summary(JSON.parse(readFileSync(file, 'utf8')), Number(values.top))}\n`);
  if (values.out !== undefined) copyFileSync(file, values.out);
});

async function profileLoad(
  bundle: string,
  backend: number,
  file: string,
  seconds: number,
  features: boolean,
  ask: Ask,
): Promise<string> {
  const preload = fileURLToPath(new URL('./support/profiler.ts', import.meta.url));
  const peer = remora({ bundle, flags: ['--import', preload] });
  const load = findWrk() ?? autocannon;
  const site = { backend, features, tls: ask.tls === true };
  const connections = ask.close === true ? HANDSHAKES.connections : SMALL.connections;
  return withProxy({ ...peer, env: { REMORA_BENCH_PROFILE: file } }, site, async (child, { port }) => {
    await firstAnswer(port, child, undefined, undefined, site.tls);
    await load.run(port, connections, 2, ask);
    child.signal('SIGUSR2');
    const result = await load.run(port, connections, seconds, ask);
    child.signal('SIGUSR2');
    while (!existsSync(file) && child.running) await pause(50);
    await pause(500);
    return `${result.answered} requests in ${seconds} s, with the profiler on`;
  });
}

async function profileStart(bundle: string, backend: number, file: string): Promise<string> {
  const folder = temporaryFolder();
  const peer = remora({ bundle, flags: ['--cpu-prof', '--cpu-prof-interval=250', `--cpu-prof-dir=${folder}`] });
  // --cpu-prof writes at exit, which SIGTERM alone would not be.
  const exit = `data:text/javascript,process.on('SIGTERM',()=>process.exit())`;
  const command: typeof peer.command = (site) => {
    const [node, ...rest] = peer.command(site);
    return [node!, '--import', exit, ...rest];
  };
  const site = { backend, features: false };
  const ms = await withProxy({ ...peer, command }, site, async (child, { port }, startedAt) => {
    const { at } = await firstAnswer(port, child);
    return at - startedAt;
  });
  copyFileSync(globSync(join(folder, '*.cpuprofile'))[0]!, file);
  return `first answer after ${ms.toFixed(0)} ms, with the profiler on`;
}

function summary({ nodes, samples, timeDeltas }: Profile, top: number): string {
  const places = new Map<number, string>(nodes.map(({ id, callFrame }) => [id, place(callFrame)]));
  const own = new Map<string, number>();
  let total = 0;
  for (const [i, id] of samples.entries()) {
    const name = places.get(id)!;
    if (name.startsWith('(idle)')) continue;
    own.set(name, (own.get(name) ?? 0) + timeDeltas[i]!);
    total += timeDeltas[i]!;
  }
  const sorted = [...own].toSorted(([, a], [, b]) => b - a).slice(0, top);
  const lines = sorted.map(
    ([name, micros]) =>
      `${((micros / total) * 100).toFixed(1).padStart(5)} %  ${(micros / 1000).toFixed(0).padStart(6)} ms  ${name}`,
  );
  return [`busy ${(total / 1000).toFixed(0)} ms; time of their own:`, ...lines].join('\n');
}

/** A function's name and its place in the sources rather than in the bundle. */
function place({ functionName, url, lineNumber, columnNumber }: Profile['nodes'][number]['callFrame']): string {
  const name = functionName || (url === '' ? '(native)' : '(anonymous)');
  if (!url.startsWith('file:')) return url === '' ? name : `${name}  ${url}:${lineNumber + 1}`;
  const script = fileURLToPath(url);
  if (!maps.has(script)) {
    const text = existsSync(`${script}.map`) ? readFileSync(`${script}.map`, 'utf8') : null;
    maps.set(script, text === null ? null : new SourceMap(JSON.parse(text)));
  }
  const entry = maps.get(script)?.findEntry(lineNumber, columnNumber);
  if (entry === undefined || !('originalSource' in entry))
    return `${name}  ${relative(ROOT, script)}:${lineNumber + 1}`;
  const source = relative(ROOT, resolve(dirname(script), entry.originalSource));
  return `${name}  ${source.replace(/^(\.\.\/)+/, '')}:${entry.originalLine + 1}`;
}
