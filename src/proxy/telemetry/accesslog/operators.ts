import { toOctets } from '../../../base/regex.ts';
import { formatAddress, type SocketAddress } from '../../../model/address.ts';
import { GRPC_CODES } from '../../../protocol/grpc/status.ts';
import type { Headers } from '../../../protocol/http/headers.ts';
import type { RequestHead, ResponseHead } from '../../../protocol/http/message.ts';
import { grpcStatusOrMapped, isGrpcType } from '../grpc-status.ts';
import { formatResponseFlags, formatResponseFlagsLong } from '../response-flags.ts';
import type { StreamInfo } from '../stream-info.ts';
import { compileTimeFormat, formatIsoTime } from './time.ts';
import { peerValidity, TLS_OPERATORS } from './tls-operators.ts';

/** What command operators may know beyond the stream. */
export interface FormatEnvironment {
  /** For `%HOSTNAME%`. */
  readonly hostname?: string;
  /** For `%ENVIRONMENT(X)%`; only what is in here can be seen. */
  readonly environment?: ReadonlyMap<string, string>;
}

/** One command operator of a format, with its argument bound. Texts are octets as latin1 characters. */
export interface Operator {
  /** The value as text; undefined when there is none (printed as `-`). */
  readonly text: (info: StreamInfo) => string | undefined;
  /** The value as JSON has it; undefined when there is none. */
  readonly value: (info: StreamInfo) => unknown;
  /** Nothing here ever gives it a value. */
  readonly neverKnown?: boolean;
}

export type OperatorResult =
  | { readonly ok: Operator; readonly error?: never }
  | { readonly ok?: never; readonly error: string };

type Text = (info: StreamInfo) => string | undefined;
type Factory = (argument: string | null, environment: FormatEnvironment) => OperatorResult;

/** The operator of a name, bound to its argument; null for a name that does not exist. */
export function makeOperator(
  name: string,
  argument: string | null,
  environment: FormatEnvironment,
): OperatorResult | null {
  if (Object.hasOwn(FACTORIES, name)) return FACTORIES[name]!(argument, environment);
  return NEVER_KNOWN.has(name) ? { ok: NOTHING } : null;
}

const NOTHING: Operator = { text: () => undefined, value: () => undefined, neverKnown: true };

/** Operators of Envoy's whose facts a stream does not carry here: accepted, printed as `-`, reported. */
const NEVER_KNOWN: ReadonlySet<string> = new Set([
  'BYTES_RETRANSMITTED',
  'CLUSTER_METADATA',
  'CUSTOM_FLAGS',
  'DOWNSTREAM_CX_RTT',
  'DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED',
  'DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT',
  'DOWNSTREAM_DIRECT_LOCAL_ADDRESS',
  'DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_DIRECT_LOCAL_PORT',
  'DOWNSTREAM_HANDSHAKE_DURATION',
  'DOWNSTREAM_LOCAL_EMAIL_SAN',
  'DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1',
  'DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256',
  'DOWNSTREAM_PEER_CHAIN_SERIALS',
  'DOWNSTREAM_PEER_EMAIL_SAN',
  'DOWNSTREAM_TLS_GROUP',
  'DOWNSTREAM_TLS_SESSION_ID',
  'FILTER_STATE',
  'LISTENER_METADATA',
  'PACKETS_RETRANSMITTED',
  'ROUNDTRIP_DURATION',
  'ROUTE_METADATA',
  'SPAN_ID',
  'TLS_JA3_FINGERPRINT',
  'TLS_JA4_FINGERPRINT',
  'TRACE_ID',
  'UNIQUE_ID',
  'UPSTREAM_CONNECTION_IDS_ATTEMPTED',
  'UPSTREAM_CONNECTION_POOL_READY_DURATION',
  'UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED',
  'UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT',
  'UPSTREAM_FILTER_STATE',
  'UPSTREAM_HEADER_BYTES_SENT',
  'UPSTREAM_HOSTS_ATTEMPTED',
  'UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT',
  'UPSTREAM_HOST_NAMES_ATTEMPTED',
  'UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT',
  'UPSTREAM_METADATA',
  'UPSTREAM_PEER_CERT_V_END',
  'UPSTREAM_PEER_CERT_V_START',
  'UPSTREAM_SERVER_NAME',
  'UPSTREAM_TLS_GROUP',
  'UPSTREAM_TLS_SESSION_ID',
  'VIRTUAL_CLUSTER_NAME',
]);

