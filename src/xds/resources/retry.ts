import type { RetryPolicy } from '../../model/route.ts';
import type * as route from '../proto/gen/envoy/config/route/v3.ts';
import { suggest } from '../proto/suggest.ts';
import type { Decoding } from './decoding.ts';
import { decodeHeaderMatchers } from './matcher.ts';

/** The conditions of `x-envoy-retry-on` and `x-envoy-retry-grpc-on`. */
const CONDITIONS = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

const DEFAULT_BASE_MS = 25;
const DEFAULT_RESET_MAX_MS = 300_000;

export function decodeRetryPolicy(policy: route.RetryPolicy, path: string, s: Decoding): RetryPolicy {
  const limited = policy.rate_limited_retry_back_off;
  return {
    retryOn: decodeRetryOn(policy.retry_on ?? '', `${path}.retry_on`, s),
    numRetries: policy.num_retries ?? 1,
    perTryTimeoutMs: policy.per_try_timeout ?? 0,
    perTryIdleTimeoutMs: policy.per_try_idle_timeout ?? 0,
    retriableStatusCodes: policy.retriable_status_codes ?? [],
    retriableHeaders: decodeHeaderMatchers(policy.retriable_headers, `${path}.retriable_headers`, s),
    retriableRequestHeaders: decodeHeaderMatchers(
      policy.retriable_request_headers,
      `${path}.retriable_request_headers`,
      s,
    ),
    ...decodeBackOff(policy.retry_back_off, `${path}.retry_back_off`, s),
    rateLimitedBackOff:
      limited === undefined
        ? null
        : {
            headers: (limited.reset_headers ?? []).map((header) => ({
              name: (header.name ?? '').toLowerCase(),
              format: header.format ?? 'SECONDS',
            })),
            maxIntervalMs: limited.max_interval ?? DEFAULT_RESET_MAX_MS,
          },
    avoidPreviousHosts: decodeHostPredicates(policy.retry_host_predicate, `${path}.retry_host_predicate`, s),
    hostSelectionMaxAttempts: policy.host_selection_retry_max_attempts || 1,
  };
}

/** Envoy passes over conditions that it does not know; so do we, and say so. */
function decodeRetryOn(text: string, path: string, s: Decoding): string[] {
  const conditions = text
    .split(',')
    .map((condition) => condition.trim())
    .filter((condition) => condition !== '');
  for (const condition of conditions) {
    if (CONDITIONS.has(condition)) continue;
    const hint = /^[1-5]\d\d$/.test(condition)
      ? ': status codes go into retriable_status_codes'
      : suggest(condition, CONDITIONS);
    s.noEffect(path, `there is no retry condition ${JSON.stringify(condition)}${hint}`);
  }
  return conditions.filter((condition) => CONDITIONS.has(condition));
}

function decodeBackOff(
  backOff: route.RetryPolicy_RetryBackOff | undefined,
  path: string,
  s: Decoding,
): { baseIntervalMs: number; maxIntervalMs: number } {
  const baseIntervalMs = Math.max(backOff?.base_interval ?? DEFAULT_BASE_MS, 1);
  const maxIntervalMs = Math.max(backOff?.max_interval ?? baseIntervalMs * 10, 1);
  if (maxIntervalMs < baseIntervalMs)
    s.error(`${path}.max_interval`, `${maxIntervalMs} ms is less than the base_interval of ${baseIntervalMs} ms`);
  return { baseIntervalMs, maxIntervalMs };
}

const PREDICATES = 'envoy.extensions.retry.host.';

function decodeHostPredicates(
  predicates: readonly route.RetryPolicy_RetryHostPredicate[] | undefined,
  path: string,
  s: Decoding,
): boolean {
  let avoidPrevious = false;
  for (const [i, predicate] of (predicates ?? []).entries()) {
    const at = `${path}[${i}].typed_config`;
    const opened = predicate.typed_config && s.open(predicate.typed_config, at);
    // Envoy accepts the bare name too.
    const name = opened?.typeName ?? (predicate.typed_config === undefined ? predicate.name : undefined);
    if (name === undefined) continue;
    if (
      name === `${PREDICATES}previous_hosts.v3.PreviousHostsPredicate` ||
      name === 'envoy.retry_host_predicates.previous_hosts'
    ) {
      avoidPrevious = true;
    } else if (name.startsWith(PREDICATES) || name.startsWith('envoy.retry_host_predicates.')) {
      s.noEffect(`${path}[${i}]`, `a retry may go to any other host: ${name} is not supported, only previous_hosts`);
    } else {
      s.error(`${path}[${i}]`, `${name} is not a retry host predicate of this version: use previous_hosts`);
    }
  }
  return avoidPrevious;
}
