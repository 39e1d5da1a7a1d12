import type { StreamInfo } from '../stream-info.ts';
import type { CertificateInfo, TlsInfo } from '../tls-info.ts';

type Text = (info: StreamInfo) => string | undefined;
type Of = (tls: TlsInfo) => CertificateInfo | null;

const peerOf: Of = (tls) => tls.peer;
const localOf: Of = (tls) => tls.local;

/** Several names in one field, as Envoy prints them. */
const joined = (names: readonly string[]): string => names.join(',');

const OF_CERTIFICATE: Readonly<Record<string, (certificate: CertificateInfo) => string>> = {
  SUBJECT: ({ subject }) => subject,
  URI_SAN: ({ uriSans }) => joined(uriSans),
  DNS_SAN: ({ dnsSans }) => joined(dnsSans),
  IP_SAN: ({ ipSans }) => joined(ipSans),
};
const OF_PEER: Readonly<Record<string, (certificate: CertificateInfo) => string>> = {
  ...OF_CERTIFICATE,
  ISSUER: ({ issuer }) => issuer,
  SERIAL: ({ serial }) => serial,
  FINGERPRINT_256: ({ fingerprint256 }) => fingerprint256,
  FINGERPRINT_1: ({ fingerprint1 }) => fingerprint1,
  CERT: ({ pem }) => encodeURIComponent(pem),
};

/** Operators of TLS whose value is text, downstream and upstream, by name. */
export const TLS_OPERATORS: Readonly<Record<string, Text>> = {
  ...side('DOWNSTREAM', (info) => info.connection.tls ?? null),
  ...side('UPSTREAM', (info) => info.upstreamTls),
};

function side(prefix: string, tlsOf: (info: StreamInfo) => TlsInfo | null): Record<string, Text> {
  const operators: Record<string, Text> = {
    [`${prefix}_TLS_VERSION`]: (info) => tlsOf(info)?.version,
    [`${prefix}_TLS_CIPHER`]: (info) => tlsOf(info)?.cipher,
  };
  const add = (name: string, of: Of, read: (certificate: CertificateInfo) => string): void => {
    operators[`${prefix}_${name}`] = (info) => {
      const tls = tlsOf(info);
      const certificate = tls === null ? null : of(tls);
      return certificate === null ? undefined : read(certificate);
    };
  };
  for (const [name, read] of Object.entries(OF_PEER)) add(`PEER_${name}`, peerOf, read);
  for (const [name, read] of Object.entries(OF_CERTIFICATE)) add(`LOCAL_${name}`, localOf, read);
  return operators;
}

/** When the certificate of a downstream peer begins and ends to hold, wall ms. */
export function peerValidity(info: StreamInfo, which: 'notBefore' | 'notAfter'): number | undefined {
  return info.connection.tls?.peer?.[which];
}
