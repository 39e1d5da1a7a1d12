import type { X509Certificate } from 'node:crypto';
import { parseCertificates } from '../../base/pem.ts';
import { pemOf } from './issue.ts';

/** The certificates of a PEM text, each once, in order, without those that have expired. Throws PemError. */
export function readBundle(pem: string, now: number): X509Certificate[] {
  const seen = new Set<string>();
  return parseCertificates(Buffer.from(pem)).filter(
    (one) => one.validToDate.getTime() > now && !seen.has(one.fingerprint256) && seen.add(one.fingerprint256) !== null,
  );
}

/** Roots as PEM, each once: what peers are to trust while several are in use. */
export function writeBundle(certificates: readonly X509Certificate[]): string {
  const unique = new Map(certificates.map((one) => [one.fingerprint256, one]));
  return [...unique.values()].map(({ raw }) => pemOf(raw)).join('');
}
