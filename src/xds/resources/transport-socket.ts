import type { DownstreamTlsConfig, UpstreamTlsConfig } from '../../model/tls.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import { DownstreamTlsContext, UpstreamTlsContext } from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { Decoding } from './decoding.ts';
import { decodeDownstreamTls, decodeUpstreamTls } from './tls-context.ts';

const RAW_BUFFER = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';

/** TLS of a filter chain; null: plain TCP. `handshakeTimeoutMs` is the chain's, undefined when it gives none. */
export function decodeDownstreamSocket(
  socket: core.TransportSocket | undefined,
  path: string,
  handshakeTimeoutMs: number | undefined,
  s: Decoding,
): DownstreamTlsConfig | null {
  const opened = open(socket, path, DownstreamTlsContext.typeName, s);
  if (opened === null) return null;
  const at = `${path}.typed_config`;
  s.check(DownstreamTlsContext, opened, at);
  return decodeDownstreamTls(opened as DownstreamTlsContext, at, handshakeTimeoutMs, s);
}

/** TLS towards a cluster's endpoints; null: plain TCP. */
export function decodeUpstreamSocket(
  socket: core.TransportSocket | undefined,
  path: string,
  s: Decoding,
): UpstreamTlsConfig | null {
  const opened = open(socket, path, UpstreamTlsContext.typeName, s);
  if (opened === null) return null;
  const at = `${path}.typed_config`;
  s.check(UpstreamTlsContext, opened, at);
  return decodeUpstreamTls(opened as UpstreamTlsContext, at, s);
}

/** The message inside, if it is of type `wanted`; null for plain TCP, and for an error: no traffic goes out in the clear instead. */
function open(socket: core.TransportSocket | undefined, path: string, wanted: string, s: Decoding): object | null {
  if (socket === undefined) return null;
  const at = `${path}.typed_config`;
  if (socket.typed_config === undefined) {
    const name = socket.name ?? '';
    if (name !== 'envoy.transport_sockets.raw_buffer')
      s.error(path, `transport socket ${JSON.stringify(name)} has no config`);
    return null;
  }
  const opened = s.open(socket.typed_config, at);
  if (opened === undefined || opened.typeName === RAW_BUFFER) return null;
  if (opened.typeName === wanted) return opened.message;
  const side = wanted === UpstreamTlsContext.typeName ? 'cluster' : 'filter chain';
  s.error(
    at,
    `transport socket ${opened.typeName} is not supported in a ${side}: use ${wanted}, or none for plain TCP`,
  );
  return null;
}
