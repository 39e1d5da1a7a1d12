import { describe, expect, it } from 'vitest';
import { OriginalDestinations } from '../../../../src/proxy/upstream/original-dst.ts';
import { ClusterStats } from '../../../../src/proxy/upstream/stats.ts';
import { environment, stat, withPool } from './support.ts';

function destinations(limit: number) {
  const env = environment();
  const made = new OriginalDestinations(env.clock, env.wheel, new ClusterStats(env.stats, 'c'), limit);
  return { env, made, pick: (n: number) => made.pick({ host: `10.0.0.${n}`, port: 80 }) };
}

describe('original destinations', () => {
  it('are bounded: an idle one makes room, a busy one does not', () => {
    const { made, pick } = destinations(2);
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
    const { made, pick, env } = destinations(10);
    const first = pick(1);
    for (let i = 0; i < 5; i++) {
      env.clock.advance(3000);
      expect(pick(1)).toBe(first);
    }
    expect(made.size).toBe(1);
  });

  it('need an address', () => {
    const { made, env } = destinations(10);
    expect(made.pick(null)).toBeNull();
    expect(made.pick({ host: '', port: 0 })).toBeNull();
    expect(stat(env.stats, 'cluster.c.original_dst_host_invalid')).toBe(2);
  });
});
