import type { GrpcTimeout, InternalRedirectPolicy } from '../../model/route.ts';
import { Framing, type RequestHead } from '../../protocol/http/message.ts';
import { type HeadNotes, stripHopByHop } from '../../protocol/http1/framing.ts';
import type { LocalReply } from '../filters/filter.ts';
import { compileHeaderMatcher, type HeaderTest } from '../router/header-match.ts';
import { isGrpc } from '../router/match.ts';
import { appendForwardedHost, rewriteHost, setOriginalPath } from '../router/rewrite.ts';
import type { CompiledForward, CompiledRoute } from '../router/route.ts';
import { type ClusterTarget, clusterName } from '../router/weighted.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import { type CompiledRetryPolicy, compileRetryPolicy, mayResend, parseRetryOn, requestMayRetry } from './retry.ts';

/** Everything the forwarder needs to know of a request, decided before the first attempt. One a stream, refilled. */
export class ForwardPlan {
  cluster = '';
  clusterNotFoundStatus = 503;
  priority: 'DEFAULT' | 'HIGH' = 'DEFAULT';
  framing: Framing = Framing.None;
  upgrade = false;
  /** Whole response; 0 off. */
  timeoutMs = 0;
  /** `timeoutMs` is the deadline that a gRPC caller set: missing it has a status of its own. */
  grpcDeadline = false;
  perTryTimeoutMs = 0;
  perTryIdleMs = 0;
  maxStreamDurationMs = 0;
  /** null: the connection manager's; 0 off. */
  idleTimeoutMs: number | null = null;
  /** null: no retries but the keep-alive race's. */
  retry: CompiledRetryPolicy | null = null;
  retryOn = 0;
  maxRetries = 0;
  retriableStatusCodes: ReadonlySet<number> = NO_CODES;
  retriableHeaders: readonly HeaderTest[] = NO_HEADERS;
  /** null: redirects of the upstream are passed on. */
  redirects: InternalRedirectPolicy | null = null;
  bufferLimitBytes = 0;
  includeAttemptCount = false;
  /** Retries say in `x-envoy-is-timeout-retry` whether they follow a timeout. */
  includeTimeoutRetry = false;
  autoHostRewrite = false;
  /** What the host was, for `x-envoy-original-host` once the endpoint's takes its place; '' is not told. */
  originalHost = '';
  /** `x-envoy-expected-rq-timeout-ms` line for the upstream, or ''. */
  expectedTimeoutLine = '';

  /** The whole body may be needed again after it was sent: it is kept, up to the buffer limit. */
  keepsBody(request: RequestHead): boolean {
    if (this.redirects !== null) return true;
    return this.retry !== null && mayResend(this.retryOn, this.retriableStatusCodes, this.retriableHeaders, request);
  }
}

/** What of the connection manager a plan depends on. */
export interface PlanSettings {
  readonly suppressEnvoyHeaders: boolean;
  readonly bufferLimitBytes: number;
  readonly upgrades: ReadonlySet<string>;
  /** Steering headers whose values must be valid (`strict_check_headers`), lower case. */
  readonly strictHeaders: readonly string[];
  /** The last hop's `x-envoy-expected-rq-timeout-ms` is the timeout here (`respect_expected_rq_timeout`). */
  readonly respectExpectedTimeout: boolean;
  /** A body filter may change the length. */
  readonly bodyMayChange: boolean;
}

const NO_CODES: ReadonlySet<number> = new Set();
const NO_HEADERS: readonly HeaderTest[] = [];

/** All that a plan takes from the route alone, in one object: what only one route of thousands has is in no cache. */
class RouteDefaults {
  readonly clusterNotFoundStatus: number;
  readonly priority: 'DEFAULT' | 'HIGH';
  readonly timeoutMs: number;
  readonly maxStreamDurationMs: number;
  readonly idleTimeoutMs: number | null;
  readonly includeAttemptCount: boolean;
  readonly includeTimeoutRetry: boolean;
  readonly expectedTimeoutLine: string;
  /** null: the listener's. */
  readonly bufferLimitBytes: number | null;
  readonly retry: CompiledRetryPolicy | null;
  readonly redirects: InternalRedirectPolicy | null;
  readonly grpcTimeout: GrpcTimeout | null;
  readonly upgrades: ReadonlyMap<string, boolean>;

