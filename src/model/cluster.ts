import type { SocketAddress } from './address.ts';
import type { LoadAssignment } from './endpoint.ts';
import type { AutoSni, TransportSocketMatch, UpstreamTlsConfig } from './tls.ts';

/** envoy.config.cluster.v3.Cluster, resolved. */
export interface Cluster {
  readonly name: string;
  /** For stats; the cluster's name unless `alt_stat_name` says otherwise. */
  readonly statName: string;
  readonly discovery: ClusterDiscovery;
  readonly connectTimeoutMs: number;
  readonly lbPolicy: LbPolicy;
  readonly perConnectionBufferLimitBytes: number;
  readonly circuitBreakers: { readonly default: CircuitBreakerThresholds; readonly high: CircuitBreakerThresholds };
  readonly outlierDetection: OutlierDetection | null;
  /** 0: no limit. */
  readonly maxRequestsPerConnection: number;
  /** Upstream connections idle for so long are closed; 0 never. */
  readonly idleTimeoutMs: number;
  /** 0 never. */
  readonly maxConnectionDurationMs: number;
  readonly protocol: 'HTTP1' | 'HTTP2' | 'DOWNSTREAM';
  /** Trailers of requests are sent, and those of responses are read; absent, they are dropped. */
  readonly enableTrailers?: true;
  /** Below this share of healthy hosts (percent) all hosts are used; 0 turns panic off. */
  readonly healthyPanicThreshold: number;
  readonly tcpKeepalive: { readonly timeMs: number } | null;
  /** Source address of upstream connections; null: the kernel's choice. */
  readonly bindAddresses: readonly SocketAddress[];
  /** Where the cluster came from (`Service default/reviews`), from its filter metadata; '' unknown. */
  readonly origin: string;
  /** Istio's labels of the destination, from `istio` filter metadata (`services: [{host, name, namespace}]`). */
  readonly service: { readonly host: string; readonly name: string; readonly namespace: string } | null;
  /** Absent: plain TCP. */
  readonly tls?: UpstreamTlsConfig;
  /** The first that an endpoint's metadata fits decides in place of `tls`; absent: none. */
  readonly socketMatches?: readonly TransportSocketMatch[];
  readonly autoSni?: AutoSni;
}

export type ClusterDiscovery =
  | { readonly kind: 'STATIC'; readonly assignment: LoadAssignment }
  | { readonly kind: 'STRICT_DNS' | 'LOGICAL_DNS'; readonly assignment: LoadAssignment; readonly dns: DnsSettings }
  | { readonly kind: 'EDS'; readonly serviceName: string }
  /** `useHttpHeader`: the lower-case header that names the address instead; '' none. */
  | { readonly kind: 'ORIGINAL_DST'; readonly useHttpHeader: string }
  /** The host of each request is its endpoint (envoy.clusters.dynamic_forward_proxy). */
  | { readonly kind: 'DYNAMIC_FORWARD_PROXY'; readonly maxHosts: number };

export interface DnsSettings {
  readonly refreshMs: number;
  /** Base and cap of the back-off after a failed look-up. */
  readonly failureBaseMs: number;
  readonly failureMaxMs: number;
  readonly jitterMs: number;
  readonly lookupFamily: 'AUTO' | 'V4_ONLY' | 'V6_ONLY' | 'V4_PREFERRED' | 'ALL';
}

export interface LbPolicy {
  /** As registered in `proxy/upstream/lb/standard.ts`: `round_robin`, `least_request`, `random`, … */
  readonly kind: string;
  /** The policy's own decoded config. */
  readonly config: unknown;
}

export interface CircuitBreakerThresholds {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  /** Ignored when `retryBudget` is set. */
  readonly maxRetries: number;
  readonly retryBudget: { readonly budgetPercent: number; readonly minRetryConcurrency: number } | null;
}

/** envoy.config.cluster.v3.OutlierDetection: the consecutive-error part. Enforcing values are percentages. */
export interface OutlierDetection {
  readonly consecutive5xx: number;
  readonly enforcingConsecutive5xx: number;
  readonly consecutiveGatewayFailure: number;
  readonly enforcingConsecutiveGatewayFailure: number;
  readonly splitExternalLocalOriginErrors: boolean;
  readonly consecutiveLocalOriginFailure: number;
  readonly enforcingConsecutiveLocalOriginFailure: number;
  readonly intervalMs: number;
  readonly baseEjectionTimeMs: number;
  readonly maxEjectionTimeMs: number;
  readonly maxEjectionTimeJitterMs: number;
  readonly maxEjectionPercent: number;
}
