import { Registry } from '../../../base/registry.ts';
import type { BalancerType } from './balancer.ts';
import { leastRequest } from './least-request.ts';
import { random } from './random.ts';
import { roundRobin } from './round-robin.ts';

/** The one list of balancing policies. */
export const BALANCER_TYPES: readonly BalancerType[] = [roundRobin, leastRequest, random];

/** By kind, for the clusters. */
export const standardBalancers: Registry<BalancerType> = new Registry(
  'balancer',
  BALANCER_TYPES.map((type) => [type.kind, type] as const),
);

/** Kinds by the names of `Cluster.lb_policy`; a name that is absent is not supported. */
export const LB_POLICY_KINDS: Readonly<Record<string, string>> = {
  ROUND_ROBIN: 'round_robin',
  LEAST_REQUEST: 'least_request',
  RANDOM: 'random',
  // The cluster picks by itself: ORIGINAL_DST.
  CLUSTER_PROVIDED: 'cluster_provided',
};
