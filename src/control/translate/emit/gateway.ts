import type { Any } from '../../../xds/proto/codec.ts';
import type { Route, RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { GatewayServer } from '../../mesh/gateway.ts';
import type { RouteTableRule } from '../../mesh/route-rule.ts';
import { compareHosts, hostMatches } from '../names.ts';
import { LOCAL_RATE_LIMIT } from './filter-order.ts';
import { type Passage, passages } from './gateway-passage.ts';
import type { TlsServer } from './gateway-tls.ts';
import { MESH_RESPONSE_HEADERS } from './header-ops.ts';
import { rateLimitConfig } from './http-filters.ts';
import type { LaptopFacts } from './laptop.ts';
import { gatewayRoutes, tlsRoutes, withPort } from './names.ts';
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

/** Servers that take TLS on one address. */
export interface TlsGroup {
  readonly port: number;
  readonly bind: string;
  readonly servers: readonly TlsServer[];
  /** What is passed on unread. */
  readonly passed: readonly Passage[];
}

const SERVED: ReadonlySet<GatewayServer['protocol']> = new Set(['HTTP', 'HTTP2', 'GRPC']);

/** The servers that a gateway proxy runs, and a sentence for each that it cannot. */
export function serverGroups(
  scope: Scope,
  facts: LaptopFacts,
): { readonly groups: readonly ServerGroup[]; readonly skipped: readonly string[] } {
  const mine = scope.mesh.gateways.filter(({ selector }) => facts.allGateways || selects(selector, scope.labels));
  const skipped = mine
    .filter(({ protocol, tls, passthrough }) => !SERVED.has(protocol) && tls === null && !passthrough)
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

/**
 * The servers that end TLS, by address. Secrets are those of the proxy's own namespace, as Istio's, once it has proved that it is
 * there; a server whose Secret is missing is left out, so that the others of its port are served.
 */
export function tlsGroups(
  scope: Scope,
  facts: LaptopFacts,
  proved: boolean,
): { readonly groups: readonly TlsGroup[]; readonly skipped: readonly string[] } {
  const skipped: string[] = [];
  const named = new Map<string, number>();
  const groups = new Map<
    string,
    { port: number; bind: string; servers: TlsServer[]; passed: Passage[]; taken: Set<string> }
  >();
  for (const server of scope.mesh.gateways) {
    const { tls, gateway, port, bind } = server;
    if ((tls === null && !server.passthrough) || !(facts.allGateways || selects(server.selector, scope.labels)))
      continue;
    const skip = (why: string): void => void skipped.push(`Gateway ${gateway} port ${port}: ${why}`);
    const groupOf = () => {
      const key = `${bind} ${port}`;
      const group = groups.get(key) ?? { port, bind, servers: [], passed: [], taken: new Set<string>() };
      groups.set(key, group);
      return group;
    };
    if (tls === null) {
      const { taken, passed } = groupOf();
      const found = passages(scope, server, (host) => {
        const name = host === '*' ? '' : host;
        const free = !taken.has(name);
        taken.add(name);
        return free;
      });
      if (found.length === 0) skip('no TLS route of a VirtualService is for its hosts: nothing is passed on');
      passed.push(...found);
      continue;
    }
    if (tls.mode === 'ISTIO_MUTUAL' && scope.trustDomain === '') {
      skip('the proxy has no certificate of the mesh');
      continue;
    }
    const { namespace } = scope;
    const secretAt = (name: string) => scope.mesh.secrets.get(`${namespace}/${name}`) ?? null;
    const certificate = tls.credential === '' ? null : secretAt(tls.credential);
    const own = tls.mode === 'SIMPLE' || tls.credential === '' ? null : secretAt(`${tls.credential}-cacert`);
    const roots = own?.roots ? own : certificate;
    if (tls.credential !== '') {
      if (!proved) skip('the proxy has not proved who it is, and gets no keys');
      else if (certificate?.certificate == null)
        skip(
          certificate === null
            ? `there is no Secret ${namespace}/${tls.credential}: it belongs beside the gateway’s pods`
            : `Secret ${namespace}/${tls.credential} has no tls.crt and tls.key`,
        );
      else if (tls.mode !== 'SIMPLE' && roots?.roots == null)
        skip(`neither Secret ${tls.credential}-cacert nor ${tls.credential} has ca.crt: clients cannot be checked`);
      else add();
    } else add();

    function add(): void {
      const group = groupOf();
      const hosts = server.hosts.map(({ host }) => host);
      // Envoy refuses two chains of one name.
      const names = hosts.includes('*') ? [''] : hosts;
      const free = [...new Set(names)].filter((name) => !group.taken.has(name));
      if (free.length === 0) {
        skip('another server has its hosts');
        return;
      }
      for (const name of free) group.taken.add(name);
      group.servers.push({
        server,
        tls: tls!,
        routes: unique(tlsRoutes(port, server.portName, gateway), named),
        names: free.filter((name) => name !== ''),
        certificate,
        roots: tls!.mode === 'SIMPLE' || tls!.credential === '' ? null : roots,
      });
    }
  }
  const served = [...groups.values()].filter(({ servers, passed }) => servers.length + passed.length > 0);
  return { groups: served, skipped };
}

/** Servers of one Gateway may have the same port and name of it. */
function unique(name: string, named: Map<string, number>): string {
  const before = named.get(name) ?? 0;
  named.set(name, before + 1);
  return before === 0 ? name : `${name}.${before + 1}`;
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
