import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { proxyBootstrap } from '../../src/xds/bootstrap/proxy-bootstrap.ts';
import { hostName, indexes, type RouteTable, routePath, type Site } from '../rivals/peer.ts';

const EXTENSIONS = 'type.googleapis.com/envoy.extensions';

/** Writes the bootstrap into the site's folder and answers where. As JSON where it is large: Envoy reads YAML slowly. */
export function writeBootstrap(site: Site): string {
  const json = site.table !== undefined || site.control !== undefined;
  const file = join(site.folder, json ? 'bootstrap.json' : 'bootstrap.yaml');
  const text = bootstrap(site);
  writeFileSync(file, json ? JSON.stringify(parse(text, { maxAliasCount: 0 })) : text);
  return file;
}

/** One Envoy v3 bootstrap for Remora and Envoy alike: the filters of the demo's sidecars around one cluster. */
function bootstrap(site: Site): string {
  if (site.control !== undefined) return sidecarBootstrap(site, site.control);
  const { features, table } = site;
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
                  virtual_hosts:${table === undefined ? oneHost(features) : manyHosts(table)}
                http_filters:${features ? RBAC + RATE_LIMIT : ''}
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

/** A sidecar of the demo, which asks a control server; its outbound listener is an HTTP proxy on the site's port. */
function sidecarBootstrap(site: Site, control: number): string {
  return JSON.stringify(
    proxyBootstrap({
      control: `127.0.0.1:${control}`,
      type: 'sidecar',
      ip: '127.0.0.1',
      namespace: 'default',
      pod: 'productpage-bench',
      labels: { app: 'caller' },
      admin: { host: '127.0.0.1', port: site.adminPort },
      metadata: { REMORA: { httpProxy: `127.0.0.1:${site.port}` } },
    }),
  );
}

const RETRY = `
                      retry_policy:
                        retry_on: connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes
                        num_retries: 2
                        retriable_status_codes: [503]`;

function oneHost(features: boolean): string {
  return `
                    - name: all
                      domains: ["*"]${RETRY}
                      routes:${features ? HEADER_ROUTES : ''}
                        - match: { prefix: / }
                          route: { cluster: backend, timeout: 15s }`;
}

/** Each host as Istio writes it: by its name, with its port, and short. The last takes what is asked for the start. */
function manyHosts({ hosts, routes }: RouteTable): string {
  const host = (i: number): string => {
    const name = hostName(i);
    return `
                    - name: ${name}
                      domains: ["${name}", "${name}:9080", "service-${i}"]${RETRY}
                      routes:${indexes(routes).map(exactRoute).join('')}`;
  };
  return `${indexes(hosts).map(host).join('')}${oneHost(false)}`;
}

function exactRoute(i: number): string {
  return `
                        - match: { path: ${routePath(i)} }
                          route: { cluster: backend, timeout: 15s }`;
}

const HEADER_ROUTES = `
                        - match: { prefix: /, headers: [{ name: end-user, string_match: { exact: jason } }] }
                          route: { cluster: backend }
                        - match: { safe_regex: { regex: "/admin/[a-z]+" } }
                          direct_response: { status: 403 }`;

/** What Istio makes of a denial and an allowance: nobody calls /admin, and who calls from this network may read. */
const RBAC = `
                  - name: deny
                    typed_config:
                      "@type": ${EXTENSIONS}.filters.http.rbac.v3.RBAC
                      rules:
                        action: DENY
                        policies:
                          "ns[default]-policy[no-admin]-rule[0]":
                            permissions:
                              - and_rules: { rules: [{ or_rules: { rules: [{ url_path: { path: { prefix: /admin } } }] } }] }
                            principals:
                              - and_ids: { ids: [{ any: true }] }
                  - name: allow
                    typed_config:
                      "@type": ${EXTENSIONS}.filters.http.rbac.v3.RBAC
                      rules:
                        action: ALLOW
                        policies:
                          "ns[default]-policy[readers]-rule[0]":
                            permissions:
                              - and_rules:
                                  rules:
                                    - or_rules:
                                        rules:
                                          - header: { name: ":method", string_match: { exact: GET } }
                                          - header: { name: ":method", string_match: { exact: HEAD } }
                                    - or_rules: { rules: [{ destination_port_range: { start: 1, end: 65535 } }] }
                            principals:
                              - and_ids:
                                  ids: [{ or_ids: { ids: [{ direct_remote_ip: { address_prefix: 127.0.0.0, prefix_len: 8 } }] } }]`;

const RATE_LIMIT = `
                  - name: envoy.filters.http.local_ratelimit
                    typed_config:
                      "@type": ${EXTENSIONS}.filters.http.local_ratelimit.v3.LocalRateLimit
                      stat_prefix: inbound
                      token_bucket: { max_tokens: 1000000000, tokens_per_fill: 1000000000, fill_interval: 1s }
                      filter_enabled: { default_value: { numerator: 100, denominator: HUNDRED } }
                      filter_enforced: { default_value: { numerator: 100, denominator: HUNDRED } }`;
