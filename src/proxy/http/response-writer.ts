import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead, type ResponseHead } from '../../protocol/http/message.ts';
import { type HeadNotes, stripContentLength, stripHopByHop } from '../../protocol/http1/framing.ts';
import {
  CHUNK_END,
  ConnectionLine,
  chunkHeader,
  lastChunk,
  reasonPhrase,
  responseHead,
} from '../../protocol/http1/serializer.ts';
import { formatHttpDate } from '../io/date.ts';
import type { Output } from '../io/output.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';

/** Writes responses to a client's connection, one after the other, and counts their bytes. One a stream, reused. */
export class ResponseWriter {
  readonly #output: Output;
  readonly #info: StreamInfo;
  /** How the present response's body goes out, whatever way it came in. */
  framing: Framing = Framing.None;

  constructor(output: Output, info: StreamInfo) {
    this.#output = output;
    this.#info = info;
  }

  /** A 1xx from upstream before the response; HTTP/1.0 knows none. */
  interim(head: ResponseHead, notes: HeadNotes): void {
    if (this.#info.request.minorVersion === 0) return;
    stripHopByHop(head.headers, notes, false);
    stripContentLength(head.headers, notes);
    if (head.reason === '') head.reason = reasonPhrase(head.status);
    this.#output.text(responseHead(head, Framing.None, ConnectionLine.None));
  }

  /** `keepAlive` false: the client is told that the connection ends with this response. */
  head(head: ResponseHead, framing: Framing, keepAlive: boolean): void {
    this.framing = framing;
    // Its length may change under the body hooks, and an HTTP/1.0 client cannot be sent chunks.
    if (framing === Framing.UntilClose) head.headers.remove('content-length');
    if (head.reason === '') head.reason = reasonPhrase(head.status);
    let line: ConnectionLine = ConnectionLine.None;
    if (!keepAlive) line = ConnectionLine.Close;
    else if (this.#info.request.minorVersion === 0 && framing !== Framing.Tunnel) line = ConnectionLine.KeepAlive;
    this.#output.text(responseHead(head, framing, line));
  }

  body(chunk: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.framing === Framing.None || length === 0) return;
    this.#info.bytesSent += length;
    const output = this.#output;
    if (this.framing !== Framing.Chunked) {
      output.body(chunk, start, end);
      return;
    }
    output.text(chunkHeader(length));
    output.body(chunk, start, end);
    output.text(CHUNK_END);
  }

  end(trailers: Headers | null): void {
    if (this.framing === Framing.Chunked) this.#output.text(lastChunk(trailers));
  }
}

/** How a response's body goes out. `changing`: filters may change its length. */
export function responseFraming(head: ResponseHead, request: RequestHead, changing: boolean): Framing {
  const { framing, status } = head;
  if (framing === Framing.Tunnel) return Framing.Tunnel;
  if (request.method === 'HEAD' || status === 204 || status === 304) return Framing.None;
  if (framing === Framing.None) return Framing.None;
  if (framing === Framing.Length && !changing) return Framing.Length;
  return request.minorVersion === 0 ? Framing.UntilClose : Framing.Chunked;
}

/** Takes off an upstream's head what was for this hop only, and adds how long it took. */
export function takeUpstreamHead(head: ResponseHead, notes: HeadNotes, info: StreamInfo, suppressed: boolean): void {
  const { headers, status } = head;
  const tunnel = head.framing === Framing.Tunnel;
  stripHopByHop(headers, notes, tunnel && status === 101);
  if (status === 204 || (tunnel && status < 300)) stripContentLength(headers, notes);
  if (suppressed) return;
  const serviceTime = info.upstreamFirstByteReceived - info.upstreamFirstByteSent;
  headers.set('x-envoy-upstream-service-time', String(Math.round(serviceTime)));
}

/** Adds what a connection manager says on every response (Envoy: conn_manager_impl.cc `encodeHeaders`). */
export function finishResponseHead(
  head: ResponseHead,
  info: StreamInfo,
  config: HttpConnectionManager,
  attemptCount: boolean,
): void {
  const { headers } = head;
  if (config.serverHeader === 'OVERWRITE') headers.set('server', config.serverName);
  else if (config.serverHeader === 'APPEND_IF_ABSENT' && !headers.has('server'))
    headers.add('server', config.serverName);
  if (!headers.has('date')) headers.add('date', formatHttpDate(info.startWall));
  if (config.via !== '') headers.add('via', config.via);
  if (config.alwaysSetRequestIdInResponse) {
    const id = info.request.headers.get('x-request-id');
    if (id !== undefined) headers.set('x-request-id', id);
  }
  if (attemptCount) headers.set('x-envoy-attempt-count', String(info.attempts));
}
