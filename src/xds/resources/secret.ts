import type { TlsSecret } from '../../model/tls.ts';
import type * as tls from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { Decoding } from './decoding.ts';
import { decodeTicketKeys, decodeTlsCertificate } from './tls-certificate.ts';
import { decodeValidation } from './tls-validation.ts';

/** A secret, with its certificates and keys read and held against each other; undefined with problems noted. */
export function decodeSecret(secret: tls.Secret, path: string, s: Decoding): TlsSecret | undefined {
  const at = path === '' ? '' : `${path}.`;
  const name = secret.name ?? '';
  if (secret.tls_certificate !== undefined) {
    const certificate = decodeTlsCertificate(secret.tls_certificate, `${at}tls_certificate`, s);
    return certificate && { name, kind: 'tls_certificate', certificate };
  }
  if (secret.validation_context !== undefined) {
    const validation = decodeValidation(secret.validation_context, `${at}validation_context`, s);
    return { name, kind: 'validation_context', validation };
  }
  if (secret.session_ticket_keys !== undefined) {
    const keys = decodeTicketKeys(secret.session_ticket_keys, `${at}session_ticket_keys`, s);
    return { name, kind: 'session_ticket_keys', keys };
  }
  if (secret.generic_secret === undefined) {
    s.error(path || 'type', 'is needed: tls_certificate, validation_context or session_ticket_keys');
  }
  return undefined;
}
