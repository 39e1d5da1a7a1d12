import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { ParseErrorCode } from '../../protocol/http1/framing.ts';
import type { LocalReply } from '../filters/filter.ts';
import type { CompiledDirect, CompiledRedirect } from '../router/route.ts';
import { DEADLINE_EXCEEDED } from '../telemetry/grpc-status.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { ConnectionManager } from './connection-manager.ts';

/** The answers a connection manager makes itself, with Envoy's statuses and details and a reason in words. */

export function noRouteReply(info: StreamInfo, manager: ConnectionManager, hasTable: boolean): LocalReply {
  const { request } = info;
  const { routes } = manager.config;
  const table = manager.tableFor(request)?.config.name ?? '';
  return {
    status: 404,
    body: '',
    details: 'route_not_found',
    flags: ResponseFlag.NoRouteFound,
    reason: hasTable
      ? `No route for ${request.method} ${request.authority}${request.path}: route table "${table}" has no virtual host for "${request.authority}", or none of its routes matches (remora explain says which).`
      : `${missingTable(routes)}.`,
  };
}

/** Why there is no table for a request. */
export function missingTable(routes: HttpConnectionManager['routes']): string {
  if (routes.kind === 'scoped') {
    const made = routes.key.map(({ header }) => header).join(' and ');
    return `The request is in no scope of ${JSON.stringify(routes.name)} (its key is made of ${made}), or the scope's routes have not arrived from the control server yet`;
  }
  return `Route table ${JSON.stringify(routes.kind === 'rds' ? routes.name : routes.config.name)} has not arrived from the control server yet`;
}

/** Envoy's details of what its parser refuses, and our reason where it has none. */
export function codecDetails(code: ParseErrorCode): string {
  if (code === 'header_too_large') return 'http1.headers_too_large';
  return code === 'too_many_headers' ? 'http1.too_many_headers' : `http1.codec_error{${code}}`;
}

export function badRequestReply(status: number, details: string, reason: string): LocalReply {
  return { status, body: reason, details, flags: ResponseFlag.DownstreamProtocolError, reason: '' };
}

export function originalIpReply(status: number): LocalReply {
  return {
    status,
    body: '',
    details: 'rejecting_because_detection_failed',
    flags: 0,
    reason: 'The header that must say who the client is (original_ip_detection_extensions) holds no address.',
  };
}

export function requestTimeoutReply(details: 'request_header_timeout' | 'request_overall_timeout'): LocalReply {
  const what = details === 'request_header_timeout' ? 'head' : 'body';
  return {
    status: 408,
    body: 'request timeout',
    details,
    flags: 0,
    reason: `The request's ${what} did not arrive whole in time.`,
  };
}

/** The stream was idle for `ms`; 0: it reached its maximum duration, which gRPC callers know as their deadline. */
export function streamTimeoutReply(details: string, ms: number, requestEnded: boolean): LocalReply {
  const status = requestEnded ? 504 : 408;
  if (ms > 0) {
    return { status, body: 'stream timeout', details, flags: 0, reason: `No byte moved on this stream for ${ms} ms.` };
  }
  return {
    status,
    body: 'downstream duration timeout',
    details,
    flags: 0,
    reason: 'The stream reached its maximum duration.',
    grpcStatus: DEADLINE_EXCEEDED,
  };
}

/** `stream_idle_timeout` before the request's head is whole. */
export function idleHeadReply(ms: number): LocalReply {
  return {
    ...streamTimeoutReply('stream_idle_timeout', ms, false),
    flags: ResponseFlag.StreamIdleTimeout,
    reason: `The request's head did not arrive whole within ${ms} ms.`,
  };
}

export function overloadedReply(): LocalReply {
  return {
    status: 503,
    body: 'envoy overloaded',
    details: 'overload',
    flags: ResponseFlag.OverloadManagerTerminated,
    reason: 'The proxy has more to do than it can: the overload manager sheds requests (stats overload.*).',
  };
}

export function faultReply(): LocalReply {
  return {
    status: 500,
    body: '',
    details: 'internal_error',
    flags: 0,
    reason: 'The proxy itself failed on this request; its log says where.',
  };
}

export function zeroWeightsReply(info: StreamInfo): LocalReply {
  const origin = info.route?.origin ?? '';
  return {
    status: 503,
    body: '',
    details: 'no_healthy_upstream',
    flags: ResponseFlag.NoHealthyUpstream,
    reason: `The weights of the route's clusters sum to 0${origin === '' ? '' : ` (${origin})`}.`,
  };
}

export function directReply(action: CompiledDirect): LocalReply {
  return {
    status: action.config.status,
    body: action.config.body,
    octets: true,
    details: 'direct_response',
    flags: 0,
    reason: '',
  };
}

export function redirectReply(action: CompiledRedirect, info: StreamInfo): LocalReply {
  const { request } = info;
  const location = action.location(request, request.headers.get('x-forwarded-proto') ?? request.scheme);
  return {
    status: action.status,
    body: '',
    details: 'direct_response',
    flags: 0,
    reason: '',
    headers: [['location', location]],
  };
}
