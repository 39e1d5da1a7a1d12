import { ClusterLoadAssignment } from '../../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import type { MeshService } from '../../mesh/service.ts';
import type { TrafficPolicyRule } from '../../mesh/traffic-policy.ts';
import { type ResourceEntry, resourceEntry } from '../../serve/snapshot.ts';
import { loadAssignment } from './endpoint.ts';
import { parseOutbound } from './names.ts';
import type { Place } from './proximity.ts';
import { isPopulated, type Scope, subsetOf } from './scope.ts';

/** Which of a service's destinations have anybody behind them: weights depend on it. */
export function populated(service: MeshService, policy: TrafficPolicyRule | null): string {
  const labels = [{}, ...(policy?.subsets ?? []).map((subset) => subset.labels)];
  return service.ports
    .flatMap(({ number }) => labels.map((subset) => (isPopulated(service, number, subset) ? '1' : '0')))
    .join('');
}

/** Why a cluster that a route names is not there, for people. */
export function reasonFor(name: string, scope: Scope): string {
  const parts = parseOutbound(name);
  const service = parts === null ? undefined : scope.services.get(parts.host);
  if (parts === null) return `no cluster ${name}`;
  if (service === undefined) {
    const there = scope.mesh.services.has(parts.host);
    return `no service ${parts.host}${there ? ` is exported to namespace ${scope.namespace}` : ''}`;
  }
  if (!service.ports.some(({ number }) => number === parts.port))
    return `service ${parts.host} has no port ${parts.port}`;
  return `no DestinationRule defines subset ${parts.subset} of ${parts.host}`;
}

/** The limit of calls of a service's own instances. */
export function serviceLimit({ mesh }: Scope, host: string) {
  return mesh.rateLimits.find(({ target }) => target.kind === 'service' && host !== '' && target.host === host);
}

/** The endpoints of a cluster, as proxies at that place see them. */
export function endpointsEntry(
  name: string,
  service: MeshService,
  policy: TrafficPolicyRule | null,
  place: Place | null,
): ResourceEntry {
  const parts = parseOutbound(name);
  const labels = subsetOf(policy, parts?.subset ?? '')?.labels ?? {};
  return resourceEntry(ClusterLoadAssignment, loadAssignment(name, service, parts?.port ?? 0, labels, place));
}
