import type { Cluster } from '../../model/cluster.ts';
import { routeSources } from '../../model/http-connection-manager.ts';
import type { Listener } from '../../model/listener.ts';
import type { ClusterSpecifier, RouteConfig } from '../../model/route.ts';
import type { CommonTls, SecretReference } from '../../model/tls.ts';

/** What a listener cannot go live without. */
export interface ListenerReferences {
  /** Names of route configurations. */
  readonly routes: ReadonlySet<string>;
  /** Clusters of its TCP proxies and inline routes. */
  readonly clusters: ReadonlySet<string>;
}

/** The route configuration of a virtual host's resource: `<route configuration>/<host>`, and hosts have no slash. */
export function routesOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('/')));
}

const ofListener = new WeakMap<Listener, ListenerReferences>();
const ofRoutes = new WeakMap<RouteConfig, ReadonlySet<string>>();

export function listenerReferences(listener: Listener): ListenerReferences {
  let found = ofListener.get(listener);
  if (found === undefined) {
    found = readListener(listener);
    ofListener.set(listener, found);
  }
  return found;
}

/** Every cluster that a route configuration names; those that come from a header are not known. */
export function clustersOf(config: RouteConfig): ReadonlySet<string> {
  let found = ofRoutes.get(config);
  if (found === undefined) {
    const clusters = new Set<string>();
    for (const host of config.virtualHosts) {
      for (const { action } of host.routes) if (action.kind === 'forward') addClusters(action.cluster, clusters);
      if (host.bytesTo !== undefined) clusters.add(host.bytesTo);
    }
    found = clusters;
    ofRoutes.set(config, found);
  }
  return found;
}

/** The name by which a cluster's endpoints come over EDS, or null when they come otherwise. */
export function endpointsOf(cluster: Cluster): string | null {
  return cluster.discovery.kind === 'EDS' ? cluster.discovery.serviceName || cluster.name : null;
}

/** Names of the secrets that come over ADS and that a listener or cluster cannot do without. */
export function secretsOf(resource: Listener | Cluster): Set<string> {
  const named =
    'filterChains' in resource
      ? chainsOf(resource).flatMap(({ tls }) =>
          tls === undefined
            ? []
            : [...secretsOfContext(tls.common), ...(tls.ticketKeys?.kind === 'secret' ? [tls.ticketKeys] : [])],
        )
      : [resource.tls, ...(resource.socketMatches ?? []).map(({ tls }) => tls)].flatMap((tls) =>
          tls == null ? [] : secretsOfContext(tls.common),
        );
  return new Set(named.filter(({ from }) => from === 'ads').map(({ name }) => name));
}

function secretsOfContext({ certificates, validation }: CommonTls): SecretReference[] {
  const named = certificates.flatMap((source) => (source.kind === 'secret' ? [source] : []));
  return validation?.secret == null ? named : [...named, validation.secret];
}

function chainsOf({ filterChains, defaultFilterChain }: Listener): Listener['filterChains'] {
  return defaultFilterChain === null ? filterChains : [...filterChains, defaultFilterChain];
}

function readListener(listener: Listener): ListenerReferences {
  const routes = new Set<string>();
  const clusters = new Set<string>();
  for (const { filter } of chainsOf(listener)) {
    if (filter.kind === 'tcp') {
      for (const { name } of filter.tcp.clusters) clusters.add(name);
      if (filter.tcp.addressRoutes !== undefined) routes.add(filter.tcp.addressRoutes);
    } else {
      for (const source of routeSources(filter.http.routes)) {
        if (source.kind === 'rds') routes.add(source.name);
        else for (const name of clustersOf(source.config)) clusters.add(name);
      }
    }
  }
  return { routes, clusters };
}

function addClusters(specifier: ClusterSpecifier, clusters: Set<string>): void {
  if (specifier.kind === 'cluster') clusters.add(specifier.name);
  else if (specifier.kind === 'weighted')
    for (const { name } of specifier.clusters) if (name !== '') clusters.add(name);
}
