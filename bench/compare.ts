/**
 * Two commits side by side: `node bench/compare.ts A B [--only NAMES] [--rounds N] [--seconds S] [--together]`. Each is
 * built in a folder of its own; the scenarios (small, if none is named) run on both in turn, or at the same time, which shows
 * differences of a hundredth. `.` means the working tree as it is, changes included; a name that ends in `.js` is a bundle
 * that is built already, and a rival's name that rival, as in `node bench/compare.ts envoy . --together --only tls`.
 */
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { BODY_1M } from './load/body-1m.ts';
import { FEATURES } from './load/features.ts';
import { SMALL } from './load/small.ts';
import { HANDSHAKES, TLS } from './load/tls.ts';
import { UPLOAD_1M } from './load/upload-1m.ts';
import type { Peer } from './rivals/peer.ts';
import { peers } from './rivals/peers.ts';
import { remora } from './rivals/remora.ts';
import { autocannon, findWrk } from './support/load.ts';
import { type LoadScenario, measureLoad, type Settings } from './support/measure.ts';
import { run, runToEnd, temporaryFolder } from './support/processes.ts';
import { BUNDLE, NODE, ROOT } from './support/programs.ts';
import { median, type Report, render, spread } from './support/report.ts';
import { measureTogether } from './support/together.ts';

const SCENARIOS: readonly LoadScenario[] = [SMALL, FEATURES, BODY_1M, UPLOAD_1M, TLS, HANDSHAKES];

const USAGE = `usage: node bench/compare.ts A B [--only NAMES] [--rounds N] [--seconds S] [--together]
A and B are commits, . for the working tree, built bundles (*.js) or rivals (envoy); scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}`;

await runToEnd(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', default: 'small' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '5' },
      together: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 2) throw new Error(USAGE);
  const scenarios = values.only.split(',').map((name) => {
    const found = SCENARIOS.find((scenario) => scenario.name === name);
    if (found === undefined) throw new Error(USAGE);
    return found;
  });
  const settings = {
    peers: [await build(positionals[0]!, 'A'), await build(positionals[1]!, 'B')],
    load: findWrk() ?? autocannon,
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    progress: (text: string) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
    },
  };
  for (const scenario of scenarios) {
    const text = values.together ? await measureTogether(scenario, settings) : await inTurn(scenario, settings);
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    process.stdout.write(`${text}\n`);
  }
});

/** The bundle of a revision. Taken out by `git archive`: nothing of it stays in `.git` when this is cut short. */
async function build(revision: string, letter: string): Promise<Peer> {
  if (revision.endsWith('.js')) {
    return remora({ name: `${letter} ${revision}`, bundle: resolve(revision), compileCache: temporaryFolder() });
  }
  const rival = peers(true, BUNDLE).find(({ name }) => name === revision && name !== 'remora');
  if (rival !== undefined) {
    if (rival.missing !== null) throw new Error(rival.missing);
    return rival;
  }
  const folder = join(temporaryFolder(), 'tree');
  mkdirSync(folder);
  let label = revision;
  if (revision === '.') {
    const files = await run(
      ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'],
      ROOT,
    );
    const deleted = new Set((await run(['git', 'ls-files', '-z', '--deleted'], ROOT)).split('\0'));
    for (const file of files.split('\0')) if (file !== '' && !deleted.has(file)) copy(file, folder);
    label = 'working tree';
  } else {
    const commit = (await run(['git', 'rev-parse', '--verify', `${revision}^{commit}`], ROOT)).trim();
    const archive = join(dirname(folder), 'tree.tar');
    await run(['git', 'archive', '--output', archive, commit], ROOT);
    await run(['tar', '-xf', archive, '-C', folder]);
    label = commit.slice(0, 10);
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  // Not .ci/setup.mjs: its stamps lie in node_modules, which is this checkout's.
  await run([NODE, join(folder, 'src/xds/proto/generate.ts')], folder);
  await run([NODE, join(folder, '.ci/bundle.mjs')], folder);
  const precompile = join(folder, '.ci/precompile.mjs');
  if (existsSync(precompile)) await run([NODE, precompile], folder);
  return remora({
    name: `${letter} ${label}`,
    bundle: join(folder, 'dist/remora.js'),
    compileCache: temporaryFolder(),
  });
}

function copy(file: string, folder: string): void {
  const to = join(folder, file);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(join(ROOT, file), to);
}

async function inTurn(scenario: LoadScenario, settings: Settings): Promise<string> {
  const report = { ...(await measureLoad(scenario, settings)), bars: [] };
  return render(report) + ratios(report);
}

function ratios(report: Report): string {
  const [a, b] = report.series;
  const lines = report.columns.map(({ metric, title }) => {
    const before = a!.samples[metric]!;
    const after = b!.samples[metric]!;
    const noise = Math.max(spread(before), spread(after));
    return `  ${title.padEnd(16)} B / A = ${(median(after) / median(before)).toFixed(3)}   (spread of one: ±${noise.toFixed(0)} %)`;
  });
  return lines.join('\n');
}
