import { silentLogger } from '../../../../src/base/log.ts';
import { seededRandom } from '../../../../src/base/random.ts';
import { TimerWheel } from '../../../../src/base/timer-wheel.ts';
import type { Cluster } from '../../../../src/model/cluster.ts';
import type { HealthStatus, LoadAssignment } from '../../../../src/model/endpoint.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { TlsContexts } from '../../../../src/proxy/tls/contexts.ts';
import type { UpstreamEnvironment } from '../../../../src/proxy/upstream/cluster.ts';
import type { UpstreamEndpoint } from '../../../../src/proxy/upstream/endpoint.ts';
import { standardBalancers } from '../../../../src/proxy/upstream/lb/standard.ts';
import type { EndpointPool } from '../../../../src/proxy/upstream/pool/pool.ts';
import { type ManualClock, manualClock } from '../../../support/clock.ts';

const THRESHOLDS = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: null,
} as const;

export const CONTEXT = { hash: null, avoid: null, originalDestination: null, request: null } as const;

export interface Host {
  readonly at: string;
  readonly health?: HealthStatus;
  readonly weight?: number;
  readonly priority?: number;
}

/** An assignment of `host:port` texts or {@link Host}s, grouped by priority. */
export function assignment(...hosts: (string | Host)[]): LoadAssignment {
  const full = hosts.map((host) => (typeof host === 'string' ? { at: host } : host));
  const priorities = [...new Set(full.map((host) => host.priority ?? 0))].sort();
  return {
    clusterName: 'c',
    overprovisioningFactor: 140,
    dropOverloads: [],
    localities: priorities.map((priority) => ({
      locality: { region: '', zone: '', subZone: '' },
      weight: 0,
      priority,
      endpoints: full
        .filter((host) => (host.priority ?? 0) === priority)
        .map((host) => ({
          address: { host: host.at.split(':')[0]!, port: Number(host.at.split(':')[1] ?? 80) },
          hostname: '',
          weight: host.weight ?? 1,
          health: host.health ?? 'HEALTHY',
          workload: '',
        })),
    })),
  };
}

export function clusterConfig(overrides: Partial<Cluster> = {}): Cluster {
  return {
    name: 'c',
    statName: 'c',
    discovery: { kind: 'EDS', serviceName: 'c' },
    connectTimeoutMs: 5000,
    lbPolicy: { kind: 'round_robin', config: null },
    perConnectionBufferLimitBytes: 1 << 20,
    circuitBreakers: { default: THRESHOLDS, high: THRESHOLDS },
    outlierDetection: null,
    maxRequestsPerConnection: 0,
    idleTimeoutMs: 3_600_000,
    maxConnectionDurationMs: 0,
    protocol: 'HTTP1',
    healthyPanicThreshold: 50,
    tcpKeepalive: null,
    bindAddress: null,
    origin: '',
    service: null,
    ...overrides,
  };
}

export interface TestEnvironment extends UpstreamEnvironment {
  readonly clock: ManualClock;
}

export function environment(overrides: Partial<UpstreamEnvironment> = {}): TestEnvironment {
  const clock = manualClock();
  const parts = { clock, wheel: new TimerWheel(clock), stats: new StatStore(), log: silentLogger(clock) };
  return {
    ...parts,
    random: seededRandom(1),
    tls: new TlsContexts(parts),
    balancers: standardBalancers,
    resolve: () => Promise.reject(new Error('no resolver')),
    ...overrides,
  } as TestEnvironment;
}

/** A pool that notes what is asked of it. */
export class FakePool implements EndpointPool {
  connections = 1;
  drained = false;
  drain(): void {
    this.drained = true;
    this.connections = 0;
  }
  destroy(): void {
    this.drain();
  }
}

export function withPool(endpoint: UpstreamEndpoint): FakePool {
  const pool = new FakePool();
  endpoint.pool = pool;
  return pool;
}

/** The value of a series by its dotted name; undefined when there is none. */
export function stat(store: StatStore, dotted: string): number | undefined {
  for (const series of store.series()) if (series.dotted === dotted) return store.value(series.id);
  return undefined;
}
