import type {
  ClusterLoadAssignment,
  LbEndpoint,
  LocalityLbEndpoints,
} from '../../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import type { MeshService, ServiceEndpoint } from '../../mesh/service.ts';
import { compareText, labelsMatch } from '../names.ts';
import { tlsMode } from './mtls.ts';
import { distances, type Place } from './proximity.ts';

const HEALTH = { healthy: 'HEALTHY', unhealthy: 'UNHEALTHY', draining: 'DRAINING' } as const;

/** The endpoints of one cluster: those that serve the port and carry the subset's labels, by locality. */
export function loadAssignment(
  cluster: string,
  service: MeshService,
  port: number,
  labels: Readonly<Record<string, string>>,
  place: Place | null = null,
): ClusterLoadAssignment {
  const serving = service.endpoints.filter(
    (endpoint) => endpoint.ports.has(port) && labelsMatch(labels, endpoint.labels),
  );
  const far = service.near === undefined || place === null ? null : distances(service, serving, place);
  const byLocality = Map.groupBy(serving, (endpoint) => `${far?.(endpoint) ?? 0}|${endpoint.locality}`);
  const localities = [...byLocality].sort(([a], [b]) => compareText(a, b));
  return {
    cluster_name: cluster,
    endpoints: localities.map(([key, list]) => {
      const priority = Number(key.slice(0, key.indexOf('|')));
      const group = localityEndpoints(list[0]?.locality ?? '', list, port);
      return priority === 0 ? group : { ...group, priority };
    }),
  };
}

/** One endpoint, for clusters that are not discovered. */
export function singleAssignment(cluster: string, address: string, port: number): ClusterLoadAssignment {
  return { cluster_name: cluster, endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(address, port) } }] }] };
}

export function socket(address: string, port: number) {
  return { socket_address: { address, port_value: port } };
}

/** All addresses of an instance, the first one first. */
export function addressesOf({ address, moreAddresses = [] }: ServiceEndpoint): readonly string[] {
  return moreAddresses.length === 0 ? [address] : [address, ...moreAddresses];
}

function localityEndpoints(locality: string, endpoints: readonly ServiceEndpoint[], port: number): LocalityLbEndpoints {
  const [region = '', zone = '', sub_zone = ''] = locality.split('/');
  const sorted = endpoints.toSorted((a, b) => compareText(sortKey(a, port), sortKey(b, port)));
  return {
    ...(locality === '' ? {} : { locality: { region, zone, sub_zone } }),
    lb_endpoints: sorted.map((endpoint) => lbEndpoint(endpoint, port)),
    load_balancing_weight: sorted.reduce((sum, endpoint) => sum + weightOf(endpoint), 0),
  };
}

/** Slices list endpoints in any order; an order of our own keeps bytes the same when nothing changed. */
function sortKey(endpoint: ServiceEndpoint, port: number): string {
  return `${endpoint.address}:${endpoint.ports.get(port) ?? port}`;
}

function weightOf(endpoint: ServiceEndpoint): number {
  return Math.max(1, endpoint.weight);
}

function lbEndpoint(endpoint: ServiceEndpoint, port: number): LbEndpoint {
  const workload = workloadText(endpoint);
  const own = endpoint.ports.get(port) ?? port;
  const mode = tlsMode(endpoint, own);
  const filter_metadata = {
    ...(mode === null ? {} : { 'envoy.transport_socket_match': mode }),
    ...(workload === '' ? {} : { istio: { workload } }),
  };
  return {
    endpoint: {
      address: socket(endpoint.address, own),
      ...(endpoint.moreAddresses === undefined
        ? {}
        : { additional_addresses: endpoint.moreAddresses.map((address) => ({ address: socket(address, own) })) }),
    },
    health_status: HEALTH[endpoint.health],
    load_balancing_weight: weightOf(endpoint),
    ...(Object.keys(filter_metadata).length === 0 ? {} : { metadata: { filter_metadata } }),
  };
}

/** `reviews-v1;default;reviews;v1;Kubernetes`: workload, namespace, canonical service and revision, and cluster. */
function workloadText({ workload, labels }: ServiceEndpoint): string {
  if (workload === '') return '';
  const dot = workload.lastIndexOf('.');
  const pod = dot < 0 ? workload : workload.slice(0, dot);
  const namespace = dot < 0 ? '' : workload.slice(dot + 1);
  const name = workloadName(pod, labels['pod-template-hash'] ?? '');
  const canonical = labels['service.istio.io/canonical-name'] ?? labels['app.kubernetes.io/name'] ?? labels.app ?? name;
  const revision =
    labels['service.istio.io/canonical-revision'] ?? labels['app.kubernetes.io/version'] ?? labels.version ?? '';
  return [name, namespace, canonical, revision, 'Kubernetes'].join(';');
}

/** A Deployment's name, from a pod of its ReplicaSet (`reviews-v1-7d4f8b-x2x9p`); any other pod's own. */
function workloadName(pod: string, hash: string): string {
  const at = hash === '' ? -1 : pod.lastIndexOf(`-${hash}-`);
  return at > 0 ? pod.slice(0, at) : pod;
}
