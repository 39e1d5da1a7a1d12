import { Framing } from '../../../protocol/http/message.ts';
import type {
  BufferPerRoute,
  Buffer as WireBuffer,
} from '../../../xds/proto/gen/envoy/extensions/filters/http/buffer/v3.ts';
import {
  type FilterContext,
  type FilterDescription,
  FilterResult,
  type FilterStream,
  type HttpFilter,
  type HttpFilterType,
} from '../filter.ts';
import { type BufferConfig, decodeBuffer, decodeBufferPerRoute } from './config.ts';

export const buffer: HttpFilterType<BufferConfig, BufferConfig> = {
  kind: 'buffer',
  configType: 'envoy.extensions.filters.http.buffer.v3.Buffer',
  routeConfigType: 'envoy.extensions.filters.http.buffer.v3.BufferPerRoute',
  decode: (message) => decodeBuffer(message as WireBuffer),
  decodeRoute: (message) => decodeBufferPerRoute(message as BufferPerRoute),
  create: (config, context) => new BufferFilter(config, context),
};

/** A body that is being gathered. */
interface Gathering {
  readonly chunks: Buffer[];
  bytes: number;
  readonly most: number;
}

/** Keeps a request until all of its body is there, so that slow uploads do not hold a service's connection. */
class BufferFilter implements HttpFilter<BufferConfig> {
  readonly keepsBody = true;
  readonly #own: BufferConfig;
  readonly #context: FilterContext;
  readonly #tooLarge: number;

  constructor(own: BufferConfig, context: FilterContext) {
    this.#own = own;
    this.#context = context;
    const { stats, statPrefix } = context;
    this.#tooLarge = stats.counter(
      'envoy_http_downstream_rq_too_large',
      { envoy_http_conn_manager_prefix: statPrefix },
      `http.${statPrefix}.downstream_rq_too_large`,
    );
  }

  onRequestHead(stream: FilterStream, route: BufferConfig | null): FilterResult {
    const { disabled, maxRequestBytes } = route ?? this.#own;
    const { framing, contentLength } = stream.request;
    if (disabled || contentLength === 0 || (framing !== Framing.Length && framing !== Framing.Chunked)) {
      return FilterResult.Next;
    }
    if (contentLength > maxRequestBytes) {
      this.#refuse(stream, maxRequestBytes);
      return FilterResult.Replied;
    }
    stream.slots[this.#context.slot] = { chunks: [], bytes: 0, most: maxRequestBytes } satisfies Gathering;
    return FilterResult.Gather;
  }

  onRequestData(stream: FilterStream, chunk: Buffer, end: boolean): Buffer | null {
    const { slot } = this.#context;
    const gathering = stream.slots[slot] as Gathering | undefined;
    if (gathering === undefined) return chunk;
    gathering.bytes += chunk.length;
    if (gathering.bytes > gathering.most) {
      stream.slots[slot] = undefined;
      this.#refuse(stream, gathering.most);
      return null;
    }
    // Copied: a short piece would keep all of the read that it came in.
    if (chunk.length > 0) gathering.chunks.push(Buffer.from(chunk));
    if (!end) return null;
    stream.slots[slot] = undefined;
    return gathering.chunks.length === 1 ? gathering.chunks[0]! : Buffer.concat(gathering.chunks, gathering.bytes);
  }

  describe(route: BufferConfig | null): FilterDescription | null {
    const { disabled, maxRequestBytes } = route ?? this.#own;
    const says = `sends a request on when all of its body is there, at most ${maxRequestBytes} bytes`;
    return disabled ? null : { says, fault: null };
  }

  onEnd(stream: FilterStream): void {
    stream.slots[this.#context.slot] = undefined;
  }

  #refuse(stream: FilterStream, most: number): void {
    this.#context.stats.inc(this.#tooLarge);
    stream.reply({
      status: 413,
      body: 'Payload Too Large',
      details: 'request_payload_too_large',
      flags: 0,
      reason: `The request's body is larger than the ${most} bytes that the buffer filter of this proxy takes.`,
    });
  }
}
