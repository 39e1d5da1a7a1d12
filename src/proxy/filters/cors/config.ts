import type { FractionalPercent, StringMatcher } from '../../../model/matcher.ts';
import type { Problems } from '../../../xds/proto/codec.ts';
import type { CorsPolicy as WirePolicy } from '../../../xds/proto/gen/envoy/extensions/filters/http/cors/v3.ts';
import { decodeFraction, decodeStringMatchers } from '../wire.ts';

/** envoy.extensions.filters.http.cors.v3.CorsPolicy, resolved. Header values are '' when not to be sent. */
export interface CorsPolicy {
  readonly allowOrigins: readonly StringMatcher[];
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean;
  readonly allowPrivateNetworkAccess: boolean;
  /** Preflights from an origin that is not allowed go to the service; false: they are answered without permission. */
  readonly forwardNotMatchingPreflights: boolean;
  /** null: on. */
  readonly enabled: FractionalPercent | null;
  /** Count what the policy says about origins, but do nothing; null: off. */
  readonly shadow: FractionalPercent | null;
}

export function decodeCorsPolicy(policy: WirePolicy, problems: Problems, path: string): CorsPolicy {
  return {
    allowOrigins: decodeStringMatchers(policy.allow_origin_string_match, problems, `${path}.allow_origin_string_match`),
    allowMethods: policy.allow_methods ?? '',
    allowHeaders: policy.allow_headers ?? '',
    exposeHeaders: policy.expose_headers ?? '',
    maxAge: policy.max_age ?? '',
    allowCredentials: policy.allow_credentials ?? false,
    allowPrivateNetworkAccess: policy.allow_private_network_access ?? false,
    forwardNotMatchingPreflights: policy.forward_not_matching_preflights ?? true,
    enabled: policy.filter_enabled === undefined ? null : decodeFraction(policy.filter_enabled),
    shadow: policy.shadow_enabled === undefined ? null : decodeFraction(policy.shadow_enabled),
  };
}
