import { hostName, indexes, type Peer, type RouteTable, routePath } from '../rivals/peer.ts';
import { firstAnswer } from '../support/ask.ts';
import type { Ask } from '../support/load.ts';
import { type Scenario, type Settings, sampleAll, WARM_UP_SECONDS, withProxy } from '../support/measure.ts';
import { smallBody, startOrigin } from '../support/origin.ts';
import { cpuMicros, memory } from '../support/proc.ts';
import { type Child, stop } from '../support/processes.ts';
import type { Report } from '../support/report.ts';

const TABLES: readonly (RouteTable & { readonly metric: string; readonly title: string })[] = [
  { metric: 'hosts10', title: '10 hosts', hosts: 10, routes: 1 },
  { metric: 'hosts1000', title: '1,000 hosts', hosts: 1000, routes: 1 },
  { metric: 'hosts10000', title: '10,000 hosts', hosts: 10_000, routes: 1 },
  { metric: 'routes1000', title: '1,000 routes', hosts: 1, routes: 1000 },
];

/** Large configs take their time to be read. */
const START_MS = 60_000;
const CONNECTIONS = 64;

/** What routing costs in small and large tables of exact hosts and exact paths; CPU µs/request of each. */
export const routeTables: Scenario = { name: 'route-tables', run };

async function run(settings: Settings): Promise<Report> {
  const { rounds, seconds, load, progress } = settings;
  // http-proxy has no routes.
  const peers = settings.peers.filter(({ name }) => name !== 'http-proxy');
  const origin = await startOrigin(smallBody.length);
  try {
    const { series, notes } = await sampleAll('route-tables', peers, settings, (peer) =>
      withTables(peer, origin.port, async (running) => {
        const sample: Record<string, number> = { failed: 0, rss: 0 };
        for (const { port, ask } of running) await load.run(port, CONNECTIONS, WARM_UP_SECONDS, ask);
        // By turns of a second: the machine's speed changes from minute to minute, and their ratio is what is asked.
        for (let turn = 0; turn < seconds; turn++) {
          progress(`route-tables: ${peer.name}, ${turn + 1} of ${seconds} s`);
          for (const table of running) {
            const before = cpuMicros(table.child.pid);
            const { answered, failed } = await load.run(table.port, CONNECTIONS, 1, table.ask);
            table.cpu += cpuMicros(table.child.pid) - before;
            table.answered += answered;
            sample['failed']! += failed;
          }
        }
        for (const { metric, child, cpu, answered } of running) {
          if (answered === 0) throw new Error(`${peer.name} answered nothing. ${child.complaint()}`);
          sample[metric] = cpu / answered;
          sample['rss'] = Math.max(sample['rss']!, memory(child.pid).rss);
        }
        sample['hostsRatio'] = sample['hosts10000']! / sample['hosts10']!;
        sample['routesRatio'] = sample['routes1000']! / sample['hosts10']!;
        return sample;
      }),
    );
    return {
      scenario: 'route-tables',
      title: `CPU µs/request by table, exact hosts and paths in turn, ${load.name}, medians of ${rounds} × ${seconds} s`,
      columns: [
        ...TABLES.map(({ metric, title }) => ({ metric, title, digits: 1 })),
        { metric: 'hostsRatio', title: '10,000 / 10 hosts', digits: 2 },
        { metric: 'routesRatio', title: '1,000 routes / 10 hosts', digits: 2 },
        { metric: 'rss', title: 'RSS of the largest MB', digits: 0 },
      ],
      compared: 'hosts10000',
      series,
      bars: [
        // What 10,000 hosts cost beyond is the processor's caches: no proxy is flat to the last percent.
        { text: '10,000 hosts at most 1.15 × 10 hosts', metric: 'hostsRatio', against: null, most: 1.15 },
        { text: '1,000 routes at most 1.15 × 10 hosts', metric: 'routesRatio', against: null, most: 1.15 },
      ],
      notes,
    };
  } finally {
    await stop(origin.child);
  }
}

/** A proxy with one of the tables. */
interface Running {
  readonly metric: string;
  readonly child: Child;
  readonly port: number;
  readonly ask: Ask;
  cpu: number;
  answered: number;
}

/** Starts a proxy for each table, and ends them when `use` is through. */
function withTables<T>(
  peer: Peer,
  backend: number,
  use: (running: readonly Running[]) => Promise<T>,
  running: readonly Running[] = [],
): Promise<T> {
  const next = TABLES[running.length];
  if (next === undefined) return use(running);
  const { metric, ...table } = next;
  return withProxy(peer, { backend, features: false, table }, async (child, { port }) => {
    await firstAnswer(port, child, undefined, START_MS);
    return withTables(peer, backend, use, [
      ...running,
      { metric, child, port, ask: asking(table), cpu: 0, answered: 0 },
    ]);
  });
}

/**
 * Requests spread evenly over the table, each for another host or path than the one before: the host of the last request is
 * found again for nothing, which would be the small table's gain alone.
 */
function asking({ hosts, routes }: RouteTable): Ask {
  return {
    targets: indexes(ASKED).map((i) => {
      const at = ((i * STRIDE) % ASKED) / ASKED;
      return { host: `${hostName(Math.floor(at * hosts))}:9080`, target: routePath(Math.floor(at * routes)) };
    }),
  };
}
const ASKED = 512;
const STRIDE = 197;
