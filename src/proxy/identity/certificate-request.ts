import type { KeyObject } from 'node:crypto';
import { Der } from '../../base/der.ts';
import {
  DER_TRUE,
  derBits,
  derElement,
  derObjectId,
  derOctets,
  derSequence,
  derText8,
  derUnsigned,
} from '../../base/der-writer.ts';

/** A key of ours, and the request for its certificate. */
export interface CertificateRequest {
  readonly key: KeyObject;
  /** PEM of a PKCS #10 request (RFC 2986). */
  readonly csr: string;
}

/** A new ECDSA P-256 key, and a request for a certificate of that URI. The key leaves by nobody but who is given it. */
export async function certificateRequest(uri: string, organization: string): Promise<CertificateRequest> {
  const { generateKeyPair, sign } = process.getBuiltinModule('node:crypto');
  const pair = await new Promise<{ key: KeyObject; spki: Buffer }>((resolve, reject) => {
    generateKeyPair('ec', { namedCurve: 'prime256v1' }, (error, publicKey, privateKey) => {
      if (error !== null) reject(error);
      else resolve({ key: privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) });
    });
  });
  const names = derSequence(derElement(0x86, Buffer.from(uri, 'latin1')));
  const extensions = derSequence(derSequence(derObjectId('2.5.29.17'), DER_TRUE, derOctets(names)));
  const info = derSequence(
    derUnsigned(Buffer.of(0)),
    derSequence(derElement(Der.Set, derSequence(derObjectId('2.5.4.10'), derText8(organization)))),
    pair.spki,
    derElement(0xa0, derSequence(derObjectId('1.2.840.113549.1.9.14'), derElement(Der.Set, extensions))),
  );
  const algorithm = derSequence(derObjectId('1.2.840.10045.4.3.2'));
  const der = derSequence(info, algorithm, derBits(sign('sha256', info, pair.key)));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  const csr = `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
  return { key: pair.key, csr };
}
