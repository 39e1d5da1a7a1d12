import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { Der } from '../../../../src/base/der.ts';
import {
  DER_TRUE,
  derBits,
  derElement,
  derObjectId,
  derOctets,
  derSequence,
  derText8,
  derTime,
  derUnsigned,
} from '../../../../src/base/der-writer.ts';
import { parsePrivateKey } from '../../../../src/base/pem.ts';
import { pemOf, signatureOf, signingKey } from '../../../../src/control/ca/issue.ts';
import type { CaFiles } from '../../../../src/control/ca/root.ts';
import { ecKey, x509 } from './support.ts';

/** A CA below another one, as an organisation plugs one in; or a certificate that is no CA. */
export function intermediate(
  above: CaFiles,
  name: string,
  now: number,
  { key = ecKey(), leaf = false }: { key?: KeyObject; leaf?: boolean } = {},
): CaFiles {
  const by = signingKey(x509(above['ca-cert.pem']!).raw, parsePrivateKey(Buffer.from(above['ca-key.pem']!), null));
  const { algorithm, hash } = signatureOf(by.key);
  const extension = (id: string, value: Buffer) => derSequence(derObjectId(id), DER_TRUE, derOctets(value));
  const tbs = derSequence(
    derElement(0xa0, derUnsigned(Buffer.of(2))),
    derUnsigned(Buffer.from(name)),
    algorithm,
    by.subject,
    derSequence(derTime(now), derTime(now + 1e11)),
    derSequence(derElement(Der.Set, derSequence(derObjectId('2.5.4.10'), derText8(name)))),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    derElement(0xa3, derSequence(extension('2.5.29.19', leaf ? derSequence() : derSequence(DER_TRUE)))),
  );
  return {
    'ca-cert.pem': pemOf(derSequence(tbs, algorithm, derBits(sign(hash, tbs, by.key)))),
    'ca-key.pem': String(key.export({ type: 'pkcs8', format: 'pem' })),
  };
}
