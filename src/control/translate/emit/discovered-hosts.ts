import { RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { MeshService } from '../../mesh/service.ts';
import { type ResourceEntry, resourceEntry } from '../../serve/snapshot.ts';
import type { Generations } from './cache.ts';
import { buildHost, type HostPlan, routeConfig } from './virtual-host.ts';

/** A route configuration that clients take apart (VHDS): what is in it, and the resources that belong to it. */
export interface DiscoveredRoutes {
  readonly config: ResourceEntry;
  readonly hosts: readonly ResourceEntry[];
}

export const VHDS = { config_source: { ads: {}, resource_api_version: 'V3' } } as const;

/** For our proxies: such a host is taken for a request only when nobody knows a better one. */
const FALLBACK = { filter_metadata: { remora: { on_demand: 'fallback' } } };

/**
 * The hosts of a route configuration as resources of their own, so that a change of one sends that one. What has no
 * name of its own (`*`) stays in the configuration. Hosts that follow from one service are built when that changes.
 */
export function discoveredRoutes(
  name: string,
  plans: readonly HostPlan[],
  asks: boolean,
  cache: Generations<ResourceEntry>,
  shapeOf: (service: MeshService) => string,
): DiscoveredRoutes {
  const rest: VirtualHost[] = [];
  const hosts: ResourceEntry[] = [];
  for (const plan of plans) {
    if (plan.domains.includes('*')) {
      const host = buildHost(plan);
      rest.push(asks ? { ...host, metadata: FALLBACK } : host);
      continue;
    }
    // Envoy removes and replaces virtual hosts by their own names, so these are the resources'.
    const make = () => resourceEntry(VirtualHost, { ...buildHost(plan), name: `${name}/${plan.name}` });
    const { of, domains, bytes = '' } = plan;
    const key = of === null ? null : `${name} ${of.port.number} ${domains.join()} ${bytes} ${shapeOf(of.service)}`;
    hosts.push(key === null ? make() : cache.get(key, make));
  }
  const config: RouteConfiguration = { ...routeConfig(name, rest), vhds: VHDS };
  return { config: resourceEntry(RouteConfiguration, config), hosts };
}
