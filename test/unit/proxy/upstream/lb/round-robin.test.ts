import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../../src/base/random.ts';
import { roundRobin } from '../../../../../src/proxy/upstream/lb/round-robin.ts';
import { Problems } from '../../../../../src/xds/proto/codec.ts';
import { balancerSuite, countPicks, endpointsOf } from '../../../../conformance/balancer.suite.ts';

balancerSuite(roundRobin, { tolerance: 0 });

const CONTEXT = { hash: null, avoid: null, originalDestination: null, request: null };

describe('round robin', () => {
  it('goes round in order', () => {
    const endpoints = endpointsOf(1, 1, 1);
    const picker = roundRobin.create(null, seededRandom(7)).update(endpoints);
    const first = endpoints.indexOf(picker.pick(CONTEXT)!);
    for (let i = 1; i < 9; i++) expect(picker.pick(CONTEXT)).toBe(endpoints[(first + i) % 3]);
  });

  it('goes on where it stood after an update', () => {
    const endpoints = endpointsOf(1, 1, 1, 1);
    const balancer = roundRobin.create(null, seededRandom(7));
    const at = endpoints.indexOf(balancer.update(endpoints).pick(CONTEXT)!);
    expect(balancer.update([...endpoints]).pick(CONTEXT)).toBe(endpoints[(at + 1) % 4]);
  });

  it('interleaves weights instead of sending bursts', () => {
    const endpoints = endpointsOf(5, 1);
    const picker = roundRobin.create(null, seededRandom(3)).update(endpoints);
    let run = 0;
    let longest = 0;
    for (let i = 0; i < 600; i++) {
      run = picker.pick(CONTEXT) === endpoints[0] ? run + 1 : 0;
      longest = Math.max(longest, run);
    }
    expect(longest).toBeLessThanOrEqual(6);
  });

  it('is exact for 90/10 in every hundred', () => {
    const endpoints = endpointsOf(90, 10);
    const picker = roundRobin.create(null, seededRandom(3)).update(endpoints);
    for (let i = 0; i < 5; i++) {
      const [, ten] = countPicks(picker, endpoints, 100);
      expect(ten).toBeGreaterThanOrEqual(9);
      expect(ten).toBeLessThanOrEqual(11);
    }
  });

  it('says what it accepts without effect', () => {
    const warnings = new Problems();
    roundRobin.decode({ slow_start_config: {}, locality_lb_config: {} }, new Problems(), warnings, 'p');
    expect(warnings.list.map((w) => w.path)).toEqual(['p.slow_start_config', 'p.locality_lb_config']);
  });
});
