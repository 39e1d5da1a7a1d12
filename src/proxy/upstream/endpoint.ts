import { formatAddress } from '../../model/address.ts';
import type { Endpoint, HealthStatus, Locality } from '../../model/endpoint.ts';
import { HappyEyeballs } from './happy-eyeballs.ts';
import { LocalOutlierState, type OutlierState } from './outlier-state.ts';
import type { EndpointPool } from './pool/pool.ts';

/**
 * An endpoint at run time: lives as long as its address stays in the cluster, across assignments, so that
 * its pool, counts and ejection outlive config changes. Implements UpstreamInfo for the access log.
 */
export class UpstreamEndpoint {
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** null: it has one address. */
  eyeballs: HappyEyeballs | null;
  hostname: string;
  workload: string;
  /** `envoy.transport_socket_match` of its metadata; null: none. */
  socketMatch: Readonly<Record<string, string>> | null;
  weight: number;
  health: HealthStatus;
  priority: number;
  locality: Locality;
  activeRequests = 0;
  /** Connections to it; made at the first request. */
  pool: EndpointPool | null = null;
  /** Requests sent to it, and those that failed, for `/clusters`. */
  requests = 0;
  successes = 0;
  errors = 0;
  /** False once it left the assignment: it finishes what it has and is not picked again. */
  present = true;
  /** What outlier detection has seen of it. */
  outlier: OutlierState = new LocalOutlierState();

  constructor(config: Endpoint, priority: number, locality: Locality) {
    this.address = formatAddress(config.address);
    this.host = config.address.host;
    this.port = config.address.port;
    this.eyeballs = eyeballsOf(config, null);
    this.hostname = config.hostname;
    this.workload = config.workload;
    this.socketMatch = config.socketMatch ?? null;
    this.weight = config.weight;
    this.health = config.health;
    this.priority = priority;
    this.locality = locality;
  }

  /** May be picked outside panic: neither reported unhealthy by EDS nor ejected. */
  get isHealthy(): boolean {
    return (
      !this.outlier.ejected && (this.health === 'HEALTHY' || this.health === 'UNKNOWN' || this.health === 'DEGRADED')
    );
  }
}

/** How to reach an endpoint of several addresses; `before` where these are the same. */
export function eyeballsOf({ address, moreAddresses }: Endpoint, before: HappyEyeballs | null): HappyEyeballs | null {
  if (moreAddresses === undefined) return null;
  const addresses = [address, ...moreAddresses];
  if (before !== null && String(addresses.map(formatAddress)) === String(before.addresses.map(formatAddress))) {
    return before;
  }
  return new HappyEyeballs(addresses);
}
