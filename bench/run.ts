/**
 * Remora beside its rivals, in one run. `npm run bench` needs npm packages only (autocannon, http-proxy);
 * `npm run bench:rivals` adds wrk, Envoy, nginx and HAProxy where they are found. See README.md.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { activeConnections } from './load/active-connections.ts';
import { body1m } from './load/body-1m.ts';
import { bookinfo } from './load/bookinfo.ts';
import { features } from './load/features.ts';
import { idleConnections } from './load/idle-connections.ts';
import { openLoop } from './load/open-loop.ts';
import { routeTables } from './load/route-tables.ts';
import { small } from './load/small.ts';
import { startup } from './load/startup.ts';
import { handshakes, tls } from './load/tls.ts';
import { upload1m } from './load/upload-1m.ts';
import { workers } from './load/workers.ts';
import type { Peer } from './rivals/peer.ts';
import { peers as allPeers } from './rivals/peers.ts';
import { autocannon, findWrk, type Load } from './support/load.ts';
import type { Scenario } from './support/measure.ts';
import { CORES, PINNED, runToEnd } from './support/processes.ts';
import { BUNDLE, ROOT } from './support/programs.ts';
import { judge, median, type Report, render } from './support/report.ts';

const SCENARIOS: readonly Scenario[] = [
  small,
  features,
  body1m,
  upload1m,
  tls,
  handshakes,
  openLoop,
  idleConnections,
  activeConnections,
  routeTables,
  bookinfo,
  workers,
  startup,
];

const USAGE = `node bench/run.ts [options]
  --rivals        load by wrk, and Envoy, nginx and HAProxy beside, where they are found
  --rounds N      rounds of each load scenario (3)
  --seconds S     measured seconds a round (5)
  --only NAMES    scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}
  --peers NAMES   only these proxies
  --bundle FILE   measure another build's remora.js than dist/remora.js
  --json          print JSON instead of tables
  --save          write bench/results/<date>-<commit>.json`;

await runToEnd(async () => {
  const { values } = parseArgs({
    options: {
      rivals: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '5' },
      only: { type: 'string', multiple: true },
      peers: { type: 'string', multiple: true },
      bundle: { type: 'string', default: BUNDLE },
      json: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const print = (text: string): void => {
    (values.json ? process.stderr : process.stdout).write(`${text}\n`);
  };
  const scenarios = chosen('scenario', SCENARIOS, values.only);
  const candidates = chosen('proxy', allPeers(values.rivals, resolve(values.bundle)), values.peers);
  const peers = candidates.filter(({ missing }) => missing === null);
  for (const { name, missing } of candidates) if (missing !== null) print(`without ${name}: ${missing}`);
  if (!PINNED) print('without pinning: no taskset, or one core only; the proxy shares its core with its load');
  if (peers.length === 0) throw new Error('no proxy to measure');
  const load = chooseLoad(values.rivals, print);
  const settings = {
    peers,
    load,
    rounds: positive('--rounds', values.rounds),
    seconds: positive('--seconds', values.seconds),
    progress: (text: string) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
    },
  };
  const reports: Report[] = [];
  for (const scenario of scenarios) {
    const report = await scenario.run(settings);
    settings.progress('');
    reports.push(report);
    print(render(report));
  }
  const result = describe(reports, peers, load);
  if (values.json) process.stdout.write(`${JSON.stringify(result, null, 1)}\n`);
  if (values.save) print(`saved ${save(result)}`);
});

function chooseLoad(rivals: boolean, print: (text: string) => void): Load {
  if (!rivals) return autocannon;
  const wrk = findWrk();
  if (wrk === null) print('without wrk: not installed (apt install wrk); autocannon makes the load');
  return wrk ?? autocannon;
}

/** Those whose names were given, by commas or repetition; all when none was. */
function chosen<T extends { readonly name: string }>(what: string, all: readonly T[], given?: string[]): readonly T[] {
  if (given === undefined) return all;
  return given
    .flatMap((names) => names.split(','))
    .map((name) => {
      const found = all.find((one) => one.name === name);
      if (found !== undefined) return found;
      throw new Error(`there is no ${what} ${name}; there are ${all.map((one) => one.name).join(', ')}`);
    });
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} ${text}: must be a whole number above 0`);
  return value;
}

interface Result {
  readonly date: string;
  readonly commit: string;
  readonly [more: string]: unknown;
}

function describe(reports: readonly Report[], peers: readonly Peer[], load: Load): Result {
  const changed = git('status', '--porcelain', '--', 'src') !== '';
  return {
    date: new Date().toISOString(),
    commit: `${git('rev-parse', '--short=10', 'HEAD')}${changed ? '-dirty' : ''}`,
    machine: { cpu: cpus()[0]?.model, cores: CORES, kernel: release(), node: process.version },
    load: load.name,
    versions: Object.fromEntries(peers.map((peer) => [peer.name, versionOf(peer)])),
    scenarios: reports.map((report) => ({
      name: report.scenario,
      title: report.title,
      peers: Object.fromEntries(
        report.series.map(({ peer, samples }) => [
          peer,
          Object.fromEntries(Object.entries(samples).map(([metric, all]) => [metric, { median: median(all), all }])),
        ]),
      ),
      bars: judge(report),
      notes: report.notes,
    })),
  };
}

function versionOf({ version }: Peer): string {
  const { stdout, stderr } = spawnSync(version[0]!, version.slice(1), { encoding: 'utf8', timeout: 10_000 });
  return (stdout || stderr).trim().split('\n')[0] ?? '';
}

function git(...args: string[]): string {
  try {
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function save(result: Result): string {
  const folder = join(ROOT, 'bench/results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${result.date.slice(0, 10)}-${result.commit}.json`);
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  return file;
}
