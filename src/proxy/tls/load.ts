import { readBoundedFile } from '../../base/bounded-file.ts';
import { messageOf } from '../../base/errors.ts';
import {
  crlsIn,
  MAX_CRL_BYTES,
  MAX_PEM_BYTES,
  PemError,
  parseCertificates,
  parseCrls,
  parsePrivateKey,
} from '../../base/pem.ts';
import { SecretBytes } from '../../base/secret-bytes.ts';
import { type CertificateValidation, needsRoots, type TlsCertificate, type TlsData } from '../../model/tls.ts';
import { Certificate } from './certificate-info.ts';

/** A certificate chain with its key, read and held against each other. */
export interface LoadedCertificate {
  readonly leaf: Certificate;
  readonly chain: readonly Certificate[];
  /** PEM, decrypted. */
  readonly key: SecretBytes;
  /** `ec`, `rsa`, …: OpenSSL keeps one certificate for each. */
  readonly keyType: string;
  /** The file it came from, or `<inline>`. */
  readonly source: string;
}

/** What peers are verified against. */
export interface LoadedValidation {
  readonly config: CertificateValidation;
  /** Of every trust domain, too. */
  readonly roots: readonly Certificate[];
  readonly domains: ReadonlyMap<string, readonly Certificate[]> | null;
  readonly crls: readonly string[];
  readonly source: string;
}

/** Reads a certificate as it is now. Throws PemError with a sentence that names the file. */
export function loadCertificate({ chain, key, password }: TlsCertificate): LoadedCertificate {
  const certificates = read(chain, 'certificate chain', (bytes) => parseCertificates(bytes)).map(
    (x509) => new Certificate(x509),
  );
  const secret = password === null ? null : read(password, 'password', (bytes) => bytes);
  const leaf = certificates[0]!;
  const privateKey = read(key, 'private key', (bytes) => {
    const parsed = parsePrivateKey(bytes, secret);
    if (!leaf.x509.checkPrivateKey(parsed))
      throw new PemError(`is not the key of the certificate ${JSON.stringify(leaf.subject)}`);
    return parsed;
  });
  return {
    leaf,
    chain: certificates,
    key: new SecretBytes(Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }))),
    keyType: privateKey.asymmetricKeyType ?? '',
    source: sourceOf(chain),
  };
}

/** Reads roots and revocation lists as they are now. Throws PemError with a sentence that names the file. */
export function loadValidation(config: CertificateValidation): LoadedValidation {
  const rootless = needsRoots(config);
  if (rootless !== '') throw new PemError(`the validation context has ${rootless}, but no trusted_ca to verify by`);
  const rootsOf = (data: TlsData, what: string): Certificate[] =>
    read(data, what, (bytes) => parseCertificates(bytes)).map((x509) => new Certificate(x509));
  const domains =
    config.trustDomains === null
      ? null
      : new Map(config.trustDomains.map(({ name, bundle }) => [name, rootsOf(bundle, `trust bundle of ${name}`)]));
  const own = config.trustedCa === null ? [] : rootsOf(config.trustedCa, 'trusted CA');
  const listsBeside =
    config.trustedCa === null ? [] : read(config.trustedCa, 'trusted CA', (bytes) => crlsBeside(bytes, config));
  const readsSystemRoots = config.systemRoots && (config.allowExpired || config.maxDepth !== null);
  return {
    config,
    roots: [
      ...own,
      ...(domains === null ? [] : [...domains.values()].flat()),
      ...(readsSystemRoots ? systemRoots() : []),
    ],
    domains,
    crls: [
      ...(config.crl === null ? [] : read(config.crl, 'revocation list', parseCrls, MAX_CRL_BYTES)),
      ...listsBeside,
    ],
    source: config.trustedCa === null ? '' : sourceOf(config.trustedCa),
  };
}

/** Roots may bring their revocation lists along (Envoy: DefaultCertValidator). */
function crlsBeside(roots: Buffer, { allowExpired }: CertificateValidation): string[] {
  const lists = crlsIn(roots);
  if (allowExpired && lists.length > 0)
    throw new PemError('holds a revocation list, which is not supported beside allow_expired_certificate');
  return lists;
}

function systemRoots(): Certificate[] {
  const { rootCertificates } = process.getBuiltinModule('node:tls');
  return parseCertificates(Buffer.from(rootCertificates.join('\n'))).map((x509) => new Certificate(x509));
}

/** The files of a certificate or a validation context, and the folders that were named beside them. */
export function filesOf(of: TlsCertificate | CertificateValidation): { paths: string[]; directories: string[] } {
  const data =
    'chain' in of
      ? [of.chain, of.key, of.password]
      : [of.trustedCa, of.crl, ...(of.trustDomains ?? []).map(({ bundle }) => bundle)];
  return {
    paths: data.flatMap((one) => (one?.kind === 'file' ? [one.path] : [])),
    directories: of.watchedDirectory === '' ? [] : [of.watchedDirectory],
  };
}

/** No more is read of a file than `maxBytes`. Throws what the system says, and `too_large`. */
export function readTlsData(data: TlsData, maxBytes = MAX_PEM_BYTES): Buffer {
  return data.kind === 'inline' ? data.bytes.reveal() : readBoundedFile(data.path, maxBytes);
}

function read<T>(data: TlsData, what: string, parse: (bytes: Buffer) => T, maxBytes = MAX_PEM_BYTES): T {
  let bytes: Buffer;
  try {
    bytes = readTlsData(data, maxBytes);
  } catch (error) {
    throw new PemError(`the ${what} ${sourceOf(data)} cannot be read: ${messageOf(error)}`);
  }
  try {
    return parse(bytes);
  } catch (error) {
    if (error instanceof PemError) throw new PemError(`the ${what} ${sourceOf(data)} ${error.message}`);
    throw error;
  }
}

function sourceOf(data: TlsData): string {
  return data.kind === 'file' ? data.path : '<inline>';
}
