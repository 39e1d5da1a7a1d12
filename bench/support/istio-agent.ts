import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';
import { type ProxyFlags, proxyBootstrap } from '../../src/xds/bootstrap/proxy-bootstrap.ts';
import { decode, encode, Problems, pack } from '../../src/xds/proto/codec.ts';
import { Secret } from '../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../../src/xds/proto/gen/envoy/service/discovery/v3.ts';
import { CERTIFICATE, KEY } from './certificate.ts';

/**
 * Envoy's bootstrap as pilot-agent writes it for a sidecar (istio/istio tools/packaging/common/envoy_bootstrap.json and
 * pkg/bootstrap/config.go): few statistics, Istio's runtime flags, the static clusters that istiod's config names. Its
 * two listeners for probes and Prometheus (15021, 15090) are left out, and istiod is asked directly, not through the agent.
 * `secrets`: the path of the agent's socket.
 */
export function istioBootstrap(flags: ProxyFlags & { readonly secrets: string }): object {
  const { dynamic_resources, static_resources, ...rest } = proxyBootstrap({ interception: 'REDIRECT', ...flags });
  const ads = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };
  const [control] = (static_resources as { clusters: object[] }).clusters;
  const pipe = { pipe: { path: flags.secrets } };
  const admin = { socket_address: { address: flags.admin?.host, port_value: flags.admin?.port } };
  return {
    ...rest,
    layered_runtime: { layers: [{ name: 'global config', static_layer: RUNTIME }] },
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
          buffer_size_kb: 64,
        },
      },
    ],
    stats_config: {
      use_all_default_tags: false,
      stats_matcher: { inclusion_list: { patterns: STATISTICS } },
    },
    dynamic_resources: { ...(dynamic_resources as object), lds_config: ads, cds_config: ads },
    static_resources: {
      clusters: [
        { ...control, circuit_breakers: { thresholds: [UNLIMITED, { ...UNLIMITED, priority: 'HIGH' }] } },
        cluster('prometheus_stats', admin),
        { ...control, ...cluster('sds-grpc', pipe) },
      ],
    },
  };
}

const RUNTIME = {
  're2.max_program_size.error_level': '32768',
  'envoy.reloadable_features.http_reject_path_with_fragment': false,
  'envoy.reloadable_features.fixed_heap_use_allocated': true,
  'envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update': false,
};

/** What Istio counts unless a pod's annotations ask for more. */
const STATISTICS = [
  ...['reporter=', 'cluster_manager', 'listener_manager', 'server', 'cluster.xds-grpc', 'wasm'].map(prefixed),
  ...['rbac.allowed', 'rbac.denied', 'shadow_allowed', 'shadow_denied', 'downstream_cx_active'].map((suffix) => ({
    suffix,
  })),
  { safe_regex: { regex: 'vhost\\..*\\.route\\..*' } },
  ...['component', 'istio'].map(prefixed),
];

const UNLIMITED = {
  priority: 'DEFAULT',
  max_connections: 100_000,
  max_pending_requests: 100_000,
  max_requests: 100_000,
};

function prefixed(prefix: string): object {
  return { prefix };
}

function cluster(name: string, address: object): object {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
  };
}

/** The agent's secret discovery: a sidecar's certificate (`default`) and its mesh's root (`ROOTCA`), which are the tests'. */
export async function serveSecrets(path: string): Promise<grpc.Server> {
  const certificate = { inline_bytes: readFileSync(CERTIFICATE) };
  const secrets: Readonly<Record<string, Secret>> = {
    default: {
      name: 'default',
      tls_certificate: { certificate_chain: certificate, private_key: { inline_bytes: readFileSync(KEY) } },
    },
    ROOTCA: { name: 'ROOTCA', validation_context: { trusted_ca: certificate } },
  };
  const server = new grpc.Server();
  const bytes = (value: Uint8Array): Buffer => Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const method = {
    path: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
    requestStream: true,
    responseStream: true,
    requestSerialize: bytes,
    requestDeserialize: (value: Buffer): Uint8Array => value,
    responseSerialize: bytes,
    responseDeserialize: (value: Buffer): Uint8Array => value,
  };
  server.addService(
    { streamSecrets: method },
    {
      streamSecrets(call: grpc.ServerDuplexStream<Uint8Array, Uint8Array>) {
        call.on('error', () => {});
        call.on('data', (message: Uint8Array) => {
          const asked = decode(DiscoveryRequest, message, new Problems(), '', { validate: false });
          if (asked.response_nonce) return;
          const resources = (asked.resource_names ?? []).flatMap((name) => {
            const secret = secrets[name];
            return secret === undefined ? [] : [pack(Secret, secret)];
          });
          const answer = { version_info: '1', nonce: '1', type_url: asked.type_url ?? '', resources };
          call.write(encode(DiscoveryResponse, answer));
        });
        call.on('end', () => call.end());
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, grpc.ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return server;
}
