import { ConfigError } from '../../base/errors.ts';
import type { LocalReplyConfig, LocalReplyFormat } from '../../model/http-connection-manager.ts';
import type { ResponseHead } from '../../protocol/http/message.ts';
import { Framing } from '../../protocol/http/message.ts';
import { reasonPhrase } from '../../protocol/http1/serializer.ts';
import type { LocalReply } from '../filters/filter.ts';
import { compileHeaderMutations, type HeaderMutator } from '../router/header-ops.ts';
import { compileLogFilter, type LogFilter, type LogFilterDeps } from '../telemetry/accesslog/filter.ts';
import type { Formatter } from '../telemetry/accesslog/format.ts';
import { compileLogFormat } from '../telemetry/accesslog/json.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

type BodyFormat = { readonly formatter: Formatter; readonly contentType: string };

interface Mapper {
  readonly filter: LogFilter | null;
  readonly status: number | null;
  readonly body: string | null;
  readonly bodyFormat: BodyFormat | null;
  readonly headers: HeaderMutator | null;
}

/** Turns a {@link LocalReply} into a response head and body, by the connection manager's `local_reply_config`. */
export class LocalReplies {
  readonly #mappers: readonly Mapper[];
  readonly #format: BodyFormat | null;
  readonly #explain: boolean;

  /** `explain`: append the reason to the body, for people who debug a mesh (off at an edge). */
  constructor(config: LocalReplyConfig, deps: LogFilterDeps, explain: boolean) {
    this.#explain = explain;
    this.#format = compileBodyFormat(config.bodyFormat);
    this.#mappers = config.mappers.map((mapper) => ({
      filter: mapper.filter === null ? null : compileLogFilter(mapper.filter, deps),
      status: mapper.status,
      body: mapper.body,
      bodyFormat: compileBodyFormat(mapper.bodyFormat),
      headers: compileHeaderMutations([{ add: mapper.headersToAdd, remove: [] }], {}),
    }));
  }

  /** Fills `head` and gives the body. */
  render(reply: LocalReply, info: StreamInfo, head: ResponseHead): Buffer {
    head.reset();
    const grpc = isGrpc(info);
    head.status = reply.status;
    info.responseCode = reply.status;
    info.responseCodeDetails = reply.details;
    info.flags |= reply.flags;
    info.reason = reply.reason;
    const octets = reply.octets ? Buffer.from(reply.body, 'latin1') : null;
    const given = octets === null ? reply.body : octets.toString();
    let body = given;
    if (this.#explain && reply.reason !== '' && !grpc)
      body = body === '' ? `${reply.reason}\n` : `${body}\n${reply.reason}\n`;
    let contentType = 'text/plain';
    let format = this.#format;
    let mapped: Mapper | null = null;
    for (const mapper of this.#mappers) {
      if (mapper.filter !== null && !mapper.filter(info)) continue;
      mapped = mapper;
      break;
    }
    if (mapped?.status) {
      head.status = mapped.status;
      info.responseCode = mapped.status;
    }
    if (mapped?.body) body = mapped.body;
    if (mapped?.bodyFormat) format = mapped.bodyFormat;
    info.localReplyBody = body;
    if (format !== null) {
      body = format.formatter.format(info);
      contentType = format.contentType;
    }
    for (const [name, value] of reply.headers ?? []) head.headers.add(name, value);
    if (grpc) {
      this.#grpc(reply, head, body);
      return NOTHING;
    }
    head.reason = reasonPhrase(head.status);
    head.framing = Framing.Length;
    const bytes = octets !== null && body === given ? octets : Buffer.from(body);
    const { length } = bytes;
    head.contentLength = length;
    if (head.status !== 204 && head.status !== 304) head.headers.add('content-length', String(length));
    if (length > 0 && !head.headers.has('content-type')) head.headers.add('content-type', contentType);
    mapped?.headers?.apply(head.headers, info);
    return bytes;
  }

  /** A gRPC caller gets a trailers-only answer: HTTP 200 with the status in headers. */
  #grpc(reply: LocalReply, head: ResponseHead, body: string): void {
    head.headers.add('content-type', 'application/grpc');
    head.headers.add('grpc-status', String(reply.grpcStatus ?? grpcStatusFor(reply.status)));
    const message = body === '' ? reply.reason : body;
    if (message !== '') head.headers.add('grpc-message', grpcMessage(message));
    head.headers.add('content-length', '0');
    head.status = 200;
    head.reason = 'OK';
    head.framing = Framing.Length;
    head.contentLength = 0;
  }
}

const NOTHING = Buffer.alloc(0);

/** `Status-Message` of gRPC's PROTOCOL-HTTP2: octets beyond printable ASCII, and the percent sign, are escaped. */
function grpcMessage(text: string): string {
  return Buffer.from(text)
    .toString('latin1')
    .replace(/[^ -$&-~]/g, (octet) => `%${octet.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

function isGrpc(info: StreamInfo): boolean {
  const type = info.request.headers.get('content-type');
  return type?.startsWith('application/grpc') === true && (type.length === 16 || type[16] === '+' || type[16] === ';');
}

/** HTTP status to gRPC status (Envoy: grpc/status.cc; gRPC's http-grpc-status-mapping). */
function grpcStatusFor(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

function compileBodyFormat(config: LocalReplyFormat | null): BodyFormat | null {
  if (config === null) return null;
  const { ok: formatter, error } = compileLogFormat(config.format, {});
  if (formatter === undefined) throw new ConfigError(`local_reply_config.body_format: ${error}`);
  return { formatter, contentType: config.contentType };
}
