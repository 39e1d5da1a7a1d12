import {
  type CertificateSource,
  type CommonTls,
  type DownstreamTlsConfig,
  needsRoots,
  type SecretReference,
  type TlsVersion,
  type UpstreamTlsConfig,
  type ValidationSource,
} from '../../model/tls.ts';
import type * as tls from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { Decoding } from './decoding.ts';
import { decodeTicketKeys, decodeTlsCertificate } from './tls-certificate.ts';
import { decodeValidation } from './tls-validation.ts';

/** What Node's own servers allow: nobody who speaks TLS needs longer. */
const HANDSHAKE_TIMEOUT_MS = 120_000;
/** OpenSSL's. */
const SESSION_TIMEOUT_S = 7200;

export function decodeDownstreamTls(
  context: tls.DownstreamTlsContext,
  path: string,
  handshakeTimeoutMs: number | undefined,
  s: Decoding,
): DownstreamTlsConfig {
  const common = decodeCommon(context.common_tls_context ?? {}, `${path}.common_tls_context`, 'TLSv1.3', s);
  if (common.certificates.length === 0 && s.problems.ok) {
    s.error(`${path}.common_tls_context.tls_certificates`, 'a server needs a certificate');
  }
  if (context.require_client_certificate === true && !verifiesClients(common)) {
    s.warnings.add(
      `${path}.require_client_certificate`,
      'anybody’s certificate will do, since none is verified: add common_tls_context.validation_context.trusted_ca',
    );
  }
  return {
    common,
    requireClientCertificate: context.require_client_certificate ?? false,
    requireSni: context.require_sni ?? false,
    fullScan: context.full_scan_certs_on_sni_mismatch ?? false,
    tickets: !(context.disable_stateless_session_resumption ?? false),
    ticketKeys: decodeTickets(context, path, s),
    sessionTimeoutS: Math.max(1, Math.round((context.session_timeout ?? SESSION_TIMEOUT_S * 1000) / 1000)),
    handshakeTimeoutMs: handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
  };
}

/** What a secret brings along is not known yet. */
function verifiesClients({ validation }: CommonTls): boolean {
  if (validation === null) return false;
  const { given, secret } = validation;
  if (secret !== null || given === null) return true;
  const { trustedCa, systemRoots, trustDomains, hashes, spki } = given;
  return trustedCa !== null || systemRoots || trustDomains !== null || hashes.length + spki.length > 0;
}

export function decodeUpstreamTls(context: tls.UpstreamTlsContext, path: string, s: Decoding): UpstreamTlsConfig {
  const at = `${path}.common_tls_context`;
  // A client of Envoy's speaks at most TLS 1.2 unless it is told otherwise.
  const common = decodeCommon(context.common_tls_context ?? {}, at, 'TLSv1.2', s);
  if (common.validation === null) {
    s.warnings.add(`${at}.validation_context`, 'is not given: the server is not verified, whoever it is');
  }
  if (common.certificates.length > 1) {
    s.noEffect(`${at}.tls_certificates`, 'a client has one certificate of each kind of key, the first');
  }
  const sni = context.sni ?? '';
  if (sni.length > 255) s.error(`${path}.sni`, 'is longer than 255 characters');
  return { common, sni, maxSessionKeys: context.max_session_keys ?? 1 };
}

function decodeTickets(
  context: tls.DownstreamTlsContext,
  path: string,
  s: Decoding,
): DownstreamTlsConfig['ticketKeys'] {
  if (context.session_ticket_keys !== undefined) {
    const keys = decodeTicketKeys(context.session_ticket_keys, `${path}.session_ticket_keys`, s);
    return keys.length === 0 ? null : { kind: 'given', keys };
  }
  const sds = context.session_ticket_keys_sds_secret_config;
  if (sds === undefined) return null;
  return { kind: 'secret', ...decodeReference(sds, `${path}.session_ticket_keys_sds_secret_config`, s) };
}

