import type { LbPolicy } from '../../model/cluster.ts';
import { resolve } from '../proto/descriptor.ts';
import type { Cluster, LoadBalancingPolicy } from '../proto/gen/envoy/config/cluster/v3.ts';
import { typeNameOf } from '../proto/message-type.ts';
import type { Decoding } from './decoding.ts';

const POLICIES = 'envoy.extensions.load_balancing_policies.';
const NO_POLICY: LbPolicy = { kind: 'round_robin', config: null };
const PROVIDED: LbPolicy = { kind: 'cluster_provided', config: null };

/** Policies named by `lb_policy`, with the field of the cluster that holds their legacy config. */
const BY_NAME = {
  ROUND_ROBIN: { type: `${POLICIES}round_robin.v3.RoundRobin`, config: 'round_robin_lb_config' },
  LEAST_REQUEST: { type: `${POLICIES}least_request.v3.LeastRequest`, config: 'least_request_lb_config' },
  RING_HASH: { type: `${POLICIES}ring_hash.v3.RingHash`, config: 'ring_hash_lb_config' },
  RANDOM: { type: `${POLICIES}random.v3.Random`, config: null },
  MAGLEV: { type: `${POLICIES}maglev.v3.Maglev`, config: 'maglev_lb_config' },
} as const;

/** `at`: the cluster's path with its dot, or ''. */
export function decodeLbPolicy(cluster: Cluster, at: string, s: Decoding): LbPolicy {
  const name = cluster.lb_policy ?? 'ROUND_ROBIN';
  const unused = Object.values(BY_NAME).find(
    ({ config }) => config !== null && cluster[config] !== undefined && config !== configOf(name),
  );
  if (unused?.config != null) s.noEffect(`${at}${unused.config}`, `the policy of the cluster is ${name}`);
  if (cluster.load_balancing_policy !== undefined) {
    return decodeTyped(cluster.load_balancing_policy, `${at}load_balancing_policy`, s);
  }
  if (cluster.type === 'ORIGINAL_DST' || cluster.cluster_type !== undefined) {
    const kind = cluster.cluster_type === undefined ? 'an ORIGINAL_DST cluster' : 'a cluster with cluster_type';
    if (name !== 'CLUSTER_PROVIDED') s.error(`${at}lb_policy`, `is ${name}; ${kind} needs CLUSTER_PROVIDED`);
    return PROVIDED;
  }
  if (name === 'CLUSTER_PROVIDED') {
    s.error(
      `${at}lb_policy`,
      'CLUSTER_PROVIDED is for ORIGINAL_DST and custom clusters: use ROUND_ROBIN, LEAST_REQUEST or RANDOM',
    );
    return NO_POLICY;
  }
  if (name === 'LOAD_BALANCING_POLICY_CONFIG') {
    s.error(`${at}load_balancing_policy`, 'is needed with lb_policy LOAD_BALANCING_POLICY_CONFIG');
    return NO_POLICY;
  }
  const { type, config } = BY_NAME[name];
  const balancer = s.context.balancers.get(type);
  if (balancer === undefined) {
    s.error(`${at}lb_policy`, `${name} is not in this version: use ${known(s)}`);
    return NO_POLICY;
  }
  // The legacy configs have the fields of the typed ones.
  const legacy = config === null ? undefined : cluster[config];
  if (legacy === undefined) return { kind: balancer.kind, config: balancer.defaults };
  return { kind: balancer.kind, config: balancer.decode(legacy, s.problems, s.warnings, `${at}${config}`) };
}

function configOf(name: string): string | null {
  return name in BY_NAME ? BY_NAME[name as keyof typeof BY_NAME].config : null;
}

function known(s: Decoding): string {
  return s.context.balancers
    .names()
    .map((name) => s.context.balancers.get(name)!.kind.toUpperCase())
    .join(', ');
}

/** The first policy of the list that is known holds, as Envoy has it; the ones before it are reported. */
function decodeTyped(policy: LoadBalancingPolicy, path: string, s: Decoding): LbPolicy {
  for (const [i, one] of (policy.policies ?? []).entries()) {
    const at = `${path}.policies[${i}].typed_extension_config.typed_config`;
    const any = one.typed_extension_config?.typed_config;
    if (any === undefined) continue;
    const opened = resolve(typeNameOf(any.type_url)) === undefined ? undefined : s.open(any, at);
    const typeName = opened?.typeName ?? typeNameOf(any.type_url);
    const balancer = s.context.balancers.get(typeName);
    if (opened !== undefined && balancer !== undefined) {
      return { kind: balancer.kind, config: balancer.decode(opened.message, s.problems, s.warnings, at) };
    }
    s.noEffect(at, `${typeName} is not in this version, and the next policy of the list is tried`);
  }
  s.error(path, `none of the policies is in this version: use ${known(s)}`);
  return NO_POLICY;
}
