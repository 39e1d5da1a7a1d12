import { describe, expect, it } from 'vitest';
import { LB_POLICY_KINDS, standardBalancers } from '../../../../../src/proxy/upstream/lb/standard.ts';

describe('the standard balancers', () => {
  it('are registered under their kinds', () => {
    expect(standardBalancers.names()).toEqual(['round_robin', 'least_request', 'random']);
  });
  it('cover the lb_policy names that are mapped', () => {
    for (const [name, kind] of Object.entries(LB_POLICY_KINDS)) {
      if (name !== 'CLUSTER_PROVIDED') expect(standardBalancers.get(kind)?.kind).toBe(kind);
    }
  });
});
