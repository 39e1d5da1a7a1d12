import type { JsonObject } from '../../../xds/proto/codec.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { RouteTableRule } from '../../mesh/route-rule.ts';
import type { MeshService, PortProtocol, ServicePort } from '../../mesh/service.ts';
import type { MeshSettings } from '../../mesh/settings.ts';
import type { PortPolicy, Subset, TrafficPolicy, TrafficPolicyRule } from '../../mesh/traffic-policy.ts';
import { hostMatches, visibleTo } from '../names.ts';
import { CAPTURE_PORTS, type CaptureFacts, type CapturePorts, type OutboundPolicy } from './capture.ts';
import { egressFor, type Hosts, isWithin, servicesWithin } from './egress.ts';
import type { Place } from './proximity.ts';

/** What emission asks of a proxy; `ProxyNode` of serve is one. */
export interface EmitNode {
  readonly id: string;
  readonly kind: 'sidecar' | 'router' | 'other';
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly key: string;
  /** `envoy/1.40.0` */
  readonly userAgent: string;
  /** Takes virtual hosts one by one; and asks for them when its app first calls them. */
  readonly virtualHosts?: boolean;
  readonly onDemand?: boolean;
  /** As the proxy sent it; only `REMORA`, `DNS_CAPTURE` and `DNS_AUTO_ALLOCATE` are read. */
  readonly metadata?: JsonObject;
  /** `REDIRECT` and `TPROXY`: iptables lead its pod's connections to it. */
  readonly interceptionMode?: string;
  /** Its pod's own. */
  readonly addresses?: readonly string[];
  /** It is who it says, and may have the keys of its namespace. */
  readonly proved?: boolean;
  /** What it says of where it is. */
  readonly locality?: { readonly zone: string };
  /** The SPIFFE ID that it says it has a certificate for; '' none: it cannot speak mutual TLS. */
  readonly identity?: string;
}

const HTTP: ReadonlySet<PortProtocol> = new Set(['http', 'http2', 'grpc', 'auto']);

/** Ports that an explicit HTTP proxy can reach; what is not said to be something else is tried as HTTP. */
export function httpPorts(service: MeshService): readonly ServicePort[] {
  return service.ports.filter(isHttp);
}

export function isHttp(port: ServicePort): boolean {
  return HTTP.has(port.protocol);
}

export type ScopeOptions = Partial<
  Pick<
    Scope,
    | 'http2'
    | 'detects'
    | 'captured'
    | 'ports'
    | 'outbound'
    | 'trustDomain'
    | 'allocates'
    | 'place'
    | 'virtualHosts'
    | 'onDemand'
  >
> & {
  readonly proxy?: EmitNode['kind'];
};

/**
 * The mesh as the proxies of one kind, one namespace and one set of relevant labels see it. Everything that is
 * emitted for them but their own listeners follows from it.
 */
export class Scope {
  mesh: Mesh;
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
  /** False for proxies that refuse a cluster which asks for HTTP/2. */
  readonly http2: boolean;
  /** True for proxies that find out who speaks first, and so what a wrong declaration hides. */
  readonly detects: boolean;
  /** Families of pods whose connections are redirected to the proxy; null: the proxy is called by name. */
  readonly captured: CaptureFacts['families'] | null;
  readonly ports: CapturePorts;
  readonly outbound: OutboundPolicy;
  /** Virtual hosts of the app's calls are resources of their own. */
  readonly virtualHosts: boolean;
  /** They are sent when they are asked for. */
  readonly onDemand: boolean;
  /** What is not here is asked for before it is called: hosts on demand, or at the least addresses that were called. */
  readonly asks: boolean;
  /** Hosts that a Sidecar lets its workloads call; null: all. */
  readonly #egress: Hosts | null;
  /** Whose identities endpoints have, for proxies that speak mutual TLS; '' for those that do not. */
  readonly trustDomain: string;
  /** Hosts without an address have their own one, of {@link captured}'s families. */
  readonly allocates: boolean;
  /** Where these proxies are, if that matters. */
  readonly place: Place | null;
  readonly #services: Map<string, MeshService>;
  readonly #policies = new Map<MeshService, TrafficPolicyRule | null>();
  readonly #tables = new Map<string, TableIndex>();

