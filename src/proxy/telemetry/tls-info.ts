/** What is known of a certificate that took part in a handshake. Texts hold ASCII only, or octets as latin1. */
export interface CertificateInfo {
  /** RFC 2253. */
  readonly subject: string;
  readonly issuer: string;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  readonly ipSans: readonly string[];
  readonly emailSans: readonly string[];
  /** Lower-case hex. */
  readonly serial: string;
  /** SHA-256 and SHA-1 of its DER, lower-case hex; made when they are asked for. */
  readonly fingerprint256: string;
  readonly fingerprint1: string;
  /** Wall times, ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** PEM; made when it is asked for. */
  readonly pem: string;
  /** PEM of the chain as it was presented, leaf first; after a resumed session the leaf alone. */
  readonly chainPem: string;
}

/** What a TLS handshake showed; one object a connection. */
export interface TlsInfo {
  /** `TLSv1.2`, `TLSv1.3` */
  readonly version: string;
  /** OpenSSL's name of the cipher suite. */
  readonly cipher: string;
  /** SNI; '' none. */
  readonly requestedServerName: string;
  /** The protocol agreed on; '' none. */
  readonly alpn: string;
  /** null: the peer presented none. */
  readonly peer: CertificateInfo | null;
  /** The peer's certificate was verified, and held. */
  readonly validated: boolean;
  /** Ours; null: none. */
  readonly local: CertificateInfo | null;
  readonly sessionReused: boolean;
}
