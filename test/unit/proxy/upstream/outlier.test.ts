import { describe, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import type { OutlierDetection } from '../../../../src/model/cluster.ts';
import { UpstreamCluster } from '../../../../src/proxy/upstream/cluster.ts';
import type { UpstreamEndpoint } from '../../../../src/proxy/upstream/endpoint.ts';
import { assignment, CONTEXT, clusterConfig, environment, stat } from './support.ts';

const DETECTION: OutlierDetection = {
  consecutive5xx: 3,
  enforcingConsecutive5xx: 100,
  consecutiveGatewayFailure: 0,
  enforcingConsecutiveGatewayFailure: 0,
  splitExternalLocalOriginErrors: false,
  consecutiveLocalOriginFailure: 2,
  enforcingConsecutiveLocalOriginFailure: 100,
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionTimeJitterMs: 0,
  maxEjectionPercent: 100,
};

function watched(config: Partial<OutlierDetection> = {}, hosts = ['a', 'b', 'c', 'd']) {
  const lines: string[] = [];
  const env = environment();
  const log = new LogRoot(env.clock, (line) => lines.push(line)).logger('outlier');
  const cluster = new UpstreamCluster(
    clusterConfig({ outlierDetection: { ...DETECTION, ...config }, healthyPanicThreshold: 0 }),
    { ...env, log },
  );
  cluster.updateAssignment(assignment(...hosts));
  const endpoints = [...cluster.endpoints()];
  const fail = (endpoint: UpstreamEndpoint, times: number, status = 500) => {
    for (let i = 0; i < times; i++) cluster.outlier!.recordResponse(endpoint, status);
  };
  return { cluster, env, lines, endpoints, fail, outlier: cluster.outlier! };
}

describe('ejection', () => {
  it('takes out an endpoint after a run of 5xx, and logs why', () => {
    const { cluster, endpoints, fail, env, lines } = watched();
    const [a] = endpoints;
    fail(a!, 2);
    cluster.outlier!.recordResponse(a!, 200);
    fail(a!, 2);
    expect(a!.outlier.ejected).toBe(false);
    fail(a!, 1);
    expect(a!.outlier.ejected).toBe(true);
    for (let i = 0; i < 20; i++) expect(cluster.pick(CONTEXT)).not.toBe(a);
    expect(cluster.membership).toEqual({ total: 4, healthy: 3, degraded: 0, ejected: 1 });
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_active')).toBe(1);
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_enforced_consecutive_5xx')).toBe(1);
    expect(lines.join('')).toContain('endpoint ejected');
    expect(lines.join('')).toContain('3 responses with a 5xx status in a row');
  });

  it('counts 502 to 504 as gateway failures, which other 5xx interrupt', () => {
    const { endpoints, fail } = watched({
      consecutive5xx: 0,
      consecutiveGatewayFailure: 2,
      enforcingConsecutiveGatewayFailure: 100,
    });
    const [a, b] = endpoints;
    fail(a!, 1, 502);
    fail(a!, 1, 500);
    fail(a!, 1, 504);
    expect(a!.outlier.ejected).toBe(false);
    fail(b!, 1, 502);
    fail(b!, 1, 504);
    expect(b!.outlier.ejected).toBe(true);
  });

  it('counts failures without an answer as 5xx unless they are split', () => {
    const { outlier, endpoints } = watched();
    for (let i = 0; i < 3; i++) outlier.recordLocalOriginFailure(endpoints[0]!);
    expect(endpoints[0]!.outlier.ejected).toBe(true);
  });

  it('counts failures without an answer apart when they are split', () => {
    const { outlier, endpoints, fail } = watched({ splitExternalLocalOriginErrors: true });
    const [a, b] = endpoints;
    fail(a!, 2);
    outlier.recordLocalOriginFailure(a!);
    expect(a!.outlier.ejected).toBe(false);
    outlier.recordSuccessLocalOrigin(a!);
    outlier.recordLocalOriginFailure(a!);
    expect(a!.outlier.ejected).toBe(false);
    outlier.recordLocalOriginFailure(b!);
    outlier.recordLocalOriginFailure(b!);
    expect(b!.outlier.ejected).toBe(true);
  });

  it('only says what it would do when it is not enforced', () => {
    const { endpoints, fail, env, lines } = watched({ enforcingConsecutive5xx: 0 });
    fail(endpoints[0]!, 3);
    expect(endpoints[0]!.outlier.ejected).toBe(false);
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_detected_consecutive_5xx')).toBe(1);
    expect(lines.join('')).toContain('not enforced');
    expect(env.clock.pending).toBe(0);
  });

  // pains.md row 30, envoy#27909
  it.each([
    [0, 0],
    [1, 1],
    [10, 1],
    [49, 1],
    [50, 2],
    [75, 3],
    [100, 4],
  ])('takes max_ejection_percent %i literally: %i of 4, but one in any case', (maxEjectionPercent, ejected) => {
    const { endpoints, fail, cluster, env } = watched({ maxEjectionPercent });
    for (const endpoint of endpoints) fail(endpoint, 3);
    expect(cluster.membership.ejected).toBe(ejected);
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_overflow') ?? 0).toBe(4 - ejected);
  });
});

describe('return', () => {
  it('comes with the first sweep after the ejection time, with clean counts', () => {
    const { endpoints, fail, env } = watched();
    const [a] = endpoints;
    fail(a!, 3);
    env.clock.advance(29_000);
    expect(a!.outlier.ejected).toBe(true);
    env.clock.advance(2_000);
    expect(a!.outlier.ejected).toBe(false);
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_active')).toBe(0);
    fail(a!, 2);
    expect(a!.outlier.ejected).toBe(false);
  });

  it('takes longer with every ejection, up to the maximum', () => {
    const { endpoints, fail, env } = watched({ maxEjectionTimeMs: 70_000 });
    const [a] = endpoints;
    const lasted: number[] = [];
    for (let i = 0; i < 4; i++) {
      fail(a!, 3);
      const start = env.clock.now();
      while (a!.outlier.ejected) env.clock.advance(1000);
      lasted.push(Math.round((env.clock.now() - start) / 10_000) * 10);
    }
    expect(lasted).toEqual([30, 60, 70, 70]);
  });

  it('adds jitter within its bound', () => {
    const { endpoints, fail, env } = watched({ maxEjectionTimeJitterMs: 5000 });
    fail(endpoints[0]!, 3);
    const { ejectedUntil } = endpoints[0]!.outlier;
    expect(ejectedUntil).toBeGreaterThanOrEqual(env.clock.now() + 30_000);
    expect(ejectedUntil).toBeLessThanOrEqual(env.clock.now() + 35_000);
  });

  it('forgets old ejections while the endpoint is well, and then has no timer left', () => {
    const { endpoints, fail, env } = watched();
    const [a] = endpoints;
    expect(env.clock.pending).toBe(0);
    fail(a!, 3);
    env.clock.advance(31_000);
    fail(a!, 3);
    expect(a!.outlier.ejections).toBe(2);
    env.clock.advance(71_000);
    expect(a!.outlier.ejected).toBe(false);
    env.clock.advance(30_000);
    expect(a!.outlier.ejections).toBe(0);
    expect(env.clock.pending).toBe(0);
  });

  it('is not needed by an endpoint that left', () => {
    const { cluster, endpoints, fail, env } = watched();
    fail(endpoints[0]!, 3);
    cluster.updateAssignment(assignment('b', 'c', 'd'));
    expect(stat(env.stats, 'cluster.c.outlier_detection.ejections_active')).toBe(0);
    env.clock.advance(120_000);
    expect(env.clock.pending).toBe(0);
  });
});