function decodeCommon(context: tls.CommonTlsContext, path: string, newest: TlsVersion, s: Decoding): CommonTls {
  const params = context.tls_params ?? {};
  const minVersion = versionOf(params.tls_minimum_protocol_version, 'TLSv1.2');
  const maxVersion = versionOf(params.tls_maximum_protocol_version, newest);
  if (VERSIONS.indexOf(minVersion) > VERSIONS.indexOf(maxVersion)) {
    s.error(
      `${path}.tls_params.tls_minimum_protocol_version`,
      `${minVersion} is above the maximum, ${maxVersion}: set tls_maximum_protocol_version too`,
    );
  }
  return {
    minVersion,
    maxVersion,
    ciphers: decodeCiphers(params.cipher_suites, `${path}.tls_params.cipher_suites`, s),
    curves: decodeNames(params.ecdh_curves, CURVES, 'curve', `${path}.tls_params.ecdh_curves`, s) ?? DEFAULT_CURVES,
    signatureAlgorithms:
      decodeNames(
        params.signature_algorithms,
        SIGNATURE_ALGORITHMS,
        'signature algorithm',
        `${path}.tls_params.signature_algorithms`,
        s,
      ) ?? [],
    certificates: decodeCertificates(context, path, s),
    validation: decodeValidationSource(context, path, s),
    alpn: (context.alpn_protocols ?? []).flatMap((protocols, i) =>
      decodeAlpn(protocols, `${path}.alpn_protocols[${i}]`, s),
    ),
  };
}

function decodeCertificates(context: tls.CommonTlsContext, path: string, s: Decoding): CertificateSource[] {
  const given = (context.tls_certificates ?? []).flatMap((one, i): CertificateSource[] => {
    const certificate = decodeTlsCertificate(one, `${path}.tls_certificates[${i}]`, s);
    return certificate === undefined ? [] : [{ kind: 'given', certificate }];
  });
  const secrets = (context.tls_certificate_sds_secret_configs ?? []).map(
    (one, i): CertificateSource => ({
      kind: 'secret',
      ...decodeReference(one, `${path}.tls_certificate_sds_secret_configs[${i}]`, s),
    }),
  );
  return [...given, ...secrets];
}

function decodeValidationSource(context: tls.CommonTlsContext, path: string, s: Decoding): ValidationSource | null {
  if (context.validation_context !== undefined) {
    const at = `${path}.validation_context`;
    const given = decodeValidation(context.validation_context, at, s);
    const rootless = needsRoots(given);
    if (rootless !== '') s.error(`${at}.${rootless}`, 'verifies nothing without roots: add trusted_ca');
    return { given, secret: null };
  }
  const sds = context.validation_context_sds_secret_config;
  if (sds !== undefined) {
    return { given: null, secret: decodeReference(sds, `${path}.validation_context_sds_secret_config`, s) };
  }
  const combined = context.combined_validation_context;
  if (combined === undefined) return null;
  const at = `${path}.combined_validation_context`;
  const given = combined.default_validation_context;
  const secret = combined.validation_context_sds_secret_config;
  return {
    given: given === undefined ? null : decodeValidation(given, `${at}.default_validation_context`, s),
    secret: secret === undefined ? null : decodeReference(secret, `${at}.validation_context_sds_secret_config`, s),
  };
}

function decodeReference(config: tls.SdsSecretConfig, path: string, s: Decoding): SecretReference {
  const name = config.name ?? '';
  if (name === '') s.error(`${path}.name`, 'is needed');
  const from = sourceOf(config, path, s);
  const { path_config_source, path: file } = config.sds_config ?? {};
  if (path_config_source === undefined && file === undefined) s.secrets.push({ name, from, path });
  return { name, from };
}

/** Istio's agent, which serves the identity of the workload beside the proxy (Istio: security/model SDSClusterName). */
const AGENT_CLUSTER = 'sds-grpc';
const AGENT_SECRETS: readonly string[] = ['default', 'ROOTCA'];

