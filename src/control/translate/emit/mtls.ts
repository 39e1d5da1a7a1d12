import { pack } from '../../../xds/proto/codec.ts';
import type { Cluster_TransportSocketMatch } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import type { TransportSocket } from '../../../xds/proto/gen/envoy/config/core/v3.ts';
import type { FilterChain, FilterChainMatch } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import { RawBuffer } from '../../../xds/proto/gen/envoy/extensions/transport_sockets/raw_buffer/v3.ts';
import {
  type CertificateValidationContext,
  type CommonTlsContext,
  DownstreamTlsContext,
  type SdsSecretConfig,
  UpstreamTlsContext,
} from '../../../xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { MtlsMode } from '../../mesh/authentication.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService, PortProtocol, ServiceEndpoint } from '../../mesh/service.ts';
import type { ClientTls } from '../../mesh/traffic-policy.ts';
import { type WorkloadMtls, workloadMtls } from '../peer-authentication.ts';
import type { EmitNode } from './scope.ts';

/**
 * What Istio's sidecars say in ALPN that the connection is one of the mesh. `istio-peer-exchange` is taken and never
 * offered: it promises Istio's own exchange of metadata on the bytes that follow, which our proxies do not speak.
 */
const HTTP_ALPN = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const TCP_ALPN = ['istio-peer-exchange', 'istio'];
const MESH_ALPN = [...TCP_ALPN, ...HTTP_ALPN];
/** As Istio's inbound contexts. */
const CIPHERS = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
];

/** The identity of the workload, which Istio's agent and our own proxies serve beside the proxy, by Istio's names. */
export function identitySecret(name: 'default' | 'ROOTCA'): SdsSecretConfig {
  return {
    name,
    sds_config: {
      api_config_source: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
      },
      initial_fetch_timeout: 0,
      resource_api_version: 'V3',
    },
  };
}

function tlsSocket(config: UpstreamTlsContext): TransportSocket {
  return { name: 'envoy.transport_sockets.tls', typed_config: pack(UpstreamTlsContext, config) };
}

const PLAIN: TransportSocket = { name: 'envoy.transport_sockets.raw_buffer', typed_config: pack(RawBuffer, {}) };

/** Mutual TLS with whoever has one of these names; anybody of the mesh where there are none. */
export function istioMutual(sni: string, names: readonly string[], protocol: PortProtocol): TransportSocket {
  const sans = names.map((exact) => ({ san_type: 'URI', matcher: { exact } }) as const);
  return tlsSocket({
    sni,
    common_tls_context: {
      tls_params: VERSIONS,
      tls_certificate_sds_secret_configs: [identitySecret('default')],
      combined_validation_context: {
        default_validation_context: sans.length === 0 ? {} : { match_typed_subject_alt_names: sans },
        validation_context_sds_secret_config: identitySecret('ROOTCA'),
      },
      alpn_protocols: offered(protocol),
    },
  });
}

/** Without Istio's ALPN filter a cluster offers what its port speaks; our proxy itself says `istio-http` where it is found out. */
function offered(protocol: PortProtocol): string[] {
  if (protocol === 'http') return ['istio-http/1.1', 'istio', 'http/1.1'];
  return protocol === 'http2' || protocol === 'grpc' ? ['istio-h2', 'istio', 'h2'] : ['istio'];
}

const VERSIONS = { tls_minimum_protocol_version: 'TLSv1_2', tls_maximum_protocol_version: 'TLSv1_3' } as const;

/** By each endpoint: those whose proxy speaks it get mutual TLS, the others plain text. */
export function byEndpoint(mutual: TransportSocket): Cluster_TransportSocketMatch[] {
  return [
    { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transport_socket: mutual },
    { name: 'tlsMode-disabled', match: {}, transport_socket: PLAIN },
  ];
}

/** What {@link byEndpoint} looks at; null: plain text. */
export function tlsMode(endpoint: ServiceEndpoint, port: number): { readonly tlsMode: 'istio' } | null {
  const speaks = endpoint.identity !== undefined && endpoint.plainPorts?.has(port) !== true;
  return speaks ? { tlsMode: 'istio' } : null;
}

/** The SPIFFE IDs behind a service, by which its clients know that they reached it; of a subset too, as in Istio. */
export function identitiesOf({ endpoints }: MeshService, trustDomain: string): string[] {
  const found = new Set<string>();
  for (const { identity } of endpoints) {
    if (identity === undefined) continue;
    const [namespace, account] = identity.split('/');
    found.add(`spiffe://${trustDomain}/ns/${namespace}/sa/${account}`);
  }
  return [...found].sort();
}

/** `outbound_.9080_.v1_.reviews.default.svc.cluster.local`: Istio's form, which is a name that SNI may hold. */
export function mutualSni(port: number, subset: string, host: string): string {
  return `outbound_.${port}_.${subset}_.${host}`;
}

/** TLS that a DestinationRule asks for; files are read by the proxy, and again when they change. */
export function originatedTls(tls: ClientTls, http2: boolean): TransportSocket {
  const context: CommonTlsContext = { tls_params: VERSIONS };
  if (tls.mode === 'MUTUAL') {
    context.tls_certificates = [
      { certificate_chain: { filename: tls.clientCertificate }, private_key: { filename: tls.privateKey } },
    ];
  }
  if (!tls.insecureSkipVerify) context.validation_context = validationOf(tls);
  if (http2) context.alpn_protocols = ['h2'];
  return tlsSocket({ ...(tls.sni === '' ? {} : { sni: tls.sni }), common_tls_context: context });
}

