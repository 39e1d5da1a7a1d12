import { type JsonObject, pack } from '../../../xds/proto/codec.ts';
import type {
  CircuitBreakers_Thresholds,
  Cluster,
  OutlierDetection,
} from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import { HttpProtocolOptions } from '../../../xds/proto/gen/envoy/extensions/upstreams/http/v3.ts';
import type { MeshService, PortProtocol, ServicePort } from '../../mesh/service.ts';
import { DEFAULT_SETTINGS, type KeepAlive, type MeshSettings } from '../../mesh/settings.ts';
import type {
  ClientTls,
  ConnectionPool,
  Outlier,
  PortPolicy,
  Subset,
  TrafficPolicyRule,
} from '../../mesh/traffic-policy.ts';
import { loadAssignment, singleAssignment } from './endpoint.ts';
import { type AppPort, fromProxy, INBOUND_PASSTHROUGH } from './inbound.ts';
import type { InboundPort } from './laptop.ts';
import { istioConfig, istioService, originMetadata, originText } from './metadata.ts';
import { autoSni, byEndpoint, identitiesOf, istioMutual, mutualSni, originatedTls } from './mtls.ts';
import { inboundCluster, outboundCluster, statName } from './names.ts';
import { BLACK_HOLE, FORWARD, PASSTHROUGH } from './outside.ts';
import { isHeadless, isHttp, portPolicy, protocolFor, type Scope, subsetOf } from './scope.ts';

const CONNECT_TIMEOUT_MS = DEFAULT_SETTINGS.connectTimeoutMs;
/**
 * An idle connection is closed by us before the server does it: Node closes after 5 s, gunicorn after 2, Go and nginx
 * after a minute or more. Most random `503 UC` are requests that met the server's close on the way (pains row 8);
 * Istio leaves connections open for an hour.
 */
const UPSTREAM_IDLE_MS = 4000;
/** Below the 4 to 6 minutes after which cloud load balancers forget a quiet connection (pains row 24). In seconds. */
const KEEPALIVE_S = 180;
const KEEPALIVE = { upstream_connection_options: { tcp_keepalive: { keepalive_time: KEEPALIVE_S } } } as const;
/** Envoy's own defaults (1024, and 3 retries) cut off healthy traffic; who wants a breaker says so. */
const UNLIMITED = 4_294_967_295;
const RETRY_BUDGET = { percent: 20, minRetryConcurrency: 3 };
const HTTP_EXTENSION = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

type OutboundScope = Pick<Scope, 'http2' | 'detects' | 'captured' | 'trustDomain' | 'settings'>;

/** Every cluster for calls to a service: each port, whole and by subset. */
export function serviceClusters(
  service: MeshService,
  policy: TrafficPolicyRule | null,
  scope: OutboundScope,
): Cluster[] {
  const whole = subsetOf(policy, '');
  const subsets = whole === null ? [] : [whole, ...(policy?.subsets ?? [])];
  return service.ports.flatMap((port) =>
    subsets.map((subset) => outbound(service, port, subset, policy, scope)).filter((cluster) => cluster !== null),
  );
}

/** The whole of a service at one port, whatever subsets there are. */
export function serviceCluster(
  service: MeshService,
  port: ServicePort,
  policy: TrafficPolicyRule | null,
  scope: OutboundScope,
): Cluster | null {
  const whole = subsetOf(policy, '');
  return whole === null ? null : outbound(service, port, whole, policy, scope);
}

/** null: nobody could ever be found for it. */
function outbound(
  service: MeshService,
  port: ServicePort,
  subset: Subset,
  rule: TrafficPolicyRule | null,
  scope: OutboundScope,
): Cluster | null {
  const { http2, captured, settings } = scope;
  const name = outboundCluster(port.number, subset.name, service.host);
  const policy = portPolicy(subset.policy, port.number);
  const discovery = discoveryOf(name, service, port, subset, policy, captured !== null, settings);
  if (discovery === null) return null;
  const istio = {
    ...(rule === null ? {} : istioConfig(rule.written.object)),
    default_original_port: port.number,
    services: [istioService(service)],
    ...(subset.name === '' ? {} : { subset: subset.name }),
  };
  const part = subset.name === '' ? '' : `subset ${subset.name}`;
  return {
    name,
    alt_stat_name: statName(name),
    ...discovery,
    ...connectionFields(policy, http2 ? port.protocol : 'http', settings),
    ...transportFields(service, port, subset, policy.tls, discovery.type, scope),
    ...(policy.outlierDetection === null ? {} : { outlier_detection: outlierDetection(policy.outlierDetection) }),
    // Sending to endpoints known to be down in the hope that they are not does more harm than good with few of them.
    common_lb_config: { healthy_panic_threshold: { value: policy.outlierDetection?.minHealthPercent ?? 0 } },
    metadata: originMetadata(originText(rule?.written ?? service.written, part), istio),
  };
}

