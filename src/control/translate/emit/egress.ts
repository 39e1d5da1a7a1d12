import type { Mesh } from '../../mesh/mesh.ts';
import type { RouteTableRule } from '../../mesh/route-rule.ts';
import type { MeshService } from '../../mesh/service.ts';
import type { EgressHost, SidecarScope } from '../../mesh/sidecar-scope.ts';
import { hostMatches } from '../names.ts';

/** Of each listener. */
export type Hosts = readonly (readonly EgressHost[])[];

/** What a Sidecar lets workloads call; null parts say nothing. */
export interface Egress {
  readonly hosts: Hosts | null;
  readonly outbound: SidecarScope['outbound'];
}

/**
 * Of the Sidecars of a mesh the most specific one counts: with a selector before one for all of the namespace, and that
 * before the root namespace's; of the same rank the oldest. One without egress has that of the next (as its documentation
 * says); one without a policy for unknown hosts has the mesh's (`ConvertToSidecarScope` of Istio's pilot/pkg/model/sidecar.go).
 */
export function egressFor(mesh: Mesh, namespace: string, labels: ReadonlyMap<string, string>): Egress {
  const selected = ({ selector }: SidecarScope): boolean =>
    Object.entries(selector).every(([key, value]) => labels.get(key) === value);
  const rank = ({ selector, namespace: own }: SidecarScope): number =>
    own !== namespace ? 2 : Object.keys(selector).length > 0 ? 0 : 1;
  const scopes = mesh.sidecars
    .filter((one) => one.namespace === namespace || (one.namespace === mesh.settings.rootNamespace && rank(one) === 2))
    .filter((one) => selected(one) && (rank(one) < 2 || Object.keys(one.selector).length === 0))
    .toSorted((a, b) => rank(a) - rank(b));
  const resolved = (one: EgressHost): EgressHost => (one.namespace === '.' ? { ...one, namespace } : one);
  return {
    hosts: scopes.find(({ egress }) => egress !== null)?.egress?.map((hosts) => hosts.map(resolved)) ?? null,
    outbound: scopes[0]?.outbound ?? null,
  };
}

/**
 * The services that the hosts name, and those that the routes of hosts that they name lead to. Of one listener's, those
 * for a namespace count before those for all (`selectServices` of Istio's pilot/pkg/model/sidecar.go).
 */
export function servicesWithin(
  services: ReadonlyMap<string, MeshService>,
  routes: readonly RouteTableRule[],
  hosts: Hosts,
): Map<string, MeshService> {
  const within = new Map([...services].filter(([host, service]) => imports(hosts, host, service.namespace)));
  for (const table of routes) {
    if (!table.hosts.some((host) => within.has(host) || isWithin(host, table.namespace, hosts))) continue;
    for (const { action } of table.rules) {
      for (const { host } of action.kind === 'forward' ? action.destinations : []) {
        const service = services.get(host);
        if (service !== undefined) within.set(host, service);
      }
    }
  }
  return within;
}

function imports(hosts: Hosts, host: string, namespace: string): boolean {
  return hosts.some((listener) => {
    const own = listener.filter((one) => one.namespace === namespace);
    const meant = own.length > 0 ? own : listener.filter((one) => one.namespace === '*');
    return meant.some((one) => hostMatches(one.host, host));
  });
}

/** Whether a host that no service has may be called: routing rules alone know it. */
export function isWithin(host: string, namespace: string, hosts: Hosts | null): boolean {
  if (hosts === null) return true;
  return hosts
    .flat()
    .some((one) => (one.namespace === '*' || one.namespace === namespace) && hostMatches(one.host, host));
}
