import { describe, expect, it } from 'vitest';
import type { LoadAssignment } from '../../../../src/model/endpoint.ts';
import { RequestHead } from '../../../../src/protocol/http/message.ts';
import { UpstreamCluster } from '../../../../src/proxy/upstream/cluster.ts';
import type { UpstreamEndpoint } from '../../../../src/proxy/upstream/endpoint.ts';
import { assignment, CONTEXT, clusterConfig, environment, stat, withPool } from './support.ts';

function cluster(of: LoadAssignment, config = {}) {
  const env = environment();
  const made = new UpstreamCluster(clusterConfig(config), env);
  made.updateAssignment(of);
  return { cluster: made, env };
}

function picks(made: UpstreamCluster, times = 200): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const address = made.pick(CONTEXT)?.address ?? 'nobody';
    counts[address] = (counts[address] ?? 0) + 1;
  }
  return counts;
}

const at = (made: UpstreamCluster, address: string): UpstreamEndpoint =>
  [...made.endpoints()].find((endpoint) => endpoint.address === address)!;

describe('picking', () => {
  it('picks nobody before the first assignment and from an empty one', () => {
    const made = new UpstreamCluster(clusterConfig(), environment());
    expect(made.pick(CONTEXT)).toBeNull();
    made.updateAssignment(assignment());
    expect(made.pick(CONTEXT)).toBeNull();
  });

  it('leaves out the unhealthy, the draining and the timed out', () => {
    const { cluster: c } = cluster(
      assignment(
        'a',
        'b',
        'f',
        'g',
        { at: 'c', health: 'UNHEALTHY' },
        { at: 'd', health: 'DRAINING' },
        { at: 'e', health: 'TIMEOUT' },
      ),
    );
    expect(picks(c)).toEqual({ 'a:80': 50, 'b:80': 50, 'f:80': 50, 'g:80': 50 });
  });

  it('uses degraded endpoints only for what the healthy cannot take', () => {
    const { cluster: c } = cluster(assignment('a', { at: 'b', health: 'DEGRADED' }));
    // One of two healthy: 70% at an overprovisioning factor of 1.4.
    const counts = picks(c, 2000);
    expect(counts['a:80']! / 2000).toBeCloseTo(0.7, 1);
    expect(picks(cluster(assignment({ at: 'b', health: 'DEGRADED' })).cluster)).toEqual({ 'b:80': 200 });
  });

  it('sends nothing to a lower priority while the first can take it all', () => {
    const { cluster: c } = cluster(assignment('a', { at: 'b', priority: 1 }));
    expect(picks(c)).toEqual({ 'a:80': 200 });
    c.updateAssignment(assignment({ at: 'a', health: 'UNHEALTHY' }, { at: 'b', priority: 1 }));
    expect(picks(c)).toEqual({ 'b:80': 200 });
  });

  it('splits over priorities by health', () => {
    const { cluster: c } = cluster(
      assignment('a', { at: 'x', health: 'UNHEALTHY' }, { at: 'b', priority: 1 }, { at: 'c', priority: 1 }),
    );
    expect(picks(c, 3000)['a:80']! / 3000).toBeCloseTo(0.7, 1);
  });

  it('panics below the threshold, counts it, and does not with a threshold of 0', () => {
    const sick = assignment('a', { at: 'b', health: 'UNHEALTHY' }, { at: 'c', health: 'UNHEALTHY' });
    const { cluster: c, env } = cluster(sick);
    expect(Object.keys(picks(c)).sort()).toEqual(['a:80', 'b:80', 'c:80']);
    expect(stat(env.stats, 'cluster.c.lb_healthy_panic')).toBe(200);
    expect(picks(cluster(sick, { healthyPanicThreshold: 0 }).cluster)).toEqual({ 'a:80': 200 });
  });

  it('has nobody when all are unhealthy and panic is off', () => {
    const { cluster: c } = cluster(assignment({ at: 'a', health: 'UNHEALTHY' }), { healthyPanicThreshold: 0 });
    expect(c.pick(CONTEXT)).toBeNull();
    expect(c.membership).toEqual({ total: 1, healthy: 0, degraded: 0, ejected: 0 });
  });

  it('honours weights', () => {
    const { cluster: c } = cluster(assignment({ at: 'a', weight: 3 }, 'b'));
    const counts = picks(c, 400);
    expect(Math.abs(counts['a:80']! - 300)).toBeLessThanOrEqual(1);
    c.updateAssignment(assignment('a', { at: 'b', weight: 3 }));
    expect(Math.abs(picks(c, 400)['b:80']! - 300)).toBeLessThanOrEqual(1);
  });

  it('avoids endpoints that were tried, as long as the attempts last', () => {
    const { cluster: c } = cluster(assignment('a', 'b', 'd'));
    const avoid = [at(c, 'a:80'), at(c, 'b:80')];
    for (let i = 0; i < 20; i++) expect(c.pickAvoiding({ ...CONTEXT, avoid }, 5)?.address).toBe('d:80');
    expect(c.pickAvoiding({ ...CONTEXT, avoid: [...c.endpoints()] }, 3)).not.toBeNull();
  });

  it('drops by the categories the control plane named', () => {
    const { cluster: c, env } = cluster({
      ...assignment('a'),
      dropOverloads: [{ category: 'lb', partsPerMillion: 250_000 }],
    });
    let dropped = 0;
    for (let i = 0; i < 4000; i++) if (c.shouldDrop(env.random) === 'lb') dropped++;
    expect(dropped / 4000).toBeCloseTo(0.25, 1);
    expect(stat(env.stats, 'cluster.c.upstream_rq_drop_overload')).toBe(dropped);
    expect(cluster(assignment('a')).cluster.shouldDrop(env.random)).toBeNull();
  });
});