  constructor({ virtualHost, bufferLimit, retryPolicy }: CompiledRoute, { config }: CompiledForward) {
    this.clusterNotFoundStatus = config.clusterNotFoundStatus;
    this.priority = config.priority;
    this.timeoutMs = config.timeoutMs;
    this.maxStreamDurationMs = config.maxStreamDurationMs ?? 0;
    this.idleTimeoutMs = config.idleTimeoutMs;
    this.includeAttemptCount = virtualHost.includeRequestAttemptCount;
    this.includeTimeoutRetry = virtualHost.includeIsTimeoutRetryHeader;
    this.expectedTimeoutLine = timeoutLine(expectedTimeout(config.timeoutMs, retryPolicy?.perTryTimeoutMs ?? 0));
    this.bufferLimitBytes = bufferLimit;
    this.retry = retryPolicy === null ? null : compileRetryPolicy(retryPolicy);
    this.redirects = config.internalRedirects;
    this.grpcTimeout = config.grpcTimeout;
    this.upgrades = new Map(config.upgrades.map((upgrade) => [upgrade.type, upgrade.enabled]));
  }
}

/** Worked out at the route's first request. */
function defaultsOf(route: CompiledRoute, action: CompiledForward): RouteDefaults {
  action.derived ??= new RouteDefaults(route, action);
  return action.derived as RouteDefaults;
}

/**
 * Fills `plan` and prepares the request's head for the upstream: rewrites, header changes, hop-by-hop removal
 * (Envoy: router.cc `decodeHeaders`). `trusted` callers may steer by `x-envoy-…` headers. Answers the reply
 * when the request cannot be forwarded.
 */
export function fillPlan(
  plan: ForwardPlan,
  route: CompiledRoute,
  action: CompiledForward,
  target: ClusterTarget,
  info: StreamInfo,
  notes: HeadNotes,
  settings: PlanSettings,
  trusted: boolean,
): LocalReply | null {
  const { request } = info;
  const { headers } = request;
  const known = defaultsOf(route, action);
  const { grpcTimeout } = known;
  plan.cluster = clusterName(target, request);
  plan.clusterNotFoundStatus = known.clusterNotFoundStatus;
  plan.priority = known.priority;
  plan.redirects = known.redirects;
  plan.framing = request.framing === Framing.Tunnel ? Framing.None : request.framing;
  if (settings.bodyMayChange && plan.framing === Framing.Length) plan.framing = Framing.Chunked;
  plan.timeoutMs = known.timeoutMs;
  plan.maxStreamDurationMs = known.maxStreamDurationMs;
  plan.idleTimeoutMs = known.idleTimeoutMs;
  plan.bufferLimitBytes = known.bufferLimitBytes ?? settings.bufferLimitBytes;
  plan.includeAttemptCount = known.includeAttemptCount;
  plan.includeTimeoutRetry = known.includeTimeoutRetry;
  plan.expectedTimeoutLine = settings.suppressEnvoyHeaders ? '' : known.expectedTimeoutLine;
  fillRetry(plan, known.retry, info);
  const grpc = grpcTimeout !== null && applyGrpcTimeout(plan, request, grpcTimeout);
  plan.grpcDeadline = grpc && !grpcTimeout.legacy;
  if (trusted) {
    const refusal = applySteering(plan, info, settings);
    if (refusal !== null) return refusal;
  }
  if (grpc) announceGrpcTimeout(plan, request, grpcTimeout, settings);
  // Envoy ignores a per-try timeout that the route's would end first.
  if (plan.timeoutMs > 0 && plan.perTryTimeoutMs >= plan.timeoutMs) plan.perTryTimeoutMs = 0;
  // Ours to say, whatever the client said.
  if (plan.includeAttemptCount) headers.remove('x-envoy-attempt-count');
  if (plan.includeTimeoutRetry) headers.remove('x-envoy-is-timeout-retry');
  if (plan.expectedTimeoutLine !== '') headers.remove('x-envoy-expected-rq-timeout-ms');

  plan.upgrade = false;
  if (request.method === 'CONNECT') {
    if (!(known.upgrades.get('connect') ?? settings.upgrades.has('connect'))) return upgradeRefused('CONNECT');
  } else if (request.upgrade !== '' && mayUpgrade(request)) {
    // A token nobody configured is passed over, as RFC 9110 section 7.8 lets a server do, not refused.
    const type = request.upgrade.toLowerCase();
    plan.upgrade = known.upgrades.get(type) ?? settings.upgrades.has(type);
  }
  stripHopByHop(headers, notes, plan.upgrade);
  target.requestMutations?.apply(headers, info);
  if (action.pathRewrite !== null) {
    info.originalPath = request.path;
    request.path = action.pathRewrite(request.path);
    if (request.path !== info.originalPath && !settings.suppressEnvoyHeaders)
      setOriginalPath(request, info.originalPath);
  }
  const rewrite = target.hostRewrite;
  plan.autoHostRewrite = rewrite?.auto ?? false;
  plan.originalHost = settings.suppressEnvoyHeaders ? '' : request.authority;
  if (rewrite !== null) {
    const host = rewrite.auto ? '' : rewrite.rewrite(request);
    if (action.config.appendXForwardedHost && (rewrite.auto || host !== '')) appendForwardedHost(request);
    if (host !== '') rewriteHost(request, host, plan.originalHost);
  }
  return null;
}

