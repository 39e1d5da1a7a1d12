import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../../../src/base/random.ts';
import { leastRequest } from '../../../../../src/proxy/upstream/lb/least-request.ts';
import { Problems } from '../../../../../src/xds/proto/codec.ts';
import { balancerSuite, countPicks, endpointsOf } from '../../../../conformance/balancer.suite.ts';

balancerSuite(leastRequest, { tolerance: 0.1 });
balancerSuite(leastRequest, { tolerance: 0.1, config: { choiceCount: 2, activeRequestBias: 1, fullScan: true } });
balancerSuite(leastRequest, { tolerance: 0.1, config: { choiceCount: 4, activeRequestBias: 0.5, fullScan: false } });

const CONTEXT = { hash: null, avoid: null, originalDestination: null, request: null };
const create = (config = {}) => leastRequest.create({ ...leastRequest.defaults, ...config }, seededRandom(5));

describe('least request', () => {
  it('prefers the idle one of two', () => {
    const endpoints = endpointsOf(1, 1);
    endpoints[0]!.activeRequests = 4;
    const picker = create().update(endpoints);
    for (let i = 0; i < 20; i++) expect(picker.pick(CONTEXT)).toBe(endpoints[1]);
  });

  it('picks the busiest of many only when both choices are as busy', () => {
    const endpoints = endpointsOf(1, 1, 1, 1, 1);
    endpoints[2]!.activeRequests = 100;
    expect(countPicks(create().update(endpoints), endpoints, 1000)[2]).toBe(0);
  });

  it('finds the least loaded of all with a full scan', () => {
    const endpoints = endpointsOf(1, 1, 1, 1, 1, 1, 1, 1);
    for (const endpoint of endpoints) endpoint.activeRequests = 2;
    endpoints[6]!.activeRequests = 1;
    expect(create({ fullScan: true }).update(endpoints).pick(CONTEXT)).toBe(endpoints[6]);
  });

  it('spreads ties of a full scan', () => {
    const endpoints = endpointsOf(1, 1, 1);
    endpoints[0]!.activeRequests = 9;
    const [busy, a, b] = countPicks(create({ fullScan: true }).update(endpoints), endpoints, 1000);
    expect(busy).toBe(0);
    expect(Math.abs(a! - b!)).toBeLessThan(150);
  });

  it('lowers the weight of a busy endpoint by the bias', () => {
    const share = (bias: number): number => {
      const endpoints = endpointsOf(2, 1);
      endpoints[0]!.activeRequests = 3;
      return countPicks(create({ activeRequestBias: bias }).update(endpoints), endpoints, 3000)[0]! / 3000;
    };
    // Weights 2/4 and 1 with bias 1; 2 and 1 with bias 0.
    expect(share(1)).toBeCloseTo(1 / 3, 1);
    expect(share(0)).toBeCloseTo(2 / 3, 1);
  });

  it('decodes its config and refuses what makes no sense', () => {
    const problems = new Problems();
    const warnings = new Problems();
    expect(
      leastRequest.decode(
        { choice_count: 3, active_request_bias: { default_value: 2, runtime_key: 'x' }, selection_method: 'FULL_SCAN' },
        problems,
        warnings,
        'p',
      ),
    ).toEqual({ choiceCount: 3, activeRequestBias: 2, fullScan: true });
    expect(problems.ok).toBe(true);
    expect(warnings.list.map((w) => w.path)).toEqual(['p.active_request_bias.runtime_key']);
    leastRequest.decode({ choice_count: 1, active_request_bias: { default_value: -1 } }, problems, warnings, 'p');
    expect(problems.list.map((p) => p.path)).toEqual(['p.choice_count', 'p.active_request_bias']);
  });
});
