import type { HeaderOperations, RuleDestination } from '../../mesh/route-rule.ts';
import type { MeshService, PortProtocol } from '../../mesh/service.ts';
import { outboundCluster } from './names.ts';
import { isPopulated, type Scope, subsetOf } from './scope.ts';

/** A destination as one scope sees it. */
export interface Destination {
  readonly cluster: string;
  readonly weight: number;
  /** Outside of the mesh: strangers. */
  readonly external: boolean;
  readonly protocol: PortProtocol | null;
  readonly headers: HeaderOperations | null;
  readonly populated: boolean;
}

/** What a cluster of the service on the port is called, and whether anybody is behind it. */
export function resolveDestination(to: RuleDestination, requestPort: number, scope: Scope): Destination {
  const service = scope.services.get(to.host);
  const port = destinationPort(to, service, requestPort);
  const subset = service === undefined ? null : subsetOf(scope.policyOf(service), to.subset);
  return {
    cluster: outboundCluster(port, to.subset, to.host),
    weight: to.weight,
    external: service?.external ?? false,
    protocol: service?.ports.find(({ number }) => number === port)?.protocol ?? null,
    headers: to.headers,
    populated: service !== undefined && subset !== null && isPopulated(service, port, subset.labels),
  };
}

function destinationPort(to: RuleDestination, service: MeshService | undefined, requestPort: number): number {
  if (to.port > 0) return to.port;
  const only = service?.ports.length === 1 ? service.ports[0] : undefined;
  return only?.number ?? requestPort;
}

/**
 * The destinations that get requests, with the weights that they get. One without endpoints gives its share to the
 * others (pains row 37); weights that are all 0 mean an even split. A weight of 0 beside others is meant, so it stays
 * one even where all the others are empty: then the route is left as written, and fails as 503 UH.
 */
export function effectiveWeights(destinations: readonly Destination[]): readonly Destination[] {
  const sum = destinations.reduce((total, to) => total + to.weight, 0);
  const wanted =
    sum === 0 ? destinations.map((to) => ({ ...to, weight: 1 })) : destinations.filter((to) => to.weight > 0);
  const populated = wanted.filter((to) => to.populated);
  return populated.length > 0 ? populated : wanted;
}