/** A body's framing must not reach a tunnel as its first bytes, and an answer to HEAD could not be told from one with a body. */
function mayUpgrade(request: RequestHead): boolean {
  return request.method !== 'HEAD' && (request.framing === Framing.None || request.contentLength === 0);
}

function fillRetry(plan: ForwardPlan, retry: CompiledRetryPolicy | null, info: StreamInfo): void {
  if (retry === null || !requestMayRetry(retry, info.request)) {
    plan.retry = null;
    plan.retryOn = 0;
    plan.maxRetries = 0;
    plan.perTryTimeoutMs = 0;
    plan.perTryIdleMs = 0;
    plan.retriableStatusCodes = NO_CODES;
    plan.retriableHeaders = NO_HEADERS;
    return;
  }
  plan.retry = retry;
  plan.retryOn = retry.on;
  plan.maxRetries = retry.policy.numRetries;
  plan.perTryTimeoutMs = retry.policy.perTryTimeoutMs;
  plan.perTryIdleMs = retry.policy.perTryIdleTimeoutMs;
  plan.retriableStatusCodes = retry.statusCodes;
  plan.retriableHeaders = retry.headers;
}

/** `x-envoy-retry-on`, `x-envoy-max-retries`, `x-envoy-upstream-rq-timeout-ms` and their kin (Envoy's router filter docs). */
function applySteering(plan: ForwardPlan, info: StreamInfo, settings: PlanSettings): LocalReply | null {
  const { headers } = info.request;
  // One pass finds whether there is any at all, which there seldom is.
  if (!hasSteering(info)) return null;
  for (const name of settings.strictHeaders) {
    const value = headers.get(name);
    if (value !== undefined && !isValidSteering(name, value)) return invalidSteering(name, value);
  }
  const retryOn = headers.get('x-envoy-retry-on');
  const grpcRetryOn = headers.get('x-envoy-retry-grpc-on');
  if (retryOn !== undefined || grpcRetryOn !== undefined) {
    plan.retryOn |= parseRetryOn(retryOn ?? '') | parseRetryOn(grpcRetryOn ?? '');
    if (plan.retry === null) {
      plan.retry = DEFAULT_RETRY;
      plan.maxRetries = 1;
    }
  }
  const codes = headers.get('x-envoy-retriable-status-codes');
  if (codes !== undefined) {
    plan.retriableStatusCodes = new Set([
      ...plan.retriableStatusCodes,
      ...codes.split(',').map((code) => Number(code.trim())),
    ]);
  }
  const names = headers.get('x-envoy-retriable-header-names');
  if (names !== undefined) plan.retriableHeaders = [...plan.retriableHeaders, ...namedHeaders(names)];
  const maxRetries = positive(headers.get('x-envoy-max-retries'));
  if (maxRetries !== null && plan.retry !== null) plan.maxRetries = maxRetries;
  const expected = settings.respectExpectedTimeout ? positive(headers.get('x-envoy-expected-rq-timeout-ms')) : null;
  const timeout = expected ?? positive(headers.get('x-envoy-upstream-rq-timeout-ms'));
  if (timeout !== null) plan.timeoutMs = timeout;
  const perTry = positive(headers.get('x-envoy-upstream-rq-per-try-timeout-ms'));
  if (perTry !== null) plan.perTryTimeoutMs = perTry;
  for (const name of CONSUMED) headers.remove(name);
  if (!settings.suppressEnvoyHeaders && (timeout !== null || perTry !== null)) {
    const next = expectedTimeout(plan.timeoutMs, plan.perTryTimeoutMs);
    headers.remove('x-envoy-expected-rq-timeout-ms');
    plan.expectedTimeoutLine = timeoutLine(next);
  }
  return null;
}

/** Whether a steering header says something that can be followed. */
function isValidSteering(name: string, value: string): boolean {
  if (name === 'x-envoy-retry-on' || name === 'x-envoy-retry-grpc-on') {
    return value.split(',').every((condition) => parseRetryOn(condition) !== 0);
  }
  return positive(value) !== null;
}

function invalidSteering(name: string, value: string): LocalReply {
  return {
    status: 400,
    body: `invalid header '${name}' with value '${value}'`,
    details: `request_headers_failed_strict_check{${name}}`,
    flags: ResponseFlag.InvalidEnvoyRequestHeaders,
    reason: `The header ${name} holds a value that cannot be followed, and strict_check_headers asks for valid ones.`,
  };
}