/** Plain text, mutual TLS where an endpoint's proxy speaks it, or what a rule says. */
function transportFields(
  service: MeshService,
  port: ServicePort,
  subset: Subset,
  tls: ClientTls | null,
  type: Cluster['type'],
  { http2, detects, trustDomain, settings }: OutboundScope,
): Pick<Cluster, 'transport_socket' | 'transport_socket_matches'> {
  const protocol = protocolFor(http2, port.protocol);
  if (tls !== null) {
    if (tls.mode === 'DISABLE') return {};
    if (tls.mode !== 'ISTIO_MUTUAL') {
      return { transport_socket: originatedTls(tls, protocol === 'http2' || protocol === 'grpc') };
    }
  }
  if (tls === null && (trustDomain === '' || service.external || !settings.autoMtls)) return {};
  const sni = tls?.sni || mutualSni(port.number, subset.name, service.host);
  const given = tls?.subjectAltNames ?? [];
  const names = given.length > 0 ? given : identitiesOf(service, trustDomain);
  // What a port is said to speak it may not speak: then each connection says what it is.
  const mutual = istioMutual(sni, names, detects && protocol === 'http' ? 'auto' : protocol);
  if (tls !== null) return { transport_socket: mutual };
  // An original destination has no metadata: mutual TLS where all of its instances are known to speak it.
  if (type === 'ORIGINAL_DST') return speaksMutual(service) ? { transport_socket: mutual } : {};
  return { transport_socket_matches: byEndpoint(mutual) };
}

function speaksMutual({ endpoints }: MeshService): boolean {
  const mutual = endpoints.filter(({ identity, plainPorts }) => identity !== undefined && plainPorts === undefined);
  return endpoints.length > 0 && mutual.length === endpoints.length;
}

type Discovery = Pick<
  Cluster,
  | 'type'
  | 'cluster_type'
  | 'eds_cluster_config'
  | 'lb_policy'
  | 'load_assignment'
  | 'dns_lookup_family'
  | 'dns_refresh_rate'
>;

function discoveryOf(
  name: string,
  service: MeshService,
  port: ServicePort,
  subset: Subset,
  { loadBalancer }: PortPolicy,
  captured: boolean,
  { dnsRefreshMs }: MeshSettings,
): Discovery | null {
  // The caller has chosen the instance.
  if (captured && isHeadless(service)) return ORIGINAL_DST;
  if (service.resolution === 'dynamic') return isHttp(port) ? FORWARD : ORIGINAL_DST;
  if (service.resolution === 'passthrough' || loadBalancer === 'PASSTHROUGH') {
    // An explicit proxy is asked by name: there is no other destination that the caller could have had in mind.
    return isHttp(port) && !captured ? FORWARD : ORIGINAL_DST;
  }
  const lb_policy = loadBalancer ?? 'LEAST_REQUEST';
  if (service.resolution === 'endpoints') return { ...discovered(name), lb_policy };
  const own = service.endpoints.length === 0;
  if (own && service.host.startsWith('*')) return null;
  const load_assignment = own
    ? singleAssignment(name, service.host, port.number)
    : loadAssignment(name, service, port.number, subset.labels);
  const names = load_assignment.endpoints?.flatMap((locality) => locality.lb_endpoints ?? []).length ?? 0;
  return {
    // LOGICAL_DNS takes one name only.
    type: service.resolution === 'dns-round-robin' && names === 1 ? 'LOGICAL_DNS' : 'STRICT_DNS',
    lb_policy,
    load_assignment,
    dns_lookup_family: 'V4_PREFERRED',
    dns_refresh_rate: dnsRefreshMs,
  };
}

const ORIGINAL_DST = { type: 'ORIGINAL_DST', lb_policy: 'CLUSTER_PROVIDED' } as const;

function discovered(name: string) {
  return {
    type: 'EDS',
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: 'V3' }, service_name: name },
  } as const;
}

/**
 * Stands in for a cluster that a route names and nobody defined, so that a snapshot is whole: 503 UH, and its origin
 * says why.
 */
