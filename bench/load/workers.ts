import type { Peer } from '../rivals/peer.ts';
import { type LoadScenario, measureLoad, type Scenario, type Settings } from '../support/measure.ts';
import { smallBody } from '../support/origin.ts';
import { CORES } from '../support/processes.ts';
import type { Report } from '../support/report.ts';

const COUNTS = [1, 2] as const;

const WORKERS: LoadScenario = {
  name: 'workers',
  title: 'small with one thread that serves and with two, on two cores',
  connections: 64,
  bodyBytes: smallBody.length,
  features: false,
  bars: [],
};

/** What a second worker brings, and weighs. */
export const workers: Scenario = { name: WORKERS.name, run };

async function run(settings: Settings): Promise<Report> {
  const peers = settings.peers
    .filter(({ hasWorkers }) => hasWorkers === true)
    .flatMap((peer) => COUNTS.map((count) => withWorkers(peer, count)));
  const report = await measureLoad(WORKERS, { ...settings, peers });
  const shared =
    CORES < 4
      ? [`${CORES} cores: load and backend take a part of those of the proxy, and rates are not what it can`]
      : [];
  return { ...report, notes: [...report.notes, ...shared] };
}

function withWorkers(peer: Peer, workers: number): Peer {
  return {
    ...peer,
    name: workers === 1 ? peer.name : `${peer.name} × ${workers}`,
    workers,
    command: (site) => peer.command({ ...site, workers }),
  };
}