/** An operator without argument whose value is text; '' counts as none. */
function text(read: (info: StreamInfo) => string | undefined): Factory {
  const present: Text = (info) => read(info) || undefined;
  return noArgument({ text: present, value: present });
}

/** One whose text comes from config or the proxy itself and may hold any character. */
function named(read: (info: StreamInfo) => string | undefined): Factory {
  return text((info) => {
    const found = read(info);
    return found === undefined ? undefined : toOctets(found);
  });
}

function number(read: (info: StreamInfo) => number | undefined): Factory {
  return noArgument({
    text: (info) => {
      const found = read(info);
      return found === undefined ? undefined : String(found);
    },
    value: read,
  });
}

function noArgument(operator: Operator): Factory {
  return (argument) => (argument === null ? { ok: operator } : { error: 'takes no argument' });
}

/** Whole milliseconds between two times; undefined while one is unknown. */
function span(from: number, to: number): number | undefined {
  return from < 0 || to < 0 ? undefined : Math.max(0, Math.floor(to - from));
}

type Reader<H> = (head: H, info: StreamInfo) => string | undefined;

function requestReader(name: string): Reader<RequestHead> {
  switch (name) {
    case ':method':
      return (head) => head.method || undefined;
    case ':path':
      return (head) => head.path || undefined;
    case ':authority':
    case 'host':
      return (head) => head.authority || undefined;
    case ':scheme':
      return (head) => head.scheme || undefined;
    case 'x-envoy-original-path':
      return (head, info) => info.originalPath || head.headers.get(name);
    default:
      return (head) => head.headers.get(name);
  }
}

function responseReader(name: string): Reader<ResponseHead> {
  return name === ':status'
    ? (head, info) => String(head.status || info.responseCode)
    : (head) => head.headers.get(name);
}

/** `REQ(X?Y)`: the first value of header X, or of Y where X is absent. */
function header<H>(
  reader: (name: string) => Reader<H>,
  headOf: (info: StreamInfo) => H,
  shape?: (value: string) => string,
): Factory {
  return (argument) => {
    const names = (argument ?? '').split('?').map((name) => name.trim().toLowerCase());
    if (names[0] === '' || names[0] === undefined) return { error: 'needs the name of a header' };
    if (names.length > 2) return { error: 'takes one alternative header, not several' };
    const first = reader(names[0]);
    const second = names[1] === undefined || names[1] === '' ? null : reader(names[1]);
    const find: Text =
      second === null
        ? (info) => first(headOf(info), info)
        : (info) => first(headOf(info), info) ?? second(headOf(info), info);
    if (shape === undefined) return { ok: { text: find, value: find } };
    const shaped: Text = (info) => {
      const found = find(info);
      return found === undefined ? undefined : shape(found);
    };
    return { ok: { text: shaped, value: shaped } };
  };
}

const withoutQuery = (path: string): string => {
  const query = path.indexOf('?');
  return query < 0 ? path : path.substring(0, query);
};

/** `wall`: which moment, as ms since the epoch. */
function timeOf(wall: (info: StreamInfo) => number, local: boolean): Factory {
  return (argument) => {
    if (argument === null && !local) {
      const iso: Text = (info) => formatIsoTime(wall(info));
      return { ok: { text: iso, value: iso } };
    }
    const { ok: format, error } = compileTimeFormat(argument ?? '%Y-%m-%dT%H:%M:%E3S%z', local);
    if (format === undefined) return { error };
    const formatted: Text = (info) => format(wall(info));
    return { ok: { text: formatted, value: formatted } };
  };
}

