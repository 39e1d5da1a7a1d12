import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService, ServiceEndpoint } from '../../mesh/service.ts';
import type { EmitNode } from './scope.ts';

/** Where a proxy is; '' nobody knows. */
export interface Place {
  readonly zone: string;
  /** '' too where no service asks for it: then proxies of one zone are the same. */
  readonly node: string;
}

const asked = new WeakMap<Mesh['services'], MeshService['near'] | null>();

/** What of a proxy's place matters to any service of the mesh; null nothing. */
export function placeOf(node: EmitNode, { services, places }: Mesh): Place | null {
  let near = asked.get(services);
  if (near === undefined) {
    const wishes = new Set([...services.values()].map((service) => service.near));
    near = wishes.has('node') ? 'node' : wishes.has('zone') ? 'zone' : null;
    asked.set(services, near);
  }
  if (near === null) return null;
  const name = typeof node.metadata?.NODE_NAME === 'string' ? node.metadata.NODE_NAME : '';
  const zone = zoneOf(places.get(name) ?? '') || (node.locality?.zone ?? '');
  const place = { zone, node: near === 'node' ? name : '' };
  return place.zone === '' && place.node === '' ? null : place;
}

/**
 * How far each endpoint is from a proxy, 0 the nearest: Envoy goes to the next when too few of the nearer ones are healthy.
 * Kubernetes' hints say which zones an endpoint is for; without them its own zone counts (KEP-2433, KEP-4444). Where
 * nobody is near, all are the same.
 */
export function distances(
  service: MeshService,
  endpoints: readonly ServiceEndpoint[],
  place: Place,
): (endpoint: ServiceEndpoint) => number {
  const hinted = endpoints.every(({ zones }) => zones !== undefined);
  const far = (endpoint: ServiceEndpoint): number => {
    if (service.near === 'node' && place.node !== '' && endpoint.node === place.node) return 0;
    const same = hinted ? endpoint.zones?.includes(place.zone) : zoneOf(endpoint.locality) === place.zone;
    return same && place.zone !== '' ? 1 : 2;
  };
  // Priorities have no gaps.
  const there = [...new Set(endpoints.map(far))].sort();
  return (endpoint) => there.indexOf(far(endpoint));
}

function zoneOf(locality: string): string {
  return locality.split('/')[1] ?? '';
}
