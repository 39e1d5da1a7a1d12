import type { Written } from './mesh.ts';
import type { KeepAlive } from './settings.ts';

/** How calls to a host are made: a DestinationRule. */
export interface TrafficPolicyRule {
  readonly host: string;
  readonly namespace: string;
  readonly exportTo: readonly string[];
  /** Only for calls from workloads with these labels; empty: all. */
  readonly workloadSelector: Readonly<Record<string, string>>;
  readonly policy: TrafficPolicy;
  readonly subsets: readonly Subset[];
  readonly written: Written;
}

export interface Subset {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Merged over the host's already: a section given here replaces the host's, as in Istio. */
  readonly policy: TrafficPolicy;
}

export interface TrafficPolicy {
  readonly base: PortPolicy;
  /** By port number; sections not given inherit nothing from `base`, as in Istio. */
  readonly ports: ReadonlyMap<number, PortPolicy>;
}

export interface PortPolicy {
  readonly loadBalancer: 'LEAST_REQUEST' | 'ROUND_ROBIN' | 'RANDOM' | 'PASSTHROUGH' | null;
  readonly connectionPool: ConnectionPool | null;
  readonly outlierDetection: Outlier | null;
  /** null: as the endpoint is known to speak, mutual TLS or plain text. */
  readonly tls: ClientTls | null;
  readonly retryBudget: { readonly percent: number; readonly minRetryConcurrency: number } | null;
}

/** TLS towards a service. Files are the proxy's own; '' none. */
export interface ClientTls {
  /** ISTIO_MUTUAL: with the identities of the mesh. */
  readonly mode: 'DISABLE' | 'SIMPLE' | 'MUTUAL' | 'ISTIO_MUTUAL';
  readonly clientCertificate: string;
  readonly privateKey: string;
  /** '' the system's roots. */
  readonly caCertificates: string;
  readonly caCrl: string;
  readonly sni: string;
  readonly subjectAltNames: readonly string[];
  readonly insecureSkipVerify: boolean;
}

/** null: not given. */
export interface ConnectionPool {
  readonly maxConnections: number | null;
  readonly connectTimeoutMs: number | null;
  readonly tcpIdleTimeoutMs: number | null;
  readonly keepAlive: KeepAlive | null;
  readonly maxPendingRequests: number | null;
  readonly maxRequests: number | null;
  readonly maxRequestsPerConnection: number | null;
  readonly maxRetries: number | null;
  readonly httpIdleTimeoutMs: number | null;
}

export interface Outlier {
  readonly consecutive5xx: number | null;
  readonly consecutiveGatewayErrors: number | null;
  readonly consecutiveLocalOriginFailures: number | null;
  readonly splitExternalLocalOriginErrors: boolean;
  readonly intervalMs: number;
  readonly baseEjectionTimeMs: number;
  readonly maxEjectionPercent: number;
  readonly minHealthPercent: number;
}

/** `remora.dev/v1alpha1` ResiliencePolicy: a local rate limit on a Service (all its inbound calls), a route or a gateway. */
export interface RateLimitPolicy {
  readonly target:
    | { readonly kind: 'service'; readonly host: string }
    | { readonly kind: 'gateway'; readonly gateway: string }
    | { readonly kind: 'route'; readonly virtualService: string; readonly routeName: string };
  readonly requests: number;
  readonly perMs: number;
  /** Bucket size. */
  readonly burst: number;
  readonly status: number;
  readonly responseHeaders: boolean;
  readonly written: Written;
}
