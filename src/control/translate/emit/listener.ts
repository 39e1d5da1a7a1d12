import type { AccessLog } from '../../../xds/proto/gen/envoy/config/accesslog/v3.ts';
import type { Listener } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { RouteConfiguration } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { HttpConnectionManager } from '../../../xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import type { MtlsMode } from '../../mesh/authentication.ts';
import type { MeshService } from '../../mesh/service.ts';
import type { RateLimitPolicy } from '../../mesh/traffic-policy.ts';
import { DEFAULT_LOGS } from './access-log.ts';
import { socket } from './endpoint.ts';
import { LOCAL_RATE_LIMIT } from './filter-order.ts';
import type { ServerGroup } from './gateway.ts';
import { rateLimitConfig } from './http-filters.ts';
import type { InboundPort, LaptopFacts, SocketAt } from './laptop.ts';
import { originText } from './metadata.ts';
import { chainKinds, FORWARDED_CERTIFICATE, mutualChain } from './mtls.ts';
import { HTTP_PROXY, inboundCluster } from './names.ts';
import { httpFilter, rds, TLS_INSPECTOR } from './network-filters.ts';
import { inboundRoute } from './route.ts';

/** Slow heads tie up a gateway's connections; nobody honest needs longer. */
const EDGE_HEADERS_TIMEOUT_MS = 10_000;

/** The explicit proxy of a sidecar's app. */
export function httpProxyListener(at: SocketAt, onDemand = false, logs: readonly AccessLog[] = DEFAULT_LOGS): Listener {
  const manager = { stat_prefix: `outbound_${at.address}_${at.port}`, rds: rds(HTTP_PROXY) };
  return listener(HTTP_PROXY, at, 'OUTBOUND', manager, logs, onDemand);
}

/** What other proxies call; hands on to the app. */
export function inboundListener(
  inbound: InboundPort,
  mode: MtlsMode,
  logs: readonly AccessLog[] = DEFAULT_LOGS,
): Listener {
  const manager: HttpConnectionManager = {
    stat_prefix: `inbound_0.0.0.0_${inbound.port}`,
    rds: rds(inboundCluster(inbound.port)),
  };
  const plain = listener(`inbound|${inbound.port}`, inbound.bind, 'INBOUND', manager, logs);
  if (mode === 'DISABLE') return plain;
  return {
    ...plain,
    listener_filters: [TLS_INSPECTOR],
    filter_chains: chainKinds(mode, 'http', []).map(({ match, mutual }) => ({
      filter_chain_match: match,
      filters: [httpFilter(mutual ? { ...manager, ...FORWARDED_CERTIFICATE } : manager, false, logs)],
      ...(mutual ? mutualChain('http', false) : {}),
    })),
  };
}

export function gatewayListener(group: ServerGroup, at: SocketAt, logs: readonly AccessLog[] = DEFAULT_LOGS): Listener {
  return listener(`${at.address}_${at.port}`, at, 'OUTBOUND', gatewayManager(at, group.routes), logs);
}

export function gatewayManager(at: SocketAt, routes: string): HttpConnectionManager {
  return {
    stat_prefix: `outbound_${at.address}_${at.port}`,
    rds: rds(routes),
    // What strangers say about where they come from is not believed.
    use_remote_address: true,
    // Nor what they say about whose certificate they have.
    forward_client_cert_details: 'SANITIZE_SET',
    set_current_client_cert_details: FORWARDED_CERTIFICATE.set_current_client_cert_details,
    request_headers_timeout: EDGE_HEADERS_TIMEOUT_MS,
  };
}

/** Where a gateway's server listens on this machine. */
export function gatewayAddress(group: ServerGroup, facts: LaptopFacts): SocketAt {
  const address = group.bind || facts.bind || '0.0.0.0';
  return { address, port: facts.portMap.get(group.port) ?? group.port };
}

/**
 * The routes of an inbound port. Istio has them in the listener; there an edit of a rate limit would replace the
 * listener, and in Envoy each connection would keep the old limit until it is closed.
 */
export function inboundRoutes(
  port: number,
  service: MeshService | undefined,
  limit: RateLimitPolicy | undefined,
): RouteConfiguration {
  const name = inboundCluster(port);
  const origin = service === undefined ? `inbound port ${port}` : originText(service.written, 'inbound');
  const limits = limit === undefined ? {} : { typed_per_filter_config: { [LOCAL_RATE_LIMIT]: rateLimitConfig(limit) } };
  return {
    name,
    virtual_hosts: [{ name: `inbound|http|${port}`, domains: ['*'], routes: [inboundRoute(name, origin)], ...limits }],
    validate_clusters: false,
  };
}

function listener(
  name: string,
  at: SocketAt,
  traffic_direction: NonNullable<Listener['traffic_direction']>,
  manager: HttpConnectionManager,
  logs: readonly AccessLog[],
  onDemand = false,
): Listener {
  return {
    name,
    address: socket(at.address, at.port),
    filter_chains: [{ filters: [httpFilter(manager, onDemand, logs)] }],
    traffic_direction,
  };
}
