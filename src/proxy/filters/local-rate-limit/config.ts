import type { FractionalPercent } from '../../../model/matcher.ts';
import type { HeaderValueOption } from '../../../model/route.ts';
import type { Problems } from '../../../xds/proto/codec.ts';
import type { LocalRateLimit as WireLimit } from '../../../xds/proto/gen/envoy/extensions/filters/http/local_ratelimit/v3.ts';
import type { TokenBucket as WireBucket } from '../../../xds/proto/gen/envoy/type/v3.ts';
import { decodeFraction, decodeHeaderOptions, decodeStatus, reportUnused } from '../wire.ts';

export interface BucketConfig {
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

/** envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, resolved. */
export interface LocalRateLimitConfig {
  readonly statPrefix: string;
  /** null: nothing is limited here (only for the filter's own config). */
  readonly bucket: BucketConfig | null;
  readonly perConnection: boolean;
  /** Requests that take tokens at all; null: none. */
  readonly enabled: FractionalPercent | null;
  /** Of those without a token, the requests that are refused; null: none. */
  readonly enforced: FractionalPercent | null;
  readonly status: number;
  /** RESOURCE_EXHAUSTED for gRPC callers instead of UNAVAILABLE. */
  readonly resourceExhausted: boolean;
  readonly responseHeaders: readonly HeaderValueOption[];
  /** For requests that found no token and go on because that is not enforced. */
  readonly requestHeadersWhenNotEnforced: readonly HeaderValueOption[];
  /** `x-ratelimit-limit`, `-remaining` and `-reset` on every response. */
  readonly rateLimitHeaders: boolean;
}

/** Envoy refuses shorter intervals. */
const MIN_FILL_INTERVAL_MS = 50;

export function decodeLocalRateLimit(
  limit: WireLimit,
  problems: Problems,
  warnings: Problems,
  path: string,
  forRoute: boolean,
): LocalRateLimitConfig {
  reportUnused(
    limit,
    {
      descriptors: 'limits by descriptor come later; requests that match one take from the default bucket',
      stage: 'descriptors come later',
      vh_rate_limits: 'descriptors come later',
      local_cluster_rate_limit: 'the limit counts in each proxy by itself',
    },
    warnings,
    path,
  );
  if (limit.token_bucket === undefined) {
    // A place in the chain for the limits of routes: nothing to say about the rest.
  } else if (limit.filter_enabled === undefined) {
    warnings.add(`${path}.filter_enabled`, 'is not set and defaults to 0%: nothing is limited');
  } else if (limit.filter_enforced === undefined) {
    warnings.add(`${path}.filter_enforced`, 'is not set and defaults to 0%: requests are counted, none is refused');
  }
  if (forRoute && limit.token_bucket === undefined) {
    problems.add(`${path}.token_bucket`, 'is needed in the config of a route or virtual host');
  }
  const status = decodeStatus(limit.status);
  return {
    statPrefix: limit.stat_prefix ?? '',
    bucket:
      limit.token_bucket === undefined ? null : decodeBucket(limit.token_bucket, problems, `${path}.token_bucket`),
    perConnection: limit.local_rate_limit_per_downstream_connection ?? false,
    enabled: limit.filter_enabled === undefined ? null : decodeFraction(limit.filter_enabled),
    enforced: limit.filter_enforced === undefined ? null : decodeFraction(limit.filter_enforced),
    status: status < 400 ? 429 : status,
    resourceExhausted: limit.rate_limited_as_resource_exhausted ?? false,
    responseHeaders: decodeHeaderOptions(limit.response_headers_to_add, problems, `${path}.response_headers_to_add`),
    requestHeadersWhenNotEnforced: decodeHeaderOptions(
      limit.request_headers_to_add_when_not_enforced,
      problems,
      `${path}.request_headers_to_add_when_not_enforced`,
    ),
    rateLimitHeaders: limit.enable_x_ratelimit_headers === 'DRAFT_VERSION_03',
  };
}

function decodeBucket(bucket: WireBucket, problems: Problems, path: string): BucketConfig {
  const maxTokens = bucket.max_tokens ?? 0;
  const tokensPerFill = bucket.tokens_per_fill ?? 1;
  const fillIntervalMs = bucket.fill_interval ?? 0;
  if (maxTokens < 1) problems.add(`${path}.max_tokens`, 'must be at least 1');
  if (tokensPerFill < 1) problems.add(`${path}.tokens_per_fill`, 'must be at least 1');
  if (fillIntervalMs < MIN_FILL_INTERVAL_MS) {
    problems.add(`${path}.fill_interval`, `must be at least ${MIN_FILL_INTERVAL_MS} ms`);
  }
  return { maxTokens, tokensPerFill, fillIntervalMs };
}
