import { readCertificate } from '../../base/certificate.ts';
import { PemError, parseCertificates, parsePrivateKey } from '../../base/pem.ts';
import type { TlsCertificate, TlsData } from '../../model/tls.ts';
import type * as tls from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { Decoding } from './decoding.ts';
import { checkTlsData, decodeTlsData, readTlsData } from './tls-data.ts';

/** A certificate with its key, both read and held against each other; undefined with problems noted. */
export function decodeTlsCertificate(c: tls.TlsCertificate, path: string, s: Decoding): TlsCertificate | undefined {
  // The field table says why.
  if (c.pkcs12 !== undefined || c.private_key_provider !== undefined) return undefined;
  if (c.certificate_chain === undefined) s.error(`${path}.certificate_chain`, 'is needed');
  if (c.private_key === undefined) s.error(`${path}.private_key`, 'is needed: the key of the certificate');
  if (c.certificate_chain === undefined || c.private_key === undefined) return undefined;
  const certificate: TlsCertificate = {
    chain: decodeTlsData(c.certificate_chain),
    key: decodeTlsData(c.private_key),
    password: c.password === undefined ? null : decodeTlsData(c.password),
    watchedDirectory: c.watched_directory?.path ?? '',
  };
  checkPair(certificate, path, s);
  return certificate;
}

function checkPair({ chain, key, password }: TlsCertificate, path: string, s: Decoding): void {
  const certificates = checkTlsData(chain, `${path}.certificate_chain`, s, parseCertificates);
  const leaf = certificates === undefined ? undefined : readCertificate(certificates[0]!.raw);
  if (leaf !== undefined && leaf.notAfter < s.context.now()) {
    const when = new Date(leaf.notAfter).toISOString().slice(0, 10);
    s.warnings.add(`${path}.certificate_chain`, `${JSON.stringify(leaf.subject)} expired on ${when}: peers refuse it`);
  }
  const secret = password === null ? null : readTlsData(password, `${path}.password`, s);
  if (secret === undefined) return;
  checkTlsData(key, `${path}.private_key`, s, (bytes) => {
    const parsed = parsePrivateKey(bytes, secret);
    if (certificates === undefined || certificates[0]!.checkPrivateKey(parsed)) return;
    throw new PemError(`is not the key of the certificate ${JSON.stringify(leaf?.subject)}`);
  });
}

/** Ticket keys: 80 bytes each (envoy…tls.v3.TlsSessionTicketKeys). */
export function decodeTicketKeys(keys: tls.TlsSessionTicketKeys, path: string, s: Decoding): TlsData[] {
  if ((keys.keys ?? []).length > 1) {
    s.noEffect(`${path}.keys`, 'the first key makes and reads tickets; tickets of older keys lead to full handshakes');
  }
  return (keys.keys ?? []).map((source, i) => {
    const data = decodeTlsData(source);
    checkTlsData(data, `${path}.keys[${i}]`, s, (bytes) => {
      if (bytes.length !== 80) throw new PemError(`is ${bytes.length} bytes long: a ticket key has 80`);
    });
    return data;
  });
}
