import type { ProxyStatus as Config } from '../../model/http-connection-manager.ts';
import type { ResponseHead } from '../../protocol/http/message.ts';
import { formatResponseFlags, ResponseFlag } from '../telemetry/response-flags.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { NodeIdentity } from './request-options.ts';

/** Error type (RFC 9209 section 2.3) and the status it recommends; 0 for none. */
type ProxyError = readonly [type: string, status: number];

const UNAVAILABLE: ProxyError = ['destination_unavailable', 503];
const LIMIT: ProxyError = ['connection_limit_reached', 503];
const TERMINATED: ProxyError = ['connection_terminated', 502];
const REFUSED: ProxyError = ['connection_refused', 502];
const TIMEOUT: ProxyError = ['connection_timeout', 504];
const RESPONSE_TIMEOUT: ProxyError = ['http_response_timeout', 504];
const REQUEST_ERROR: ProxyError = ['http_request_error', 0];

/** In Envoy's order of precedence (stream_info/utility.cc, ProxyStatusUtils::fromStreamInfo). */
const ERRORS: readonly (readonly [flag: number, error: ProxyError])[] = [
  [ResponseFlag.FailedLocalHealthCheck, UNAVAILABLE],
  [ResponseFlag.NoHealthyUpstream, UNAVAILABLE],
  [ResponseFlag.UpstreamRequestTimeout, RESPONSE_TIMEOUT],
  [ResponseFlag.DurationTimeout, TIMEOUT],
  [ResponseFlag.LocalReset, TIMEOUT],
  [ResponseFlag.UpstreamRemoteReset, TERMINATED],
  [ResponseFlag.UpstreamConnectionFailure, REFUSED],
  [ResponseFlag.UnauthorizedExternalService, REFUSED],
  [ResponseFlag.UpstreamConnectionTermination, TERMINATED],
  [ResponseFlag.OverloadManagerTerminated, LIMIT],
  [ResponseFlag.FaultInjected, REQUEST_ERROR],
  [ResponseFlag.DownstreamConnectionTermination, TERMINATED],
  [ResponseFlag.UpstreamOverflow, LIMIT],
  [ResponseFlag.NoRouteFound, ['destination_not_found', 500]],
  [ResponseFlag.RateLimited, LIMIT],
  [ResponseFlag.RateLimitServiceError, LIMIT],
  [ResponseFlag.UpstreamRetryLimitExceeded, UNAVAILABLE],
  [ResponseFlag.StreamIdleTimeout, RESPONSE_TIMEOUT],
  [ResponseFlag.InvalidEnvoyRequestHeaders, REQUEST_ERROR],
  [ResponseFlag.DownstreamProtocolError, REQUEST_ERROR],
  [ResponseFlag.UpstreamMaxStreamDurationReached, RESPONSE_TIMEOUT],
  [ResponseFlag.UpstreamProtocolError, ['http_protocol_error', 502]],
  [ResponseFlag.NoClusterFound, UNAVAILABLE],
];

/** Says in a Proxy-Status header (RFC 9209) why an answer is the proxy's own. (`proxy_status_config`) */
export class ProxyStatus {
  readonly #config: Config;
  readonly #name: string;

  constructor(config: Config, serverName: string, node: NodeIdentity) {
    this.#config = config;
    this.#name = config.name === 'node' ? node.id : config.name === 'server' ? serverName : config.literal;
  }

  apply(head: ResponseHead, info: StreamInfo): void {
    if (info.flags === 0) return;
    const error = ERRORS.find(([flag]) => (info.flags & flag) !== 0)?.[1];
    if (error === undefined) return;
    const [type, status] = error;
    const value = `${this.#name}; error=${type}${this.#details(info)}`;
    const { headers } = head;
    const before = headers.getJoined('proxy-status');
    headers.set('proxy-status', before === undefined ? value : `${before}, ${value}`);
    if (!this.#config.recommendedStatus || status === 0) return;
    if (status !== head.status) head.reason = '';
    head.status = status;
    info.responseCode = status;
  }

  #details({ responseCodeDetails, flags }: StreamInfo): string {
    if (!this.#config.details || responseCodeDetails === '') return '';
    const text = this.#config.flags ? `${responseCodeDetails}; ${formatResponseFlags(flags)}` : responseCodeDetails;
    // An sf-string (RFC 8941 section 3.3.3) holds printable ASCII.
    return `; details="${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
  }
}
