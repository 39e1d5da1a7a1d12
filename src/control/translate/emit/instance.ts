import { Cluster } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import { RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { MeshService, ServicePort } from '../../mesh/service.ts';
import type { MeshSettings } from '../../mesh/settings.ts';
import type { TrafficPolicyRule } from '../../mesh/traffic-policy.ts';
import { type Instance, type ResourceEntry, resourceEntry } from '../../serve/snapshot.ts';
import { AUTO_RANGES, isAutoAddress } from '../istio/auto-addresses.ts';
import { serviceCluster } from './cluster.ts';
import { VHDS } from './discovered-hosts.ts';
import { loadAssignment } from './endpoint.ts';
import type { InboundIndex } from './inbound.ts';
import { bytesTo } from './metadata.ts';
import { INSTANCES, outboundCluster, statName, withPort } from './names.ts';
import { serviceRoute } from './route.ts';
import type { Scope } from './scope.ts';
import { routeConfig } from './virtual-host.ts';

/** Addresses that pods have (RFC 1918, RFC 6598, RFC 4193). */
const PRIVATE: readonly string[] = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'];

/**
 * What proxies ask about before they call it; of other addresses nobody knows anything. Only those whose calls are
 * captured and who ask for hosts; where unknown hosts are refused, so are addresses.
 */
export function instanceRanges({ captured, asks, outbound, allocates }: Scope): readonly string[] {
  if (captured === null || !asks || outbound !== 'ALLOW_ANY') return [];
  return allocates ? [...PRIVATE, ...AUTO_RANGES] : PRIVATE;
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
    return keptOr(asked, seen, scope, () => {
      // By the address that was called alone, and whether or not it is ready: who calls it means this one.
      const { moreAddresses: _, ...only } = endpoint;
      const alone: MeshService = { ...seen, endpoints: [{ ...only, address, health: 'healthy' }] };
      const cluster = clusterOf(alone, port, withPort(address, at), scope);
      return cluster === null ? null : instance(hostOf(asked, authority, alone, port, cluster, scope), cluster);
    });
  }
  return isAutoAddress(address) ? undeclaredPort(asked, authority, address, at, scope) : null;
}

/**
 * A port that no ServiceEntry declares, of a host whose address is ours and leads nowhere: it is the host's all the same,
 * which real DNS knows (pains row 26).
 */
function undeclaredPort(asked: string, authority: string, address: string, at: number, scope: Scope): Instance | null {
  const service = scope.services.values().find(({ autoAddresses }) => autoAddresses?.includes(address) === true);
  if (service === undefined || service.ports.some(({ number }) => number === at)) return null;
  const port: ServicePort = { number: at, name: '', protocol: 'auto' };
  const host: MeshService = { ...service, ports: [port], endpoints: [], resolution: 'dns', external: true };
  const cluster = serviceCluster(host, port, null, scope);
  return cluster === null ? null : instance(hostOf(asked, authority, host, port, cluster, scope), cluster);
}

function instance(host: ResourceEntry, cluster: Cluster): Instance {
  return { host, clusters: [resourceEntry(Cluster, cluster)] };
}

interface Kept {
  readonly policy: TrafficPolicyRule | null;
  readonly settings: MeshSettings;
  readonly instance: Instance | null;
}

/** By the service as it is now: monitoring asks for thousands, of which a change of one service touches few. */
const kept = new WeakMap<MeshService, Map<string, Kept>>();

function keptOr(asked: string, service: MeshService, scope: Scope, make: () => Instance | null): Instance | null {
  let of = kept.get(service);
  if (of === undefined) {
    of = new Map();
    kept.set(service, of);
  }
  const key = `${scope.namespace} ${scope.kind} ${asked}`;
  const { settings } = scope;
  const policy = scope.policyOf(service);
  const before = of.get(key);
  if (before !== undefined && before.policy === policy && before.settings === settings) return before.instance;
  const made = make();
  of.set(key, { policy, settings, instance: made });
  return made;
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
