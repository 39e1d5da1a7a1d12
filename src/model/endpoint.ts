import type { SocketAddress } from './address.ts';

/** envoy.config.endpoint.v3.ClusterLoadAssignment */
export interface LoadAssignment {
  readonly clusterName: string;
  readonly localities: readonly LocalityEndpoints[];
  /** Percent; Envoy's default is 140. */
  readonly overprovisioningFactor: number;
  readonly dropOverloads: readonly { readonly category: string; readonly partsPerMillion: number }[];
}

export interface LocalityEndpoints {
  readonly locality: Locality;
  /** 0 when none was given. */
  readonly weight: number;
  readonly priority: number;
  readonly endpoints: readonly Endpoint[];
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

export type HealthStatus = 'UNKNOWN' | 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'TIMEOUT' | 'DEGRADED';

export interface Endpoint {
  readonly address: SocketAddress;
  /** The same instance's others, of the same port, in the order to be tried after `address`; absent: none. */
  readonly moreAddresses?: readonly SocketAddress[];
  /** For `auto_host_rewrite` and health checks; '' when none. */
  readonly hostname: string;
  readonly weight: number;
  readonly health: HealthStatus;
  /** The workload behind the endpoint as Istio's metadata names it (`istio.workload`), '' unknown. */
  readonly workload: string;
  /** `envoy.transport_socket_match` of its metadata, values as JSON; absent: none. */
  readonly socketMatch?: Readonly<Record<string, string>>;
}
