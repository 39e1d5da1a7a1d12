import { createHash } from 'node:crypto';
import type { MessageType } from '../../../xds/proto/codec.ts';
import { Cluster } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../../xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import { Secret } from '../../../xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import type { MtlsMode } from '../../mesh/authentication.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { MeshService } from '../../mesh/service.ts';
import { DEFAULT_SETTINGS, type MeshSettings } from '../../mesh/settings.ts';
import type { TrafficPolicyRule } from '../../mesh/traffic-policy.ts';
import {
  type Instance,
  type ProxySnapshot,
  type ResourceEntry,
  type Resources,
  replaceEntries,
  resourceEntry,
  resourcesOf,
} from '../../serve/snapshot.ts';
import { CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE, SECRET, VIRTUAL_HOST } from '../../serve/type-urls.ts';
import { portMtls, type WorkloadMtls } from '../peer-authentication.ts';
import { accessLogs, DEFAULT_LOGS } from './access-log.ts';
import { Generations } from './cache.ts';
import { CAPTURE_PORTS, type CaptureFacts, captureFacts, type OutboundPolicy, sourcesToApp } from './capture.ts';
import { shapeOf } from './change.ts';
import {
  blackHoleCluster,
  emptyCluster,
  inboundAppCluster,
  inboundPassthroughCluster,
  inboundPortCluster,
  outsideCluster,
  passthroughCluster,
  serviceClusters,
} from './cluster.ts';
import { discoveredRoutes } from './discovered-hosts.ts';
import { gatewayRouteConfig, serverGroups, tlsGroups } from './gateway.ts';
import { gatewaySecretResources, gatewayTlsListener } from './gateway-tls.ts';
import { Ids } from './ids.ts';
import { type AppPort, InboundIndex, isHttpPort, virtualInbound } from './inbound.ts';
import { instanceOf, instanceRanges, instanceRoutes } from './instance.ts';
import { KeptMaps } from './kept-maps.ts';
import { type DecodedFacts, type InboundPort, laptopFacts } from './laptop.ts';
import { gatewayAddress, gatewayListener, httpProxyListener, inboundListener, inboundRoutes } from './listener.ts';
import { inboundMtls } from './mtls.ts';
import { NameTables, takesEach } from './name-tables.ts';
import { HTTP_PROXY } from './names.ts';
import { type OutboundPlans, outboundListener, outboundPlans, virtualOutbound } from './outbound.ts';
import { BLACK_HOLE, PASSTHROUGH } from './outside.ts';
import { endpointsEntry, populated, reasonFor, serviceLimit } from './presence.ts';
import { placeOf } from './proximity.ts';
import { proxyKey } from './proxy-key.ts';
import { type EmitNode, protocolFor, relevantLabels, Scope, speaksHttp2 } from './scope.ts';
import type { EmitNote, Hosts, Outbound, Own, Shared } from './shared.ts';
import { put, snapshotOf, withEndpoints, withOwn } from './shared.ts';
import { detectedRoutes, type HostPlan, httpProxyHosts, portHosts, wholeRoutes } from './virtual-host.ts';

/** What a proxy had before, so that what did not change stays the same object. */
interface Emitted {
  readonly mesh: Mesh;
  readonly shared: Shared;
  readonly snapshot: ProxySnapshot;
}

const MOST_MOVES = 1000;

/**
 * Makes each proxy's snapshot of a mesh. Pure but for its caches: what does not depend on the proxy is built and
 * encoded once for all of them, and what did not change from one mesh to the next is not built again: services by
 * identity and content, routes by all that goes into them. A change of endpoints changes EDS alone, unless a
 * destination became empty or got its first one, which shifts weights.
 */