const startWall = (info: StreamInfo): number => info.startWall;
/** An entry is written when its stream ends. */
const emitWall = (info: StreamInfo): number => info.startWall + (info.end < 0 ? 0 : Math.floor(info.end - info.start));
/** A time of the client's certificate; with a format as START_TIME has it. */
function peerTime(which: 'notBefore' | 'notAfter'): Factory {
  return (argument) => {
    const { ok, error } = argument === null ? { ok: formatIsoTime } : compileTimeFormat(argument, false);
    if (ok === undefined) return { error };
    const formatted: Text = (info) => {
      const wall = peerValidity(info, which);
      return wall === undefined ? undefined : ok(wall);
    };
    return { ok: { text: formatted, value: formatted } };
  };
}

/** Moments that COMMON_DURATION may name. */
const MOMENTS: Readonly<Record<string, (info: StreamInfo) => number>> = {
  DS_RX_BEG: (info) => info.start,
  DS_RX_END: (info) => info.requestEnd,
  US_CX_BEG: (info) => info.upstreamConnection?.askedAt ?? -1,
  US_CX_END: (info) => info.upstreamConnection?.openedAt ?? -1,
  US_TX_BEG: (info) => info.upstreamFirstByteSent,
  US_TX_END: (info) => requestSent(info) ?? -1,
  US_RX_BEG: (info) => info.upstreamFirstByteReceived,
  US_RX_END: (info) => info.upstreamLastByteReceived,
  DS_TX_BEG: (info) => info.responseStart,
  DS_TX_END: (info) => info.end,
};

/** When the request was sent upstream whole: bodies stream through, so when both its end had come and sending had begun. */
function requestSent(info: StreamInfo): number | undefined {
  if (info.upstreamFirstByteSent < 0 || info.requestEnd < 0) return undefined;
  return Math.max(info.upstreamFirstByteSent, info.requestEnd);
}

const commonDuration: Factory = (argument) => {
  const [from = '', to = '', precision = 'ms', ...rest] = (argument ?? '').split(':');
  const start = Object.hasOwn(MOMENTS, from) ? MOMENTS[from]! : null;
  const end = Object.hasOwn(MOMENTS, to) ? MOMENTS[to]! : null;
  const factor = { ms: 1, us: 1e3, ns: 1e6 }[precision];
  if (start === null || end === null || factor === undefined || rest.length > 0) {
    return { error: `wants (START:END:ms|us|ns) of ${Object.keys(MOMENTS).join(', ')}` };
  }
  const read = (info: StreamInfo): number | undefined => {
    const a = start(info);
    const b = end(info);
    return a < 0 || b < 0 ? undefined : Math.floor((b - a) * factor);
  };
  return number(read)(null, {});
};

/** The host of the trusted client address; a port is only known when that is the connection's. */
function remoteAddress(info: StreamInfo): SocketAddress {
  const { remote } = info.connection;
  return info.remote === '' || info.remote === remote.host ? remote : { host: info.remote, port: 0 };
}

function addressFactories(name: string, read: (info: StreamInfo) => SocketAddress): Record<string, Factory> {
  return {
    [`${name}_ADDRESS`]: text((info) => present(read(info), formatAddress)),
    [`${name}_ADDRESS_WITHOUT_PORT`]: text((info) => read(info).host),
    [`${name}_PORT`]: number((info) => present(read(info), (address) => address.port)),
  };
}

function present<R>(address: SocketAddress, use: (address: SocketAddress) => R): R | undefined {
  return address.host === '' ? undefined : use(address);
}

/** `host:port` taken apart, for upstream addresses, which are kept as text. */
function upstreamRemote(info: StreamInfo): string | undefined {
  return info.upstreamConnection?.remoteAddress ?? info.upstream?.address;
}

function addressPart(address: string | undefined, part: 'host' | 'port'): string | undefined {
  if (address === undefined) return undefined;
  const colon = address.lastIndexOf(':');
  if (part === 'port') return address.slice(colon + 1);
  return address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
}

function port(read: (info: StreamInfo) => string | undefined): Factory {
  return number((info) => {
    const found = addressPart(read(info), 'port');
    return found === undefined ? undefined : Number(found);
  });
}

/** The connection is the stream: there is no HTTP in it. */
function isTcp(info: StreamInfo): boolean {
  return info.protocol === '';
}

