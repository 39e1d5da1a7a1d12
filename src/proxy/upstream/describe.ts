import type { CircuitBreakerThresholds } from '../../model/cluster.ts';
import type { HealthStatus } from '../../model/endpoint.ts';
import type { UpstreamEndpoint } from './endpoint.ts';

/** A cluster as the admin interface shows it. */
export interface ClusterDescription {
  readonly name: string;
  readonly statName: string;
  readonly origin: string;
  readonly discovery: string;
  readonly lbPolicy: string;
  readonly warm: boolean;
  readonly thresholds: { readonly default: CircuitBreakerThresholds; readonly high: CircuitBreakerThresholds };
  readonly membership: { total: number; healthy: number; degraded: number; ejected: number };
  readonly endpoints: readonly EndpointDescription[];
}

export interface EndpointDescription {
  readonly address: string;
  readonly hostname: string;
  readonly workload: string;
  readonly health: HealthStatus;
  readonly ejected: boolean;
  /** Ms until an ejection ends; 0 when not ejected. */
  readonly ejectedForMs: number;
  readonly ejections: number;
  readonly weight: number;
  readonly priority: number;
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly connections: number;
  readonly activeRequests: number;
  readonly requests: number;
  readonly successes: number;
  readonly errors: number;
}

export function describeEndpoint(endpoint: UpstreamEndpoint, now: number): EndpointDescription {
  const { outlier, locality } = endpoint;
  return {
    address: endpoint.address,
    hostname: endpoint.hostname,
    workload: endpoint.workload,
    health: endpoint.health,
    ejected: outlier.ejected,
    ejectedForMs: outlier.ejected ? Math.max(0, Math.round(outlier.ejectedUntil - now)) : 0,
    ejections: outlier.ejections,
    weight: endpoint.weight,
    priority: endpoint.priority,
    region: locality.region,
    zone: locality.zone,
    subZone: locality.subZone,
    connections: endpoint.pool?.connections ?? 0,
    activeRequests: endpoint.activeRequests,
    requests: endpoint.requests,
    successes: endpoint.successes,
    errors: endpoint.errors,
  };
}