export class MeshEmitter {
  readonly #note: (note: EmitNote) => void;
  readonly #policy: OutboundPolicy;
  readonly #trustDomain: string;
  #mesh: Mesh | null = null;
  #settings: MeshSettings = DEFAULT_SETTINGS;
  #logs = DEFAULT_LOGS;
  #labels: ReadonlySet<string> = new Set();
  #moves = 0;
  readonly #ids = new Ids();
  readonly #shapes = new WeakMap<MeshService, string>();
  readonly #scopes = new Map<string, Shared>();
  readonly #clusters = new Generations<readonly ResourceEntry[]>();
  readonly #endpoints = new Generations<ResourceEntry>();
  readonly #routes = new Generations<ResourceEntry>();
  readonly #hosts = new Generations<ResourceEntry>();
  readonly #listeners = new Generations<ResourceEntry>();
  readonly #apps = new Generations<ResourceEntry>();
  readonly #names = new NameTables();
  readonly #maps = new KeptMaps();
  readonly #proxies = new Generations<Emitted>();
  #inbound: InboundIndex | null = null;
  #captures = false;

  /** `trustDomain`: of the mesh's certificates; '' where there is no CA. */
  constructor(note: (note: EmitNote) => void = () => {}, policy: OutboundPolicy = 'ALLOW_ANY', trustDomain = '') {
    this.#note = note;
    this.#policy = policy;
    this.#trustDomain = trustDomain;
  }

  /** Whether any proxy had connections redirected to it: what those listen on depends on endpoints too. */
  get captures(): boolean {
    return this.#captures;
  }

