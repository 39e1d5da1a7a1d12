import { describe, expect, it } from 'vitest';
import { SharedCounts } from '../../../../src/base/shared-counts.ts';
import { UpstreamCluster } from '../../../../src/proxy/upstream/cluster.ts';
import type { UpstreamEndpoint } from '../../../../src/proxy/upstream/endpoint.ts';
import { LocalOutlierState, Run, SharedOutlierState } from '../../../../src/proxy/upstream/outlier-state.ts';
import { assignment, clusterConfig, environment, stat } from './support.ts';

const DETECTION = {
  consecutive5xx: 4,
  enforcingConsecutive5xx: 100,
  consecutiveGatewayFailure: 0,
  enforcingConsecutiveGatewayFailure: 0,
  splitExternalLocalOriginErrors: false,
  consecutiveLocalOriginFailure: 0,
  enforcingConsecutiveLocalOriginFailure: 0,
  intervalMs: 1000,
  baseEjectionTimeMs: 5000,
  maxEjectionTimeMs: 300_000,
  maxEjectionTimeJitterMs: 0,
  maxEjectionPercent: 50,
};

const pair = () => {
  const memory = SharedCounts.allocate(1 << 17);
  // Their clocks began 100 ms apart.
  return [0, 1].map((member) => new SharedOutlierState(new SharedCounts(memory, member, 2, 100 * member), 'c', 'a:1'));
};

describe('what is known of an endpoint', () => {
  it.each([
    ['one thread', () => [new LocalOutlierState()]],
    ['two', pair],
  ])('errors in a row, of %s', (_who, make) => {
    const states = make();
    const of = (i: number) => states[i % states.length]!;
    expect([0, 1, 2].map((i) => of(i).add(Run.All5xx))).toEqual([1, 2, 3]);
    expect(of(0).add(Run.GatewayFailures)).toBe(1);
    of(1).clear(Run.All5xx);
    expect([of(0).add(Run.All5xx), of(1).add(Run.GatewayFailures)]).toEqual([1, 2]);
  });

  it('is ejected once, to the same moment for all, and let in once', () => {
    const [a, b] = pair();
    expect([a!.eject(1000), b!.eject(2000)]).toEqual([true, false]);
    expect([b!.ejected, a!.ejectedUntil, b!.ejectedUntil]).toEqual([true, 1000, 900]);
    expect([b!.readmit(), a!.readmit(), a!.ejected]).toEqual([true, false, false]);
  });

  it('decays by the hand of who ejected it', () => {
    const [a, b] = pair();
    a!.eject(1000);
    a!.ejections = 2;
    b!.ejections--;
    expect(a!.ejections).toBe(2);
    a!.ejections--;
    expect(b!.ejections).toBe(1);
  });
});

describe('clusters of two threads', () => {
  function watched(hosts: string[]) {
    const memory = SharedCounts.allocate(1 << 17);
    const told: [number, string][] = [];
    const sides = [0, 1].map((member) => {
      const env = environment();
      const workers = {
        counts: new SharedCounts(memory, member, 2),
        tellEjected: (_cluster: string, address: string) => void told.push([member, address]),
      };
      const cluster = new UpstreamCluster(clusterConfig({ outlierDetection: DETECTION, healthyPanicThreshold: 0 }), {
        ...env,
        workers,
      });
      cluster.updateAssignment(assignment(...hosts));
      return { cluster, env, endpoints: [...cluster.endpoints()] };
    });
    const fail = (side: number, endpoint: UpstreamEndpoint, times: number) => {
      for (let i = 0; i < times; i++) sides[side]!.cluster.outlier!.recordResponse(endpoint, 500);
    };
    return { sides, told, fail };
  }

  it('eject by what both have seen, and follow each other', () => {
    const { sides, told, fail } = watched(['a', 'b', 'c', 'd']);
    const [one, two] = sides;
    fail(0, one!.endpoints[0]!, 2);
    fail(1, two!.endpoints[0]!, 2);
    const { address } = two!.endpoints[0]!;
    expect(told).toEqual([[1, address]]);
    expect(two!.cluster.membership.healthy).toBe(3);
    one!.cluster.followEjection(address);
    expect(one!.cluster.membership).toEqual({ total: 4, healthy: 3, degraded: 0, ejected: 1 });
    expect(stat(one!.env.stats, 'cluster.c.outlier_detection.ejections_enforced_total')).toBeUndefined();
    // Each lets it in when its time is over.
    for (const { env } of sides) env.clock.advance(10_000);
    expect(sides.map(({ cluster }) => cluster.membership.healthy)).toEqual([4, 4]);
  });

  it('eject together no more than they may', () => {
    const { sides, fail } = watched(['a', 'b', 'c', 'd']);
    for (const i of [0, 1, 2]) fail(i % 2, sides[i % 2]!.endpoints[i]!, 4);
    expect(sides[0]!.endpoints.map(({ outlier }) => outlier.ejected)).toEqual([true, true, false, false]);
  });

  it('know at once what others have ejected, where they begin later', () => {
    const { sides, fail } = watched(['a', 'b']);
    fail(0, sides[0]!.endpoints[0]!, 4);
    const { cluster } = sides[1]!;
    cluster.updateAssignment(assignment('a', 'b', 'c'));
    expect(cluster.membership).toMatchObject({ total: 3, healthy: 2, ejected: 1 });
  });

  it('forget an endpoint that leaves', () => {
    const { sides, fail } = watched(['a', 'b']);
    fail(0, sides[0]!.endpoints[0]!, 4);
    for (const { cluster } of sides) cluster.updateAssignment(assignment('b'));
    for (const { cluster } of sides) cluster.updateAssignment(assignment('a', 'b'));
    expect(sides.map(({ cluster }) => cluster.membership.healthy)).toEqual([2, 2]);
  });
});
