import { pack } from '../../../xds/proto/codec.ts';
import type { RetryPolicy } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import { PreviousHostsPredicate } from '../../../xds/proto/gen/envoy/extensions/retry/host/previous_hosts/v3.ts';
import type { RuleRetries } from '../../mesh/route-rule.ts';

/**
 * What is retried when nobody said otherwise: only what was provably not processed, so that no POST runs twice
 * (pains row 10). Istio's default also has `unavailable`, `cancelled` and every 503, which a server may send after it
 * has done the work. `attempts` without `retryOn` means more tries of the same: to retry more is the user's to say.
 */
const UNPROCESSED = 'connect-failure,refused-stream,reset-before-request';
const DEFAULT_RETRIES = 2;
/** How often another endpoint is looked for when the one picked has failed this request before. */
const HOST_ATTEMPTS = 5;

/** A retry goes elsewhere: whoever just refused will most likely do so again. */
const ELSEWHERE = [
  { name: 'envoy.retry_host_predicates.previous_hosts', typed_config: pack(PreviousHostsPredicate, {}) },
];

const DEFAULT_POLICY: RetryPolicy = {
  retry_on: UNPROCESSED,
  num_retries: DEFAULT_RETRIES,
  retry_host_predicate: ELSEWHERE,
  host_selection_retry_max_attempts: HOST_ATTEMPTS,
};

/** Inbound there is one endpoint, the app: a connection that it closed as the request set out is worth a second try. */
export const INBOUND_RETRY: RetryPolicy = { retry_on: 'reset-before-request', num_retries: DEFAULT_RETRIES };

/** undefined: no retries. */
export function retryPolicy(retries: RuleRetries | null): RetryPolicy | undefined {
  if (retries === null) return DEFAULT_POLICY;
  if (retries.attempts <= 0) return undefined;
  const { conditions, codes } = parseRetryOn(retries.retryOn);
  return {
    retry_on: conditions,
    num_retries: retries.attempts,
    ...(codes.length > 0 ? { retriable_status_codes: codes } : {}),
    ...(retries.perTryTimeoutMs > 0 ? { per_try_timeout: retries.perTryTimeoutMs } : {}),
    ...(retries.ignorePreviousHosts ? { retry_host_predicate: ELSEWHERE } : {}),
    host_selection_retry_max_attempts: HOST_ATTEMPTS,
    ...(retries.backoffMs > 0 ? { retry_back_off: { base_interval: retries.backoffMs } } : {}),
  };
}

/** Status codes stand among the conditions in Istio, apart from them in Envoy. */
function parseRetryOn(retryOn: string): { conditions: string; codes: number[] } {
  const tokens = (retryOn === '' ? UNPROCESSED : retryOn).split(',').map((token) => token.trim());
  const codes = tokens.filter((token) => /^\d+$/.test(token)).map(Number);
  const conditions = tokens.filter((token) => token !== '' && !/^\d+$/.test(token));
  if (codes.length > 0 && !conditions.includes('retriable-status-codes')) conditions.push('retriable-status-codes');
  return { conditions: conditions.join(','), codes };
}
