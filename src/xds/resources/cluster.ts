import { isIP } from '../../base/ip.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { Cluster, ClusterDiscovery, DnsSettings } from '../../model/cluster.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import type { AutoSni, TransportSocketMatch, UpstreamTlsConfig } from '../../model/tls.ts';
import type * as wire from '../proto/gen/envoy/config/cluster/v3.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import { ClusterConfig as DynamicForwardProxy } from '../proto/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3.ts';
import { decodeSocketAddress } from './address.ts';
import { decodeBreakers, decodeOutlier } from './cluster-limits.ts';
import { checkConfigSource } from './config-source.ts';
import type { Decoding } from './decoding.ts';
import { decodeAssignment } from './endpoint.ts';
import { decodeLbPolicy } from './lb-policy.ts';
import { matchValues, originOf, serviceOf } from './origin.ts';
import { decodeUpstreamSocket } from './transport-socket.ts';
import { decodeUpstreamOptions } from './upstream-options.ts';

const BUFFER_LIMIT_BYTES = 1024 * 1024;
const HOUR_MS = 3_600_000;
const ORIGINAL_DST_HEADER = 'x-envoy-original-dst-host';

/** `controlPlane`: the cluster is the ADS client's, which speaks HTTP/2 itself. */
export function decodeCluster(cluster: wire.Cluster, path: string, s: Decoding, controlPlane = false): Cluster {
  const at = path === '' ? '' : `${path}.`;
  const tls = decodeUpstreamSocket(cluster.transport_socket, `${at}transport_socket`, s);
  const matches = decodeSocketMatches(cluster, at, s);
  const options = decodeUpstreamOptions(cluster, at, s, controlPlane);
  const keepalive = cluster.upstream_connection_options?.tcp_keepalive;
  return {
    name: cluster.name ?? '',
    statName: cluster.alt_stat_name || (cluster.name ?? ''),
    discovery: decodeDiscovery(cluster, at, s),
    connectTimeoutMs: cluster.connect_timeout ?? 5000,
    lbPolicy: decodeLbPolicy(cluster, at, s),
    perConnectionBufferLimitBytes: cluster.per_connection_buffer_limit_bytes ?? BUFFER_LIMIT_BYTES,
    circuitBreakers: decodeBreakers(cluster.circuit_breakers),
    outlierDetection: decodeOutlier(cluster.outlier_detection),
    maxRequestsPerConnection: options.common.max_requests_per_connection ?? cluster.max_requests_per_connection ?? 0,
    idleTimeoutMs: options.common.idle_timeout ?? HOUR_MS,
    maxConnectionDurationMs: options.common.max_connection_duration ?? 0,
    protocol: options.protocol,
    ...(options.http1.enable_trailers === true ? { enableTrailers: true as const } : {}),
    healthyPanicThreshold: panicThreshold(cluster),
    // Without keepalive_time the kernel's two hours hold.
    tcpKeepalive: keepalive === undefined ? null : { timeMs: (keepalive.keepalive_time ?? 7200) * 1000 },
    bindAddresses: decodeSources(cluster.upstream_bind_config, `${at}upstream_bind_config`, s),
    origin: originOf(cluster.metadata),
    service: serviceOf(cluster.metadata),
    ...(tls === null ? {} : { tls }),
    ...(matches.length === 0 ? {} : { socketMatches: matches }),
    ...decodeAutoSni(options.upstreamHttp, tls, matches, at, s),
  };
}

/** `additional_source_addresses` is the former name of `extra_source_addresses`, which wins. */
function decodeSources(config: core.BindConfig | undefined, path: string, s: Decoding): SocketAddress[] {
  if (config === undefined) return [];
  const {
    source_address: first,
    extra_source_addresses: extra = [],
    additional_source_addresses: former = [],
  } = config;
  const more = extra.map(({ address }, i) => ({ address, at: `extra_source_addresses[${i}].address` }));
  const old = former.map((address, i) => ({ address, at: `additional_source_addresses[${i}]` }));
  const sources = [{ address: first, at: 'source_address' }, ...(more.length > 0 ? more : old)];
  return sources.flatMap(({ address, at }) =>
    address === undefined ? [] : [decodeSocketAddress(address, `${path}.${at}`, s)],
  );
}

function decodeSocketMatches(cluster: wire.Cluster, at: string, s: Decoding): TransportSocketMatch[] {
  return (cluster.transport_socket_matches ?? []).map((one, i) => ({
    name: one.name ?? '',
    match: matchValues(one.match),
    tls: decodeUpstreamSocket(one.transport_socket, `${at}transport_socket_matches[${i}].transport_socket`, s),
  }));
}

function decodeAutoSni(
  options: core.UpstreamHttpProtocolOptions,
  tls: UpstreamTlsConfig | null,
  matches: readonly TransportSocketMatch[],
  at: string,
  s: Decoding,
): { autoSni?: AutoSni } {
  const { auto_sni: sni = false, auto_san_validation: san = false, override_auto_sni_header: header = '' } = options;
  if (!sni && !san) return {};
  const contexts = [tls, ...matches.map((match) => match.tls)].filter((one) => one !== null);
  if (san && contexts.some(({ common }) => common.validation === null)) {
    s.error(
      `${at}typed_extension_protocol_options`,
      'auto_san_validation needs a validation_context with a trusted_ca: without one any name could be claimed',
    );
  }
  return contexts.length === 0 ? {} : { autoSni: { sni, san, header: header.toLowerCase() || ':authority' } };
}