export function emptyCluster(name: string, reason: string): Cluster {
  return {
    name,
    alt_stat_name: statName(name),
    ...discovered(name),
    lb_policy: 'LEAST_REQUEST',
    connect_timeout: CONNECT_TIMEOUT_MS,
    metadata: originMetadata(reason, {}),
  };
}

/** To the app beside the proxy. */
export function inboundAppCluster(inbound: InboundPort, service: MeshService | undefined): Cluster {
  const name = inboundCluster(inbound.port);
  const istio = service === undefined ? {} : { services: [istioService(service)] };
  return {
    name,
    alt_stat_name: statName(name),
    type: 'STATIC',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: singleAssignment(name, inbound.app.address, inbound.app.port),
    connect_timeout: CONNECT_TIMEOUT_MS,
    circuit_breakers: { thresholds: [unlimited()] },
    typed_extension_protocol_options: { [HTTP_EXTENSION]: httpOptions(null, 'http') },
    common_lb_config: { healthy_panic_threshold: { value: 0 } },
    metadata: originMetadata(`inbound port ${inbound.port}`, istio),
  };
}

/** Any host, for calls of the app to outside the mesh. */
export function outsideCluster(): Cluster {
  return {
    name: PASSTHROUGH,
    alt_stat_name: PASSTHROUGH,
    ...FORWARD,
    ...KEEPALIVE,
    connect_timeout: CONNECT_TIMEOUT_MS,
    circuit_breakers: { thresholds: [unlimited()] },
    typed_extension_protocol_options: { [HTTP_EXTENSION]: httpOptions(null, 'http') },
    metadata: originMetadata('hosts outside the mesh', {}),
  };
}

/** Whatever the app's connections were for, for those that the mesh does not know. */
export function passthroughCluster(http2: boolean): Cluster {
  const { cluster_type: _named, ...outside } = outsideCluster();
  return { ...outside, ...ORIGINAL_DST, typed_extension_protocol_options: asCalled(http2) };
}

/** Nobody: connections are closed, requests answered with 503. */
export function blackHoleCluster(): Cluster {
  return {
    name: BLACK_HOLE,
    alt_stat_name: BLACK_HOLE,
    type: 'STATIC',
    connect_timeout: CONNECT_TIMEOUT_MS,
    // Empty on purpose: where it is left out, proxies take it for forgotten, and say so.
    load_assignment: { cluster_name: BLACK_HOLE },
  };
}

/** To the app's own port, from an address that says that it comes from the proxy. */
export function inboundPortCluster(
  { port, protocol, service }: AppPort,
  sources: readonly string[],
  http2: boolean,
): Cluster {
  const options = protocol === 'auto' ? asCalled(http2) : protocolOptions(null, http2 ? protocol : 'http');
  const istio = { services: [istioService(service)] };
  return toApp(inboundCluster(port), sources, options, `inbound port ${port}`, istio);
}

/** To whatever port of the app was called. */
export function inboundPassthroughCluster(sources: readonly string[], http2: boolean): Cluster {
  return toApp(INBOUND_PASSTHROUGH, sources, asCalled(http2), 'a port of the app that no service has', {});
}

function toApp(
  name: string,
  sources: readonly string[],
  typed_extension_protocol_options: ProtocolOptions,
  origin: string,
  istio: JsonObject,
): Cluster {
  return {
    name,
    alt_stat_name: statName(name),
    ...ORIGINAL_DST,
    ...fromProxy(sources),
    connect_timeout: CONNECT_TIMEOUT_MS,
    circuit_breakers: { thresholds: [unlimited()] },
    typed_extension_protocol_options,
    metadata: originMetadata(origin, istio),
  };
}

type ProtocolOptions = NonNullable<Cluster['typed_extension_protocol_options']>;

function protocolOptions(pool: ConnectionPool | null, protocol: PortProtocol): ProtocolOptions {
  return { [HTTP_EXTENSION]: httpOptions(pool, protocol) };
}

/** The protocol that the caller speaks, where nobody knows what the server does. */
function asCalled(http2: boolean): ProtocolOptions {
  if (!http2) return protocolOptions(null, 'http');
  const options = pack(HttpProtocolOptions, {
    common_http_protocol_options: { idle_timeout: UPSTREAM_IDLE_MS },
    use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
  });
  return { [HTTP_EXTENSION]: options };
}

