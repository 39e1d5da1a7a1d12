import { readCertificate } from '../../base/certificate.ts';
import { crlsIn, MAX_CRL_BYTES, PemError, parseCertificates, parseCrls } from '../../base/pem.ts';
import type { CertificateValidation, SanMatcher, TlsData } from '../../model/tls.ts';
import * as tls from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { Decoding } from './decoding.ts';
import { decodeStringMatcher } from './matcher.ts';
import { checkTlsData, decodeTlsData } from './tls-data.ts';

type Context = tls.CertificateValidationContext;

export function decodeValidation(context: Context, path: string, s: Decoding): CertificateValidation {
  const trustDomains = decodeValidator(context, path, s);
  const allowExpired = context.allow_expired_certificate ?? false;
  const at = (field: string): string => `${path}.${field}`;
  const trustedCa = decodeRoots(context.trusted_ca, at('trusted_ca'), allowExpired, s);
  if (trustDomains !== null && trustedCa !== null) {
    s.noEffect(at('trusted_ca'), 'the SPIFFE validator trusts the bundles of its trust domains only');
  }
  if (allowExpired && context.crl !== undefined) {
    s.error(at('crl'), 'a revocation list beside allow_expired_certificate is not supported: leave one of them out');
  }
  return {
    trustedCa: trustDomains === null ? trustedCa : null,
    systemRoots: context.system_root_certs !== undefined,
    crl: decodeCrl(context, at('crl'), s),
    watchedDirectory: context.watched_directory?.path ?? '',
    hashes: (context.verify_certificate_hash ?? []).map((hash, i) =>
      decodeHash(hash, at(`verify_certificate_hash[${i}]`), s),
    ),
    spki: (context.verify_certificate_spki ?? []).map((hash, i) =>
      decodeSpki(hash, at(`verify_certificate_spki[${i}]`), s),
    ),
    sans: decodeSans(context, path, s),
    allowExpired,
    acceptUntrusted: context.trust_chain_verification === 'ACCEPT_UNTRUSTED',
    maxDepth: context.max_verify_depth ?? null,
    trustDomains,
  };
}

function decodeRoots(source: Context['trusted_ca'], path: string, allowExpired: boolean, s: Decoding): TlsData | null {
  if (source === undefined) return null;
  const data = decodeTlsData(source);
  checkTlsData(data, path, s, (bytes) => {
    warnExpired(bytes, path, allowExpired, s);
    if (allowExpired && crlsIn(bytes).length > 0) {
      throw new PemError('holds a revocation list, which is not supported beside allow_expired_certificate');
    }
  });
  return data;
}

/** An expired root is no error, since another one of the bundle may be in use; it verifies nobody. */
function warnExpired(bytes: Buffer, path: string, allowExpired: boolean, s: Decoding): void {
  for (const { raw } of parseCertificates(bytes)) {
    const { subject, notAfter } = readCertificate(raw);
    if (!allowExpired && notAfter < s.context.now()) {
      const when = new Date(notAfter).toISOString().slice(0, 10);
      s.warnings.add(path, `the CA ${JSON.stringify(subject)} expired on ${when}: it verifies no certificate`);
    }
  }
}

function decodeCrl(context: Context, path: string, s: Decoding): TlsData | null {
  if (context.crl === undefined) return null;
  const data = decodeTlsData(context.crl);
  checkTlsData(data, path, s, parseCrls, MAX_CRL_BYTES);
  return data;
}

function decodeHash(hash: string, path: string, s: Decoding): string {
  const hex = (hash.length === 95 ? hash.replaceAll(':', '') : hash).toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex)) s.error(path, 'is not a SHA-256 in hex (64 digits, with or without colons)');
  return hex;
}

function decodeSpki(hash: string, path: string, s: Decoding): string {
  const bytes = Buffer.from(hash, 'base64');
  if (bytes.length !== 32) s.error(path, 'is not a SHA-256 in base64 (44 characters)');
  return bytes.toString('base64');
}

/** The deprecated list counts only where there is no other. */
function decodeSans(context: Context, path: string, s: Decoding): SanMatcher[] {
  if ((context.match_typed_subject_alt_names ?? []).length === 0) return decodeLegacySans(context, path, s);
  if ((context.match_subject_alt_names ?? []).length > 0)
    s.noEffect(`${path}.match_subject_alt_names`, 'match_typed_subject_alt_names is there too, and holds alone');
  return (context.match_typed_subject_alt_names ?? []).flatMap((one, i) => {
    const at = `${path}.match_typed_subject_alt_names[${i}]`;
    const kind = one.san_type ?? 'SAN_TYPE_UNSPECIFIED';
    if (kind === 'SAN_TYPE_UNSPECIFIED') {
      s.error(`${at}.san_type`, 'is needed: DNS, URI, EMAIL, IP_ADDRESS or OTHER_NAME');
      return [];
    }
    if (kind === 'OTHER_NAME' && !/^\d+(\.\d+)+$/.test(one.oid ?? '')) {
      s.error(`${at}.oid`, 'is needed for an OTHER_NAME: its type as dotted numbers');
    }
    if (one.matcher === undefined) {
      s.error(`${at}.matcher`, 'is needed');
      return [];
    }
    return [{ kind, matcher: decodeStringMatcher(one.matcher, `${at}.matcher`, s), oid: one.oid ?? '' }];
  });
}

/** The deprecated list matches names of every kind it can hold. */
function decodeLegacySans(context: Context, path: string, s: Decoding): SanMatcher[] {
  return (context.match_subject_alt_names ?? []).flatMap((one, i) => {
    const matcher = decodeStringMatcher(one, `${path}.match_subject_alt_names[${i}]`, s);
    return (['DNS', 'URI', 'EMAIL', 'IP_ADDRESS'] as const).map((kind) => ({ kind, matcher, oid: '' }));
  });
}

/** The SPIFFE validator's bundles; null for the default validator. */
function decodeValidator(context: Context, path: string, s: Decoding): CertificateValidation['trustDomains'] {
  const custom = context.custom_validator_config;
  if (custom === undefined) return null;
  const at = `${path}.custom_validator_config`;
  if (custom.typed_config === undefined) {
    s.error(`${at}.typed_config`, 'is needed: its "@type" says which validator it is');
    return null;
  }
  const config = s.openAs(tls.SPIFFECertValidatorConfig, custom.typed_config, `${at}.typed_config`);
  if (config === undefined) return null;
  const seen = new Set<string>();
  return (config.trust_domains ?? []).map((domain, i) => {
    const where = `${at}.typed_config.trust_domains[${i}]`;
    const name = domain.name ?? '';
    if (name === '') s.error(`${where}.name`, 'is needed');
    if (seen.has(name)) s.error(`${where}.name`, `${JSON.stringify(name)} has a bundle already`);
    seen.add(name);
    if (domain.trust_bundle === undefined) s.error(`${where}.trust_bundle`, 'is needed');
    const bundle = decodeTlsData(domain.trust_bundle ?? {});
    if (domain.trust_bundle !== undefined) {
      checkTlsData(bundle, `${where}.trust_bundle`, s, (bytes) => {
        if (/-----BEGIN X509 CRL-----/.test(bytes.toString('latin1'))) {
          throw new PemError('holds a revocation list, which is not supported in a trust bundle: use crl');
        }
        warnExpired(bytes, `${where}.trust_bundle`, context.allow_expired_certificate ?? false, s);
      });
    }
    return { name, bundle };
  });
}
