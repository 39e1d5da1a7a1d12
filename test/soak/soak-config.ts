/** The soak's config: round after round something else in it changes. */

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
const STDOUT = 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';
const FORMAT =
  '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT%\n';

export interface Ports {
  /** Of servers that stay up; a round uses some of them. */
  readonly stable: readonly number[];
  /** Of one that comes and goes. */
  readonly flaky: number;
  /** Where nobody listens. */
  readonly closed: number;
}

function cluster(name: string, ports: readonly number[], fields: object = {}): object {
  const endpoint = (port: number) => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  });
  return {
    name,
    type: 'STATIC',
    http_protocol_options: { enable_trailers: true },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: ports.map(endpoint) }] },
    ...fields,
  };
}

/** What route `to` of a path prefix does, besides naming its cluster. */
function route(prefix: string, name: string, action: object = {}, fields: object = {}): object {
  return { match: { prefix }, route: { cluster: name, timeout: '30s', ...action }, ...fields };
}

export function soakConfig(round: number, ports: Ports): string {
  const { stable } = ports;
  const endpoints = stable.filter((_, i) => i !== round % stable.length);
  const added = { response_headers_to_add: [{ header: { key: 'x-round', value: String(round) } }] };
  const limits = {
    thresholds: [{ max_connections: 1000, max_pending_requests: 1000, max_requests: 2000 + (round % 7) }],
  };
  const routes = [
    route('/flaky', 'flaky', {
      retry_policy: { retry_on: 'connect-failure,reset', num_retries: 2, retry_back_off: { base_interval: '0.005s' } },
    }),
    route('/hang', 'stable', { timeout: '0.25s' }),
    route('/refused', 'refused'),
    route('/empty', 'empty'),
    { match: { prefix: '/direct' }, direct_response: { status: 418, body: { inline_string: 'no' } } },
    { match: { prefix: '/redirect' }, redirect: { path_redirect: '/direct' } },
    ...(round % 3 === 0 ? [route('/never', 'stable', {}, { name: `round-${round}` })] : []),
    route('/bytes', 'stable', {}, added),
  ];
  return JSON.stringify({
    static_resources: {
      listeners: [
        {
          name: 'main',
          address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'http',
                  typed_config: {
                    '@type': HCM,
                    stat_prefix: 'main',
                    // Now and then another connection manager: connections of the one before drain.
                    max_request_headers_kb: 60 + (Math.floor(round / 20) % 2),
                    upgrade_configs: [{ upgrade_type: 'websocket' }],
                    http_protocol_options: { enable_trailers: true },
                    access_log: [
                      {
                        name: 'log',
                        typed_config: {
                          '@type': STDOUT,
                          log_format: { text_format_source: { inline_string: FORMAT } },
                        },
                      },
                    ],
                    route_config: { name: 'routes', virtual_hosts: [{ name: 'all', domains: ['*'], routes }] },
                    http_filters: [{ name: 'router', typed_config: { '@type': ROUTER } }],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        cluster('stable', endpoints, {
          circuit_breakers: limits,
          lb_policy: ['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM'][Math.floor(round / 5) % 3],
        }),
        cluster('flaky', [ports.flaky], { connect_timeout: '1s' }),
        cluster('refused', [ports.closed]),
        cluster('empty', []),
        ...(round % 4 === 0 ? [cluster(`extra-${round % 40}`, endpoints)] : []),
      ],
    },
  });
}
