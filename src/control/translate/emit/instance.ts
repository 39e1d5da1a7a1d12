import { Cluster } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import { RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { MeshService, ServicePort } from '../../mesh/service.ts';
import { type Instance, type ResourceEntry, resourceEntry } from '../../serve/snapshot.ts';
import { serviceCluster } from './cluster.ts';
import { VHDS } from './discovered-hosts.ts';
import { loadAssignment } from './endpoint.ts';
import type { InboundIndex } from './inbound.ts';
import { bytesTo } from './metadata.ts';
import { INSTANCES, outboundCluster, statName, withPort } from './names.ts';
import { serviceRoute } from './route.ts';
import type { Scope } from './scope.ts';
import { routeConfig } from './virtual-host.ts';

/** Those whose calls are captured and who ask for hosts; where unknown hosts are refused, so are addresses. */
export function callsInstances({ captured, onDemand, outbound }: Scope): boolean {
  return captured !== null && onDemand && outbound === 'ALLOW_ANY';
}

/** The hosts of addresses that no listener is for: none before it is asked for. */
export function instanceRoutes(): ResourceEntry {
  return resourceEntry(RouteConfiguration, { ...routeConfig(INSTANCES, []), vhds: VHDS });
}

/**
 * An instance that is called by its own address, as monitoring and peers of a database do (pains row 25): HTTP and bytes
 * alike go to it by its service's policy, and as who it is known to be. `asked`: `<route configuration>/<address>:<port>`;
 * null where no service that these proxies see has it.
 */
export function instanceOf(asked: string, scope: Scope, index: InboundIndex): Instance | null {
  const slash = asked.lastIndexOf('/');
  const authority = asked.slice(slash + 1);
  const [, bracketed, plain, own] = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(authority) ?? [];
  const address = bracketed ?? plain;
  if (slash < 0 || address === undefined) return null;
  // Routes of captured HTTP are named by the port that was called, which requests leave out where it is HTTP's own.
  const at = Number(own ?? asked.slice(0, slash));
  for (const { service, endpoint, number } of index.instancesAt(address, at)) {
    const seen = scope.services.get(service.host);
    const port = seen?.ports.find((one) => one.number === number);
    if (seen === undefined || port === undefined) continue;
    // By the address that was called alone, and whether or not it is ready: who calls it means this one.
    const { moreAddresses: _, ...only } = endpoint;
    const alone: MeshService = { ...seen, endpoints: [{ ...only, address, health: 'healthy' }] };
    const cluster = clusterOf(alone, port, withPort(address, at), scope);
    if (cluster === null) return null;
    return { host: hostOf(asked, authority, alone, port, cluster, scope), clusters: [resourceEntry(Cluster, cluster)] };
  }
  return null;
}

function clusterOf(service: MeshService, port: ServicePort, address: string, scope: Scope): Cluster | null {
  const policy = scope.policyOf(scope.services.get(service.host) ?? service);
  const made = serviceCluster(service, port, policy, scope);
  if (made === null) return null;
  const { type: _type, eds_cluster_config: _eds, outlier_detection: _outlier, ...fields } = made;
  const whole = outboundCluster(port.number, '', service.host);
  const name = `${whole}|${address}`;
  return {
    ...fields,
    name,
    // One series for all instances of the service.
    alt_stat_name: statName(whole),
    type: 'STATIC',
    lb_policy: 'ROUND_ROBIN',
    load_assignment: loadAssignment(name, service, port.number, {}),
  };
}

function hostOf(
  name: string,
  domain: string,
  service: MeshService,
  port: ServicePort,
  { name: cluster = '' }: Cluster,
  scope: Scope,
): ResourceEntry {
  const { route, ...rest } = serviceRoute(service, port, scope);
  const routes = [{ ...rest, route: { ...route, cluster } }];
  return resourceEntry(VirtualHost, { name, domains: [domain], routes, metadata: bytesTo(cluster) });
}
