import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { Der, type DerElement, derAt, derItems, derOid } from '../../base/der.ts';
import { messageOf } from '../../base/errors.ts';

/** What is taken from a request: the key that is to be certified, and the names that the asker thinks it has. */
export interface SigningRequest {
  readonly key: KeyObject;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  /** URIs of its subject alternative names; everything else that it asks for is ignored. */
  readonly uris: readonly string[];
}

/** Why a request cannot be signed: one sentence for people. */
export class CsrError extends Error {}

/** One of RSA 4096 with a dozen names has 3 kB. */
const MAX_PEM_BYTES = 16 * 1024;
const MAX_EXTENSIONS = 32;
const MAX_NAMES = 16;
const BLOCK =
  /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALT_NAME = '2.5.29.17';

/** Signatures that a request may be signed with; `hash` null where the algorithm has its own. */
const SIGNATURES: ReadonlyMap<string, { readonly keys: string; readonly hash: string }> = new Map([
  ['1.2.840.10045.4.3.2', { keys: 'ec', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { keys: 'ec', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { keys: 'ec', hash: 'sha512' }],
  ['1.2.840.113549.1.1.11', { keys: 'rsa', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { keys: 'rsa', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { keys: 'rsa', hash: 'sha512' }],
]);
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1']);
const RSA_BITS = { least: 2048, most: 4096 } as const;

/** Reads a PKCS #10 request (RFC 2986) from an untrusted peer. Throws CsrError. */
export function readCsr(pem: string): SigningRequest {
  if (pem.length > MAX_PEM_BYTES) throw new CsrError(`the request is longer than ${MAX_PEM_BYTES} bytes`);
  const base64 = BLOCK.exec(pem)?.[1];
  if (base64 === undefined) throw new CsrError('the request is not PEM (-----BEGIN CERTIFICATE REQUEST-----)');
  const der = Buffer.from(base64, 'base64');
  try {
    return readDer(der);
  } catch (error) {
    if (error instanceof CsrError) throw error;
    throw new CsrError(`the request cannot be read: ${messageOf(error)}`);
  }
}

function readDer(der: Buffer): SigningRequest {
  const whole = tagged(derAt(der, 0, der.length), Der.Sequence);
  if (whole.end !== der.length) throw new CsrError('something follows the request');
  const [info, algorithm, signature, ...more] = derItems(der, whole);
  if (info === undefined || algorithm === undefined || signature === undefined || more.length > 0) {
    throw new CsrError('the request does not have its three parts');
  }
  const [version, subject, spki, attributes] = derItems(der, tagged(info, Der.Sequence));
  if (version === undefined || subject === undefined || spki === undefined) {
    throw new CsrError('the request lacks its version, subject or key');
  }
  if (tagged(version, Der.Integer).end - version.start !== 1 || der[version.start] !== 0) {
    throw new CsrError('the request is of a version that nobody knows');
  }
  tagged(subject, Der.Sequence);
  tagged(spki, Der.Sequence);
  // With its own header: it begins where the subject ends.
  const key = readKey(der.subarray(subject.end, spki.end));
  // With its header: it begins where the outer one's content does.
  checkSignature(der, der.subarray(whole.start, info.end), algorithm, signature, key);
  return { key, spki: key.export({ type: 'spki', format: 'der' }), uris: requestedUris(der, attributes) };
}

function readKey(spki: Buffer): KeyObject {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ec' && CURVES.has(namedCurve)) return key;
  const { least, most } = RSA_BITS;
  if (key.asymmetricKeyType === 'rsa' && modulusLength >= least && modulusLength <= most) return key;
  throw new CsrError(
    `a key of type ${key.asymmetricKeyType ?? 'unknown'} ${namedCurve || modulusLength} is not certified: use ECDSA P-256 or P-384, or RSA of ${least} to ${most} bits`,
  );
}

/** Whoever asks has the private key. */
function checkSignature(
  der: Buffer,
  signed: Buffer,
  algorithm: DerElement,
  signature: DerElement,
  key: KeyObject,
): void {
  const [id] = derItems(der, tagged(algorithm, Der.Sequence));
  const oid = id === undefined ? '' : derOid(der, tagged(id, Der.Oid));
  const known = SIGNATURES.get(oid);
  if (known === undefined || known.keys !== key.asymmetricKeyType) {
    throw new CsrError(`the request is signed by ${oid.slice(0, 64)}, which is not taken for such a key`);
  }
  const bits = tagged(signature, Der.BitString);
  if (der[bits.start] !== 0) throw new CsrError('the signature of the request is not of whole bytes');
  if (!verify(known.hash, signed, key, der.subarray(bits.start + 1, bits.end))) {
    throw new CsrError('the signature of the request does not fit its key');
  }
}

function requestedUris(der: Buffer, attributes: DerElement | undefined): string[] {
  if (attributes === undefined) return [];
  const uris: string[] = [];
  for (const attribute of limited(derItems(der, tagged(attributes, 0xa0)), MAX_EXTENSIONS)) {
    const [id, values] = derItems(der, tagged(attribute, Der.Sequence));
    if (id === undefined || values === undefined || derOid(der, tagged(id, Der.Oid)) !== EXTENSION_REQUEST) continue;
    const [extensions] = derItems(der, tagged(values, Der.Set));
    if (extensions === undefined) continue;
    for (const extension of limited(derItems(der, tagged(extensions, Der.Sequence)), MAX_EXTENSIONS)) {
      const parts = derItems(der, tagged(extension, Der.Sequence));
      const [name, value] = [parts[0], parts.at(-1)];
      if (name === undefined || value === undefined || derOid(der, tagged(name, Der.Oid)) !== SUBJECT_ALT_NAME)
        continue;
      const names = derItems(der, derAt(der, tagged(value, Der.OctetString).start, value.end));
      for (const one of limited(names, MAX_NAMES))
        if (one.tag === 0x86) uris.push(der.toString('latin1', one.start, one.end));
    }
  }
  return uris;
}

function tagged(element: DerElement, tag: number): DerElement {
  if (element.tag !== tag) throw new CsrError('the request is not built as one (RFC 2986)');
  return element;
}

function limited<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length > most) throw new CsrError(`the request has a list of more than ${most} items`);
  return items;
}
