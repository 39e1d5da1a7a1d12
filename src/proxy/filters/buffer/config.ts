import type { Buffer, BufferPerRoute } from '../../../xds/proto/gen/envoy/extensions/filters/http/buffer/v3.ts';

/** envoy.extensions.filters.http.buffer.v3.Buffer, for a filter or for a route. */
export interface BufferConfig {
  /** Bodies are passed on as they come. */
  readonly disabled: boolean;
  readonly maxRequestBytes: number;
}

export function decodeBuffer(buffer: Buffer): BufferConfig {
  return { disabled: false, maxRequestBytes: buffer.max_request_bytes ?? 0 };
}

export function decodeBufferPerRoute({ disabled, buffer }: BufferPerRoute): BufferConfig {
  return { ...decodeBuffer(buffer ?? {}), disabled: disabled ?? buffer === undefined };
}
