import { join } from 'node:path';
import type { Peer, Site } from '../rivals/peer.ts';
import { firstAnswer, freePort, pause } from './ask.ts';
import type { Ask, Load } from './load.ts';
import { startOrigin } from './origin.ts';
import { cpuMicros, memory } from './proc.ts';
import { type Child, PROXY_CORE, start, stop, temporaryFolder, WORKER_CORES } from './processes.ts';
import type { Bar, Column, Report, Series } from './report.ts';

export interface Settings {
  readonly peers: readonly Peer[];
  readonly load: Load;
  readonly rounds: number;
  readonly seconds: number;
  readonly progress: (text: string) => void;
}

/** A scenario file exports one. */
export interface Scenario {
  readonly name: string;
  run(settings: Settings): Promise<Report>;
}

export interface LoadScenario {
  readonly name: string;
  readonly title: string;
  readonly connections: number;
  /** Bytes of each answer's body. */
  readonly bodyBytes: number;
  readonly features: boolean;
  /** What is asked; absent: small GETs. */
  readonly ask?: Ask;
  readonly bars: readonly Bar[];
}

/** V8 compiles in the first seconds of load (`open-loop` has these in a column of its own), and where the machine is slow longer. */
export const WARM_UP_SECONDS = 5;
/** From the first answer to the look at an idle proxy's memory. */
export const SETTLE_MS = 500;

const COLUMNS: readonly Column[] = [
  { metric: 'cpu', title: 'CPU µs/request', digits: 1 },
  { metric: 'rate', title: 'requests/s', digits: 0 },
  { metric: 'p50', title: 'p50 ms', digits: 2 },
  { metric: 'p99', title: 'p99 ms', digits: 2 },
  { metric: 'idleRss', title: 'RSS idle MB', digits: 0 },
  { metric: 'rss', title: 'after load', digits: 0 },
  { metric: 'peakRss', title: 'peak', digits: 0 },
];

/**
 * Takes `rounds` samples of every peer, in turn and in another order each round; `measure` names what it measured.
 * `failed` and `late`, where they are given, are summed up in notes.
 */
export async function sampleAll(
  name: string,
  peers: readonly Peer[],
  { rounds, progress }: Pick<Settings, 'rounds' | 'progress'>,
  measure: (peer: Peer) => Promise<Readonly<Record<string, number>>>,
): Promise<{ series: Series[]; notes: string[] }> {
  const series = peers.map((peer): Series => ({ peer: peer.name, samples: {} }));
  const notes = { failed: new Map<string, number>(), late: new Map<string, number>() };
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < peers.length; i++) {
      const at = (i + round) % peers.length;
      const peer = peers[at]!;
      progress(`${name}: round ${round + 1} of ${rounds}, ${peer.name}`);
      for (const [metric, value] of Object.entries(await measure(peer))) {
        const { samples } = series[at]!;
        if (metric === 'failed' || metric === 'late') {
          if (value > 0) notes[metric].set(peer.name, (notes[metric].get(peer.name) ?? 0) + value);
        } else samples[metric] = [...(samples[metric] ?? []), value];
      }
    }
  }
  const failed = [...notes.failed].map(([peer, count]) => `${peer} failed ${count} requests`);
  const late = [...notes.late].map(([peer, count]) => `${peer} answered ${count} requests after more than 2 s`);
  return { series, notes: [...failed, ...late] };
}

/** Every proxy in turn, in another order each round, each time a fresh process. */
export async function measureLoad(scenario: LoadScenario, settings: Settings): Promise<Report> {
  const { load, rounds, seconds } = settings;
  const tls = scenario.ask?.tls === true;
  if (tls && load.name !== 'wrk') throw new Error('TLS is measured by wrk (apt install wrk)');
  const peers = settings.peers.filter((peer) => (!scenario.features || peer.hasFeatures) && (!tls || peer.hasTls));
  const origin = await startOrigin(scenario.bodyBytes, scenario.ask?.uploadBytes !== undefined, scenario.ask?.tls);
  try {
    const { series, notes } = await sampleAll(scenario.name, peers, settings, (peer) =>
      measureOnce(peer, scenario, origin.port, load, seconds),
    );
    return {
      scenario: scenario.name,
      title: `${scenario.title}, ${load.name}, backend ${origin.kind}, medians of ${rounds} × ${seconds} s`,
      columns: COLUMNS,
      compared: 'cpu',
      series,
      bars: scenario.bars,
      notes,
    };
  } finally {
    await stop(origin.child);
  }
}

type Sample = {
  readonly cpu: number;
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly idleRss: number;
  readonly rss: number;
  readonly peakRss: number;
  readonly failed: number;
  readonly late: number;
};

async function measureOnce(
  peer: Peer,
  scenario: LoadScenario,
  backend: number,
  load: Load,
  seconds: number,
): Promise<Sample> {
  return withProxy(
    peer,
    { backend, features: scenario.features, tls: scenario.ask?.tls === true },
    async (child, site) => {
      const { bodyBytes } = await firstAnswer(site.port, child, undefined, undefined, site.tls);
      if (bodyBytes !== scenario.bodyBytes) {
        throw new Error(`${peer.name} answers ${bodyBytes} bytes, not ${scenario.bodyBytes}`);
      }
      await pause(SETTLE_MS);
      const idleRss = memory(child.pid).rss;
      await load.run(site.port, scenario.connections, WARM_UP_SECONDS, scenario.ask);
      const before = cpuMicros(child.pid);
      const result = await load.run(site.port, scenario.connections, seconds, scenario.ask);
      if (!child.running) throw new Error(`ended under load. ${child.complaint()}`);
      if (result.answered === 0) throw new Error(`${peer.name} answered nothing in ${seconds} s. ${child.complaint()}`);
      const cpu = (cpuMicros(child.pid) - before) / result.answered;
      const { rss, peak } = memory(child.pid);
      const { perSecond, p50, p99, failed, late = 0 } = result;
      return { cpu, rate: perSecond, p50, p99, idleRss, rss, peakRss: peak, failed, late };
    },
  );
}

/** Starts a proxy on ports and a folder of its own, and ends it when `use` is through. */
export async function withProxy<T>(
  peer: Peer,
  wanted: Omit<Site, 'folder' | 'port' | 'adminPort'>,
  use: (child: Child, site: Site, startedAt: number) => Promise<T>,
): Promise<T> {
  const folder = temporaryFolder();
  const site: Site = { ...wanted, folder, port: await freePort(), adminPort: await freePort() };
  const argv = peer.command(site);
  const startedAt = performance.now();
  const child = start(peer.name, argv, {
    core: peer.workers === undefined ? PROXY_CORE : WORKER_CORES,
    ...(peer.env === undefined ? {} : { env: peer.env }),
    ...(peer.logsToStdout ? { stdoutFile: join(folder, 'access.log') } : {}),
  });
  try {
    return await use(child, site, startedAt);
  } finally {
    await stop(child);
  }
}
