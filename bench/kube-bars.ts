/**
 * What is promised of pushes beside istiod (issue 5), in one run: Remora, istiod, Remora, each with an API server of its own.
 *   ISTIOD=/path/to/pilot-discovery node bench/kube-bars.ts [--order remora,istiod,remora] [options of bench/kube.ts]
 * istiod runs with PILOT_ENABLE_EDS_DEBOUNCE=false, which is the harder rival for endpoints and the same for routes.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Bar, render, type Series } from './support/report.ts';

/** What bench/kube.ts writes with --json. */
interface Result {
  readonly connectedMb: number;
  readonly endpoint: Stage;
  readonly route: Stage;
  readonly routesAtRate: { readonly p99: number; readonly last: number; readonly rssMb: number };
}
interface Stage {
  readonly p50: number;
  readonly p99: number;
  readonly bytesPerChange: number;
  readonly cpuMsPerChange: number;
  readonly rssMb: number;
}

const METRICS: readonly { metric: string; title: string; digits: number; of(result: Result): number }[] = [
  { metric: 'endpointP50', title: 'endpoint p50 ms', digits: 0, of: ({ endpoint }) => endpoint.p50 },
  { metric: 'endpointP99', title: 'p99 ms', digits: 0, of: ({ endpoint }) => endpoint.p99 },
  { metric: 'endpointCpu', title: 'CPU ms', digits: 0, of: ({ endpoint }) => endpoint.cpuMsPerChange },
  { metric: 'routeP50', title: 'route p50 ms', digits: 0, of: ({ route }) => route.p50 },
  { metric: 'routeP99', title: 'p99 ms', digits: 0, of: ({ route }) => route.p99 },
  { metric: 'routeCpu', title: 'CPU ms', digits: 0, of: ({ route }) => route.cpuMsPerChange },
  { metric: 'routeBytes', title: 'kB', digits: 0, of: ({ route }) => route.bytesPerChange / 1000 },
  { metric: 'rateP99', title: '5/s p99 ms', digits: 0, of: ({ routesAtRate }) => routesAtRate.p99 },
  { metric: 'rateLast', title: 'last p50 ms', digits: 0, of: ({ routesAtRate }) => routesAtRate.last },
  { metric: 'connectedRss', title: 'RSS MB', digits: 0, of: ({ connectedMb }) => connectedMb },
  { metric: 'endpointRss', title: 'endpoints', digits: 0, of: ({ endpoint }) => endpoint.rssMb },
  { metric: 'routeRss', title: 'routes', digits: 0, of: ({ routesAtRate }) => routesAtRate.rssMb },
];

const beside = (metric: string, most: number, text: string): Bar => ({ text, metric, against: 'istiod', most });
const BARS: readonly Bar[] = [
  beside('endpointP99', 1, 'endpoint change, p99: at most 1.0 x istiod without debounce'),
  beside('routeP99', 0.2, 'route change, p99: at most 0.2 x istiod'),
  beside('routeBytes', 0.05, 'route change, bytes: at most 0.05 x istiod'),
  beside('routeCpu', 0.2, 'route change, CPU: at most 0.2 x istiod'),
  // Who falls behind has each change wait for those before it, the last ones most.
  {
    text: '5 route changes a second are held: p50 of the last 2 s at most 400 ms',
    metric: 'rateLast',
    against: null,
    most: 400,
  },
  beside('endpointRss', 1, 'RSS after endpoint changes: at most 1.0 x istiod'),
  beside('routeRss', 1, 'RSS after route changes: at most 1.0 x istiod'),
];

const { values, tokens } = parseArgs({
  options: { order: { type: 'string', default: 'remora,istiod,remora' } },
  strict: false,
  tokens: true,
});
const own = tokens.flatMap((token) =>
  token.kind === 'option' && token.name === 'order' ? [token.index, token.index + 1] : [],
);
const rest = process.argv.slice(2).filter((_, index) => !own.includes(index));
const folder = mkdtempSync(join(tmpdir(), 'remora-kube-bars-'));
const samples = new Map<string, Record<string, number[]>>();
try {
  for (const server of String(values.order).split(',')) {
    console.log(`${server}:`);
    const result = await run(server, join(folder, `${server}.json`));
    const of = samples.get(server) ?? Object.fromEntries(METRICS.map(({ metric }) => [metric, []]));
    for (const { metric, of: pick } of METRICS) of[metric]?.push(pick(result));
    samples.set(server, of);
  }
  const series: Series[] = [...samples].map(([peer, of]) => ({ peer, samples: of }));
  const title = '1,000 services with 10 endpoints each, 200 ADS clients; medians of runs';
  console.log(
    render({ scenario: 'kube', title, columns: METRICS, compared: 'endpointP99', series, bars: BARS, notes: [] }),
  );
} finally {
  rmSync(folder, { recursive: true });
}

function run(server: string, file: string): Promise<Result> {
  const flags = [...(server === 'istiod' ? ['--istiod'] : []), ...rest, '--json', file];
  const env = { ...process.env, PILOT_ENABLE_EDS_DEBOUNCE: 'false' };
  const child = spawn(process.execPath, [join(import.meta.dirname, 'kube.ts'), ...flags], { stdio: 'inherit', env });
  return new Promise((resolve, reject) => {
    child.on('exit', (code) => {
      if (code !== 0) reject(new Error(`the run with ${server} failed`));
      else resolve(JSON.parse(readFileSync(file, 'utf8')) as Result);
    });
  });
}
