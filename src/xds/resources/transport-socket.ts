import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

const SOCKETS = 'envoy.extensions.transport_sockets.';
const TLS = /^envoy\.extensions\.transport_sockets\.(tls|quic|starttls|alts|s2a)\./;

/** Only plain TCP for now: whoever asks for TLS must not get plaintext instead. */
export function checkTransportSocket(socket: core.TransportSocket | undefined, path: string, s: Decoding): void {
  if (socket === undefined) return;
  const at = `${path}.typed_config`;
  if (socket.typed_config === undefined) {
    const name = socket.name ?? '';
    if (name !== 'envoy.transport_sockets.raw_buffer')
      s.error(path, `transport socket ${JSON.stringify(name)} has no config`);
    return;
  }
  const opened = s.open(socket.typed_config, at);
  if (opened === undefined || opened.typeName === `${SOCKETS}raw_buffer.v3.RawBuffer`) return;
  if (TLS.test(opened.typeName)) {
    s.error(
      at,
      `TLS (${opened.typeName}) comes in a later version, and traffic is not sent in the clear instead: take the transport_socket out for plain TCP`,
    );
  } else s.error(at, `transport socket ${opened.typeName} is not supported: use raw_buffer, or none`);
}
