import { pack } from '../../../xds/proto/codec.ts';
import type { AccessLog } from '../../../xds/proto/gen/envoy/config/accesslog/v3.ts';
import type { Filter, ListenerFilter } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import { HttpInspector } from '../../../xds/proto/gen/envoy/extensions/filters/listener/http_inspector/v3.ts';
import { OriginalDst } from '../../../xds/proto/gen/envoy/extensions/filters/listener/original_dst/v3.ts';
import { TlsInspector } from '../../../xds/proto/gen/envoy/extensions/filters/listener/tls_inspector/v3.ts';
import { HttpConnectionManager } from '../../../xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { TcpProxy } from '../../../xds/proto/gen/envoy/extensions/filters/network/tcp_proxy/v3.ts';
import { DEFAULT_LOGS } from './access-log.ts';
import { HTTP_FILTERS, ON_DEMAND_FILTER } from './http-filters.ts';

const COMMON: HttpConnectionManager = {
  // Nothing else is upgraded, but nothing else is refused by our proxies either (pains row 17).
  upgrade_configs: [{ upgrade_type: 'websocket' }],
  // Old clients and health checkers still speak it (pains row 18).
  http_protocol_options: { accept_http_10: true },
  // The server's name is the server's (pains row 20).
  server_header_transformation: 'PASS_THROUGH',
  // What rules match on is what the upstream sees.
  normalize_path: true,
};

export function httpFilter(
  manager: HttpConnectionManager,
  onDemand = false,
  logs: readonly AccessLog[] = DEFAULT_LOGS,
): Filter {
  const http_filters = [...(onDemand ? [ON_DEMAND_FILTER] : []), ...HTTP_FILTERS];
  const typed_config = pack(HttpConnectionManager, { http_filters, access_log: [...logs], ...COMMON, ...manager });
  return { name: 'envoy.filters.network.http_connection_manager', typed_config };
}

export function rds(route_config_name: string) {
  return { config_source: { ads: {}, resource_api_version: 'V3' }, route_config_name } as const;
}

/** Bytes to a cluster. However long both sides are silent (pains row 24), the kernel's keepalive finds who is gone. */
export function tcpFilter(cluster: string, logs: readonly AccessLog[] = DEFAULT_LOGS): Filter {
  const typed_config = pack(TcpProxy, { stat_prefix: cluster, cluster, idle_timeout: 0, access_log: [...logs] });
  return { name: 'envoy.filters.network.tcp_proxy', typed_config };
}

/** The same to one of several clusters, by their weights. */
export function weightedTcpFilter(
  stat_prefix: string,
  to: readonly { readonly cluster: string; readonly weight: number }[],
  logs: readonly AccessLog[],
): Filter {
  const [only] = to;
  if (to.length === 1 && only !== undefined) return tcpFilter(only.cluster, logs);
  const clusters = to.map(({ cluster: name, weight }) => ({ name, weight }));
  const typed_config = pack(TcpProxy, {
    stat_prefix,
    weighted_clusters: { clusters },
    idle_timeout: 0,
    access_log: [...logs],
  });
  return { name: 'envoy.filters.network.tcp_proxy', typed_config };
}

export const ORIGINAL_DST: ListenerFilter = {
  name: 'envoy.filters.listener.original_dst',
  typed_config: pack(OriginalDst, {}),
};
export const TLS_INSPECTOR: ListenerFilter = {
  name: 'envoy.filters.listener.tls_inspector',
  typed_config: pack(TlsInspector, {}),
};
export const HTTP_INSPECTOR: ListenerFilter = {
  name: 'envoy.filters.listener.http_inspector',
  typed_config: pack(HttpInspector, {}),
};

/** What http_inspector finds in clear text; HTTP/2 is bytes to a proxy that does not speak it. */
export function httpProtocols(http2: boolean): string[] {
  return http2 ? ['http/1.0', 'http/1.1', 'h2c'] : ['http/1.0', 'http/1.1'];
}

/** For our proxies: whoever speaks first says what it is, and nobody waits for a time limit (pains row 22). */
export const DETECTED = { filter_metadata: { remora: { protocol_detection: 'auto' } } } as const;

/**
 * Of a chain for what turns out not to be the HTTP that an object declares: it is named in a warning (pains row 23).
 * `holds_clients`: in clear text only a server that speaks first turns out so. `address_routes`: route configuration
 * whose virtual hosts say where it goes, by the address that was called.
 */
export function declaredHttp(declared_by: string, holds_clients: boolean, address_routes = '') {
  const routes = address_routes === '' ? {} : { address_routes };
  return { filter_metadata: { remora: { declared: 'http', declared_by, holds_clients, ...routes } } } as const;
}
