import { pack } from '../../../xds/proto/codec.ts';
import type { AccessLog } from '../../../xds/proto/gen/envoy/config/accesslog/v3.ts';
import type { FilterChain, Listener } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import {
  type CertificateValidationContext,
  type CommonTlsContext,
  DownstreamTlsContext,
  type SdsSecretConfig,
  type Secret,
  type TlsParameters,
} from '../../../xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { GatewayServer, ServerTls } from '../../mesh/gateway.ts';
import type { GatewaySecret } from '../../mesh/secret.ts';
import { DEFAULT_LOGS } from './access-log.ts';
import { type Passage, passageChain } from './gateway-passage.ts';
import type { SocketAt } from './laptop.ts';
import { gatewayManager } from './listener.ts';
import { identitySecret } from './mtls.ts';
import { httpFilter, TLS_INSPECTOR } from './network-filters.ts';

/** A server that ends TLS: a chain for its hosts' names, with routes of its own. */
export interface TlsServer {
  readonly server: GatewayServer;
  readonly tls: ServerTls;
  /** Its route configuration. */
  readonly routes: string;
  /** Names of the handshake; none: all others. */
  readonly names: readonly string[];
  readonly certificate: GatewaySecret | null;
  /** Where the roots are; null: of no Secret. */
  readonly roots: GatewaySecret | null;
}

const VERSIONS = { TLSV1_0: 'TLSv1_0', TLSV1_1: 'TLSv1_1', TLSV1_2: 'TLSv1_2', TLSV1_3: 'TLSv1_3' } as const;

/** Istio's names of what SDS brings. */
function certificateName({ namespace, name }: GatewaySecret): string {
  return `kubernetes-gateway://${namespace}/${name}`;
}
function rootsName(secret: GatewaySecret): string {
  const name = certificateName(secret);
  return name.endsWith('-cacert') ? name : `${name}-cacert`;
}

/** What SDS brings for the servers, each once. */
export function gatewaySecretResources(servers: readonly TlsServer[]): Secret[] {
  const found = new Map<string, Secret>();
  for (const { certificate, roots } of servers) {
    if (certificate?.certificate && certificate.key !== null) {
      const name = certificateName(certificate);
      found.set(name, {
        name,
        tls_certificate: {
          certificate_chain: { inline_bytes: certificate.certificate },
          private_key: { inline_bytes: certificate.key.reveal() },
        },
      });
    }
    if (roots?.roots) {
      const name = rootsName(roots);
      found.set(name, { name, validation_context: { trusted_ca: { inline_bytes: roots.roots } } });
    }
  }
  return [...found.values()];
}

/** A listener of servers that end TLS; `http2`: what the proxy speaks to clients that offer it. */
export function gatewayTlsListener(
  servers: readonly TlsServer[],
  at: SocketAt,
  http2: boolean,
  passed: readonly Passage[] = [],
  logs: readonly AccessLog[] = DEFAULT_LOGS,
): Listener {
  return {
    name: `${at.address}_${at.port}`,
    address: { socket_address: { address: at.address, port_value: at.port } },
    listener_filters: [TLS_INSPECTOR],
    filter_chains: [
      ...servers.map((server) => chain(server, at, http2, logs)),
      ...passed.map((passage) => passageChain(passage, logs)),
    ],
    traffic_direction: 'OUTBOUND',
  };
}

function chain(server: TlsServer, at: SocketAt, http2: boolean, logs: readonly AccessLog[]): FilterChain {
  const { tls, names, routes } = server;
  const context: DownstreamTlsContext = {
    common_tls_context: commonContext(server, http2),
    ...(tls.mode === 'MUTUAL' || tls.mode === 'ISTIO_MUTUAL' ? { require_client_certificate: true } : {}),
  };
  return {
    name: routes,
    ...(names.length === 0 ? {} : { filter_chain_match: { server_names: [...names] } }),
    transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: pack(DownstreamTlsContext, context) },
    filters: [httpFilter(gatewayManager(at, routes), false, logs)],
  };
}

function commonContext({ tls, certificate, roots }: TlsServer, http2: boolean): CommonTlsContext {
  const { files } = tls;
  return {
    tls_params: parameters(tls),
    alpn_protocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    ...(tls.mode === 'ISTIO_MUTUAL'
      ? { tls_certificate_sds_secret_configs: [identitySecret('default')] }
      : certificate === null
        ? {
            tls_certificates: [
              { certificate_chain: { filename: files.certificate }, private_key: { filename: files.key } },
            ],
          }
        : { tls_certificate_sds_secret_configs: [fromAds(certificateName(certificate))] }),
    ...(tls.mode === 'SIMPLE' ? {} : clients(tls, roots)),
  };
}

/** Whom a server believes, by his certificate. */
function clients(tls: ServerTls, roots: GatewaySecret | null): CommonTlsContext {
  const wanted: CertificateValidationContext = {
    ...(tls.subjectAltNames.length === 0
      ? {}
      : {
          match_typed_subject_alt_names: tls.subjectAltNames.flatMap((exact) =>
            (['URI', 'DNS'] as const).map((san_type) => ({ san_type, matcher: { exact } })),
          ),
        }),
    ...(tls.spki.length === 0 ? {} : { verify_certificate_spki: [...tls.spki] }),
    ...(tls.hashes.length === 0 ? {} : { verify_certificate_hash: [...tls.hashes] }),
  };
  if (tls.mode === 'ISTIO_MUTUAL') {
    return {
      combined_validation_context: {
        default_validation_context: wanted,
        validation_context_sds_secret_config: identitySecret('ROOTCA'),
      },
    };
  }
  if (roots === null) return { validation_context: { ...wanted, trusted_ca: { filename: tls.files.roots } } };
  return {
    combined_validation_context: {
      default_validation_context: wanted,
      validation_context_sds_secret_config: fromAds(rootsName(roots)),
    },
  };
}

function parameters({ minVersion, maxVersion, cipherSuites }: ServerTls): TlsParameters {
  return {
    // As Istio's gateways: older versions are asked for by name.
    tls_minimum_protocol_version: VERSIONS[minVersion ?? 'TLSV1_2'],
    tls_maximum_protocol_version: VERSIONS[maxVersion ?? 'TLSV1_3'],
    ...(cipherSuites.length === 0 ? {} : { cipher_suites: [...cipherSuites] }),
  };
}

function fromAds(name: string): SdsSecretConfig {
  return { name, sds_config: { ads: {}, resource_api_version: 'V3' } };
}
