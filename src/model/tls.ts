import type { SecretBytes } from '../base/secret-bytes.ts';
import type { StringMatcher } from './matcher.ts';

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

/** Bytes given in the config, or the file that holds them, which is read again whenever it changes. */
export type TlsData =
  | { readonly kind: 'inline'; readonly bytes: SecretBytes }
  | { readonly kind: 'file'; readonly path: string };

/** A certificate chain in PEM, leaf first, with the key of its leaf. (envoy…tls.v3.TlsCertificate) */
export interface TlsCertificate {
  readonly chain: TlsData;
  readonly key: TlsData;
  /** Of an encrypted key. */
  readonly password: TlsData | null;
  /** A directory whose changes are changes of the files too, besides their own; '' none. */
  readonly watchedDirectory: string;
}

/** envoy…tls.v3.SubjectAltNameMatcher */
export interface SanMatcher {
  readonly kind: 'EMAIL' | 'DNS' | 'URI' | 'IP_ADDRESS' | 'OTHER_NAME';
  readonly matcher: StringMatcher;
  /** Type of an OTHER_NAME, dotted; '' otherwise. */
  readonly oid: string;
}

/** What a peer's certificate must be. (envoy…tls.v3.CertificateValidationContext) */
export interface CertificateValidation {
  readonly trustedCa: TlsData | null;
  /** The roots that Node ships. */
  readonly systemRoots: boolean;
  readonly crl: TlsData | null;
  readonly watchedDirectory: string;
  /** SHA-256 of the certificate, lower-case hex; of these and `spki` one must match. */
  readonly hashes: readonly string[];
  /** SHA-256 of the SubjectPublicKeyInfo, base64. */
  readonly spki: readonly string[];
  /** One must match; empty: any name will do. */
  readonly sans: readonly SanMatcher[];
  readonly allowExpired: boolean;
  /** Lets a peer in whatever comes of the verification; what came of it is known to routes. */
  readonly acceptUntrusted: boolean;
  /** CA certificates above the leaf, the trusted one included; 0 is 1; null: no limit of ours. */
  readonly maxDepth: number | null;
  /** SPIFFE: roots by trust domain, in place of `trustedCa`; null: not SPIFFE. */
  readonly trustDomains: readonly { readonly name: string; readonly bundle: TlsData }[] | null;
}

/**
 * What is worth nothing without roots to verify by, in the field's name; '' when nothing is: names are whatever a peer
 * wrote into its own certificate. (Envoy: CertificateValidationContextConfigImpl)
 */
export function needsRoots(validation: CertificateValidation): string {
  if (validation.trustedCa !== null || validation.systemRoots || validation.trustDomains !== null) return '';
  if (validation.sans.length > 0) return 'match_typed_subject_alt_names';
  if (validation.allowExpired) return 'allow_expired_certificate';
  return validation.crl === null ? '' : 'crl';
}

/** A chain to these roots is enough. */
export function trustIn(trustedCa: TlsData): CertificateValidation {
  return {
    trustedCa,
    systemRoots: false,
    crl: null,
    watchedDirectory: '',
    hashes: [],
    spki: [],
    sans: [],
    allowExpired: false,
    acceptUntrusted: false,
    maxDepth: null,
    trustDomains: null,
  };
}

/**
 * The name of a secret that is not in the context itself: one of the bootstrap's own, one that comes over ADS, or what
 * Istio's agent serves beside the proxy and this one has of itself, its identity (`default`, `ROOTCA`).
 */
export interface SecretReference {
  readonly name: string;
  readonly from: 'bootstrap' | 'ads' | 'agent';
}

export type CertificateSource =
  | { readonly kind: 'given'; readonly certificate: TlsCertificate }
  | ({ readonly kind: 'secret' } & SecretReference);

/** A validation context given, one that is a secret, or both: then the secret's fields are merged over the others. */
export interface ValidationSource {
  readonly given: CertificateValidation | null;
  readonly secret: SecretReference | null;
}

/** envoy…tls.v3.CommonTlsContext */
export interface CommonTls {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** For TLS 1.2 and before, in order of preference, by OpenSSL's names. */
  readonly ciphers: readonly string[];
  readonly curves: readonly string[];
  /** Empty: OpenSSL's own. */
  readonly signatureAlgorithms: readonly string[];
  readonly certificates: readonly CertificateSource[];
  readonly validation: ValidationSource | null;
  readonly alpn: readonly string[];
}

/** envoy…tls.v3.DownstreamTlsContext */
export interface DownstreamTlsConfig {
  readonly common: CommonTls;
  readonly requireClientCertificate: boolean;
  readonly requireSni: boolean;
  /** Whether a client that asks for a name without a certificate gets any that it can verify, and not the first. */
  readonly fullScan: boolean;
  /** Whether sessions are resumed by tickets. */
  readonly tickets: boolean;
  /** The keys of those tickets; null: keys of this process. */
  readonly ticketKeys:
    | { readonly kind: 'given'; readonly keys: readonly TlsData[] }
    | ({ readonly kind: 'secret' } & SecretReference)
    | null;
  /** Seconds for which a session may be resumed. */
  readonly sessionTimeoutS: number;
  /** How long a handshake may take, ms; 0: no limit. */
  readonly handshakeTimeoutMs: number;
}

/** envoy…tls.v3.UpstreamTlsContext */
export interface UpstreamTlsConfig {
  readonly common: CommonTls;
  /** '' none. */
  readonly sni: string;
  /** Sessions kept for an endpoint; 0: none is resumed. */
  readonly maxSessionKeys: number;
}

/** TLS for the endpoints whose metadata say so. (envoy.config.cluster.v3.Cluster.TransportSocketMatch) */
export interface TransportSocketMatch {
  readonly name: string;
  /** What `envoy.transport_socket_match` of an endpoint must hold, values as JSON; empty: every endpoint. */
  readonly match: Readonly<Record<string, string>>;
  /** null: plain TCP. */
  readonly tls: UpstreamTlsConfig | null;
}

/** SNI and names of the server from the request itself. (envoy.config.core.v3.UpstreamHttpProtocolOptions) */
export interface AutoSni {
  readonly sni: boolean;
  /** The server's certificate must have that name too. */
  readonly san: boolean;
  /** The header that names the server, lower case; `:authority` unless another is given. */
  readonly header: string;
}

/** envoy…tls.v3.Secret */
export type TlsSecret =
  | { readonly name: string; readonly kind: 'tls_certificate'; readonly certificate: TlsCertificate }
  | { readonly name: string; readonly kind: 'validation_context'; readonly validation: CertificateValidation }
  | { readonly name: string; readonly kind: 'session_ticket_keys'; readonly keys: readonly TlsData[] };
