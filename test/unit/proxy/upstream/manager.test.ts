import { describe, expect, it } from 'vitest';
import type { Cluster, OutlierDetection } from '../../../../src/model/cluster.ts';
import type { LoadAssignment } from '../../../../src/model/endpoint.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { ClusterManager } from '../../../../src/proxy/upstream/manager.ts';
import { assignment, CONTEXT, clusterConfig, environment, stat, withPool } from './support.ts';

const OUTLIER: OutlierDetection = {
  consecutive5xx: 1,
  enforcingConsecutive5xx: 100,
  consecutiveGatewayFailure: 0,
  enforcingConsecutiveGatewayFailure: 0,
  splitExternalLocalOriginErrors: false,
  consecutiveLocalOriginFailure: 0,
  enforcingConsecutiveLocalOriginFailure: 0,
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionTimeJitterMs: 0,
  maxEjectionPercent: 100,
};

const named = (...configs: Cluster[]) => new Map(configs.map((config) => [config.name, config]));
const eds = (of: Record<string, LoadAssignment>) => new Map(Object.entries(of));
const NOTHING = new Map<string, LoadAssignment>();

function manager() {
  const env = environment();
  return { manager: new ClusterManager(env), env };
}

describe('applying clusters', () => {
  it('adds, keeps, changes and removes, and says which', () => {
    const { manager: m } = manager();
    const a = clusterConfig({ name: 'a' });
    expect(m.apply(named(a, clusterConfig({ name: 'b' })), NOTHING)).toEqual({
      added: ['a', 'b'],
      changed: [],
      removed: [],
    });
    const before = m.get('a');
    const result = m.apply(named(clusterConfig({ name: 'a' }), clusterConfig({ name: 'd' })), NOTHING);
    expect(result).toEqual({ added: ['d'], changed: [], removed: ['b'] });
    expect(m.get('a')).toBe(before);
    expect(m.get('b')).toBeUndefined();
  });

  it('keeps the object when only the order of keys differs', () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), NOTHING);
    const before = m.get('c');
    const turned = Object.fromEntries(Object.entries(clusterConfig()).reverse()) as unknown as Cluster;
    expect(m.apply(named(turned), NOTHING).changed).toEqual([]);
    expect(m.get('c')).toBe(before);
  });

  it('drains the endpoints of a cluster that is gone', () => {
    const { manager: m, env } = manager();
    m.apply(named(clusterConfig()), eds({ c: assignment('a') }));
    const pool = withPool(m.get('c')!.pick(CONTEXT)!);
    m.apply(new Map(), NOTHING);
    expect(pool.drained).toBe(true);
    expect(stat(env.stats, 'cluster.c.membership_total')).toBe(0);
  });

  it('leaves clusters in place when it only stages', () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), NOTHING);
    m.stage(named(clusterConfig({ name: 'd' })), NOTHING);
    expect(m.get('c')).toBeDefined();
    expect(m.prune(new Set(['d']))).toEqual(['c']);
    expect(m.get('c')).toBeUndefined();
  });
});