  /** The same object again while neither the mesh nor the node changed. */
  emit(mesh: Mesh, node: EmitNode): ProxySnapshot {
    if (mesh !== this.#mesh) this.#begin(mesh);
    const key = proxyKey(node);
    const before = this.#proxies.peek(key);
    if (before?.mesh === mesh) return before.snapshot;
    const facts = captureFacts(node);
    const shared = this.#shared(mesh, node, facts);
    const { scope } = shared;
    const instance = instanceRanges(scope).length > 0 ? (asked: string) => this.#instanceFor(key, asked) : null;
    const made = snapshotOf(this.#resources(shared, node, facts, key), scope.onDemand, instance);
    // The same in all parts is the same as a whole.
    const same = before?.snapshot.version === made.version && before.snapshot.onDemand === made.onDemand;
    const snapshot = same ? before.snapshot : made;
    this.#proxies.set(key, { mesh, shared, snapshot });
    return snapshot;
  }

  /** By what is in force when it is asked for: the proxy may keep an older snapshot that says the same. */
  #instanceFor(key: string, asked: string): Instance | null {
    const shared = this.#proxies.peek(key)?.shared;
    if (shared === undefined) return null;
    this.#inbound ??= new InboundIndex(shared.scope.mesh);
    return instanceOf(asked, shared.scope, this.#inbound);
  }

  /**
   * `after` is `before` but for the endpoints of these services, and none of their destinations became empty or got its
   * first one. Everything that was emitted of `before` is brought up to it, at the cost of these services alone.
   */
  moveEndpoints(before: Mesh, after: Mesh, services: readonly MeshService[]): void {
    // Now and then everything is begun anew, so that what nobody asks for any more is forgotten.
    if (this.#mesh !== before || ++this.#moves % MOST_MOVES === 0) return;
    this.#mesh = after;
    const built = new Map<string, ResourceEntry>();
    const moved = new Map<Shared, readonly ResourceEntry[]>();
    for (const shared of this.#scopes.values()) moved.set(shared, this.#moveShared(shared, after, services, built));
    const maps = new Map<Resources, Resources>();
    for (const [key, { mesh, shared, snapshot }] of this.#proxies.current()) {
      const entries = moved.get(shared);
      if (mesh !== before || entries === undefined) continue;
      const old = resourcesOf(snapshot, ENDPOINT);
      const endpoints = maps.get(old) ?? replaceEntries(old, entries);
      maps.set(old, endpoints);
      this.#maps.set('EDS', key, endpoints);
      const next = endpoints === old ? snapshot : withEndpoints(snapshot, endpoints);
      this.#proxies.set(key, { mesh: after, shared, snapshot: next });
    }
  }

  #moveShared(
    shared: Shared,
    mesh: Mesh,
    services: readonly MeshService[],
    built: Map<string, ResourceEntry>,
  ): readonly ResourceEntry[] {
    const { scope } = shared;
    scope.mesh = mesh;
    const entries: ResourceEntry[] = [];
    for (const moved of services) {
      const service = scope.moveEndpoints(mesh, moved);
      if (service === null) continue;
      const policy = scope.policyOf(service);
      const shape = `${this.#shapeOf(service)} ${this.#ids.of(policy)} ${scope.kind}`;
      for (const { name, references } of this.#clustersOf(service, policy, shape, scope)) {
        if (references.length === 0) continue;
        const key = `${name} ${this.#ids.of(policy)} ${scope.placeKey(service)}`;
        const entry = built.get(key) ?? endpointsEntry(name, service, policy, scope.place);
        built.set(key, entry);
        entries.push(entry);
      }
    }
    shared.endpoints = replaceEntries(shared.endpoints, entries);
    return entries;
  }

  #begin(mesh: Mesh): void {
    this.#mesh = mesh;
    if (mesh.settings !== this.#settings) this.#follow(mesh.settings);
    this.#labels = relevantLabels(mesh);
    this.#scopes.clear();
    this.#inbound = null;
    for (const cache of [
      this.#clusters,
      this.#endpoints,
      this.#routes,
      this.#hosts,
      this.#listeners,
      this.#apps,
      this.#maps,
      this.#proxies,
    ]) {
      cache.turn();
    }
  }

  /** They go into nearly everything, and change once in a long while: all is made anew, and what is the same is not sent. */
  #follow(settings: MeshSettings): void {
    this.#settings = settings;
    this.#logs = accessLogs(settings.accessLog);
    for (const cache of [this.#clusters, this.#routes, this.#hosts, this.#listeners, this.#apps]) {
      cache.turn();
      cache.turn();
    }
  }

  #resources(shared: Shared, node: EmitNode, facts: CaptureFacts | null, key: string): ReadonlyMap<string, Resources> {
    const own = facts === null ? this.#called(shared, node) : this.#captured(shared, facts, node);
    const hosts = shared.scope.virtualHosts ? this.#hostsOf(shared) : null;
    const { clusters, endpoints } = this.#complete(shared, own, node.kind === 'router', hosts?.missing ?? []);
    if (facts?.dns) shared.names ??= this.#names.of(shared.scope, facts.families);
    const resources = new Map([
      ...(facts?.dns && shared.names !== null
        ? [[NAME_TABLE, this.#maps.keep('NDS', key, takesEach(node) ? shared.names.each : shared.names.whole)] as const]
        : []),
      ...(own.secrets === undefined ? [] : [[SECRET, this.#maps.keep('SDS', key, own.secrets)] as const]),
      [CLUSTER, this.#maps.keep('CDS', key, withOwn(shared, clusters, own.clusters))],
      [ENDPOINT, this.#maps.keep('EDS', key, endpoints)],
      [LISTENER, this.#maps.keep('LDS', key, own.listeners)],
      [ROUTE, this.#maps.keep('RDS', key, own.routes)],
    ]);
    return hosts === null ? resources : resources.set(VIRTUAL_HOST, hosts.resources);
  }

  /** For a proxy that is called by its address. */
  #called(shared: Shared, node: EmitNode): Own {
    const decoded = laptopFacts(node.metadata);
    for (const problem of decoded.problems) this.#note({ proxy: node.id, message: problem });
    return node.kind === 'router' ? this.#router(shared, decoded, node) : this.#sidecar(shared, decoded, node);
  }

  #shared(mesh: Mesh, node: EmitNode, facts: CaptureFacts | null): Shared {
    const labels = new Map([...node.labels].filter(([key]) => this.#labels.has(key)).sort());
    const http2 = speaksHttp2(node);
    const captured = facts?.families ?? null;
    const virtualHosts = node.virtualHosts === true && node.kind === 'sidecar';
    const onDemand = virtualHosts && node.onDemand === true;
    const allocates = facts?.allocates ?? false;
    const trustDomain = (node.identity ?? '') === '' ? '' : this.#trustDomain;
    const place = placeOf(node, mesh);
    const options = {
      proxy: node.kind,
      http2,
      detects: takesEach(node),
      captured,
      ports: facts?.ports ?? CAPTURE_PORTS,
      outbound: this.#policy,
      trustDomain,
      allocates,
      place,
      virtualHosts,
      onDemand,
    };
    const key = JSON.stringify([node.namespace, [...labels], options]);
    let shared = this.#scopes.get(key);
    if (shared === undefined) {
      shared = this.#share(new Scope(mesh, node.namespace, labels, options), key);
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
      const shape = `${this.#shapeOf(service)} ${this.#ids.of(policy)} ${scope.kind}`;
      shapes.push(shape, populated(service, policy));
      for (const entry of this.#clustersOf(service, policy, shape, scope)) {
        clusters.set(entry.name, entry);
        if (entry.references.length > 0)
          endpoints.set(entry.name, this.#endpointsOf(entry.name, service, policy, scope));
      }
    }
    const { routes, policies, gateways, rateLimits, sidecars, domain } = scope.mesh;
    const parts = [
      key,
      domain,
      ...[routes, policies, gateways, rateLimits, sidecars].map((part) => this.#ids.of(part)),
      ...shapes,
    ];
    const configKey = createHash('sha256').update(parts.join('\n')).digest('base64url');
    const fresh = { outbound: null, names: null, withOwn: new Map(), discovered: new Map(), hosts: null };
    return { key, scope, configKey, clusters, endpoints, ...fresh };
  }

  #clustersOf(
    service: MeshService,
    policy: TrafficPolicyRule | null,
    shape: string,
    scope: Scope,
  ): readonly ResourceEntry[] {
    // Endpoints found by DNS are a part of the cluster.
    const key = service.resolution === 'endpoints' ? shape : `${shape} ${this.#ids.of(service)}`;
    return this.#clusters.get(key, () =>
      serviceClusters(service, policy, scope).map((cluster) => resourceEntry(Cluster, cluster)),
    );
  }

  #endpointsOf(name: string, service: MeshService, policy: TrafficPolicyRule | null, scope: Scope): ResourceEntry {
    const key = `${name} ${this.#ids.of(service)} ${this.#ids.of(policy)} ${scope.placeKey(service)}`;
    return this.#endpoints.get(key, () => endpointsEntry(name, service, policy, scope.place));
  }

  #sidecar(shared: Shared, { facts }: DecodedFacts, node: EmitNode): Own {
    const { scope } = shared;
    const own: Own = { listeners: new Map(), clusters: new Map(), routes: new Map() };
    put(
      own.routes,
      this.#appRoutes(shared, HTTP_PROXY, () => httpProxyHosts(scope)),
    );
    put(own.clusters, this.#build(this.#apps, PASSTHROUGH, Cluster, outsideCluster));
    const at = facts.httpProxy;
    if (at !== null) {
      const key = `proxy ${JSON.stringify(at)} ${scope.onDemand}`;
      put(
        own.listeners,
        this.#build(this.#listeners, key, Listener, () => httpProxyListener(at, scope.onDemand, this.#logs)),
      );
    }
    const mtls = this.#mtlsOf(node, scope);
    for (const inbound of facts.inbound) this.#inboundPort(inbound, portMtls(mtls, inbound.port), scope, own);
    if (own.listeners.size === 0 && node.kind === 'sidecar') {
      const message =
        'no listeners: the node metadata has neither INTERCEPTION_MODE REDIRECT or TPROXY nor a REMORA that names some';
      this.#note({ proxy: node.id, message });
    }
    return own;
  }

  /** What the proxy takes from its callers. Plain text where there is no CA, unless that is refused. */
  #mtlsOf(node: EmitNode, { mesh }: Scope): WorkloadMtls {
    const mtls = inboundMtls(this.#trustDomain === '' ? { ...node, identity: '' } : node, mesh);
    if (mtls.mode === 'STRICT' && (node.identity ?? '') === '') {
      this.#note({
        proxy: node.id,
        message: `${mtls.written} is STRICT, and this proxy has no identity: it takes no calls`,
      });
    }
    return mtls;
  }

  #inboundPort(inbound: InboundPort, mode: MtlsMode, scope: Scope, own: Own): void {
    const service = scope.mesh.services.get(inbound.service);
    const limit = serviceLimit(scope, inbound.service);
    const shape = service === undefined ? '' : this.#shapeOf(service);
    const key = `inbound ${JSON.stringify(inbound)}\n${shape}\n${this.#ids.of(limit ?? null)}`;
    put(
      own.listeners,
      this.#build(this.#listeners, `${key} ${mode}`, Listener, () => inboundListener(inbound, mode, this.#logs)),
    );
    put(
      own.clusters,
      this.#build(this.#apps, key, Cluster, () => inboundAppCluster(inbound, service)),
    );
    put(
      own.routes,
      this.#build(this.#routes, key, RouteConfiguration, () => inboundRoutes(inbound.port, service, limit)),
    );
  }

  /** Everything that a sidecar gets whose pod's connections are redirected to it. */
  #captured(shared: Shared, facts: CaptureFacts, node: EmitNode): Own {
    this.#captures = true;
    const { scope } = shared;
    const { http2 } = scope;
    shared.outbound ??= this.#outboundOf(shared, facts);
    const { listeners, routes, notes } = shared.outbound;
    for (const message of notes) this.#note({ proxy: node.id, message });
    const own: Own = { listeners: new Map(listeners), clusters: new Map(), routes: new Map(routes) };
    const sources = sourcesToApp(facts.families);
    put(
      own.clusters,
      this.#build(this.#apps, `outside ${http2}`, Cluster, () => passthroughCluster(http2)),
    );
    put(own.clusters, this.#build(this.#apps, BLACK_HOLE, Cluster, blackHoleCluster));
    const through = `inbound ${http2} ${sources}`;
    put(
      own.clusters,
      this.#build(this.#apps, through, Cluster, () => inboundPassthroughCluster(sources, http2)),
    );
    const mtls = this.#mtlsOf(node, scope);
    this.#inbound ??= new InboundIndex(scope.mesh);
    const ports = this.#inbound
      .portsAt(facts.addresses)
      .map((port) => ({ ...port, protocol: protocolFor(http2, port.protocol) }));
    const key = JSON.stringify([
      http2,
      facts.families,
      facts.ports,
      facts.transparent,
      scope.detects && ports.map(({ service }) => service.written.object),
      ports.map(({ port, protocol }) => [port, protocol]),
      mtls.mode,
      [...mtls.ports],
    ]);
    put(
      own.listeners,
      this.#build(this.#listeners, `inbound ${key}`, Listener, () =>
        virtualInbound(facts, ports, scope, mtls, this.#logs),
      ),
    );
    for (const port of ports) this.#appPort(port, sources, scope, own);
    return own;
  }

  #appPort(at: AppPort, sources: readonly string[], scope: Scope, own: Own): void {
    const { port, protocol, service } = at;
    const limit = serviceLimit(scope, service.host);
    const parts = [port, protocol, sources, scope.http2, this.#shapeOf(service), this.#ids.of(limit ?? null)];
    const key = `app port ${JSON.stringify(parts)}`;
    put(
      own.clusters,
      this.#build(this.#apps, key, Cluster, () => inboundPortCluster(at, sources, scope.http2)),
    );
    if (!isHttpPort(protocol)) return;
    put(
      own.routes,
      this.#build(this.#routes, key, RouteConfiguration, () => inboundRoutes(port, service, limit)),
    );
  }

  #outboundOf(shared: Shared, { families }: CaptureFacts): Outbound {
    const { scope, configKey } = shared;
    const plans: OutboundPlans = outboundPlans(scope, families, scope.outbound);
    const listeners = new Map<string, ResourceEntry>();
    const routes = new Map<string, ResourceEntry>();
    const ranges = instanceRanges(scope);
    if (ranges.length > 0) put(routes, instanceRoutes());
    const virtual = `virtual ${families} ${scope.ports.outbound} ${scope.outbound} ${ranges}`;
    put(
      listeners,
      this.#build(this.#listeners, virtual, Listener, () =>
        virtualOutbound(families, scope.ports, scope.outbound, ranges, this.#logs),
      ),
    );
    for (const plan of plans.listeners) {
      const key = `outbound ${JSON.stringify(plan)}`;
      put(
        listeners,
        this.#build(this.#listeners, key, Listener, () => outboundListener(plan, this.#logs)),
      );
    }
    for (const [port, there] of plans.hosts) {
      put(
        routes,
        this.#appRoutes(shared, String(port), () => portHosts(scope, port, there)),
      );
    }
    for (const detected of plans.detected) {
      const make = (): RouteConfiguration => detectedRoutes(scope, detected);
      put(routes, this.#build(this.#routes, `detected ${detected.routes}\n${configKey}`, RouteConfiguration, make));
    }
    return { listeners, routes, notes: plans.notes };
  }

  /** Routes of the app's calls: whole, or with hosts that are resources of their own. */
  #appRoutes(shared: Shared, name: string, plans: () => readonly HostPlan[]): ResourceEntry {
    const { scope, configKey, discovered } = shared;
    if (!scope.virtualHosts) {
      const make = (): RouteConfiguration => wholeRoutes(name, plans());
      return this.#build(this.#routes, `app ${name}\n${configKey}`, RouteConfiguration, make);
    }
    let routes = discovered.get(name);
    if (routes === undefined) {
      routes = discoveredRoutes(name, plans(), scope.asks, this.#hosts, (service) => this.#shapeOf(service));
      discovered.set(name, routes);
    }
    return routes.config;
  }

  #hostsOf(shared: Shared): Hosts {
    if (shared.hosts === null) {
      const entries = [...shared.discovered.values()].flatMap(({ hosts }) => hosts);
      const resources = this.#maps.keep('VHDS', shared.key, new Map(entries.map((entry) => [entry.name, entry])));
      const named = new Set(entries.flatMap(({ references }) => references.map(({ name }) => name)));
      shared.hosts = { resources, missing: [...named].filter((name) => !shared.clusters.has(name)) };
    }
    return shared.hosts;
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
      const entry = this.#build(this.#listeners, `gateway ${key}`, Listener, () =>
        gatewayListener(group, at, this.#logs),
      );
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
    const secrets = this.#tlsServers(shared, { facts, problems: [] }, node, listeners, routes);
    return { listeners, clusters: new Map(), routes, ...(secrets.size === 0 ? {} : { secrets }) };
  }

  /** Listeners and routes of servers that end TLS; returns their secrets. */
  #tlsServers(
    { scope, configKey }: Shared,
    { facts }: DecodedFacts,
    node: EmitNode,
    listeners: Map<string, ResourceEntry>,
    routes: Map<string, ResourceEntry>,
  ): Map<string, ResourceEntry> {
    const secrets = new Map<string, ResourceEntry>();
    const { groups, skipped } = tlsGroups(scope, facts, node.proved ?? false);
    for (const message of skipped) this.#note({ proxy: node.id, message });
    for (const group of groups) {
      const at = gatewayAddress({ routes: '', ...group, servers: [] }, facts);
      const entry = resourceEntry(
        Listener,
        gatewayTlsListener(group.servers, at, scope.http2, group.passed, this.#logs),
      );
      if (listeners.has(entry.name)) {
        this.#note({ proxy: node.id, message: `port ${group.port} speaks plain HTTP: its TLS servers are not served` });
        continue;
      }
      put(listeners, entry);
      for (const secret of gatewaySecretResources(group.servers)) put(secrets, resourceEntry(Secret, secret));
      for (const { routes: name, server } of group.servers) {
        const one = { routes: name, port: group.port, bind: group.bind, servers: [server] };
        const which = `gateway ${name} ${facts.allGateways}\n${configKey}`;
        const make = (): RouteConfiguration => gatewayRouteConfig(scope, one);
        put(routes, this.#build(this.#routes, which, RouteConfiguration, make));
      }
    }
    return secrets;
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
  #complete(
    shared: Shared,
    own: Own,
    onlyNamed: boolean,
    alsoMissing: readonly string[],
  ): { clusters: Resources; endpoints: Resources } {
    const naming = [...own.routes.values(), ...own.listeners.values()].flatMap((entry) => entry.references);
    const named = new Set(naming.filter(({ typeUrl }) => typeUrl === CLUSTER).map(({ name }) => name));
    const absent = [...named].filter((name) => !shared.clusters.has(name) && !own.clusters.has(name));
    const missing = [...new Set([...absent, ...alsoMissing])];
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

  /** Stands for all of a service but its endpoints. */
  #shapeOf(service: MeshService): string {
    let shape = this.#shapes.get(service);
    if (shape === undefined) {
      shape = createHash('sha256').update(shapeOf(service)).digest('base64url');
      this.#shapes.set(service, shape);
    }
    return shape;
  }
}
