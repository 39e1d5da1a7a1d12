/**
 * ns per endpoint choice through `UpstreamCluster.pick`, for each policy at 3, 100 and 1,000 endpoints, with equal
 * and with mixed weights, while endpoints are busy to differing degrees.
 * Run: node_modules/.bin/node bench/micro/pick.ts
 */
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { TimerWheel } from '../../src/base/timer-wheel.ts';
import type { Cluster } from '../../src/model/cluster.ts';
import { StatStore } from '../../src/proxy/telemetry/metrics/store.ts';
import { TlsContexts } from '../../src/proxy/tls/contexts.ts';
import { UpstreamCluster, type UpstreamEnvironment } from '../../src/proxy/upstream/cluster.ts';
import { standardBalancers } from '../../src/proxy/upstream/lb/standard.ts';

const ROUNDS = 7;
const PICKS = 1_000_000;
const CONTEXT = { hash: null, avoid: null, originalDestination: null, request: null };
const LIMITS = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3, retryBudget: null };

const parts = {
  clock: systemClock,
  wheel: new TimerWheel(systemClock),
  stats: new StatStore(),
  log: silentLogger(systemClock),
};
const env: UpstreamEnvironment = {
  ...parts,
  random: systemRandom,
  tls: new TlsContexts(parts),
  balancers: standardBalancers,
  resolve: () => Promise.reject(new Error('not used')),
};

function cluster(policy: string, endpoints: number, weight: (i: number) => number): UpstreamCluster {
  const config: Cluster = {
    name: 'bench',
    statName: 'bench',
    discovery: {
      kind: 'STATIC',
      assignment: {
        clusterName: 'bench',
        overprovisioningFactor: 140,
        dropOverloads: [],
        localities: [
          {
            locality: { region: '', zone: '', subZone: '' },
            weight: 0,
            priority: 0,
            endpoints: Array.from({ length: endpoints }, (_, i) => ({
              address: { host: `10.0.${i >> 8}.${i & 255}`, port: 80 },
              hostname: '',
              weight: weight(i),
              health: 'HEALTHY' as const,
              workload: '',
            })),
          },
        ],
      },
    },
    connectTimeoutMs: 5000,
    lbPolicy: { kind: policy, config: standardBalancers.get(policy)!.defaults },
    perConnectionBufferLimitBytes: 1 << 20,
    circuitBreakers: { default: LIMITS, high: LIMITS },
    outlierDetection: null,
    maxRequestsPerConnection: 0,
    idleTimeoutMs: 0,
    maxConnectionDurationMs: 0,
    protocol: 'HTTP1',
    healthyPanicThreshold: 50,
    tcpKeepalive: null,
    bindAddress: null,
    origin: '',
    service: null,
  };
  const made = new UpstreamCluster(config, env);
  for (const [i, endpoint] of [...made.endpoints()].entries()) endpoint.activeRequests = i % 4;
  return made;
}

let sink = 0;

/** Median of the rounds' CPU time, ns a pick. */
function measure(made: UpstreamCluster): number {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const since = process.cpuUsage();
    for (let i = 0; i < PICKS; i++) sink += made.pick(CONTEXT)!.port;
    const { user, system } = process.cpuUsage(since);
    rounds.push(((user + system) * 1000) / PICKS);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
}

const SIZES = [3, 100, 1000];
console.log(`ns per pick, CPU time, median of ${ROUNDS} × ${PICKS.toLocaleString('en')}; node ${process.version}`);
console.log(`${'policy'.padEnd(28)}${SIZES.map((n) => String(n).padStart(8)).join('')}`);
for (const policy of standardBalancers.names()) {
  for (const [weights, weight] of [
    ['equal', () => 1],
    ['mixed', (i: number) => 1 + (i % 5)],
  ] as const) {
    const row = SIZES.map((n) =>
      measure(cluster(policy, n, weight))
        .toFixed(1)
        .padStart(8),
    );
    console.log(`${`${policy}, ${weights} weights`.padEnd(28)}${row.join('')}`);
  }
}
if (sink === 0) throw new Error('nothing was picked');