function panicThreshold(cluster: wire.Cluster): number {
  const percent = cluster.common_lb_config?.healthy_panic_threshold;
  return percent === undefined ? 50 : (percent.value ?? 0);
}

function decodeDiscovery(cluster: wire.Cluster, at: string, s: Decoding): ClusterDiscovery {
  if (cluster.cluster_type !== undefined) return decodeClusterType(cluster.cluster_type, at, s);
  const kind = cluster.type ?? 'STATIC';
  if (kind !== 'EDS' && cluster.eds_cluster_config !== undefined) {
    s.error(`${at}eds_cluster_config`, `is for clusters of type EDS; this one is ${kind}`);
  }
  switch (kind) {
    case 'EDS':
      return decodeEds(cluster, at, s);
    case 'ORIGINAL_DST':
      if (cluster.load_assignment !== undefined)
        s.error(`${at}load_assignment`, 'an ORIGINAL_DST cluster has no endpoints of its own');
      return { kind, useHttpHeader: decodeOriginalDst(cluster.original_dst_lb_config) };
    case 'STATIC':
      return { kind, assignment: decodeOwnAssignment(cluster, at, s, 'ip') };
    default:
      return {
        kind,
        assignment: decodeOwnAssignment(cluster, at, s, 'names'),
        dns: decodeDns(cluster),
      };
  }
}

/** Envoy's default `max_hosts`. */
const MAX_HOSTS = 1024;

function decodeClusterType(type: wire.Cluster_CustomClusterType, at: string, s: Decoding): ClusterDiscovery {
  const dynamic: ClusterDiscovery = { kind: 'DYNAMIC_FORWARD_PROXY', maxHosts: MAX_HOSTS };
  const path = `${at}cluster_type.typed_config`;
  if (type.typed_config === undefined) {
    s.error(path, 'is needed: its "@type" says which cluster it is');
    return dynamic;
  }
  const opened = s.open(type.typed_config, path);
  if (opened === undefined) return dynamic;
  if (opened.typeName !== DynamicForwardProxy.typeName) {
    s.error(path, `${opened.typeName} is not in this version: use type, or ${DynamicForwardProxy.typeName}`);
    return dynamic;
  }
  s.check(DynamicForwardProxy, opened.message, path);
  const config = opened.message as DynamicForwardProxy;
  return { ...dynamic, maxHosts: config.dns_cache_config?.max_hosts ?? MAX_HOSTS };
}

function decodeEds(cluster: wire.Cluster, at: string, s: Decoding): ClusterDiscovery {
  if (cluster.load_assignment !== undefined) {
    s.error(`${at}load_assignment`, 'the endpoints of an EDS cluster come from EDS: use type STATIC');
  }
  const eds = cluster.eds_cluster_config;
  if (eds === undefined) s.error(`${at}eds_cluster_config`, 'is needed for a cluster of type EDS');
  else checkConfigSource(eds.eds_config, `${at}eds_cluster_config.eds_config`, s);
  const serviceName = eds?.service_name || (cluster.name ?? '');
  s.endpoints.set(serviceName, `${at}eds_cluster_config`);
  return { kind: 'EDS', serviceName };
}

function decodeOriginalDst(config: wire.Cluster_OriginalDstLbConfig | undefined): string {
  if (config?.use_http_header !== true) return '';
  return (config.http_header_name || ORIGINAL_DST_HEADER).toLowerCase();
}

function decodeOwnAssignment(cluster: wire.Cluster, at: string, s: Decoding, names: 'ip' | 'names'): LoadAssignment {
  if (cluster.load_assignment === undefined) {
    s.warnings.add(`${at}load_assignment`, 'is not given: the cluster has no endpoints and every request to it fails');
    return { clusterName: cluster.name ?? '', localities: [], overprovisioningFactor: 140, dropOverloads: [] };
  }
  const assignment = decodeAssignment(cluster.load_assignment, `${at}load_assignment`, s, 'names');
  for (const [i, { endpoints }] of assignment.localities.entries()) {
    for (const [j, { address }] of endpoints.entries()) {
      const where = `${at}load_assignment.endpoints[${i}].lb_endpoints[${j}].endpoint.address.socket_address.address`;
      if (address.host === '') s.error(where, 'an IP address or a name is needed');
      else if (names === 'ip' && isIP(address.host) === 0) {
        s.error(
          where,
          `${JSON.stringify(address.host)} is not an IP address: use type STRICT_DNS or LOGICAL_DNS for names`,
        );
      }
    }
  }
  const count = assignment.localities.reduce((sum, locality) => sum + locality.endpoints.length, 0);
  if (cluster.type === 'LOGICAL_DNS' && count !== 1) {
    s.error(`${at}load_assignment`, `a LOGICAL_DNS cluster has one endpoint, this one has ${count}: use STRICT_DNS`);
  }
  return assignment;
}

function decodeDns(cluster: wire.Cluster): DnsSettings {
  const refreshMs = cluster.dns_refresh_rate ?? 5000;
  const failureBaseMs = cluster.dns_failure_refresh_rate?.base_interval ?? refreshMs;
  const failureMaxMs =
    cluster.dns_failure_refresh_rate === undefined
      ? refreshMs
      : (cluster.dns_failure_refresh_rate.max_interval ?? failureBaseMs * 10);
  return { refreshMs, failureBaseMs, failureMaxMs, jitterMs: 0, lookupFamily: cluster.dns_lookup_family ?? 'AUTO' };
}
