import { createHash } from 'node:crypto';
import type { MessageType } from '../../../xds/proto/codec.ts';
import { Cluster } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService } from '../../mesh/service.ts';
import type { TrafficPolicyRule } from '../../mesh/traffic-policy.ts';
import {
  type ProxySnapshot,
  type ResourceEntry,
  type Resources,
  resourceEntry,
  versionOf,
} from '../../serve/snapshot.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../serve/type-urls.ts';
import { Generations } from './cache.ts';
import { shapeOf } from './change.ts';
import { emptyCluster, inboundAppCluster, outsideCluster, serviceClusters } from './cluster.ts';
import { loadAssignment } from './endpoint.ts';
import { gatewayRouteConfig, serverGroups } from './gateway.ts';
import { type DecodedFacts, type InboundPort, laptopFacts } from './laptop.ts';
import { gatewayAddress, gatewayListener, httpProxyListener, inboundListener, inboundRoutes } from './listener.ts';
import { parseOutbound } from './names.ts';
import { PASSTHROUGH } from './outside.ts';
import { type EmitNode, isPopulated, relevantLabels, Scope, speaksHttp2, subsetOf } from './scope.ts';
import { httpProxyRoutes } from './virtual-host.ts';

/** Something about one proxy that it does not get, or got otherwise than it asked. */
export interface EmitNote {
  readonly proxy: string;
  readonly message: string;
}

/** What all proxies of one scope share. */
interface Shared {
  readonly scope: Scope;
  /** Changes with anything but addresses of endpoints. */
  readonly configKey: string;
  readonly clusters: Resources;
  readonly endpoints: Resources;
}

/** What a proxy had before, so that what did not change stays the same object. */
interface Emitted {
  readonly mesh: Mesh;
  readonly snapshot: ProxySnapshot;
}

type Entries = ReadonlyMap<string, ResourceEntry>;
const NO_ENTRIES: Entries = new Map();

/**
 * Makes each proxy's snapshot of a mesh. Pure but for its caches: what does not depend on the proxy is built and
 * encoded once for all of them, and what did not change from one mesh to the next is not built again: services by
 * identity and content, routes by all that goes into them. A change of endpoints changes EDS alone, unless a
 * destination became empty or got its first one, which shifts weights.
 */
export class MeshEmitter {
  readonly #note: (note: EmitNote) => void;
  #mesh: Mesh | null = null;
  #labels: ReadonlySet<string> = new Set();
  readonly #ids = new Ids();
  readonly #shapes = new WeakMap<MeshService, string>();
  readonly #scopes = new Map<string, Shared>();
  readonly #clusters = new Generations<readonly ResourceEntry[]>();
  readonly #endpoints = new Generations<ResourceEntry>();
  readonly #routes = new Generations<ResourceEntry>();
  readonly #listeners = new Generations<ResourceEntry>();
  readonly #apps = new Generations<ResourceEntry>();
  readonly #maps = new Generations<Resources>();
  readonly #proxies = new Generations<Emitted>();

  constructor(note: (note: EmitNote) => void = () => {}) {
    this.#note = note;
  }

  /** The same object again while neither the mesh nor the node changed. */
  emit(mesh: Mesh, node: EmitNode): ProxySnapshot {
    if (mesh !== this.#mesh) this.#begin(mesh);
    const key = JSON.stringify([node.key, node.metadata?.REMORA ?? null]);
    const before = this.#proxies.peek(key);
    if (before?.mesh === mesh) return before.snapshot;
    const resources = this.#resources(mesh, node, key);
    const version = [CLUSTER, ENDPOINT, LISTENER, ROUTE]
      .map((type) => versionOf(resources.get(type) ?? NO_ENTRIES))
      .join('.');
    // The same in all parts is the same as a whole.
    const snapshot = before?.snapshot.version === version ? before.snapshot : { version, resources };
    this.#proxies.set(key, { mesh, snapshot });
    return snapshot;
  }

  #begin(mesh: Mesh): void {
    this.#mesh = mesh;
    this.#labels = relevantLabels(mesh);
    this.#scopes.clear();
    for (const cache of [
      this.#clusters,
      this.#endpoints,
      this.#routes,
      this.#listeners,
      this.#apps,
      this.#maps,
      this.#proxies,
    ]) {
      cache.turn();
    }
  }

