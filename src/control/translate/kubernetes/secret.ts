import { PemError, parseCertificates, parsePrivateKey } from '../../../base/pem.ts';
import { SecretBytes } from '../../../base/secret-bytes.ts';
import type { GatewaySecret } from '../../mesh/secret.ts';
import type { Sink } from '../../source/schema/type.ts';
import type { Decoded } from '../decoded.ts';
import type { SecretValue } from './fields.ts';

/** Keys of a Secret by what they hold: of type kubernetes.io/tls, and of Istio's generic ones. */
const NAMES = {
  certificate: ['tls.crt', 'cert'],
  key: ['tls.key', 'key'],
  roots: ['ca.crt', 'cacert'],
} as const;

/** Certificates of Secrets by `namespace/name`; some hold none. */
export function gatewaySecrets(secrets: readonly Decoded<'Secret'>[]): ReadonlyMap<string, GatewaySecret> {
  const found = new Map<string, GatewaySecret>();
  for (const { object, value } of secrets) {
    const { certificate, key, roots } = partsOf(value);
    const { namespace, name } = object;
    const secret = key === null ? null : new SecretBytes(key);
    found.set(`${namespace}/${name}`, { namespace, name, certificate, key: secret, roots });
  }
  return found;
}

/**
 * One that cannot be used is refused, so that its former version stays in force. What is wrong is said, and never what is
 * in it; a Secret without any of these keys is nobody's business.
 */
export function checkSecret(value: SecretValue, sink: Sink): void {
  const { certificate, key, roots } = partsOf(value);
  const wrong = (message: string): void => sink.error('wrong-certificate', ['data'], message);
  if ((certificate === null) !== (key === null)) {
    wrong(`${certificate === null ? 'tls.crt' : 'tls.key'} is missing: a certificate and its key go together`);
    return;
  }
  let part = 'tls.crt';
  try {
    const [leaf] = certificate === null ? [] : parseCertificates(certificate);
    part = 'tls.key';
    const own = key === null ? null : parsePrivateKey(key, null);
    if (leaf !== undefined && own !== null && !leaf.checkPrivateKey(own))
      wrong('tls.key is not the key of the certificate in tls.crt');
    part = 'ca.crt';
    if (roots !== null) parseCertificates(roots);
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    wrong(`${part} ${error.message}`);
  }
}

function partsOf(value: SecretValue): Readonly<Record<keyof typeof NAMES, Buffer | null>> {
  const bytes = (of: keyof typeof NAMES): Buffer | null => {
    for (const key of NAMES[of]) {
      const text = value.stringData?.[key];
      if (text !== undefined) return Buffer.from(text);
      const data = value.data?.[key];
      if (data !== undefined && data !== '') return Buffer.from(data, 'base64');
    }
    return null;
  };
  return { certificate: bytes('certificate'), key: bytes('key'), roots: bytes('roots') };
}
