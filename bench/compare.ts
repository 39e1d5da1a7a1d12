/**
 * Two commits side by side: `node bench/compare.ts A B [--rounds N] [--seconds S]`. Each is built in a folder
 * of its own; the small scenario runs on both in turn. `.` means the working tree as it is, changes included.
 */
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { SMALL } from './load/small.ts';
import type { Peer } from './rivals/peer.ts';
import { remora } from './rivals/remora.ts';
import { autocannon, findWrk } from './support/load.ts';
import { measureLoad } from './support/measure.ts';
import { run, runToEnd, temporaryFolder } from './support/processes.ts';
import { NODE, ROOT } from './support/programs.ts';
import { median, type Report, render, spread } from './support/report.ts';

const USAGE =
  'usage: node bench/compare.ts A B [--rounds N] [--seconds S]; A and B are commits, or . for the working tree';

await runToEnd(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '5' } },
  });
  if (positionals.length !== 2) throw new Error(USAGE);
  const peers = [await build(positionals[0]!, 'A'), await build(positionals[1]!, 'B')];
  const report = await measureLoad(
    { ...SMALL, bars: [] },
    {
      peers,
      load: findWrk() ?? autocannon,
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      progress: (text) => {
        if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
      },
    },
  );
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  process.stdout.write(`${render(report)}${ratios(report)}\n`);
});

/** The bundle of a revision. Taken out by `git archive`: nothing of it stays in `.git` when this is cut short. */
async function build(revision: string, letter: string): Promise<Peer> {
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