function headerBytes({ raw, added }: Headers): number {
  let bytes = raw.length;
  // `Name: value` and CRLF.
  for (let i = 0; i < added.length; i += 2) bytes += added[i]!.length + added[i + 1]!.length + 4;
  return bytes;
}

/** As it came, its request line included. */
function requestHeadBytes(info: StreamInfo): number {
  return info.request.headers.raw.length;
}

/** As it came and what was added to it; removed lines are counted too. */
function responseHeadBytes(info: StreamInfo): number {
  return headerBytes(info.response.headers);
}

/** `TRAILER(X?Y)`, of the response. */
const trailer: Factory = header(
  (name) => (trailers: Headers | null) => trailers?.get(name),
  (info) => info.responseTrailers,
);

const PATH_SOURCES: Readonly<Record<string, Text>> = {
  ORIG: (info) => info.originalPath || info.request.headers.get('x-envoy-original-path'),
  PATH: (info) => info.request.path || undefined,
  ORIG_OR_PATH: (info) => info.originalPath || info.request.path || undefined,
};

/** `PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)`: with or without query. */
const path: Factory = (argument) => {
  const [query = '', source = '', ...rest] = (argument ?? '').split(':');
  const read = Object.hasOwn(PATH_SOURCES, source || 'ORIG_OR_PATH') ? PATH_SOURCES[source || 'ORIG_OR_PATH']! : null;
  if (!['', 'WQ', 'NQ'].includes(query) || read === null || rest.length > 0) {
    return { error: 'wants (WQ or NQ) and perhaps a source, as in (NQ:ORIG), (WQ:PATH) or (WQ:ORIG_OR_PATH)' };
  }
  if (query !== 'NQ') return text(read)(null, {});
  return text((info) => {
    const found = read(info);
    return found === undefined ? undefined : withoutQuery(found);
  })(null, {});
};

/** `QUERY_PARAM(name)`: the first value of a query parameter, percent-decoded. */
const queryParameter: Factory = (argument) => {
  if (argument === null || argument === '') return { error: 'needs the name of a query parameter' };
  const wanted = toOctets(argument);
  return text((info) => {
    const { path } = info.request;
    const at = path.indexOf('?');
    if (at < 0) return undefined;
    for (const pair of path.slice(at + 1).split('&')) {
      const equals = pair.indexOf('=');
      if (decoded(equals < 0 ? pair : pair.slice(0, equals)) === wanted) {
        return equals < 0 ? '' : decoded(pair.slice(equals + 1));
      }
    }
    return undefined;
  })(null, {});
};

/** Octets stay octets; what would break a line stays encoded. */
function decoded(part: string): string {
  return part.replace(/%(?:[2-9a-fA-F][0-9a-fA-F])/g, (code) => {
    const octet = Number.parseInt(code.slice(1), 16);
    return octet === 0x7f ? code : String.fromCharCode(octet);
  });
}

/** Envoy's names, one l in Canceled. */
const camel = (code: string): string =>
  code === 'OK'
    ? code
    : code
        .replace('LL', 'L')
        .toLowerCase()
        .replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Of gRPC requests only, as Envoy has it. */
function grpcStatus(info: StreamInfo): number | undefined {
  return isGrpcType(info.request.headers.get('content-type')) ? grpcStatusOrMapped(info) : undefined;
}

/** `GRPC_STATUS(CAMEL_STRING|SNAKE_STRING|NUMBER)`; a number that is no code is printed as it is. */
const grpcStatusOperator: Factory = (argument) => {
  if (argument === 'NUMBER') return number(grpcStatus)(null, {});
  if (!['', 'CAMEL_STRING', 'SNAKE_STRING'].includes(argument ?? '')) {
    return { error: 'wants (CAMEL_STRING), (SNAKE_STRING) or (NUMBER)' };
  }
  const names = argument === 'SNAKE_STRING' ? GRPC_CODES : GRPC_CODES.map(camel);
  return text((info) => {
    const status = grpcStatus(info);
    return status === undefined ? undefined : (names[status] ?? String(status));
  })(null, {});
};

