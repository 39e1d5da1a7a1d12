import type { EndpointDescription } from '../upstream/describe.ts';
import type { ClusterView } from './view.ts';

/**
 * Envoy's `/clusters`. Not counted per endpoint here, and so absent: cx_connect_fail, cx_total, rq_pending_active,
 * rq_timeout. Success rates are always -1 (no such detector).
 */
export function clustersText(clusters: readonly ClusterView[]): string {
  const lines: string[] = [];
  for (const { description, addedViaApi, edsServiceName, outlierDetection } of clusters) {
    const { name } = description;
    lines.push(`${name}::observability_name::${description.statName}`);
    if (outlierDetection) {
      for (const origin of ['', 'local_origin_']) {
        lines.push(
          `${name}::outlier::${origin}success_rate_average::-1`,
          `${name}::outlier::${origin}success_rate_ejection_threshold::-1`,
        );
      }
    }
    for (const priority of ['default', 'high'] as const) {
      const limits = description.thresholds[priority];
      lines.push(
        `${name}::${priority}_priority::max_connections::${limits.maxConnections}`,
        `${name}::${priority}_priority::max_pending_requests::${limits.maxPendingRequests}`,
        `${name}::${priority}_priority::max_requests::${limits.maxRequests}`,
        `${name}::${priority}_priority::max_retries::${limits.maxRetries}`,
      );
    }
    lines.push(`${name}::added_via_api::${addedViaApi}`);
    if (edsServiceName !== '') lines.push(`${name}::eds_service_name::${edsServiceName}`);
    for (const endpoint of description.endpoints) {
      for (const [key, value] of facts(endpoint)) lines.push(`${name}::${endpoint.address}::${key}::${value}`);
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function facts(endpoint: EndpointDescription): (readonly [string, string | number | boolean])[] {
  return [
    ['cx_active', endpoint.connections],
    ['rq_active', endpoint.activeRequests],
    ['rq_error', endpoint.errors],
    ['rq_success', endpoint.successes],
    ['rq_total', endpoint.requests],
    ['hostname', endpoint.hostname],
    ['health_flags', healthFlags(endpoint)],
    ['weight', endpoint.weight],
    ['region', endpoint.region],
    ['zone', endpoint.zone],
    ['sub_zone', endpoint.subZone],
    ['canary', false],
    ['priority', endpoint.priority],
    ['success_rate', -1],
    ['local_origin_success_rate', -1],
  ];
}

/** Envoy's names of why a host is not healthy. */
export function healthFlags({ health, ejected }: EndpointDescription): string {
  let flags = '';
  if (ejected) flags += '/failed_outlier_check';
  if (health === 'UNHEALTHY' || health === 'TIMEOUT') flags += '/failed_eds_health';
  if (health === 'DEGRADED') flags += '/degraded_eds_health';
  if (health === 'DRAINING') flags += '/eds_status_draining';
  return flags === '' ? 'healthy' : flags;
}

/** envoy.admin.v3.Clusters, in proto3 JSON: what has its default value is left out. */
export function clustersJson(clusters: readonly ClusterView[]): unknown {
  return {
    cluster_statuses: clusters.map(({ description, addedViaApi, edsServiceName }) => ({
      name: description.name,
      ...(addedViaApi ? { added_via_api: true } : {}),
      host_statuses: description.endpoints.map(hostStatus),
      circuit_breakers: {
        thresholds: [
          thresholds(description.thresholds.default),
          { priority: 'HIGH', ...thresholds(description.thresholds.high) },
        ],
      },
      observability_name: description.statName,
      ...(edsServiceName === '' ? {} : { eds_service_name: edsServiceName }),
    })),
  };
}

function thresholds(limits: ClusterView['description']['thresholds']['default']): object {
  return {
    max_connections: limits.maxConnections,
    max_pending_requests: limits.maxPendingRequests,
    max_requests: limits.maxRequests,
    max_retries: limits.maxRetries,
  };
}

function hostStatus(endpoint: EndpointDescription): object {
  const { hostname, priority, region, zone, subZone } = endpoint;
  return {
    address: socketAddress(endpoint.address),
    stats: [
      counter('rq_error', endpoint.errors),
      counter('rq_success', endpoint.successes),
      counter('rq_total', endpoint.requests),
      { type: 'GAUGE', ...counter('cx_active', endpoint.connections) },
      { type: 'GAUGE', ...counter('rq_active', endpoint.activeRequests) },
    ],
    health_status: {
      ...(endpoint.ejected ? { failed_outlier_check: true } : {}),
      eds_health_status: edsHealth(endpoint),
    },
    weight: endpoint.weight,
    ...(hostname === '' ? {} : { hostname }),
    ...(priority === 0 ? {} : { priority }),
    locality: {
      ...(region === '' ? {} : { region }),
      ...(zone === '' ? {} : { zone }),
      ...(subZone === '' ? {} : { sub_zone: subZone }),
    },
  };
}

/** 64-bit numbers are strings in proto3 JSON, and 0 is not said. */
function counter(name: string, value: number): object {
  return value === 0 ? { name } : { value: String(value), name };
}

/** What Envoy makes of the health that discovery told. */
function edsHealth({ health }: EndpointDescription): string {
  switch (health) {
    case 'UNHEALTHY':
    case 'TIMEOUT':
      return 'UNHEALTHY';
    case 'DRAINING':
    case 'DEGRADED':
      return health;
    default:
      return 'HEALTHY';
  }
}

/** envoy.config.core.v3.Address of `host:port` or `[v6]:port`. */
export function socketAddress(text: string): object {
  const colon = text.lastIndexOf(':');
  const address = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { socket_address: { address, port_value: Number(text.slice(colon + 1)) } };
}
