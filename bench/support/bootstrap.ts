import { join } from 'node:path';
import type { Site } from '../rivals/peer.ts';

const EXTENSIONS = 'type.googleapis.com/envoy.extensions';

/** One Envoy v3 bootstrap for Remora and Envoy alike: the filters of the demo's sidecars around one cluster. */
export function bootstrap(site: Site): string {
  const { features } = site;
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${site.adminPort} } } }
static_resources:
  listeners:
    - name: inbound
      address: { socket_address: { address: 127.0.0.1, port_value: ${site.port} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": ${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: inbound
                use_remote_address: true
                normalize_path: true
                access_log:
                  - name: envoy.access_loggers.file
                    typed_config:
                      "@type": ${EXTENSIONS}.access_loggers.file.v3.FileAccessLog
                      path: ${join(site.folder, 'access.log')}
                route_config:
                  name: local
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      retry_policy:
                        retry_on: connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes
                        num_retries: 2
                        retriable_status_codes: [503]
                      routes:${features ? HEADER_ROUTES : ''}
                        - match: { prefix: / }
                          route: { cluster: backend, timeout: 15s }
                http_filters:${features ? RATE_LIMIT : ''}
                  - name: envoy.filters.http.fault
                    typed_config:
                      "@type": ${EXTENSIONS}.filters.http.fault.v3.HTTPFault
                      delay: { fixed_delay: 1s, percentage: { numerator: 0, denominator: HUNDRED } }
                      abort: { http_status: 503, percentage: { numerator: 0, denominator: HUNDRED } }
                  - name: envoy.filters.http.router
                    typed_config: { "@type": ${EXTENSIONS}.filters.http.router.v3.Router }
  clusters:
    - name: backend
      type: STATIC
      connect_timeout: 5s
      lb_policy: LEAST_REQUEST
      load_assignment:
        cluster_name: backend
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${site.backend} } } }
`;
}

const HEADER_ROUTES = `
                        - match: { prefix: /, headers: [{ name: end-user, string_match: { exact: jason } }] }
                          route: { cluster: backend }
                        - match: { safe_regex: { regex: "/admin/[a-z]+" } }
                          direct_response: { status: 403 }`;

const RATE_LIMIT = `
                  - name: envoy.filters.http.local_ratelimit
                    typed_config:
                      "@type": ${EXTENSIONS}.filters.http.local_ratelimit.v3.LocalRateLimit
                      stat_prefix: inbound
                      token_bucket: { max_tokens: 1000000000, tokens_per_fill: 1000000000, fill_interval: 1s }
                      filter_enabled: { default_value: { numerator: 100, denominator: HUNDRED } }
                      filter_enforced: { default_value: { numerator: 100, denominator: HUNDRED } }`;
