import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { Der, derAt, derItems } from '../../base/der.ts';
import {
  DER_NULL,
  DER_TRUE,
  derBits,
  derElement,
  derObjectId,
  derOctets,
  derSequence,
  derText8,
  derTime,
  derUnsigned,
} from '../../base/der-writer.ts';

/** Clocks of pods run behind by so much at most: a certificate is valid from before it was made. Istio's. */
export const BACKDATE_MS = 120_000;

/** Who signs. `subject` and `spki` are DER, of the certificate that the key belongs to. */
export interface SigningKey {
  readonly key: KeyObject;
  readonly subject: Buffer;
  readonly spki: Buffer;
}

export interface LeafOptions {
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  /** URI names; a workload has one, its SPIFFE ID. */
  readonly uris: readonly string[];
  /** DNS names, of servers. */
  readonly dns: readonly string[];
  /** Wall times, ms. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Certificates by our own DER and node:crypto: what takes a page here is 13 packages with a dependency container in
 * @peculiar/x509, and every byte of it would still have to be checked against the SPIFFE standard.
 */
export function leafCertificate(options: LeafOptions, by: SigningKey): string {
  const names = [
    ...options.uris.map((uri) => derElement(0x86, Buffer.from(uri, 'latin1'))),
    ...options.dns.map((name) => derElement(0x82, Buffer.from(name, 'latin1'))),
  ];
  return certificate(
    {
      ...options,
      // The names say who it is, so they are critical where the subject is empty (RFC 5280, 4.1.2.6).
      subject: derSequence(),
      extensions: [
        extension('2.5.29.17', true, derSequence(...names)),
        // X509-SVID, 4.1 and 4.3: digitalSignature, critical; never a CA.
        extension('2.5.29.15', true, keyUsage('digitalSignature', 'keyEncipherment')),
        extension('2.5.29.37', false, derSequence(derObjectId(SERVER_AUTH), derObjectId(CLIENT_AUTH))),
        extension('2.5.29.19', true, derSequence()),
        extension('2.5.29.35', false, derSequence(derElement(0x80, keyId(by.spki)))),
      ],
    },
    by,
  );
}

/** A root of its own: `subject` is what people see, the key id is what tells two roots apart. */
export function rootCertificate(
  options: {
    readonly organization: string;
    readonly trustDomain: string;
    readonly spki: Buffer;
    readonly notBefore: number;
    readonly notAfter: number;
  },
  key: KeyObject,
): string {
  const subject = derSequence(
    derElement(Der.Set, derSequence(derObjectId('2.5.4.10'), derText8(options.organization))),
  );
  const trustDomain = derElement(0x86, Buffer.from(`spiffe://${options.trustDomain}`, 'latin1'));
  return certificate(
    {
      ...options,
      subject,
      extensions: [
        extension('2.5.29.19', true, derSequence(DER_TRUE)),
        extension('2.5.29.15', true, keyUsage('keyCertSign', 'cRLSign')),
        extension('2.5.29.14', false, derOctets(keyId(options.spki))),
        // X509-SVID, 2: a signing certificate is named by its trust domain.
        extension('2.5.29.17', false, derSequence(trustDomain)),
      ],
    },
    { key, subject, spki: options.spki },
  );
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

interface Content {
  readonly subject: Buffer;
  readonly spki: Buffer;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly extensions: readonly Buffer[];
}

/** PEM. */
function certificate(content: Content, by: SigningKey): string {
  const { algorithm, hash } = signatureOf(by.key);
  const serial = randomBytes(16);
  // Positive, and never shorter: 127 bits of chance (CA/B: at least 64).
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const tbs = derSequence(
    derElement(0xa0, derUnsigned(Buffer.of(2))),
    derUnsigned(serial),
    algorithm,
    by.subject,
    derSequence(derTime(content.notBefore), derTime(content.notAfter)),
    content.subject,
    content.spki,
    derElement(0xa3, derSequence(...content.extensions)),
  );
  return pemOf(derSequence(tbs, algorithm, derBits(sign(hash, tbs, by.key))));
}

export function pemOf(der: Buffer, what = 'CERTIFICATE'): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${what}-----\n${lines.join('\n')}\n-----END ${what}-----\n`;
}

/** Subject and key of a certificate, to sign as it. */
export function signingKey(certificateDer: Buffer, key: KeyObject): SigningKey {
  const [tbs] = derItems(certificateDer, derAt(certificateDer, 0, certificateDer.length));
  if (tbs === undefined) throw new RangeError('DER: an empty certificate');
  const fields = derItems(certificateDer, tbs);
  if (fields[0]?.tag === 0xa0) fields.shift();
  const [, , , validity, subject, spki] = fields;
  if (validity === undefined || subject === undefined || spki === undefined) {
    throw new RangeError('DER: a certificate without its fields');
  }
  return {
    key,
    subject: certificateDer.subarray(validity.end, subject.end),
    spki: certificateDer.subarray(subject.end, spki.end),
  };
}

const CURVE_HASHES: Readonly<Record<string, readonly [oid: string, hash: string]>> = {
  prime256v1: ['1.2.840.10045.4.3.2', 'sha256'],
  secp384r1: ['1.2.840.10045.4.3.3', 'sha384'],
  secp521r1: ['1.2.840.10045.4.3.4', 'sha512'],
};

/** How a key signs; throws RangeError for one that does not here. */
export function signatureOf(key: KeyObject): { readonly algorithm: Buffer; readonly hash: string } {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'rsa') return { algorithm: derSequence(derObjectId('1.2.840.113549.1.1.11'), DER_NULL), hash: 'sha256' };
  const [oid, hash] = (type === 'ec' ? CURVE_HASHES[details?.namedCurve ?? ''] : undefined) ?? [];
  if (oid === undefined || hash === undefined) {
    throw new RangeError(
      `a key of type ${type ?? 'unknown'} ${details?.namedCurve ?? ''} does not sign: use ECDSA or RSA`,
    );
  }
  return { algorithm: derSequence(derObjectId(oid)), hash };
}

/** RFC 5280, 4.2.1.2 (1): SHA-1 of the key's bits; it names the key and protects nothing. */
function keyId(spki: Buffer): Buffer {
  const [, bits] = derItems(spki, derAt(spki, 0, spki.length));
  if (bits === undefined) throw new RangeError('DER: a key without its bits');
  return createHash('sha1')
    .update(spki.subarray(bits.start + 1, bits.end))
    .digest();
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return derSequence(derObjectId(id), ...(critical ? [DER_TRUE] : []), derOctets(value));
}

const USAGES = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const;

function keyUsage(...usages: readonly (keyof typeof USAGES)[]): Buffer {
  const bits = usages.reduce((byte, usage) => byte | (0x80 >> USAGES[usage]), 0);
  // DER: no zero bits at the end (X.690, 11.2.2).
  let unused = 0;
  while (((bits >> unused) & 1) === 0) unused++;
  return derBits(Buffer.of(bits), unused);
}
