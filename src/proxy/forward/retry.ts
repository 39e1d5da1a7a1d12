import type { Random } from '../../base/random.ts';
import type { RetryPolicy } from '../../model/route.ts';
import { RequestHead, type ResponseHead } from '../../protocol/http/message.ts';
import { compileHeaderMatcher, type HeaderTest } from '../router/header-match.ts';
import { isGrpc } from '../router/match.ts';
import type { ResetReason } from '../upstream/pool/http1-connection.ts';

/** Retry conditions as bits; the names are those of `x-envoy-retry-on` and `x-envoy-retry-grpc-on`. */
export const RetryOn = {
  ServerError: 1 << 0,
  GatewayError: 1 << 1,
  Reset: 1 << 2,
  ResetBeforeRequest: 1 << 3,
  ConnectFailure: 1 << 4,
  Retriable4xx: 1 << 5,
  RefusedStream: 1 << 6,
  RetriableStatusCodes: 1 << 7,
  RetriableHeaders: 1 << 8,
  EnvoyRateLimited: 1 << 9,
  Http3PostConnectFailure: 1 << 10,
  GrpcCancelled: 1 << 11,
  GrpcDeadlineExceeded: 1 << 12,
  GrpcInternal: 1 << 13,
  GrpcResourceExhausted: 1 << 14,
  GrpcUnavailable: 1 << 15,
} as const;

const BY_NAME: ReadonlyMap<string, number> = new Map([
  ['5xx', RetryOn.ServerError],
  ['gateway-error', RetryOn.GatewayError],
  ['reset', RetryOn.Reset],
  ['reset-before-request', RetryOn.ResetBeforeRequest],
  ['connect-failure', RetryOn.ConnectFailure],
  ['retriable-4xx', RetryOn.Retriable4xx],
  ['refused-stream', RetryOn.RefusedStream],
  ['retriable-status-codes', RetryOn.RetriableStatusCodes],
  ['retriable-headers', RetryOn.RetriableHeaders],
  ['envoy-ratelimited', RetryOn.EnvoyRateLimited],
  ['http3-post-connect-failure', RetryOn.Http3PostConnectFailure],
  ['cancelled', RetryOn.GrpcCancelled],
  ['deadline-exceeded', RetryOn.GrpcDeadlineExceeded],
  ['internal', RetryOn.GrpcInternal],
  ['resource-exhausted', RetryOn.GrpcResourceExhausted],
  ['unavailable', RetryOn.GrpcUnavailable],
]);

const GRPC_STATUS_BITS: readonly (readonly [status: string, bit: number])[] = [
  ['1', RetryOn.GrpcCancelled],
  ['4', RetryOn.GrpcDeadlineExceeded],
  ['13', RetryOn.GrpcInternal],
  ['8', RetryOn.GrpcResourceExhausted],
  ['14', RetryOn.GrpcUnavailable],
];
const GRPC_BITS = GRPC_STATUS_BITS.reduce((bits, [, bit]) => bits | bit, 0);

/** Conditions that may ask for another try after some of the body has gone out; the others hold only before. */
const AFTER_BODY =
  RetryOn.ServerError | RetryOn.GatewayError | RetryOn.Reset | RetryOn.Retriable4xx | RetryOn.EnvoyRateLimited;

/** Whether a request that was sent may be sent again under these conditions, so that its body must be kept. */
export function mayResend(
  bits: number,
  codes: ReadonlySet<number>,
  headers: readonly HeaderTest[],
  request: RequestHead,
): boolean {
  return (
    (bits & AFTER_BODY) !== 0 ||
    ((bits & RetryOn.RetriableStatusCodes) !== 0 && codes.size > 0) ||
    ((bits & RetryOn.RetriableHeaders) !== 0 && headers.length > 0) ||
    ((bits & GRPC_BITS) !== 0 && isGrpc(request))
  );
}

/** The conditions of a comma-separated list; unknown names are passed over, as Envoy does with the header. */
export function parseRetryOn(list: string | readonly string[]): number {
  const names = typeof list === 'string' ? list.split(',') : list;
  let bits = 0;
  for (const name of names) bits |= BY_NAME.get(name.trim()) ?? 0;
  return bits;
}

/** A route's retry policy, compiled. */
export interface CompiledRetryPolicy {
  readonly policy: RetryPolicy;
  readonly on: number;
  readonly statusCodes: ReadonlySet<number>;
  readonly headers: readonly HeaderTest[];
  readonly requestHeaders: readonly HeaderTest[];
}

