import { describe, expect, it } from 'vitest';
import { OnDemandEndpoints } from '../../../../src/proxy/upstream/on-demand-endpoints.ts';
import { ClusterStats } from '../../../../src/proxy/upstream/stats.ts';
import { environment, withPool } from './support.ts';

function endpoints(limit: number) {
  const env = environment();
  const made = new OnDemandEndpoints(env.clock, env.wheel, new ClusterStats(env.stats, 'c'), limit);
  return { env, made, pick: (n: number) => made.pick({ host: `10.0.0.${n}`, port: 80 }) };
}

describe('endpoints that callers name', () => {
  it('are bounded: an idle one makes room, a busy one does not', () => {
    const { made, pick } = endpoints(2);
    const first = pick(1)!;
    const pool = withPool(first);
    pick(2)!.activeRequests = 1;
    expect(pick(3)).not.toBeNull();
    expect(pool.drained).toBe(true);
    expect(first.present).toBe(false);
    pick(3)!.activeRequests = 1;
    expect(pick(4)).toBeNull();
    expect(made.size).toBe(2);
  });

  it('stay while they are asked for', () => {
    const { made, pick, env } = endpoints(10);
    const first = pick(1);
    for (let i = 0; i < 5; i++) {
      env.clock.advance(3000);
      expect(pick(1)).toBe(first);
    }
    expect(made.size).toBe(1);
  });
});
