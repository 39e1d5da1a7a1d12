import type { Any } from '../../../xds/proto/codec.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { GatewayServer } from '../../mesh/gateway.ts';
import type { RouteTableRule } from '../../mesh/route-rule.ts';
import { compareHosts, hostMatches } from '../names.ts';
import { LOCAL_RATE_LIMIT } from './filter-order.ts';
import { MESH_RESPONSE_HEADERS } from './header-ops.ts';
import { rateLimitConfig } from './http-filters.ts';
import type { LaptopFacts } from './laptop.ts';
import { gatewayRoutes, withPort } from './names.ts';
import { catchAllsLast, tableRoutes } from './route.ts';
import { type Scope, selects } from './scope.ts';
import { MAX_DIRECT_BODY } from './virtual-host.ts';

/** Servers that share an address and so a listener. */
export interface ServerGroup {
  /** Name of the route configuration. */
  readonly routes: string;
  /** As the Gateways have it. */
  readonly port: number;
  readonly bind: string;
  readonly servers: readonly GatewayServer[];
}

const SERVED: ReadonlySet<GatewayServer['protocol']> = new Set(['HTTP', 'HTTP2', 'GRPC']);

/** The servers that a gateway proxy runs, and a sentence for each that it cannot. */
export function serverGroups(
  scope: Scope,
  facts: LaptopFacts,
): { readonly groups: readonly ServerGroup[]; readonly skipped: readonly string[] } {
  const mine = scope.mesh.gateways.filter(({ selector }) => facts.allGateways || selects(selector, scope.labels));
  const skipped = mine
    .filter(({ protocol }) => !SERVED.has(protocol))
    .map(({ gateway, port, protocol }) => `Gateway ${gateway} port ${port}: ${protocol} servers are not served yet`);
  const groups = Map.groupBy(
    mine.filter(({ protocol }) => SERVED.has(protocol)),
    ({ bind, port }) => gatewayRoutes(port, bind),
  );
  return {
    groups: [...groups].map(([routes, servers]) => ({
      routes,
      port: servers[0]?.port ?? 0,
      bind: servers[0]?.bind ?? '',
      servers,
    })),
    skipped,
  };
}

interface Host {
  readonly routes: Route[];
  readonly gateways: Set<string>;
  redirect: boolean;
}

/** Routes of the servers on one address: hosts that a Gateway admits and routing rules bound to it have. */
export function gatewayRouteConfig(scope: Scope, group: ServerGroup): RouteConfiguration {
  const hosts = new Map<string, Host>();
  const hostAt = (name: string, server: GatewayServer): Host => {
    let host = hosts.get(name);
    if (host === undefined) {
      host = { routes: [], gateways: new Set(), redirect: false };
      hosts.set(name, host);
    }
    host.gateways.add(server.gateway);
    if (server.httpsRedirect) host.redirect = true;
    return host;
  };
  for (const server of group.servers) {
    const context = { scope, gateway: server.gateway, port: group.port };
    const tables = [...scope.tables(server.gateway).hosts].sort(([a], [b]) => compareHosts(a, b));
    const built = new Map<RouteTableRule, Route[]>();
    for (const [host, table] of tables) {
      for (const common of commonHosts(host, table, server)) {
        let routes = built.get(table);
        if (routes === undefined) {
          routes = tableRoutes(table, context);
          built.set(table, routes);
        }
        // Several servers may have the same host; its rules are there once for each Gateway.
        const at = hostAt(common, server);
        if (routes.length > 0 && !at.routes.includes(routes[0] as Route)) at.routes.push(...routes);
      }
    }
    // A redirect needs no rules.
    if (server.httpsRedirect) for (const { host } of server.hosts) hostAt(host, server);
  }
  return {
    name: group.routes,
    virtual_hosts: [...hosts]
      .sort(([a], [b]) => compareHosts(a, b))
      .map(([name, host]) => virtualHost(name, host, group, scope)),
    validate_clusters: false,
    // Clients come by whatever port leads here.
    ignore_port_in_host_matching: true,
    max_direct_response_body_size_bytes: MAX_DIRECT_BODY,
    response_headers_to_remove: MESH_RESPONSE_HEADERS,
    ...limitOf(
      scope,
      group.servers.map(({ gateway }) => gateway),
      true,
    ),
  };
}

/** The hosts that rules' host and the server's have in common: of a name and a wildcard over it, the name. */
function commonHosts(host: string, table: RouteTableRule, server: GatewayServer): readonly string[] {
  const common = server.hosts.flatMap((admitted) => {
    if (admitted.namespace !== '*' && admitted.namespace !== table.namespace) return [];
    if (hostMatches(admitted.host, host)) return [host];
    return hostMatches(host, admitted.host) ? [admitted.host] : [];
  });
  return [...new Set(common)];
}

function virtualHost(name: string, host: Host, group: ServerGroup, scope: Scope): VirtualHost {
  const shared = new Set(group.servers.map(({ gateway }) => gateway)).size > 1;
  return {
    name: withPort(name, group.port),
    domains: [name],
    routes: catchAllsLast(host.routes),
    ...(host.redirect ? { require_tls: 'ALL' } : {}),
    ...(shared ? limitOf(scope, [...host.gateways], false) : {}),
  };
}

/** One bucket for a Gateway that has the listener alone; where several share it, one for each host. */
function limitOf(
  scope: Scope,
  gateways: readonly string[],
  alone: boolean,
): { typed_per_filter_config?: Record<string, Any> } {
  if (alone && new Set(gateways).size > 1) return {};
  const limit = scope.mesh.rateLimits.find(
    ({ target }) => target.kind === 'gateway' && gateways.includes(target.gateway),
  );
  return limit === undefined ? {} : { typed_per_filter_config: { [LOCAL_RATE_LIMIT]: rateLimitConfig(limit) } };
}