  constructor(
    mesh: Mesh,
    namespace: string,
    labels: ReadonlyMap<string, string>,
    {
      http2 = true,
      detects = false,
      captured = null,
      ports = CAPTURE_PORTS,
      outbound = 'ALLOW_ANY',
      trustDomain = '',
      allocates = false,
      place = null,
      virtualHosts = false,
      onDemand = false,
      proxy = 'sidecar',
    }: ScopeOptions = {},
  ) {
    this.mesh = mesh;
    this.http2 = http2;
    this.detects = detects;
    this.captured = captured;
    this.ports = ports;
    const egress = proxy === 'router' ? { hosts: null, outbound: null } : egressFor(mesh, namespace, labels);
    this.outbound = egress.outbound ?? mesh.settings.outbound ?? outbound;
    this.#egress = egress.hosts;
    this.virtualHosts = virtualHosts;
    // What a Sidecar scopes is sent whole: it is what the workload is said to use.
    this.onDemand = onDemand && egress.hosts === null;
    // Addresses of what it may call are not: they are many, and most are called by their service's alone.
    this.asks = this.onDemand || (onDemand && captured !== null && this.outbound === 'ALLOW_ANY');
    this.trustDomain = trustDomain;
    this.allocates = allocates;
    this.place = place;
    this.namespace = namespace;
    this.labels = labels;
    const visible = new Map<string, MeshService>();
    for (const [host, service] of mesh.services)
      if (visibleTo(service.exportTo, namespace)) visible.set(host, this.#seen(service));
    this.#services = egress.hosts === null ? visible : servicesWithin(visible, this.#routesOf('mesh'), egress.hosts);
  }

  get settings(): MeshSettings {
    return this.mesh.settings;
  }

  /** What clusters depend on besides their service and its policy. */
  get kind(): string {
    return `${this.http2} ${this.detects} ${this.captured !== null} ${this.trustDomain}`;
  }

  /** Visible services, by host. */
  get services(): ReadonlyMap<string, MeshService> {
    return this.#services;
  }

  /** What of the proxies' place the endpoints of a service depend on; '' nothing. */
  placeKey({ near }: MeshService): string {
    if (near === undefined || this.place === null) return '';
    return near === 'node' ? `${this.place.zone} ${this.place.node}` : this.place.zone;
  }

  /** The service as these proxies see it, with an address where it has none. */
  #seen(service: MeshService): MeshService {
    return this.allocates && service.autoAddresses !== undefined ? allocated(service, this.captured ?? '4') : service;
  }

  /** `mesh` is the same but for the endpoints of this service; the service as it is seen, null when it is not. */
  moveEndpoints(mesh: Mesh, moved: MeshService): MeshService | null {
    this.mesh = mesh;
    const service = this.#seen(moved);
    const before = this.#services.get(service.host);
    if (before === undefined) return null;
    this.#policies.set(service, this.policyOf(before));
    this.#policies.delete(before);
    this.#services.set(service.host, service);
    return service;
  }

  /** The DestinationRule for calls to a service: the caller's namespace comes first, then the service's, then the root. */
  policyOf(service: MeshService): TrafficPolicyRule | null {
    let policy = this.#policies.get(service);
    if (policy === undefined) {
      const candidates = this.mesh.policies.filter(
        (rule) =>
          hostMatches(rule.host, service.host) &&
          visibleTo(rule.exportTo, this.namespace) &&
          selects(rule.workloadSelector, this.labels),
      );
      const rank = (rule: TrafficPolicyRule): number =>
        [this.namespace, service.namespace, this.mesh.settings.rootNamespace, rule.namespace].indexOf(rule.namespace) *
          2 +
        (Object.keys(rule.workloadSelector).length > 0 ? 0 : 1);
      // Stable: of the same rank the most specific host stays first.
      policy = candidates.sort((a, b) => rank(a) - rank(b))[0] ?? null;
      this.#policies.set(service, policy);
    }
    return policy;
  }

  /** The routing rules for a host, from those bound to `gateway`; undefined when there are none. */
  tableFor(host: string, gateway: string): RouteTableRule | undefined {
    return this.tables(gateway).find(host);
  }

