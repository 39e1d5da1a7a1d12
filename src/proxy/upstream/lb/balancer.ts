import type { Random } from '../../../base/random.ts';
import type { SocketAddress } from '../../../model/address.ts';
import type { RequestHead } from '../../../protocol/http/message.ts';
import type { Problems } from '../../../xds/proto/codec.ts';
import type { UpstreamEndpoint } from '../endpoint.ts';

/** What a pick may depend on. One object a stream, filled before each pick. */
export interface PickContext {
  /** 32-bit hash of the request for consistent hashing; null when no policy asked for one. */
  readonly hash: number | null;
  /** Endpoints that earlier attempts of this request used; null on the first attempt. */
  readonly avoid: readonly UpstreamEndpoint[] | null;
  /** Where the caller was going before it was redirected to us, for ORIGINAL_DST clusters; null unknown. */
  readonly originalDestination: SocketAddress | null;
  /** The HTTP request that is to be sent; null for other traffic. */
  readonly request: RequestHead | null;
}

/**
 * The hot half of a balancer: picks synchronously from an immutable set. Replaced whole on every
 * change of membership or health; `null` when the set is empty.
 */
export interface Picker {
  pick(context: PickContext): UpstreamEndpoint | null;
}

/**
 * The slow half: one per cluster and priority level. `update` is called with the endpoints that may be
 * picked (health, panic and priority are settled by the cluster) and publishes a new picker.
 */
export interface Balancer {
  update(endpoints: readonly UpstreamEndpoint[]): Picker;
}

/** One policy, as `standard.ts` lists it. */
export interface BalancerType<C = unknown> {
  /** `round_robin`, `least_request`, … */
  readonly kind: string;
  /** Full proto name for typed `load_balancing_policy`, e.g. `envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin`. */
  readonly configType: string;
  decode(message: unknown, problems: Problems, warnings: Problems, path: string): C;
  /** The config of a cluster that names the policy by `lb_policy` without one. */
  readonly defaults: C;
  create(config: C, random: Random): Balancer;
}