function validationOf({ caCertificates, caCrl, subjectAltNames }: ClientTls): CertificateValidationContext {
  const sans = subjectAltNames.flatMap((exact) =>
    (exact.includes('://') ? (['URI'] as const) : (['DNS', 'URI', 'IP_ADDRESS', 'EMAIL'] as const)).map(
      (san_type) => ({ san_type, matcher: { exact } }) as const,
    ),
  );
  return {
    ...(caCertificates === '' ? { system_root_certs: {} } : { trusted_ca: { filename: caCertificates } }),
    ...(caCrl === '' ? {} : { crl: { filename: caCrl } }),
    ...(sans.length === 0 ? {} : { match_typed_subject_alt_names: sans }),
  };
}

/** SNI and the server's name from requests, where the rule names neither (Istio: setAutoSniAndAutoSanValidation). */
export function autoSni(tls: ClientTls): { auto_sni?: true; auto_san_validation?: true } {
  if (tls.mode !== 'SIMPLE' && tls.mode !== 'MUTUAL') return {};
  if (tls.sni !== '') return {};
  const names = tls.subjectAltNames.length === 0 && !tls.insecureSkipVerify;
  return { auto_sni: true, ...(names ? { auto_san_validation: true } : {}) };
}

/** What a proxy takes from its callers. Without an identity it has nothing to show: plain text, unless that is refused. */
export function inboundMtls(
  node: EmitNode,
  { peerAuthentications, settings }: Pick<Mesh, 'peerAuthentications' | 'settings'>,
): WorkloadMtls {
  const labels = Object.fromEntries(node.labels);
  const accepted = workloadMtls(peerAuthentications, node.namespace, labels, settings.rootNamespace);
  if ((node.identity ?? '') !== '') return accepted;
  const without = (mode: MtlsMode): MtlsMode => (mode === 'STRICT' ? mode : 'DISABLE');
  const ports = [...accepted.ports].map(([port, mode]) => [port, without(mode)] as const);
  return { ...accepted, mode: without(accepted.mode), ports: new Map(ports) };
}

/** How connections to a port are told apart, and which of them bring a certificate. */
export interface ChainKind {
  readonly match: Pick<FilterChainMatch, 'transport_protocol' | 'application_protocols'>;
  readonly speaks: 'http' | 'tcp';
  readonly mutual: boolean;
}

const TLS = { transport_protocol: 'tls' } as const;
const RAW = { transport_protocol: 'raw_buffer' } as const;

/**
 * The filter chains of a port (Istio: core/filterchain_options.go). `plain`: what HTTP inspection finds in clear text.
 * `declared-http`: HTTP is what was said, and what comes may be something else.
 */
export function chainKinds(
  mode: MtlsMode,
  speaks: 'http' | 'tcp' | 'auto' | 'declared-http',
  plain: readonly string[],
): ChainKind[] {
  const strict = mode === 'STRICT';
  const found = speaks === 'auto' || speaks === 'declared-http';
  if (mode === 'DISABLE') {
    const http: ChainKind = {
      match: found ? { application_protocols: [...plain] } : {},
      speaks: 'http',
      mutual: false,
    };
    const tcp: ChainKind = { match: {}, speaks: 'tcp', mutual: false };
    return found ? [http, tcp] : [speaks === 'http' ? http : tcp];
  }
  if (speaks === 'auto') {
    const mutual: ChainKind[] = [
      { match: { ...TLS, application_protocols: HTTP_ALPN }, speaks: 'http', mutual: true },
      { match: strict ? TLS : { ...TLS, application_protocols: TCP_ALPN }, speaks: 'tcp', mutual: true },
    ];
    if (strict) return mutual;
    return [
      ...mutual,
      { match: { ...RAW, application_protocols: [...plain] }, speaks: 'http', mutual: false },
      { match: RAW, speaks: 'tcp', mutual: false },
      // Encrypted by somebody else: it goes on as it is.
      { match: TLS, speaks: 'tcp', mutual: false },
    ];
  }
  if (speaks === 'declared-http') {
    const mutual: ChainKind[] = [
      { match: { ...TLS, application_protocols: HTTP_ALPN }, speaks: 'http', mutual: true },
      { match: { ...TLS, application_protocols: TCP_ALPN }, speaks: 'tcp', mutual: true },
    ];
    if (strict) return [...mutual, { match: TLS, speaks: 'http', mutual: true }];
    return [
      ...mutual,
      { match: { ...RAW, application_protocols: [...plain] }, speaks: 'http', mutual: false },
      { match: RAW, speaks: 'tcp', mutual: false },
    ];
  }
  if (strict) return [{ match: TLS, speaks, mutual: true }];
  return [
    { match: { ...TLS, application_protocols: MESH_ALPN }, speaks, mutual: true },
    { match: RAW, speaks, mutual: false },
    ...(speaks === 'tcp' ? [{ match: TLS, speaks, mutual: false } as const] : []),
  ];
}

/** TLS of a chain: our certificate, and any of the mesh's from the client. */
export function mutualChain(speaks: 'http' | 'tcp', http2: boolean): Pick<FilterChain, 'transport_socket'> {
  const config: DownstreamTlsContext = {
    require_client_certificate: true,
    common_tls_context: {
      tls_params: { ...VERSIONS, cipher_suites: CIPHERS },
      tls_certificate_sds_secret_configs: [identitySecret('default')],
      validation_context_sds_secret_config: identitySecret('ROOTCA'),
      // What is spoken inside, without the words of the mesh.
      ...(speaks === 'http' ? { alpn_protocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'] } : {}),
    },
  };
  return {
    transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: pack(DownstreamTlsContext, config) },
  };
}

/** What an app is told of its caller (Istio: APPEND_FORWARD in sidecars). */
export const FORWARDED_CERTIFICATE = {
  forward_client_cert_details: 'APPEND_FORWARD',
  set_current_client_cert_details: { subject: true, dns: true, uri: true },
} as const;