  #routesOf(gateway: string): readonly RouteTableRule[] {
    return this.mesh.routes.filter(
      (table) => table.gateways.includes(gateway) && visibleTo(table.exportTo, this.namespace),
    );
  }

  /** Whether a host that only routing rules know may be called. */
  mayCall(host: string, rules: RouteTableRule): boolean {
    return isWithin(host, rules.namespace, this.#egress);
  }

  /** The tables bound to `gateway`, or to `mesh`. */
  tables(gateway: string): TableIndex {
    let index = this.#tables.get(gateway);
    if (index === undefined) {
      index = new TableIndex(this.#routesOf(gateway));
      this.#tables.set(gateway, index);
    }
    return index;
  }
}

/** One object for one service, by families: whoever compares services does so by identity. */
const allocatedServices = new WeakMap<MeshService, Map<string, MeshService>>();

function allocated(service: MeshService, families: CaptureFacts['families']): MeshService {
  let known = allocatedServices.get(service);
  if (known === undefined) {
    known = new Map();
    allocatedServices.set(service, known);
  }
  let seen = known.get(families);
  if (seen === undefined) {
    const own = service.autoAddresses ?? [];
    seen = { ...service, addresses: own.filter((address) => families.includes(address.includes(':') ? '6' : '4')) };
    known.set(families, seen);
  }
  return seen;
}

/** Route tables by host. For each host the first table is the whole truth (see `translate/istio/merge.ts`). */
export class TableIndex {
  readonly hosts = new Map<string, RouteTableRule>();
  readonly #wildcards: readonly string[];

  constructor(tables: readonly RouteTableRule[]) {
    for (const table of tables) {
      for (const host of table.hosts) if (!this.hosts.has(host)) this.hosts.set(host, table);
    }
    this.#wildcards = [...this.hosts.keys()].filter((host) => host.startsWith('*')).sort((a, b) => b.length - a.length);
  }

  find(host: string): RouteTableRule | undefined {
    const exact = this.hosts.get(host);
    if (exact !== undefined) return exact;
    const wildcard = this.#wildcards.find((pattern) => hostMatches(pattern, host));
    return wildcard === undefined ? undefined : this.hosts.get(wildcard);
  }
}

/** What a port speaks as the proxy sees it: without HTTP/2 of its own it finds out what is HTTP/1.1, and passes the rest on. */
export function protocolFor(http2: boolean, protocol: PortProtocol): PortProtocol {
  return !http2 && (protocol === 'http2' || protocol === 'grpc') ? 'auto' : protocol;
}

/** Our own proxy speaks HTTP/1.1 only, so far; every other does what its config says. */
export function speaksHttp2({ userAgent }: EmitNode): boolean {
  return !userAgent.startsWith('remora/');
}

export function selects(selector: Readonly<Record<string, string>>, labels: ReadonlyMap<string, string>): boolean {
  return Object.entries(selector).every(([key, value]) => labels.get(key) === value);
}

/** The subset of that name; null for a subset that nobody defined. '' is the whole service. */
export function subsetOf(policy: TrafficPolicyRule | null, name: string): Subset | null {
  if (name === '') return { name: '', labels: {}, policy: policy?.policy ?? NO_POLICY };
  return policy?.subsets.find((subset) => subset.name === name) ?? null;
}

export function portPolicy(policy: TrafficPolicy, port: number): PortPolicy {
  const own = policy.ports.get(port);
  if (own === undefined) return policy.base;
  // The retry budget is the one section without a port level.
  return own.retryBudget === null ? { ...own, retryBudget: policy.base.retryBudget } : own;
}

const NO_POLICY: TrafficPolicy = {
  base: { loadBalancer: null, connectionPool: null, outlierDetection: null, tls: null, retryBudget: null },
  ports: new Map(),
};

/** Without an address of its own: its clients choose among its instances. */
export function isHeadless(service: MeshService): boolean {
  // An alias has none because its clients call the address of what it stands for.
  const none = service.addresses.length === 0 && service.aliasOf === undefined;
  return service.resolution === 'endpoints' && none && !service.external;
}

/** Whether a request to the destination would find anybody. */
export function isPopulated(service: MeshService, port: number, labels: Readonly<Record<string, string>>): boolean {
  if (service.resolution === 'passthrough' || service.resolution === 'dynamic') return true;
  if (service.resolution !== 'endpoints' && service.endpoints.length === 0) return !service.host.startsWith('*');
  return service.endpoints.some(
    (endpoint) =>
      endpoint.health === 'healthy' &&
      endpoint.ports.has(port) &&
      Object.entries(labels).every(([key, value]) => endpoint.labels[key] === value),
  );
}

/** Labels of proxies that can make a difference: those that any selector asks for. */
export function relevantLabels(mesh: Mesh): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const policy of mesh.policies) for (const key in policy.workloadSelector) keys.add(key);
  for (const table of mesh.routes) {
    for (const rule of table.rules) {
      for (const match of rule.matches) for (const key in match.sourceLabels) keys.add(key);
    }
  }
  for (const { matches } of mesh.tlsRoutes) {
    for (const match of matches) for (const key in match.sourceLabels) keys.add(key);
  }
  for (const one of mesh.sidecars) for (const key in one.selector) keys.add(key);
  for (const server of mesh.gateways) for (const key in server.selector) keys.add(key);
  return keys;
}