/** Meant for this proxy; the next hop is told `x-envoy-expected-rq-timeout-ms` instead. */
const CONSUMED = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-retriable-header-names',
  'x-envoy-retriable-status-codes',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
] as const;

function hasSteering(info: StreamInfo): boolean {
  const { raw, offsets, count } = info.request.headers;
  for (let i = 0; i < count; i++) {
    const start = offsets[i * 4]!;
    if (offsets[i * 4 + 1]! - start < 15) continue;
    const c = raw.charCodeAt(start) | 0x20;
    const e = raw.charCodeAt(start + 2) | 0x20;
    if (c === 0x78 && e === 0x65) return true;
  }
  return false;
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000001 };

function grpcTimeoutOf(request: RequestHead): number {
  const value = request.headers.get('grpc-timeout');
  if (value === undefined || !/^\d{1,8}[HMSmun]$/.test(value)) return -1;
  return Number(value.slice(0, -1)) * UNIT_MS[value.at(-1)!]!;
}

/** gRPC's own deadline is the timeout where the route honours it (Envoy: router.cc `finalTimeout`); answers whether it is. */
function applyGrpcTimeout(plan: ForwardPlan, request: RequestHead, { maxMs, offsetMs, legacy }: GrpcTimeout): boolean {
  let ms = grpcTimeoutOf(request);
  if (legacy) {
    if (!isGrpc(request)) return false;
    ms = Math.max(ms, 0);
    if (offsetMs < ms) ms -= offsetMs;
    // 0 is for ever.
    if (maxMs > 0 && (ms === 0 || ms > maxMs)) ms = maxMs;
  } else {
    if (ms < 0) return false;
    if (maxMs > 0) ms = Math.min(ms, maxMs);
    if (ms > 0) ms = Math.max(ms - offsetMs, 0);
  }
  plan.timeoutMs = ms;
  return true;
}

/** The next hop hears how long it really has. */
function announceGrpcTimeout(
  plan: ForwardPlan,
  request: RequestHead,
  { legacy }: GrpcTimeout,
  settings: PlanSettings,
): void {
  const next = expectedTimeout(plan.timeoutMs, plan.perTryTimeoutMs);
  if (!settings.suppressEnvoyHeaders) plan.expectedTimeoutLine = timeoutLine(next);
  const ms = Math.ceil(legacy ? next : plan.timeoutMs);
  // A value has eight digits at most.
  if (ms > 0) request.headers.set('grpc-timeout', ms < 100_000_000 ? `${ms}m` : `${Math.ceil(ms / 1000)}S`);
}

/** `x-envoy-retriable-header-names`: their mere presence asks for a retry. */
function namedHeaders(names: string): HeaderTest[] {
  return names
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
    .map((name) =>
      compileHeaderMatcher({
        name,
        test: { kind: 'present', present: true },
        invert: false,
        treatMissingAsEmpty: false,
      }),
    );
}

function upgradeRefused(what: string): LocalReply {
  return {
    status: 403,
    body: '',
    details: 'upgrade_failed',
    flags: ResponseFlag.NoRouteFound,
    reason: `${what} is not enabled on this route (upgrade_configs).`,
  };
}

function expectedTimeout(timeoutMs: number, perTryMs: number): number {
  return perTryMs > 0 && (timeoutMs === 0 || perTryMs < timeoutMs) ? perTryMs : timeoutMs;
}

/** The line of a later try, which has only what is left of the route's timeout; 0 would be for ever. */
export function laterTimeoutLine(plan: ForwardPlan, leftMs: number): string {
  const { expectedTimeoutLine, timeoutMs, perTryTimeoutMs } = plan;
  if (expectedTimeoutLine === '' || timeoutMs === 0) return expectedTimeoutLine;
  return timeoutLine(expectedTimeout(Math.max(1, Math.ceil(leftMs)), perTryTimeoutMs));
}

/** Most routes have the same timeout: they share the line. */
function timeoutLine(ms: number): string {
  if (ms === 0) return '';
  if (ms !== lastTimeout) {
    lastTimeout = ms;
    lastTimeoutLine = `x-envoy-expected-rq-timeout-ms: ${ms}\r\n`;
  }
  return lastTimeoutLine;
}
let lastTimeout = 0;
let lastTimeoutLine = '';

function positive(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

const DEFAULT_RETRY = compileRetryPolicy({
  retryOn: [],
  numRetries: 1,
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriableRequestHeaders: [],
  baseIntervalMs: 25,
  maxIntervalMs: 250,
  rateLimitedBackOff: null,
  avoidPreviousHosts: false,
  hostSelectionMaxAttempts: 1,
});