/** `DYNAMIC_METADATA(namespace:key:key…)` */
const dynamicMetadata: Factory = (argument) => {
  const [namespace = '', ...keys] = (argument ?? '').split(':');
  if (namespace === '') return { error: 'needs a namespace' };
  const read = (info: StreamInfo): unknown => {
    let value: unknown = info.metadata?.get(namespace);
    for (const key of keys) {
      if (value instanceof Map) value = value.get(key);
      else if (typeof value === 'object' && value !== null) value = (value as Record<string, unknown>)[key];
      else return undefined;
    }
    return value instanceof Map ? Object.fromEntries(value) : (value ?? undefined);
  };
  return {
    ok: {
      text: (info) => {
        const value = read(info);
        if (value === undefined) return undefined;
        const printed = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
        // A filter may have put octets of a header here, or text of its own.
        return /[^\0-\xff]/.test(printed) ? toOctets(printed) : printed;
      },
      value: read,
    },
  };
};

/** Envoy prints details without spaces, so that a line stays easy to split. */
const joined = (details: string): string => (/\s/.test(details) ? details.replace(/\s/g, '_') : details);

const FACTORIES: Readonly<Record<string, Factory>> = {
  REQ: header(requestReader, (info) => info.request),
  REQ_WITHOUT_QUERY: header(requestReader, (info) => info.request, withoutQuery),
  RESP: header(responseReader, (info) => info.response),
  TRAILER: trailer,
  PATH: path,
  QUERY_PARAM: queryParameter,
  START_TIME: timeOf(startWall, false),
  START_TIME_LOCAL: timeOf(startWall, true),
  EMIT_TIME: timeOf(emitWall, false),
  EMIT_TIME_LOCAL: timeOf(emitWall, true),
  PROTOCOL: text((info) => info.protocol),
  RESPONSE_CODE: number((info) => info.responseCode),
  RESPONSE_CODE_DETAILS: named((info) => joined(info.responseCodeDetails)),
  RESPONSE_FLAGS: text((info) => formatResponseFlags(info.flags)),
  RESPONSE_FLAGS_LONG: text((info) => formatResponseFlagsLong(info.flags)),
  BYTES_RECEIVED: number((info) => info.bytesReceived),
  BYTES_SENT: number((info) => info.bytesSent),
  REQUEST_HEADERS_BYTES: number(requestHeadBytes),
  RESPONSE_HEADERS_BYTES: number(responseHeadBytes),
  RESPONSE_TRAILERS_BYTES: number((info) => (info.responseTrailers === null ? 0 : headerBytes(info.responseTrailers))),
  DOWNSTREAM_HEADER_BYTES_RECEIVED: number(requestHeadBytes),
  DOWNSTREAM_HEADER_BYTES_SENT: number(responseHeadBytes),
  DOWNSTREAM_WIRE_BYTES_RECEIVED: number((info) => requestHeadBytes(info) + info.bytesReceived),
  DOWNSTREAM_WIRE_BYTES_SENT: number((info) => responseHeadBytes(info) + info.bytesSent),
  UPSTREAM_HEADER_BYTES_RECEIVED: number((info) => info.response.headers.raw.length),
  UPSTREAM_WIRE_BYTES_RECEIVED: number((info) => (isTcp(info) ? info.upstreamBytesReceived : undefined)),
  UPSTREAM_WIRE_BYTES_SENT: number((info) => (isTcp(info) ? info.upstreamBytesSent : undefined)),
  DURATION: number((info) => span(info.start, info.end)),
  REQUEST_DURATION: number((info) => span(info.start, info.requestEnd)),
  REQUEST_TX_DURATION: number((info) => span(info.start, requestSent(info) ?? -1)),
  RESPONSE_DURATION: number((info) => span(info.start, info.upstreamFirstByteReceived)),
  RESPONSE_TX_DURATION: number((info) => span(info.upstreamFirstByteReceived, info.end)),
  COMMON_DURATION: commonDuration,
  UPSTREAM_HOST: text((info) => info.upstream?.address),
  UPSTREAM_HOST_NAME: named((info) => info.upstream?.hostname || info.upstream?.address),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: named(
    (info) => info.upstream?.hostname || addressPart(info.upstream?.address, 'host'),
  ),
  UPSTREAM_REMOTE_ADDRESS: text(upstreamRemote),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: text((info) => addressPart(upstreamRemote(info), 'host')),
  UPSTREAM_REMOTE_PORT: port(upstreamRemote),
  UPSTREAM_CLUSTER: named((info) => info.cluster?.altStatName || info.cluster?.name),
  UPSTREAM_CLUSTER_RAW: named((info) => info.cluster?.name),
  UPSTREAM_TRANSPORT_FAILURE_REASON: named((info) => joined(info.upstreamFailureReason)),
  UPSTREAM_PROTOCOL: text((info) => info.upstreamConnection?.protocol),
  UPSTREAM_CONNECTION_ID: number((info) => info.upstreamConnection?.id ?? 0),
  UPSTREAM_LOCAL_ADDRESS: text((info) => info.upstreamConnection?.localAddress),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: text((info) => addressPart(info.upstreamConnection?.localAddress, 'host')),
  UPSTREAM_LOCAL_PORT: port((info) => info.upstreamConnection?.localAddress),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: number((info) => info.attempts),
  ...addressFactories('DOWNSTREAM_REMOTE', remoteAddress),
  ...addressFactories('DOWNSTREAM_DIRECT_REMOTE', (info) => info.connection.directRemote),
  ...addressFactories('DOWNSTREAM_LOCAL', (info) => info.connection.local),
  ...Object.fromEntries(Object.entries(TLS_OPERATORS).map(([name, read]) => [name, text(read)])),
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: named((info) => joined(info.connection.tlsFailure ?? '')),
  DOWNSTREAM_TLS_VERSION: text((info) => info.connection.tlsVersion),
  DOWNSTREAM_PEER_CERT_V_START: peerTime('notBefore'),
  DOWNSTREAM_PEER_CERT_V_END: peerTime('notAfter'),
  REQUESTED_SERVER_NAME: text((info) => info.connection.requestedServerName),
  ROUTE_NAME: named((info) => info.route?.routeName),
  VIRTUAL_HOST_NAME: named((info) => info.route?.virtualHost),
  ACCESS_LOG_TYPE: text((info) => info.logType),
  FILTER_CHAIN_NAME: named((info) => info.filterChain),
  CONNECTION_TERMINATION_DETAILS: text((info) => info.localCloseReason),
  DOWNSTREAM_LOCAL_CLOSE_REASON: text((info) => info.localCloseReason),
  UPSTREAM_LOCAL_CLOSE_REASON: text((info) => (info.upstreamConnection === null ? undefined : info.localCloseReason)),
  DOWNSTREAM_DETECTED_CLOSE_TYPE: text((info) => info.downstreamCloseType),
  UPSTREAM_DETECTED_CLOSE_TYPE: text((info) => info.upstreamCloseType),
  GRPC_STATUS: grpcStatusOperator,
  GRPC_STATUS_NUMBER: number(grpcStatus),
  CONNECTION_ID: number((info) => info.connection.id),
  STREAM_ID: text((info) => info.request.headers.get('x-request-id')),
  LOCAL_REPLY_BODY: text((info) => info.localReplyBody),
  REMORA_REASON: named((info) => info.reason),
  DYNAMIC_METADATA: dynamicMetadata,
  METADATA: (argument, environment) => {
    const [type, ...rest] = (argument ?? '').split(':');
    if (type === 'DYNAMIC') return dynamicMetadata(rest.join(':'), environment);
    const known = ['CLUSTER', 'ROUTE', 'UPSTREAM_HOST', 'LISTENER', 'LISTENER_FILTER_CHAIN', 'VIRTUAL_HOST'];
    return known.includes(type ?? '') ? { ok: NOTHING } : { error: `has no metadata of type ${JSON.stringify(type)}` };
  },
  HOSTNAME: (argument, { hostname }) => named(() => hostname)(argument, {}),
  ENVIRONMENT: (argument, { environment }) =>
    argument === null || argument === ''
      ? { error: 'needs the name of a variable' }
      : named(() => environment?.get(argument))(null, {}),
};
