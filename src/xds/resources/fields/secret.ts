import * as tls from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { effective, refused, reported, table } from '../field-state.ts';

const later = reported('there is no TLS yet: the secret is checked and kept, and nothing uses it');

export const secretTables = [
  table(tls.Secret, {
    name: effective,
    tls_certificate: later,
    session_ticket_keys: later,
    validation_context: later,
    generic_secret: refused('generic secrets have no user in this version'),
  }),
];
