import type { KeyObject, X509Certificate } from 'node:crypto';
import { readCertificate } from './certificate.ts';
import { messageOf } from './errors.ts';

/** Larger bundles are refused before they are parsed, files are not read further: the system's own roots are a quarter of it. */
export const MAX_PEM_BYTES = 1024 * 1024;
/** Of revocation lists, which a large CA's are. */
export const MAX_CRL_BYTES = 16 * MAX_PEM_BYTES;
const MAX_CERTIFICATES = 1000;
const CERTIFICATE = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g;
const CRL = /-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g;

/** Why a PEM text cannot be used: one sentence for people, which never quotes what is in the text. */
export class PemError extends Error {}

/** The certificates of a PEM text, in order. Throws PemError when there is none, or one that cannot be read. */
export function parseCertificates(pem: Buffer): X509Certificate[] {
  const { X509Certificate } = process.getBuiltinModule('node:crypto');
  if (pem.length > MAX_PEM_BYTES) throw new PemError(`is larger than ${MAX_PEM_BYTES} bytes`);
  if (pem.length === 0) throw new PemError('is empty');
  const blocks = pem.toString('latin1').match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new PemError('holds no PEM certificate (-----BEGIN CERTIFICATE-----)');
  if (blocks.length > MAX_CERTIFICATES) throw new PemError(`holds more than ${MAX_CERTIFICATES} certificates`);
  return blocks.map((block, i) => {
    try {
      const certificate = new X509Certificate(block);
      // What OpenSSL takes is read here too before anybody relies on it.
      readCertificate(certificate.raw);
      return certificate;
    } catch (error) {
      throw new PemError(`certificate ${i + 1} of ${blocks.length} cannot be read: ${opensslReason(error)}`);
    }
  });
}

/** The revocation lists of a PEM text, as PEM. Throws PemError when there is none. */
export function parseCrls(pem: Buffer): string[] {
  if (pem.length > MAX_CRL_BYTES) throw new PemError(`is larger than ${MAX_CRL_BYTES} bytes`);
  const blocks = crlsIn(pem);
  if (blocks.length === 0) throw new PemError('holds no PEM revocation list (-----BEGIN X509 CRL-----)');
  return blocks;
}

/** Those that lie among certificates. */
export function crlsIn(pem: Buffer): string[] {
  return pem.toString('latin1').match(CRL) ?? [];
}

/** The private key of a PEM text. Throws PemError. */
export function parsePrivateKey(pem: Buffer, password: Buffer | null): KeyObject {
  const { createPrivateKey } = process.getBuiltinModule('node:crypto');
  if (pem.length > MAX_PEM_BYTES) throw new PemError(`is larger than ${MAX_PEM_BYTES} bytes`);
  if (pem.length === 0) throw new PemError('is empty');
  const text = pem.toString('latin1');
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw new PemError('holds no PEM private key (-----BEGIN PRIVATE KEY-----)');
  }
  const encrypted = /ENCRYPTED/.test(text);
  if (encrypted && password === null) throw new PemError('is encrypted: give its password');
  try {
    return createPrivateKey({ key: pem, format: 'pem', ...(password === null ? {} : { passphrase: password }) });
  } catch (error) {
    throw new PemError(
      encrypted ? 'cannot be decrypted with the password given' : `cannot be read: ${opensslReason(error)}`,
    );
  }
}

/** OpenSSL's reason without its numbers and source lines. */
export function opensslReason(error: unknown): string {
  const message = messageOf(error);
  const parts = /error:[0-9A-Fa-f]+:[^:]*:[^:]*:([^:\n]+)/.exec(message);
  return (parts?.[1] ?? message).trim().toLowerCase();
}
