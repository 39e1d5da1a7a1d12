import type { AccessLog } from '../../../xds/proto/gen/envoy/config/accesslog/v3.ts';
import type { FilterChain } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { GatewayServer } from '../../mesh/gateway.ts';
import type { TlsRouteRule } from '../../mesh/tls-route.ts';
import { hostMatches, visibleTo } from '../names.ts';
import { type Destination, effectiveWeights, resolveDestination } from './destination.ts';
import { originMetadata, originText } from './metadata.ts';
import { outboundCluster } from './names.ts';
import { weightedTcpFilter } from './network-filters.ts';
import { type Scope, selects } from './scope.ts';

/** TLS that a gateway passes on unread, by the names of the handshake. */
export interface Passage {
  /** None: whatever is TLS. */
  readonly names: readonly string[];
  readonly destinations: readonly Destination[];
  readonly rule: TlsRouteRule;
}

/** What the TLS routes bound to a server's Gateway pass on of its hosts; `take` says whether a name is still free. */
export function passages(scope: Scope, server: GatewayServer, take: (name: string) => boolean): readonly Passage[] {
  const found: Passage[] = [];
  for (const rule of scope.mesh.tlsRoutes) {
    if (!visibleTo(rule.exportTo, scope.namespace)) continue;
    for (const match of rule.matches) {
      const gateways = match.gateways.length > 0 ? match.gateways : rule.gateways;
      if (!gateways.includes(server.gateway) || (match.port !== 0 && match.port !== server.port)) continue;
      if (!selects(match.sourceLabels, scope.labels)) continue;
      if (match.sourceNamespace !== '' && match.sourceNamespace !== scope.namespace) continue;
      const common = match.serverNames.flatMap((name) => commonNames(name, rule, server));
      const names = [...new Set(common)].filter(take);
      if (names.length === 0) continue;
      const all = rule.destinations.map((to) => resolveDestination(to, server.port, scope));
      found.push({
        names: names.includes('*') ? [] : names,
        destinations: all.length > 1 ? effectiveWeights(all) : all,
        rule,
      });
    }
  }
  return found;
}

/** Of a name and a wildcard over it, the name. */
function commonNames(name: string, rule: TlsRouteRule, { hosts }: GatewayServer): readonly string[] {
  return hosts.flatMap(({ host, namespace }) => {
    if (namespace !== '*' && namespace !== rule.namespace) return [];
    if (hostMatches(host, name)) return [name];
    return hostMatches(name, host) ? [host] : [];
  });
}

export function passageChain({ names, destinations, rule }: Passage, logs: readonly AccessLog[]): FilterChain {
  const [only] = destinations;
  const statPrefix = only?.cluster ?? outboundCluster(0, '', '');
  return {
    name: `${rule.written.object} ${names.join(' ') || '*'}`,
    filter_chain_match: names.length > 0 ? { server_names: [...names] } : { transport_protocol: 'tls' },
    filters: [weightedTcpFilter(statPrefix, destinations, logs)],
    metadata: originMetadata(originText(rule.written), {}),
  };
}
