import { hostName, indexes, type RouteTable, routePath } from '../rivals/peer.ts';
import { firstAnswer } from '../support/ask.ts';
import type { Ask } from '../support/load.ts';
import { type Scenario, type Settings, sampleAll, WARM_UP_SECONDS, withProxy } from '../support/measure.ts';
import { smallBody, startOrigin } from '../support/origin.ts';
import { cpuMicros, memory } from '../support/proc.ts';
import { stop } from '../support/processes.ts';
import type { Report } from '../support/report.ts';

const TABLES: readonly (RouteTable & { readonly metric: string; readonly title: string })[] = [
  { metric: 'hosts10', title: '10 hosts', hosts: 10, routes: 1 },
  { metric: 'hosts1000', title: '1,000 hosts', hosts: 1000, routes: 1 },
  { metric: 'hosts10000', title: '10,000 hosts', hosts: 10_000, routes: 1 },
  { metric: 'routes1000', title: '1,000 routes', hosts: 1, routes: 1000 },
];

/** Large configs take their time to be read. */
const START_MS = 60_000;

/** What routing costs in small and large tables of exact hosts and exact paths; CPU µs/request of each. */
export const routeTables: Scenario = { name: 'route-tables', run };

async function run(settings: Settings): Promise<Report> {
  const { rounds, seconds, load, progress } = settings;
  // http-proxy has no routes.
  const peers = settings.peers.filter(({ name }) => name !== 'http-proxy');
  const origin = await startOrigin(smallBody.length);
  try {
    const { series, notes } = await sampleAll('route-tables', peers, settings, async (peer) => {
      const sample: Record<string, number> = { failed: 0 };
      for (const { metric, ...table } of TABLES) {
        progress(`route-tables: ${peer.name}, ${table.title}`);
        await withProxy(peer, { backend: origin.port, features: false, table }, async (child, { port }) => {
          await firstAnswer(port, child, undefined, START_MS);
          const ask = asking(table);
          await load.run(port, 64, WARM_UP_SECONDS, ask);
          const before = cpuMicros(child.pid);
          const { answered, failed } = await load.run(port, 64, seconds, ask);
          if (answered === 0) throw new Error(`${peer.name} answered nothing. ${child.complaint()}`);
          sample[metric] = (cpuMicros(child.pid) - before) / answered;
          sample['rss'] = Math.max(sample['rss'] ?? 0, memory(child.pid).rss);
          sample['failed']! += failed;
        });
      }
      sample['hostsRatio'] = sample['hosts10000']! / sample['hosts10']!;
      sample['routesRatio'] = sample['routes1000']! / sample['hosts10']!;
      return sample;
    });
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

/** Requests spread evenly over the table. */
function asking({ hosts, routes }: RouteTable): Ask {
  return {
    targets: indexes(512).map((i) => ({
      host: `${hostName(Math.floor((i * hosts) / 512))}:9080`,
      target: routePath(Math.floor((i * routes) / 512)),
    })),
  };
}