describe('assignments', () => {
  it('keep the objects of addresses that stay and drain those that left', () => {
    const { cluster: c, env } = cluster(assignment('a', 'b'));
    const a = at(c, 'a:80');
    const b = at(c, 'b:80');
    const poolA = withPool(a);
    const poolB = withPool(b);
    c.updateAssignment(assignment('a', 'd'));
    expect(at(c, 'a:80')).toBe(a);
    expect(poolA.drained).toBe(false);
    expect(poolB.drained).toBe(true);
    expect(b.present).toBe(false);
    expect(Object.keys(picks(c)).sort()).toEqual(['a:80', 'd:80']);
    expect(stat(env.stats, 'cluster.c.membership_total')).toBe(2);
    expect(stat(env.stats, 'cluster.c.membership_change')).toBe(2);
  });

  it('take new facts of an endpoint without replacing it', () => {
    const { cluster: c } = cluster(assignment('a'));
    const a = at(c, 'a:80');
    const next = assignment('a');
    const [group] = next.localities;
    c.updateAssignment({
      ...next,
      localities: [{ ...group!, endpoints: [{ ...group!.endpoints[0]!, hostname: 'h', workload: 'w' }] }],
    });
    expect(at(c, 'a:80')).toBe(a);
    expect([a.hostname, a.workload]).toEqual(['h', 'w']);
  });

  it('count an address once that stands in two places', () => {
    const { cluster: c } = cluster(assignment('a', { at: 'a', priority: 1 }));
    expect(c.membership.total).toBe(1);
    expect(at(c, 'a:80').priority).toBe(0);
  });

  it('move an endpoint between priorities', () => {
    const { cluster: c } = cluster(assignment('a', { at: 'b', priority: 1 }));
    c.updateAssignment(assignment('b', { at: 'a', priority: 1 }));
    expect(picks(c)).toEqual({ 'b:80': 200 });
  });

  it('forget a level that is gone', () => {
    const { cluster: c } = cluster(assignment({ at: 'a', health: 'UNHEALTHY' }, { at: 'b', priority: 1 }), {
      healthyPanicThreshold: 0,
    });
    c.updateAssignment(assignment({ at: 'a', health: 'UNHEALTHY' }));
    expect(c.pick(CONTEXT)).toBeNull();
  });

  it('make an EDS cluster warm, also when empty', () => {
    const made = new UpstreamCluster(clusterConfig(), environment());
    let heard = 0;
    made.onWarm(() => heard++);
    expect(made.warm).toBe(false);
    made.updateAssignment(assignment());
    expect(made.warm).toBe(true);
    made.onWarm(() => heard++);
    expect(heard).toBe(2);
  });
});