describe('a changed config', () => {
  it('closes no connection when nothing that concerns connections changed', () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), eds({ c: assignment('a', 'b') }));
    const old = m.get('c')!;
    const [a] = [...old.endpoints()];
    const pool = withPool(a!);
    old.breakers.DEFAULT.requests.acquire();
    m.apply(named(clusterConfig({ outlierDetection: OUTLIER, connectTimeoutMs: 1 })), eds({ c: assignment('a', 'b') }));
    const next = m.get('c')!;
    expect(next).not.toBe(old);
    expect([...next.endpoints()][0]).toBe(a);
    expect(a!.pool).toBe(pool);
    expect(pool.drained).toBe(false);
    expect(a!.present).toBe(true);
    old.breakers.DEFAULT.requests.release();
    expect(next.breakers.DEFAULT.requests.count).toBe(0);
  });

  it('replaces pools, but not endpoints, when it concerns connections', () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), eds({ c: assignment('a') }));
    const [a] = [...m.get('c')!.endpoints()];
    const pool = withPool(a!);
    m.apply(named(clusterConfig({ tcpKeepalive: { timeMs: 1000 } })), NOTHING);
    expect([...m.get('c')!.endpoints()][0]).toBe(a);
    expect(pool.drained).toBe(true);
    expect(a!.pool).toBeNull();
  });

  it('takes new limits for what is under way', () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), NOTHING);
    m.get('c')!.breakers.DEFAULT.requests.acquire();
    const { circuitBreakers } = clusterConfig();
    m.apply(
      named(
        clusterConfig({
          circuitBreakers: { ...circuitBreakers, default: { ...circuitBreakers.default, maxRequests: 1 } },
        }),
      ),
      eds({ c: assignment('a') }),
    );
    expect(m.get('c')!.breakers.DEFAULT.requests.acquire()).toBe(false);
  });

  it('keeps ejections, and lets everybody back when outlier detection is taken away', () => {
    const { manager: m, env } = manager();
    const config = { outlierDetection: OUTLIER, healthyPanicThreshold: 0 };
    m.apply(named(clusterConfig(config)), eds({ c: assignment('a', 'b') }));
    const [a] = [...m.get('c')!.endpoints()];
    m.get('c')!.recordResponse(a!, 500);
    m.apply(named(clusterConfig({ ...config, connectTimeoutMs: 7 })), NOTHING);
    expect(m.get('c')!.membership).toEqual({ total: 2, healthy: 1, degraded: 0, ejected: 1 });
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_active')).toBe(1);
    env.clock.advance(31_000);
    expect(m.get('c')!.membership.ejected).toBe(0);
    m.get('c')!.recordResponse(a!, 500);
    m.apply(named(clusterConfig({ healthyPanicThreshold: 0 })), NOTHING);
    expect(m.get('c')!.membership).toEqual({ total: 2, healthy: 2, degraded: 0, ejected: 0 });
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_active')).toBe(0);
  });

  it('serves under the old config until the new one is warm', async () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), eds({ c: assignment('a', 'b') }));
    const old = m.get('c')!;
    const endpoints = [...old.endpoints()];
    const pools = endpoints.map(withPool);
    m.apply(named(clusterConfig({ discovery: { kind: 'EDS', serviceName: 'other' } })), NOTHING);
    expect(m.get('c')).toBe(old);
    let warm = false;
    const waiting = m.whenWarm(['c']).then(() => {
      warm = true;
    });
    await Promise.resolve();
    expect(warm).toBe(false);
    m.stage(
      m.get('c') === old ? named(clusterConfig({ discovery: { kind: 'EDS', serviceName: 'other' } })) : new Map(),
      eds({ other: assignment('b', 'd') }),
    );
    await waiting;
    const next = m.get('c')!;
    expect(next).not.toBe(old);
    expect([...next.endpoints()].map((e) => e.address)).toEqual(['b:80', 'd:80']);
    expect([...next.endpoints()][0]).toBe(endpoints[1]);
    expect(pools.map((pool) => pool.drained)).toEqual([true, false]);
  });

  it('that is changed again before it was warm leaves no one waiting', async () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), eds({ c: assignment('a') }));
    m.apply(named(clusterConfig({ discovery: { kind: 'EDS', serviceName: 'x' } })), NOTHING);
    const waiting = m.whenWarm(['c']);
    m.apply(named(clusterConfig({ discovery: { kind: 'EDS', serviceName: 'y' } })), NOTHING);
    m.apply(named(clusterConfig({ discovery: { kind: 'EDS', serviceName: 'y' } })), eds({ y: assignment('b') }));
    await waiting;
    expect(m.get('c')!.pick(CONTEXT)?.address).toBe('b:80');
  });

  it('keeps what DNS has found', async () => {
    const env = environment({ resolve: async () => ['10.0.0.1'] });
    const m = new ClusterManager(env);
    const dns = {
      refreshMs: 5000,
      failureBaseMs: 1000,
      failureMaxMs: 8000,
      jitterMs: 0,
      lookupFamily: 'AUTO',
    } as const;
    const discovery = { kind: 'STRICT_DNS', assignment: assignment('svc:80'), dns } as const;
    m.apply(named(clusterConfig({ discovery })), NOTHING);
    await m.whenWarm(['c']);
    const [a] = [...m.get('c')!.endpoints()];
    m.apply(named(clusterConfig({ discovery, connectTimeoutMs: 9 })), NOTHING);
    expect(m.get('c')!.warm).toBe(true);
    expect([...m.get('c')!.endpoints()]).toEqual([a]);
    expect(stat(env.stats, 'cluster.c.update_attempt')).toBe(1);
    m.close();
    expect(env.clock.pending).toBeLessThanOrEqual(1);
  });
});

