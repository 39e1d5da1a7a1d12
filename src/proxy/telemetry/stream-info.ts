import type { SocketAddress } from '../../model/address.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { RequestHead, ResponseHead } from '../../protocol/http/message.ts';
import type { TlsInfo } from './tls-info.ts';

/** How a socket ended; LocalReset: by a RST of ours. */
export type CloseType = 'Normal' | 'LocalReset' | 'RemoteReset';

/** Facts of a downstream connection; one object a connection. */
export interface ConnectionInfo {
  readonly id: number;
  /** The peer of the socket. */
  readonly directRemote: SocketAddress;
  /** Whom the peer speaks for by a PROXY header; without one the peer. */
  readonly remote: SocketAddress;
  /** The socket's own address, or the original destination where traffic was redirected. */
  readonly local: SocketAddress;
  /** SNI; '' without TLS. */
  readonly requestedServerName: string;
  /** TLS version such as `TLSv1.3`; '' without TLS. */
  readonly tlsVersion: string;
  /** What the handshake showed; absent without TLS. */
  readonly tls?: TlsInfo;
  /** Why the handshake failed; absent when it did not. */
  readonly tlsFailure?: string;
  /** Envoy's `traffic_direction` of the listener. */
  readonly direction: 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND';
}

/** Values filters publish for one another and the log: namespace → key → value. */
export type Metadata = ReadonlyMap<string, ReadonlyMap<string, unknown>>;

/** What is known of the upstream that answered, or was tried last. */
export interface UpstreamInfo {
  readonly address: string;
  readonly hostname: string;
  readonly workload: string;
}

/** The connection to an upstream; times are monotonic ms. */
export interface UpstreamConnectionInfo {
  readonly id: number;
  readonly localAddress: string;
  /** Where it leads, of an endpoint with several addresses; else the endpoint's own. */
  readonly remoteAddress?: string | undefined;
  /** `HTTP/1.1`; '' for plain TCP. */
  readonly protocol: string;
  /** When the connect began, and when it was made. */
  readonly askedAt: number;
  readonly openedAt: number;
}

/** Facts of the route that was chosen, fixed when the table was compiled. */
export interface RouteInfo {
  readonly routeName: string;
  readonly virtualHost: string;
  /** The user's object and line that made the route; '' unknown. */
  readonly origin: string;
}

/** Facts of the cluster the request went to. */
export interface ClusterInfo {
  readonly name: string;
  /** Its `alt_stat_name`; absent without one. */
  readonly altStatName?: string;
  readonly service: { readonly host: string; readonly name: string; readonly namespace: string } | null;
}

/**
 * What the access log, metrics, traces and command operators may ask about one request. One object a
 * stream, reset for every request; times are of the injected monotonic clock, in ms, -1 while unknown.
 */
export class StreamInfo {
  request = new RequestHead();
  /** The response as it is sent downstream. */
  response = new ResponseHead();
  /** Null until the upstream sent some. */
  responseTrailers: Headers | null = null;
  connection: ConnectionInfo = NO_CONNECTION;
  protocol = 'HTTP/1.1';

  startWall = 0;
  start = 0;
  requestEnd = -1;
  upstreamFirstByteSent = -1;
  upstreamFirstByteReceived = -1;
  upstreamLastByteReceived = -1;
  responseStart = -1;
  end = -1;

  /** {@link ResponseFlag} bits. */
  flags = 0;
  /** Status sent downstream; 0 when none was. */
  responseCode = 0;
  /** Envoy's stable detail string (`via_upstream`, `route_not_found`, …) perhaps with a `{…}` addition. */
  responseCodeDetails = '';
  /** One sentence for people: why the proxy itself answered so; '' for answers from upstream. */
  reason = '';
  /** Body text of a local reply, for `%LOCAL_REPLY_BODY%`. */
  localReplyBody = '';
  bytesReceived = 0;
  bytesSent = 0;

  /** The trusted client address: by X-Forwarded-For where that is trusted, else the direct peer. */
  remote = '';
  /** The path before rewriting; '' when it was not rewritten. */
  originalPath = '';
  route: RouteInfo | null = null;
  cluster: ClusterInfo | null = null;
  upstream: UpstreamInfo | null = null;
  /** Of the last attempt that got one. */
  upstreamConnection: UpstreamConnectionInfo | null = null;
  upstreamFailureReason = '';
  /** Of the upstream connection; null without TLS. */
  upstreamTls: TlsInfo | null = null;
  attempts = 0;
  /** null until a filter publishes something. Requests share these maps: a filter that adds to one replaces it. */
  metadata: Metadata | null = null;

  filterChain = '';

  // Only TCP connections change these.

  /** Envoy's access log type: what the entry is written for. */
  logType = 'DownstreamEnd';
  upstreamBytesSent = 0;
  upstreamBytesReceived = 0;
  /** Why the proxy itself ended the connection; '' when a peer did. */
  localCloseReason = '';
  downstreamCloseType: CloseType = 'Normal';
  upstreamCloseType: CloseType = 'Normal';

  /** Forgets the last request; `request` itself is the parser's head and is refilled by it. */
  reset(): void {
    this.response.reset();
    this.responseTrailers = null;
    this.requestEnd = -1;
    this.upstreamFirstByteSent = -1;
    this.upstreamFirstByteReceived = -1;
    this.upstreamLastByteReceived = -1;
    this.responseStart = -1;
    this.end = -1;
    this.flags = 0;
    this.responseCode = 0;
    this.responseCodeDetails = '';
    this.reason = '';
    this.localReplyBody = '';
    this.bytesReceived = 0;
    this.bytesSent = 0;
    this.remote = '';
    this.originalPath = '';
    this.route = null;
    this.cluster = null;
    this.upstream = null;
    this.upstreamConnection = null;
    this.upstreamFailureReason = '';
    this.upstreamTls = null;
    this.attempts = 0;
    this.metadata = null;
  }
}

const NO_CONNECTION: ConnectionInfo = {
  id: 0,
  directRemote: { host: '', port: 0 },
  remote: { host: '', port: 0 },
  local: { host: '', port: 0 },
  requestedServerName: '',
  tlsVersion: '',
  direction: 'UNSPECIFIED',
};
