import { GRPC_CODES } from '../../../protocol/grpc/status.ts';
import { type Any, pack } from '../../../xds/proto/codec.ts';
import { Cors, CorsPolicy } from '../../../xds/proto/gen/envoy/extensions/filters/http/cors/v3.ts';
import { FilterConfig as DynamicForwardProxy } from '../../../xds/proto/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3.ts';
import { HTTPFault } from '../../../xds/proto/gen/envoy/extensions/filters/http/fault/v3.ts';
import { LocalRateLimit } from '../../../xds/proto/gen/envoy/extensions/filters/http/local_ratelimit/v3.ts';
import { OnDemand } from '../../../xds/proto/gen/envoy/extensions/filters/http/on_demand/v3.ts';
import { Router } from '../../../xds/proto/gen/envoy/extensions/filters/http/router/v3.ts';
import type { HttpFilter } from '../../../xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import type { FractionalPercent, StatusCode } from '../../../xds/proto/gen/envoy/type/v3.ts';
import type { RuleCors, RuleFault } from '../../mesh/route-rule.ts';
import type { RateLimitPolicy } from '../../mesh/traffic-policy.ts';
import { FILTER_ORDER, type FilterName } from './filter-order.ts';
import { DNS_CACHE } from './outside.ts';
import { stringMatcher } from './route-match.ts';

const ALWAYS = { default_value: { numerator: 100, denominator: 'HUNDRED' } } as const;
const NEVER = { default_value: { numerator: 0, denominator: 'HUNDRED' } } as const;

const CONFIGS: Readonly<Record<FilterName, Any>> = {
  'envoy.filters.http.fault': pack(HTTPFault, {}),
  'envoy.filters.http.cors': pack(Cors, {}),
  // Off, without a bucket: routes bring theirs.
  'envoy.filters.http.local_ratelimit': pack(LocalRateLimit, {
    stat_prefix: 'http_local_rate_limiter',
    filter_enabled: NEVER,
    filter_enforced: NEVER,
  }),
  'envoy.filters.http.dynamic_forward_proxy': pack(DynamicForwardProxy, { dns_cache_config: DNS_CACHE }),
  // The `x-envoy-` headers that the router would write are for nobody we know (pains row 20).
  'envoy.filters.http.router': pack(Router, { suppress_envoy_headers: true }),
};

/** All filters on every listener: what a route does not configure does nothing, and listeners need not change with routes. */
export const HTTP_FILTERS: readonly HttpFilter[] = FILTER_ORDER.map((name) => ({ name, typed_config: CONFIGS[name] }));

/** Requests for hosts that are not there yet wait until they are; first, since other filters may depend on the route. */
export const ON_DEMAND_FILTER: HttpFilter = {
  name: 'envoy.filters.http.on_demand',
  typed_config: pack(OnDemand, {}),
};

export function faultConfig({ delay, abort }: RuleFault): Any {
  return pack(HTTPFault, {
    ...(delay === null ? {} : { delay: { fixed_delay: delay.fixedMs, percentage: percentage(delay.percent) } }),
    ...(abort === null
      ? {}
      : {
          abort: {
            ...(abort.grpcStatus === ''
              ? { http_status: abort.status }
              : { grpc_status: grpcStatus(abort.grpcStatus) }),
            percentage: percentage(abort.percent),
          },
        }),
  });
}

function grpcStatus(text: string): number {
  const index = (GRPC_CODES as readonly string[]).indexOf(text.toUpperCase());
  if (index >= 0) return index;
  return /^\d+$/.test(text) ? Number(text) : GRPC_CODES.indexOf('UNKNOWN');
}

/** Istio's percentages have four places behind the point. */
function percentage(percent: number): FractionalPercent {
  return { numerator: Math.round(percent * 10_000), denominator: 'MILLION' };
}

export function corsConfig(cors: RuleCors): Any {
  return pack(CorsPolicy, {
    allow_origin_string_match: cors.allowOrigins.map(stringMatcher),
    ...(cors.allowMethods.length > 0 ? { allow_methods: cors.allowMethods.join(',') } : {}),
    ...(cors.allowHeaders.length > 0 ? { allow_headers: cors.allowHeaders.join(',') } : {}),
    ...(cors.exposeHeaders.length > 0 ? { expose_headers: cors.exposeHeaders.join(',') } : {}),
    ...(cors.maxAgeMs === null ? {} : { max_age: String(Math.floor(cors.maxAgeMs / 1000)) }),
    ...(cors.allowCredentials === null ? {} : { allow_credentials: cors.allowCredentials }),
    filter_enabled: ALWAYS,
    forward_not_matching_preflights: cors.unmatchedPreflights === 'FORWARD',
  });
}

/** Envoy fills buckets no more often. */
const MIN_FILL_MS = 50;

/** A token bucket: `burst` at once, `requests` more every `perMs`. */
export function rateLimitConfig(policy: RateLimitPolicy): Any {
  const factor = policy.perMs < MIN_FILL_MS ? Math.ceil(MIN_FILL_MS / policy.perMs) : 1;
  return pack(LocalRateLimit, {
    stat_prefix: 'http_local_rate_limiter',
    status: { code: statusCode(policy.status) },
    token_bucket: {
      max_tokens: policy.burst,
      tokens_per_fill: policy.requests * factor,
      fill_interval: policy.perMs * factor,
    },
    filter_enabled: ALWAYS,
    filter_enforced: ALWAYS,
    ...(policy.responseHeaders ? { enable_x_ratelimit_headers: 'DRAFT_VERSION_03' } : {}),
  });
}

/** Envoy has names for these; a status without one becomes 429. */
const STATUS: Readonly<Record<number, StatusCode>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  402: 'PaymentRequired',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  406: 'NotAcceptable',
  407: 'ProxyAuthenticationRequired',
  408: 'RequestTimeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'LengthRequired',
  412: 'PreconditionFailed',
  413: 'PayloadTooLarge',
  414: 'URITooLong',
  415: 'UnsupportedMediaType',
  416: 'RangeNotSatisfiable',
  417: 'ExpectationFailed',
  421: 'MisdirectedRequest',
  422: 'UnprocessableEntity',
  423: 'Locked',
  424: 'FailedDependency',
  426: 'UpgradeRequired',
  428: 'PreconditionRequired',
  429: 'TooManyRequests',
  431: 'RequestHeaderFieldsTooLarge',
  500: 'InternalServerError',
  501: 'NotImplemented',
  502: 'BadGateway',
  503: 'ServiceUnavailable',
  504: 'GatewayTimeout',
  505: 'HTTPVersionNotSupported',
  506: 'VariantAlsoNegotiates',
  507: 'InsufficientStorage',
  508: 'LoopDetected',
  510: 'NotExtended',
  511: 'NetworkAuthenticationRequired',
};

export function statusCode(status: number): StatusCode {
  return STATUS[status] ?? 'TooManyRequests';
}