  #resources(mesh: Mesh, node: EmitNode, key: string): ReadonlyMap<string, Resources> {
    const shared = this.#shared(mesh, node);
    const decoded = laptopFacts(node.metadata);
    for (const problem of decoded.problems) this.#note({ proxy: node.id, message: problem });
    const own = node.kind === 'router' ? this.#router(shared, decoded, node) : this.#sidecar(shared, decoded, node);
    const { clusters, endpoints } = this.#complete(shared, own, node.kind === 'router');
    return new Map([
      [CLUSTER, this.#map(`${key} CDS`, own.clusters.size === 0 ? clusters : new Map([...clusters, ...own.clusters]))],
      [ENDPOINT, this.#map(`${key} EDS`, endpoints)],
      [LISTENER, this.#map(`${key} LDS`, own.listeners)],
      [ROUTE, this.#map(`${key} RDS`, own.routes)],
    ]);
  }

  /** The map that was there before when it says the very same: who compares maps sees that nothing changed. */
  #map(key: string, map: Resources): Resources {
    const before = this.#maps.peek(key);
    const same =
      before?.size === map.size && [...map].every(([name, { version }]) => before.get(name)?.version === version);
    const kept = before !== undefined && same ? before : map;
    this.#maps.set(key, kept);
    return kept;
  }

  #shared(mesh: Mesh, node: EmitNode): Shared {
    const labels = new Map([...node.labels].filter(([key]) => this.#labels.has(key)).sort());
    const http2 = speaksHttp2(node);
    const key = JSON.stringify([node.namespace, [...labels], http2]);
    let shared = this.#scopes.get(key);
    if (shared === undefined) {
      shared = this.#share(new Scope(mesh, node.namespace, labels, http2), key);
      this.#scopes.set(key, shared);
    }
    return shared;
  }

  #share(scope: Scope, key: string): Shared {
    const clusters = new Map<string, ResourceEntry>();
    const endpoints = new Map<string, ResourceEntry>();
    const shapes: string[] = [];
    for (const service of scope.services.values()) {
      const policy = scope.policyOf(service);
      const shape = `${this.#shapeOf(service)} ${this.#ids.of(policy)} ${scope.http2}`;
      shapes.push(shape, populated(service, policy));
      for (const entry of this.#clustersOf(service, policy, shape, scope.http2)) {
        clusters.set(entry.name, entry);
        if (entry.references.length > 0) endpoints.set(entry.name, this.#endpointsOf(entry.name, service, policy));
      }
    }
    const { routes, policies, gateways, rateLimits, domain } = scope.mesh;
    const parts = [
      key,
      domain,
      ...[routes, policies, gateways, rateLimits].map((part) => this.#ids.of(part)),
      ...shapes,
    ];
    const configKey = createHash('sha256').update(parts.join('\n')).digest('base64url');
    return { scope, configKey, clusters, endpoints };
  }

  #clustersOf(
    service: MeshService,
    policy: TrafficPolicyRule | null,
    shape: string,
    http2: boolean,
  ): readonly ResourceEntry[] {
    // Endpoints found by DNS are a part of the cluster.
    const key = service.resolution === 'endpoints' ? shape : `${shape} ${this.#ids.of(service)}`;
    return this.#clusters.get(key, () =>
      serviceClusters(service, policy, http2).map((cluster) => resourceEntry(Cluster, cluster)),
    );
  }

  #endpointsOf(name: string, service: MeshService, policy: TrafficPolicyRule | null): ResourceEntry {
    return this.#endpoints.get(`${name} ${this.#ids.of(service)} ${this.#ids.of(policy)}`, () => {
      const parts = parseOutbound(name);
      const labels = subsetOf(policy, parts?.subset ?? '')?.labels ?? {};
      return resourceEntry(ClusterLoadAssignment, loadAssignment(name, service, parts?.port ?? 0, labels));
    });
  }

  #sidecar(shared: Shared, { facts }: DecodedFacts, node: EmitNode): Own {
    const { scope, configKey } = shared;
    const own: Own = { listeners: new Map(), clusters: new Map(), routes: new Map() };
    const outbound = `sidecar\n${configKey}`;
    put(
      own.routes,
      this.#build(this.#routes, outbound, RouteConfiguration, () => httpProxyRoutes(scope)),
    );
    put(own.clusters, this.#build(this.#apps, PASSTHROUGH, Cluster, outsideCluster));
    const at = facts.httpProxy;
    if (at !== null) {
      const key = `proxy ${JSON.stringify(at)}`;
      put(
        own.listeners,
        this.#build(this.#listeners, key, Listener, () => httpProxyListener(at)),
      );
    }
    for (const inbound of facts.inbound) this.#inbound(inbound, scope, own);
    if (own.listeners.size === 0 && node.kind === 'sidecar') {
      const message = 'no listeners: REMORA in the node metadata names none, and capture by iptables is not there yet';
      this.#note({ proxy: node.id, message });
    }
    return own;
  }

  #inbound(inbound: InboundPort, scope: Scope, own: Own): void {
    const service = scope.services.get(inbound.service);
    const limit = scope.mesh.rateLimits.find(
      ({ target }) => target.kind === 'service' && inbound.service !== '' && target.host === inbound.service,
    );
    const shape = service === undefined ? '' : this.#shapeOf(service);
    const key = `inbound ${JSON.stringify(inbound)}\n${shape}\n${this.#ids.of(limit ?? null)}`;
    put(
      own.listeners,
      this.#build(this.#listeners, key, Listener, () => inboundListener(inbound)),
    );
    put(
      own.clusters,
      this.#build(this.#apps, key, Cluster, () => inboundAppCluster(inbound, service)),
    );
    put(
      own.routes,
      this.#build(this.#routes, key, RouteConfiguration, () => inboundRoutes(inbound, service, limit)),
    );
  }

  #router(shared: Shared, { facts }: DecodedFacts, node: EmitNode): Own {
    const { scope, configKey } = shared;
    const { groups, skipped } = serverGroups(scope, facts);
    for (const message of skipped) this.#note({ proxy: node.id, message });
    const listeners = new Map<string, ResourceEntry>();
    const routes = new Map<string, ResourceEntry>();
    for (const group of groups) {
      const at = gatewayAddress(group, facts);
      const key = JSON.stringify([group.routes, at]);
      const entry = this.#build(this.#listeners, `gateway ${key}`, Listener, () => gatewayListener(group, at));
      if (listeners.has(entry.name)) {
        const message = `port ${group.port} is not served: its listener ${entry.name} is another port's already`;
        this.#note({ proxy: node.id, message });
        continue;
      }
      put(listeners, entry);
      const which = `gateway ${group.routes} ${facts.allGateways}\n${configKey}`;
      put(
        routes,
        this.#build(this.#routes, which, RouteConfiguration, () => gatewayRouteConfig(scope, group)),
      );
    }
    return { listeners, clusters: new Map(), routes };
  }

  #build<T extends Listener | RouteConfiguration | Cluster>(
    cache: Generations<ResourceEntry>,
    key: string,
    type: MessageType<T>,
    make: () => T,
  ): ResourceEntry {
    return cache.get(key, () => resourceEntry(type, make()));
  }

  /** Clusters and endpoints for the routes: a stand-in for each that nobody defined; for gateways no more than they name. */
  #complete(shared: Shared, own: Own, onlyNamed: boolean): { clusters: Resources; endpoints: Resources } {
    const named = new Set([...own.routes.values()].flatMap((entry) => entry.references.map(({ name }) => name)));
    const missing = [...named].filter((name) => !shared.clusters.has(name) && !own.clusters.has(name));
    if (!onlyNamed && missing.length === 0) return shared;
    const clusters = new Map([...shared.clusters].filter(([name]) => !onlyNamed || named.has(name)));
    const endpoints = new Map([...shared.endpoints].filter(([name]) => !onlyNamed || named.has(name)));
    for (const name of missing) {
      const [cluster, empty] = this.#clusters.get(`missing ${name} ${reasonFor(name, shared.scope)}`, () => [
        resourceEntry(Cluster, emptyCluster(name, reasonFor(name, shared.scope))),
        resourceEntry(ClusterLoadAssignment, { cluster_name: name }),
      ]);
      if (cluster !== undefined) put(clusters, cluster);
      if (empty !== undefined) put(endpoints, empty);
    }
    return { clusters, endpoints };
  }

  /** All of a service but its endpoints. */
  #shapeOf(service: MeshService): string {
    let shape = this.#shapes.get(service);
    if (shape === undefined) {
      shape = shapeOf(service);
      this.#shapes.set(service, shape);
    }
    return shape;
  }
}

interface Own {
  readonly listeners: Map<string, ResourceEntry>;
  readonly clusters: Map<string, ResourceEntry>;
  readonly routes: Map<string, ResourceEntry>;
}

function put(map: Map<string, ResourceEntry>, entry: ResourceEntry): void {
  map.set(entry.name, entry);
}

/** Which of a service's destinations have anybody behind them: weights depend on it. */
function populated(service: MeshService, policy: TrafficPolicyRule | null): string {
  const labels = [{}, ...(policy?.subsets ?? []).map((subset) => subset.labels)];
  return service.ports
    .flatMap(({ number }) => labels.map((subset) => (isPopulated(service, number, subset) ? '1' : '0')))
    .join('');
}

/** Why a cluster that a route names is not there, for people. */
function reasonFor(name: string, scope: Scope): string {
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

/** Small numbers for objects, by identity. */
class Ids {
  readonly #ids = new WeakMap<object, number>();
  #last = 0;

  of(object: object | null): number {
    if (object === null) return 0;
    let id = this.#ids.get(object);
    if (id === undefined) {
      id = ++this.#last;
      this.#ids.set(object, id);
    }
    return id;
  }
}
