import type { RequestHead } from '../../protocol/http/message.ts';
import type { LocalReply } from '../filters/filter.ts';
import { DEADLINE_EXCEEDED } from '../telemetry/grpc-status.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import type { PoolFailure } from '../upstream/pool/http1-pool.ts';
import type { Attempt } from './attempt.ts';
import type { ForwardPlan } from './plan.ts';
import { isIdempotent } from './retry.ts';

/**
 * The answers the proxy makes itself when forwarding fails: Envoy's statuses, bodies, flags and detail
 * strings, and beside them one sentence for a person that says why and what to look at.
 */

export type UpstreamFailure = PoolFailure;

export function noClusterReply(cluster: string, status: number, info: StreamInfo): LocalReply {
  const origin = info.route?.origin ?? '';
  return {
    status,
    body: '',
    details: 'cluster_not_found',
    flags: ResponseFlag.NoClusterFound,
    reason: `The route${origin === '' ? '' : ` (${origin})`} names cluster "${cluster}", which does not exist: check the destination's host, port and subset.`,
  };
}

export function noHealthyReply(cluster: UpstreamCluster): LocalReply {
  const { total, ejected } = cluster.membership;
  const why =
    total === 0
      ? 'it has no endpoints: is a workload running, and do its labels match the service and subset?'
      : ejected > 0
        ? `${ejected} of its ${total} endpoints are ejected by outlier detection, the rest are unhealthy.`
        : `all ${total} endpoints are reported unhealthy.`;
  return {
    status: 503,
    body: 'no healthy upstream',
    details: 'no_healthy_upstream',
    flags: ResponseFlag.NoHealthyUpstream,
    reason: `No endpoint of ${cluster.name} can take the request: ${why}`,
  };
}

export function overflowReply(cluster: string, limit: string): LocalReply {
  return {
    status: 503,
    body: 'upstream connect error or disconnect/reset before headers. reset reason: overflow',
    details: 'upstream_reset_before_response_started{overflow}',
    flags: ResponseFlag.UpstreamOverflow,
    reason: `Circuit breaker of ${cluster}: ${limit} in this proxy (the limit counts per proxy, not per service).`,
    headers: [['x-envoy-overloaded', 'true']],
  };
}

const TIMEOUTS = {
  response_timeout: "the route's timeout",
  upstream_per_try_timeout: "the retry policy's per-try timeout",
  upstream_per_try_idle_timeout: "the retry policy's per-try idle timeout",
} as const;

/** The whole response did not come in time. */
export function responseTimeoutReply(plan: ForwardPlan, attempt: Attempt, cluster: string): LocalReply {
  const reply = timeoutReply('response_timeout', plan.timeoutMs, attempt, cluster);
  return plan.grpcDeadline ? { ...reply, grpcStatus: DEADLINE_EXCEEDED } : reply;
}

export function timeoutReply(
  details: keyof typeof TIMEOUTS,
  timeoutMs: number,
  attempt: Attempt,
  cluster: string,
): LocalReply {
  return {
    status: 504,
    body: 'upstream request timeout',
    details,
    flags: ResponseFlag.UpstreamRequestTimeout,
    reason: `${cluster} (${attempt.address}) had not answered after ${formatMs(timeoutMs)}, ${TIMEOUTS[details]}.`,
  };
}

const RESET_TEXT: Readonly<Record<Exclude<UpstreamFailure, 'overflow'>, string>> = {
  'connection-failure': 'connection failure',
  'connection-timeout': 'connection timeout',
  'connection-termination': 'connection termination',
  'protocol-error': 'protocol error',
  drained: 'connection termination',
};

export function resetReply(
  failure: Exclude<UpstreamFailure, 'overflow'>,
  detail: string,
  attempt: Attempt,
  cluster: string,
  request: RequestHead,
  plan: ForwardPlan,
): LocalReply {
  const text = RESET_TEXT[failure];
  const protocol = failure === 'protocol-error';
  const connect = failure === 'connection-failure' || failure === 'connection-timeout';
  return {
    status: protocol ? 502 : 503,
    body: `upstream connect error or disconnect/reset before headers. reset reason: ${text}`,
    details: `upstream_reset_before_response_started{${text.replaceAll(' ', '_')}}`,
    flags: protocol
      ? ResponseFlag.UpstreamProtocolError
      : connect
        ? ResponseFlag.UpstreamConnectionFailure
        : ResponseFlag.UpstreamConnectionTermination,
    reason: reasonFor(failure, detail, attempt, cluster, request, plan),
  };
}

function reasonFor(
  failure: UpstreamFailure,
  detail: string,
  attempt: Attempt,
  cluster: string,
  request: RequestHead,
  plan: ForwardPlan,
): string {
  const target = `${cluster} (${attempt.address})`;
  switch (failure) {
    case 'connection-failure':
      return `Could not connect to ${target}: ${detail}${plan.retry === null ? '; no retry policy is set.' : '.'}`;
    case 'connection-timeout':
      return `No connection to ${target} within the cluster's connect timeout.`;
    case 'protocol-error':
      return `${target} answered something that is not valid HTTP/1.1: ${detail}`;
    default:
      return attempt.reused && !isIdempotent(request.method)
        ? `${target} closed a kept-alive connection while a ${request.method} was on its way; it was not sent again because it could run twice.`
        : `${target} closed the connection before it answered (${detail}).`;
  }
}

function formatMs(ms: number): string {
  return ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`;
}
