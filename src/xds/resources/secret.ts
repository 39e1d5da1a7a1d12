import type * as tls from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';

/** A secret, checked and kept as it came; TLS, which would use it, comes later. */
export interface Secret {
  readonly name: string;
  readonly kind: 'tls_certificate' | 'session_ticket_keys' | 'validation_context' | 'none';
  readonly message: tls.Secret;
}

export function decodeSecret(secret: tls.Secret): Secret {
  const kinds = ['tls_certificate', 'session_ticket_keys', 'validation_context'] as const;
  return { name: secret.name ?? '', kind: kinds.find((kind) => secret[kind] !== undefined) ?? 'none', message: secret };
}