describe('discovery', () => {
  it('has the endpoints of a static cluster at once', () => {
    const made = new UpstreamCluster(
      clusterConfig({ discovery: { kind: 'STATIC', assignment: assignment('a:1') } }),
      environment(),
    );
    expect(made.warm).toBe(true);
    expect(made.pick(CONTEXT)?.address).toBe('a:1');
  });

  it('takes endpoints from DNS', async () => {
    const env = environment({ resolve: async () => ['10.0.0.1', '10.0.0.2'] });
    const dns = {
      refreshMs: 5000,
      failureBaseMs: 1000,
      failureMaxMs: 8000,
      jitterMs: 0,
      lookupFamily: 'AUTO',
    } as const;
    const discovery = { kind: 'STRICT_DNS', assignment: assignment('svc:80'), dns } as const;
    const made = new UpstreamCluster(clusterConfig({ discovery }), env);
    expect(made.warm).toBe(false);
    await new Promise<void>((resolve) => made.onWarm(resolve));
    expect(Object.keys(picks(made)).sort()).toEqual(['10.0.0.1:80', '10.0.0.2:80']);
    expect(at(made, '10.0.0.1:80').hostname).toBe('svc');
    made.close();
  });

  it('goes where the caller was going, and forgets addresses nobody asks for', () => {
    const env = environment();
    const made = new UpstreamCluster(clusterConfig({ discovery: { kind: 'ORIGINAL_DST', useHttpHeader: '' } }), env);
    const to = (host: string) => made.pick({ ...CONTEXT, originalDestination: { host, port: 443 } });
    const first = to('10.1.1.1');
    expect(first?.address).toBe('10.1.1.1:443');
    expect(to('10.1.1.1')).toBe(first);
    const pool = withPool(to('10.1.1.2')!);
    expect(made.pick(CONTEXT)).toBeNull();
    env.clock.advance(6000);
    expect([...made.endpoints()].map((endpoint) => endpoint.address)).toEqual(['10.1.1.2:443']);
    pool.connections = 0;
    env.clock.advance(6000);
    expect([...made.endpoints()]).toEqual([]);
    expect(env.clock.pending).toBe(0);
  });

  it('goes where a trusted header says, when it may', () => {
    const env = environment();
    const discovery = { kind: 'ORIGINAL_DST', useHttpHeader: 'x-envoy-original-dst-host' } as const;
    const made = new UpstreamCluster(clusterConfig({ discovery }), env);
    const originalDestination = { host: '10.1.1.1', port: 443 };
    const to = (value: string) => {
      const request = new RequestHead();
      request.headers.add('X-Envoy-Original-Dst-Host', value);
      return made.pick({ ...CONTEXT, originalDestination, request })?.address;
    };
    expect(to('10.2.2.2:8080')).toBe('10.2.2.2:8080');
    expect(to('[::1]:80')).toBe('[::1]:80');
    for (const bad of ['10.2.2.2', 'reviews:80', '10.2.2.2:80000', '']) expect(to(bad)).toBeUndefined();
    expect(made.pick({ ...CONTEXT, originalDestination, request: new RequestHead() })?.address).toBe('10.1.1.1:443');
    made.close();
  });

  it("has each request's own host as its endpoint", () => {
    const env = environment();
    const discovery = { kind: 'DYNAMIC_FORWARD_PROXY', maxHosts: 3 } as const;
    const made = new UpstreamCluster(clusterConfig({ discovery }), env);
    expect(made.warm).toBe(true);
    const to = (authority: string, scheme = 'http') => {
      const request = new RequestHead();
      request.authority = authority;
      request.scheme = scheme;
      const endpoint = made.pick({ ...CONTEXT, request, originalDestination: { host: '127.0.0.1', port: 15001 } });
      if (endpoint !== null) endpoint.activeRequests = 1;
      return endpoint?.address;
    };
    expect(to('example.com')).toBe('example.com:80');
    expect(to('example.com', 'https')).toBe('example.com:443');
    expect(to('[::1]:8080')).toBe('[::1]:8080');
    expect(at(made, 'example.com:80').hostname).toBe('example.com');
    for (const bad of ['', 'a b', 'host:99999', 'a:b:c', '127.0.0.1:15001']) expect(to(bad)).toBeUndefined();
    // Its callers choose the hosts: there is a limit.
    expect(to('one.too.many')).toBeUndefined();
    made.close();
  });
});

describe('results', () => {
  it('count for the endpoint', () => {
    const { cluster: c, env } = cluster(assignment('a'));
    const a = at(c, 'a:80');
    c.recordResponse(a, 200);
    c.recordResponse(a, 503);
    c.recordFailure(a, 'connection-failure');
    c.recordTimeout(a);
    c.recordFailure(a, 'overflow');
    expect([a.successes, a.errors]).toEqual([1, 3]);
    // Whether a response is the last of its request, only the forwarder knows.
    expect(stat(env.stats, 'cluster.c.upstream_rq_completed')).toBe(0);
  });
});