function sourceOf(
  { name = '', sds_config: source }: tls.SdsSecretConfig,
  path: string,
  s: Decoding,
): SecretReference['from'] {
  if (source === undefined) return 'bootstrap';
  const at = `${path}.sds_config`;
  const server = source.api_config_source;
  if (server === undefined) {
    const file =
      source.path_config_source !== undefined ? 'path_config_source' : source.path !== undefined ? 'path' : '';
    if (file !== '') {
      s.error(
        `${at}.${file}`,
        'a secret in a file of its own is not supported: name the files of the certificate where the secret is named; they are watched',
      );
    }
    return 'ads';
  }
  const cluster = server.grpc_services?.[0]?.envoy_grpc?.cluster_name ?? '';
  if (cluster !== AGENT_CLUSTER) {
    s.error(
      `${at}.api_config_source`,
      `a secret server of its own is not supported: use ads, or ${AGENT_CLUSTER} for this workload's identity`,
    );
  } else if (!AGENT_SECRETS.includes(name)) {
    s.error(`${path}.name`, `${AGENT_CLUSTER} has ${AGENT_SECRETS.join(' and ')} here, not ${JSON.stringify(name)}`);
  }
  return 'agent';
}

const VERSIONS: readonly TlsVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
const VERSION_NAMES: { readonly [K in tls.TlsParameters_TlsProtocol]: TlsVersion | null } = {
  TLS_AUTO: null,
  TLSv1_0: 'TLSv1',
  TLSv1_1: 'TLSv1.1',
  TLSv1_2: 'TLSv1.2',
  TLSv1_3: 'TLSv1.3',
};

function versionOf(version: tls.TlsParameters_TlsProtocol | undefined, fallback: TlsVersion): TlsVersion {
  return VERSION_NAMES[version ?? 'TLS_AUTO'] ?? fallback;
}

/** Envoy's defaults (envoy…tls.v3.TlsParameters). */
const DEFAULT_CIPHERS = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
];
const CIPHERS: ReadonlySet<string> = new Set([
  ...DEFAULT_CIPHERS,
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'AES256-SHA',
]);
const TLS13_SUITES = /^TLS_(?:AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256)$/;
/** As Envoy 1.40 offers and takes them; the first is not broken by quantum computers. */
const DEFAULT_CURVES = ['X25519MLKEM768', 'X25519', 'P-256'];
const CURVES: ReadonlySet<string> = new Set(['X25519', 'P-256', 'P-384', 'P-521', 'X25519MLKEM768']);
const SIGNATURE_ALGORITHMS: ReadonlySet<string> = new Set([
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'ed25519',
  'rsa_pkcs1_sha1',
  'ecdsa_sha1',
]);

/** `[A|B]` is a group of equal rank; here the first of it comes first. */
function decodeCiphers(list: readonly string[] | undefined, path: string, s: Decoding): string[] {
  if (list === undefined || list.length === 0) return DEFAULT_CIPHERS;
  return list.flatMap((entry, i) =>
    entry
      .replace(/^\[(.*)\]$/, '$1')
      .split('|')
      .filter((name) => {
        if (TLS13_SUITES.test(name)) {
          s.noEffect(`${path}[${i}]`, `${name} is of TLS 1.3, whose suites are always all on`);
          return false;
        }
        if (!CIPHERS.has(name)) s.error(`${path}[${i}]`, `${JSON.stringify(name)} is no cipher suite that can be used`);
        return true;
      }),
  );
}

function decodeNames(
  list: readonly string[] | undefined,
  known: ReadonlySet<string>,
  what: string,
  path: string,
  s: Decoding,
): string[] | undefined {
  if (list === undefined || list.length === 0) return undefined;
  for (const [i, name] of list.entries()) {
    if (!known.has(name)) {
      s.error(`${path}[${i}]`, `${JSON.stringify(name)} is no ${what} that can be used: ${[...known].join(', ')}`);
    }
  }
  return [...list];
}

/** Envoy takes several protocols in one string, separated by commas. */
function decodeAlpn(protocols: string, path: string, s: Decoding): string[] {
  return protocols.split(',').map((protocol) => {
    if (protocol === '' || Buffer.byteLength(protocol) > 255)
      s.error(path, 'a protocol name has 1 to 255 bytes (RFC 7301)');
    return protocol;
  });
}