export function compileRetryPolicy(policy: RetryPolicy): CompiledRetryPolicy {
  return {
    policy,
    on: parseRetryOn(policy.retryOn),
    statusCodes: new Set(policy.retriableStatusCodes),
    headers: policy.retriableHeaders.map(compileHeaderMatcher),
    requestHeaders: policy.retriableRequestHeaders.map(compileHeaderMatcher),
  };
}

/** Whether the policy allows retries of this request at all (`retriable_request_headers`). */
export function requestMayRetry(compiled: CompiledRetryPolicy, head: RequestHead): boolean {
  return compiled.requestHeaders.length === 0 || compiled.requestHeaders.some((header) => header.test(head));
}

/** Whether a response's head asks for another attempt. `on` may differ from the policy's: headers can add conditions. */
export function retryOnResponse(
  on: number,
  statusCodes: ReadonlySet<number>,
  headers: readonly HeaderTest[],
  response: ResponseHead,
): boolean {
  const { status } = response;
  if (status >= 500) {
    // A server that sheds load on purpose is not helped by more of it.
    if (response.headers.has('x-envoy-ratelimited')) return (on & RetryOn.EnvoyRateLimited) !== 0;
    if ((on & RetryOn.ServerError) !== 0) return true;
    if ((on & RetryOn.GatewayError) !== 0 && (status === 502 || status === 503 || status === 504)) return true;
  }
  if (status === 429 && (on & RetryOn.EnvoyRateLimited) !== 0 && response.headers.has('x-envoy-ratelimited'))
    return true;
  if (status === 409 && (on & RetryOn.Retriable4xx) !== 0) return true;
  if ((on & RetryOn.RetriableStatusCodes) !== 0 && statusCodes.has(status)) return true;
  if ((on & RetryOn.RetriableHeaders) !== 0 && matchesAny(headers, response)) return true;
  return (on & GRPC_BITS) !== 0 && retryOnGrpcStatus(on, response);
}

/** Header matchers read request heads; a response is shown to them as one that has its headers. */
function matchesAny(headers: readonly HeaderTest[], response: ResponseHead): boolean {
  const head = Object.assign(new RequestHead(), { headers: response.headers });
  return headers.some((header) => header.test(head));
}

function retryOnGrpcStatus(on: number, response: ResponseHead): boolean {
  const status = response.headers.get('grpc-status');
  if (status === undefined) return false;
  return GRPC_STATUS_BITS.some(([code, bit]) => code === status && (on & bit) !== 0);
}

/** Why an attempt ended without a response: what the connection says, or our own per-try timeout. */
export type AttemptFailure = ResetReason | 'per-try-timeout';

/** Whether an attempt that ended without a response may be followed by another. `sent`: bytes of it may have been processed. */
export function retryOnFailure(on: number, failure: AttemptFailure, sent: boolean): boolean {
  // An upstream reset ends as a 5xx, so the conditions for those include it (Envoy: retry_state_impl.cc).
  if ((on & (RetryOn.Reset | RetryOn.ServerError | RetryOn.GatewayError)) !== 0) return true;
  if (!sent && (on & RetryOn.ResetBeforeRequest) !== 0) return true;
  const connect = failure === 'connection-failure' || failure === 'connection-timeout';
  return connect && (on & RetryOn.ConnectFailure) !== 0;
}

/** Fully jittered exponential back-off in ms before retry number `retry` (1 is the first). */
export function backOffMs(baseMs: number, maxMs: number, retry: number, random: Random): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(retry - 1, 30));
  return random.next() * ceiling;
}

/** The wait that a response's reset headers ask for (`Retry-After: 5`), or -1. */
export function rateLimitedBackOffMs(policy: RetryPolicy, response: ResponseHead, wallMs: number): number {
  const settings = policy.rateLimitedBackOff;
  if (settings === null) return -1;
  for (const { name, format } of settings.headers) {
    const value = response.headers.get(name);
    if (value === undefined || !/^\d{1,15}$/.test(value)) continue;
    const ms = format === 'SECONDS' ? Number(value) * 1000 : Number(value) * 1000 - wallMs;
    if (ms >= 0 && ms <= settings.maxIntervalMs) return ms;
  }
  return -1;
}

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** Whether running a method twice is the same as running it once (RFC 9110 section 9.2.2). */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}