function connectionFields(
  { connectionPool: pool, retryBudget, tls }: PortPolicy,
  protocol: PortProtocol,
  { connectTimeoutMs, keepAlive }: MeshSettings,
) {
  return {
    connect_timeout: pool?.connectTimeoutMs ?? connectTimeoutMs,
    circuit_breakers: { thresholds: [thresholds(pool, retryBudget)] },
    typed_extension_protocol_options: { [HTTP_EXTENSION]: httpOptions(pool, protocol, tls) },
    ...keepAliveFields(pool?.keepAlive ?? keepAlive),
  } satisfies Partial<Cluster>;
}

/** The kernel counts in seconds, and wants one at least. */
function keepAliveFields(keepAlive: KeepAlive | null): Pick<Cluster, 'upstream_connection_options'> {
  if (keepAlive === null) return KEEPALIVE;
  const { probes, timeMs, intervalMs } = keepAlive;
  const seconds = (ms: number): number => Math.max(1, Math.round(ms / 1000));
  return {
    upstream_connection_options: {
      tcp_keepalive: {
        ...(probes === null ? {} : { keepalive_probes: probes }),
        keepalive_time: timeMs === null ? KEEPALIVE_S : seconds(timeMs),
        ...(intervalMs === null ? {} : { keepalive_interval: seconds(intervalMs) }),
      },
    },
  };
}

function httpOptions(pool: ConnectionPool | null, protocol: PortProtocol, tls: ClientTls | null = null) {
  const upstream_http_protocol_options = tls === null ? {} : autoSni(tls);
  const maxRequests = pool?.maxRequestsPerConnection ?? null;
  return pack(HttpProtocolOptions, {
    common_http_protocol_options: {
      idle_timeout: pool?.httpIdleTimeoutMs ?? pool?.tcpIdleTimeoutMs ?? UPSTREAM_IDLE_MS,
      ...(maxRequests === null ? {} : { max_requests_per_connection: maxRequests }),
    },
    explicit_http_config:
      protocol === 'http2' || protocol === 'grpc' ? { http2_protocol_options: {} } : { http_protocol_options: {} },
    ...(Object.keys(upstream_http_protocol_options).length === 0 ? {} : { upstream_http_protocol_options }),
  });
}

function unlimited(): CircuitBreakers_Thresholds {
  return {
    max_connections: UNLIMITED,
    max_pending_requests: UNLIMITED,
    max_requests: UNLIMITED,
    max_retries: UNLIMITED,
  };
}

/** A budget overrides a number of retries in Envoy, so who sets the number gets no budget that he did not ask for. */
function thresholds(pool: ConnectionPool | null, budget: PortPolicy['retryBudget']): CircuitBreakers_Thresholds {
  const { percent, minRetryConcurrency } = budget ?? RETRY_BUDGET;
  const counted = budget === null && pool?.maxRetries != null;
  return {
    max_connections: pool?.maxConnections ?? UNLIMITED,
    max_pending_requests: pool?.maxPendingRequests ?? UNLIMITED,
    max_requests: pool?.maxRequests ?? UNLIMITED,
    max_retries: pool?.maxRetries ?? UNLIMITED,
    ...(counted
      ? {}
      : { retry_budget: { budget_percent: { value: percent }, min_retry_concurrency: minRetryConcurrency } }),
  };
}

/** A count that is given is enforced; 0 turns its detector off. */
function outlierDetection(outlier: Outlier): OutlierDetection {
  const out: OutlierDetection = {
    // Ejection by success rate is no part of the API.
    enforcing_success_rate: 0,
    interval: outlier.intervalMs,
    base_ejection_time: outlier.baseEjectionTimeMs,
    max_ejection_percent: outlier.maxEjectionPercent,
  };
  if (outlier.consecutive5xx !== null) {
    out.consecutive_5xx = outlier.consecutive5xx;
    out.enforcing_consecutive_5xx = outlier.consecutive5xx > 0 ? 100 : 0;
  }
  if (outlier.consecutiveGatewayErrors !== null) {
    out.consecutive_gateway_failure = outlier.consecutiveGatewayErrors;
    out.enforcing_consecutive_gateway_failure = outlier.consecutiveGatewayErrors > 0 ? 100 : 0;
  }
  if (!outlier.splitExternalLocalOriginErrors) return out;
  out.split_external_local_origin_errors = true;
  out.enforcing_local_origin_success_rate = 0;
  if ((outlier.consecutiveLocalOriginFailures ?? 0) > 0) {
    out.consecutive_local_origin_failure = outlier.consecutiveLocalOriginFailures ?? 0;
    out.enforcing_consecutive_local_origin_failure = 100;
  }
  return out;
}
