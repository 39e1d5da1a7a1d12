import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService } from '../../mesh/service.ts';
import type { ChangeScope } from '../../serve/source.ts';
import { hostMatches } from '../names.ts';
import { isHeadless, isPopulated } from './scope.ts';

/** By host. */
type Services = Iterable<readonly [string, MeshService]>;

/**
 * How far a change reaches: null is no change at all. Endpoints alone touch EDS alone, unless a destination became
 * empty or got its first endpoint, which shifts weights, or endpoints are a part of the cluster, as with DNS. Where
 * iptables redirect (`captures`) the addresses that there are decide what sidecars listen on. `moved`: the services that
 * may differ, where that is known.
 */
export function changeScope(
  before: Mesh,
  after: Mesh,
  captures = false,
  moved: Services = after.services,
): ChangeScope | null {
  if (before === after) return null;
  const parts = (mesh: Mesh) => [
    mesh.places,
    mesh.routes,
    mesh.tlsRoutes,
    mesh.policies,
    mesh.gateways,
    mesh.secrets,
    mesh.peerAuthentications,
    mesh.rateLimits,
    mesh.sidecars,
    mesh.settings,
    mesh.domain,
  ];
  const old = parts(before);
  if (!parts(after).every((part, i) => part === old[i])) return 'config';
  if (before.services.size !== after.services.size) return 'config';
  let scope: ChangeScope | null = null;
  for (const [host, service] of moved) {
    const previous = before.services.get(host);
    if (previous === service) continue;
    if (previous === undefined || service.resolution !== 'endpoints') return 'config';
    if (outline(previous, before) !== outline(service, after)) return 'config';
    if (captures && instances(previous) !== instances(service)) return 'config';
    scope = 'endpoints';
  }
  return scope;
}

/** Also which of a headless service's are ready: by its name the app finds these. */
function instances(service: MeshService): string {
  const headless = isHeadless(service);
  return service.endpoints
    .map(
      ({ address, moreAddresses = [], ports, health, hostname = '' }) =>
        `${[address, ...moreAddresses]} ${[...ports]}${headless ? ` ${health} ${hostname}` : ''}`,
    )
    .sort()
    .join('\n');
}

/** All of a service but which endpoints it has, and who they are: by that its clients know them. */
export function shapeOf(service: MeshService): string {
  return JSON.stringify({ ...service, endpoints: service.endpoints.length === 0, identities: identities(service) });
}

/** Whether some service has answers by other identities after a change: clients must know of them before they are called. */
export function identitiesMoved(before: Mesh, after: Services): boolean {
  for (const [host, service] of after) {
    const previous = before.services.get(host);
    if (previous === service || previous === undefined) continue;
    if (String(identities(previous)) !== String(identities(service))) return true;
  }
  return false;
}

/** undefined: nobody has one. */
function identities({ endpoints }: MeshService): readonly string[] | undefined {
  const found = new Set<string>();
  for (const { identity = '', plainPorts } of endpoints) found.add(`${identity} ${[...(plainPorts ?? [])]}`);
  return found.size === 0 || (found.size === 1 && found.has(' ')) ? undefined : [...found].sort();
}

function outline(service: MeshService, mesh: Mesh): string {
  const subsets = mesh.policies
    .filter((policy) => hostMatches(policy.host, service.host))
    .flatMap((policy) => policy.subsets.map((subset) => subset.labels));
  const populated = service.ports.flatMap(({ number }) =>
    [{}, ...subsets].map((labels) => (isPopulated(service, number, labels) ? '1' : '0')),
  );
  return `${shapeOf(service)} ${populated.join('')}`;
}
