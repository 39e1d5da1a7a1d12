import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { decodeSecret } from '../../../../src/xds/resources/secret.ts';
import { certPath, key, pem } from '../../../support/certs/index.ts';
import { decodeTls, fileCertificate, inlineCertificate } from '../../../support/tls.ts';

type Json = Record<string, unknown>;

function decode(fields: Json): ReturnType<typeof decodeTls<Secret, ReturnType<typeof decodeSecret>>> {
  return decodeTls(Secret, { name: 's', ...fields }, (message, s) => decodeSecret(message, '', s));
}
const errorsOf = (tls_certificate: Json): string[] => decode({ tls_certificate }).errors;

describe('a certificate', () => {
  test('inline and by file', () => {
    const watched = { watched_directory: { path: '/etc/certs' } };
    const { model, errors, warnings } = decode({ tls_certificate: { ...fileCertificate('server'), ...watched } });
    expect([errors, warnings]).toEqual([[], []]);
    expect(model).toEqual({
      name: 's',
      kind: 'tls_certificate',
      certificate: {
        chain: { kind: 'file', path: certPath('server.pem') },
        key: { kind: 'file', path: certPath('server.key') },
        password: null,
        watchedDirectory: '/etc/certs',
      },
    });
    expect(errorsOf(inlineCertificate('client-chain'))).toEqual([]);
  });

  test('shows its key to nobody who prints it', () => {
    const { model } = decode({ tls_certificate: inlineCertificate('server') });
    const body = key('server').split('\n')[1]!;
    expect(JSON.stringify(model)).not.toContain(body);
    expect(inspect(model, { depth: 9 })).not.toContain(body);
  });

  test('whose key is another one’s is refused by name', () => {
    expect(errorsOf(inlineCertificate('server', 'other'))).toEqual([
      'tls_certificate.private_key: is not the key of the certificate "CN=server,O=Remora Test"',
    ]);
  });

  test('that cannot be read is refused with the file', () => {
    const missing = {
      certificate_chain: { filename: '/nowhere/a.pem' },
      private_key: { inline_string: key('server') },
    };
    expect(errorsOf(missing)).toEqual([
      expect.stringMatching(/^tls_certificate\.certificate_chain\.filename: cannot be read: ENOENT/),
    ]);
    const swapped = {
      certificate_chain: { filename: certPath('server.key') },
      private_key: { filename: certPath('server.pem') },
    };
    expect(errorsOf(swapped)).toEqual([
      `tls_certificate.certificate_chain: ${certPath('server.key')} holds no PEM certificate (-----BEGIN CERTIFICATE-----)`,
      `tls_certificate.private_key: ${certPath('server.pem')} holds no PEM private key (-----BEGIN PRIVATE KEY-----)`,
    ]);
  });

  test('with an encrypted key needs its password', () => {
    const encrypted = (more: Json): string[] =>
      errorsOf({
        certificate_chain: { inline_string: pem('server') },
        private_key: { inline_string: key('server-encrypted') },
        ...more,
      });
    expect(encrypted({ password: { inline_string: 'secret' } })).toEqual([]);
    expect(encrypted({})).toEqual(['tls_certificate.private_key: is encrypted: give its password']);
    expect(encrypted({ password: { inline_string: 'x' } })).toEqual([
      'tls_certificate.private_key: cannot be decrypted with the password given',
    ]);
  });
});

describe('a validation context', () => {
  test('names an expired CA, which is no reason to refuse it', () => {
    const roots = pem('root-a') + pem('client-expired');
    const decoded = decode({ validation_context: { trusted_ca: { inline_string: roots } } });
    expect(decoded.errors).toEqual([]);
    expect(decoded.warnings).toEqual([
      'validation_context.trusted_ca: the CA "CN=client-expired" expired on 2021-01-01: it verifies no certificate',
    ]);
  });

  test('with roots that are none is refused', () => {
    expect(decode({ validation_context: { trusted_ca: { inline_string: 'x' } } }).errors).toEqual([
      'validation_context.trusted_ca: holds no PEM certificate (-----BEGIN CERTIFICATE-----)',
    ]);
  });
});

test('ticket keys have 80 bytes', () => {
  const keys = (...lengths: number[]): ReturnType<typeof decode> =>
    decode({
      session_ticket_keys: {
        keys: lengths.map((length) => ({ inline_bytes: Buffer.alloc(length).toString('base64') })),
      },
    });
  expect(keys(80).errors).toEqual([]);
  expect(keys(80, 80).warnings).toEqual([expect.stringContaining('the first key makes and reads tickets')]);
  expect(keys(80, 48).errors).toEqual(['session_ticket_keys.keys[1]: is 48 bytes long: a ticket key has 80']);
});
