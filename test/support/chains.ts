import type { Json } from './proxy.ts';

const LISTENER = 'type.googleapis.com/envoy.extensions.filters.listener.';
const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const TCP = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
const STDOUT = 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';

export const tlsInspector: Json = {
  name: 'tls',
  typed_config: { '@type': `${LISTENER}tls_inspector.v3.TlsInspector` },
};
export const httpInspector: Json = {
  name: 'http',
  typed_config: { '@type': `${LISTENER}http_inspector.v3.HttpInspector` },
};
export const originalDst: Json = {
  name: 'dst',
  typed_config: { '@type': `${LISTENER}original_dst.v3.OriginalDst` },
};
export function proxyProtocol(fields: Json = {}): Json {
  return { name: 'proxy', typed_config: { '@type': `${LISTENER}proxy_protocol.v3.ProxyProtocol`, ...fields } };
}

/** A chain that forwards bytes. */
export function tcpChain(cluster: string, match: Json = {}, fields: Json = {}): Json {
  return {
    filter_chain_match: match,
    filters: [{ name: 'tcp', typed_config: { '@type': TCP, stat_prefix: 'tcp', cluster, ...fields } }],
  };
}

/** A chain that routes every request to a cluster. */
export function httpChain(cluster: string, match: Json = {}, fields: Json = {}, logFormat = ''): Json {
  const log = {
    name: 'log',
    typed_config: { '@type': STDOUT, log_format: { text_format_source: { inline_string: `${logFormat}\n` } } },
  };
  const config = {
    '@type': HCM,
    stat_prefix: 'http',
    access_log: logFormat === '' ? [] : [log],
    route_config: {
      name: 'routes',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
    },
    http_filters: [{ name: 'router', typed_config: { '@type': ROUTER } }],
    ...fields,
  };
  return { filter_chain_match: match, filters: [{ name: 'http', typed_config: config }] };
}

/** What http_inspector finds. */
export const HTTP: Json = { application_protocols: ['http/1.0', 'http/1.1', 'h2c'] };