describe('waiting for warm clusters', () => {
  it('does not wait for names that nobody has, nor for removed clusters', async () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), NOTHING);
    const waiting = m.whenWarm(['c', 'unknown']);
    m.apply(new Map(), NOTHING);
    await waiting;
  });

  it('ends when it is given up', async () => {
    const { manager: m } = manager();
    m.apply(named(clusterConfig()), NOTHING);
    const waiting = m.whenWarm(['c']);
    m.giveUpWarming(['c']);
    await waiting;
    expect(m.get('c')!.pick(CONTEXT)).toBeNull();
  });
});

describe('stats of clusters that come and go', () => {
  it('stay bounded over 10,000 replacements, and those of a cluster that lives never go back', () => {
    const env = environment({ stats: new StatStore(1000) });
    const m = new ClusterManager(env);
    const lives = clusterConfig({ name: 'lives', statName: 'lives' });
    let before = 0;
    let slots = 0;
    for (let i = 0; i < 10_000; i++) {
      const name = `c${i}`;
      m.apply(named(lives, clusterConfig({ name, statName: name })), NOTHING);
      for (const one of ['lives', name]) m.get(one)!.stats.countStatus(200);
      const { stats } = m.get('lives')!;
      const now = env.stats.value(stats.upstreamRqCompleted);
      expect(now).toBe(before + 1);
      before = now;
      env.stats.sweep(i * 100);
      if (i === 1000) slots = env.stats.slots;
    }
    expect(env.stats.size).toBeLessThanOrEqual(1000);
    expect(env.stats.slots).toBe(slots);
    expect([...env.stats.series()].some(({ labels }) => labels['overflow'] !== undefined)).toBe(false);
  });

  it('go after a grace, but not while something of the cluster is under way', () => {
    const { manager: m, env } = manager();
    m.apply(named(clusterConfig({ statName: 'c' })), NOTHING);
    const cluster = m.get('c')!;
    cluster.breakers.DEFAULT.connections.acquire();
    m.apply(new Map(), NOTHING);
    env.stats.sweep(0);
    env.stats.sweep(3_600_000);
    cluster.stats.connectionOpened(true);
    expect(stat(env.stats, 'cluster.c.upstream_cx_total')).toBe(1);
    cluster.breakers.DEFAULT.connections.release();
    env.stats.sweep(3_600_001);
    expect(env.stats.size).toBe(0);
  });

  it('are taken over by a changed config, and by one that comes back within the grace', () => {
    const { manager: m, env } = manager();
    m.apply(named(clusterConfig({ statName: 'c' })), NOTHING);
    m.get('c')!.stats.countStatus(200);
    m.apply(named(clusterConfig({ statName: 'c', connectTimeoutMs: 1 })), NOTHING);
    m.get('c')!.stats.countStatus(200);
    m.apply(new Map(), NOTHING);
    env.stats.sweep(0);
    m.apply(named(clusterConfig({ statName: 'c' })), NOTHING);
    m.get('c')!.stats.countStatus(200);
    env.stats.sweep(3_600_000);
    expect(stat(env.stats, 'cluster.c.upstream_rq_200')).toBe(3);
  });

  it('under a new name leave the old one to its grace', () => {
    const { manager: m, env } = manager();
    m.apply(named(clusterConfig({ statName: 'old' })), NOTHING);
    m.apply(named(clusterConfig({ statName: 'new' })), NOTHING);
    m.giveUpWarming(['c']);
    env.stats.sweep(0);
    env.stats.sweep(3_600_000);
    expect(stat(env.stats, 'cluster.old.upstream_rq_total')).toBeUndefined();
    expect(stat(env.stats, 'cluster.new.upstream_rq_total')).toBe(0);
  });
});
