import type { GatewayServer } from '../../mesh/gateway.ts';
import type { Mesh } from '../../mesh/mesh.ts';
import type { RouteTableRule } from '../../mesh/route-rule.ts';
import type { MeshService, Workload } from '../../mesh/service.ts';
import type { TrafficPolicyRule } from '../../mesh/traffic-policy.ts';
import { type Finding, objectName } from '../../source/collection.ts';
import { findingAt, placeOf } from '../../source/finding.ts';
import type { Decoded, KindName } from '../decoded.ts';
import { EndpointIndex, keyOf } from '../kubernetes/endpoint-index.ts';
import { NodeIndex } from '../kubernetes/node.ts';
import { podWorkload } from '../kubernetes/pod.ts';
import { gatewaySecrets } from '../kubernetes/secret.ts';
import { serviceHost } from '../kubernetes/service.ts';
import { compareAge, compareText, DOMAIN, hostMatches, visibleTo } from '../names.ts';
import { MtlsPolicies } from '../peer-authentication.ts';
import { AUTO_ALLOCATE_LABEL, AutoAddresses, wantsAddress } from './auto-addresses.ts';
import { ExportedObjects } from './default-exports.ts';
import { delegatedRules, delegateOf } from './delegate.ts';
import { trafficPolicies } from './destination-rule.ts';
import { gatewayServers } from './gateway.ts';
import { Memo } from './memo.ts';
import { mergeRoutes, type TranslatedVirtualService } from './merge.ts';
import { meshSettings } from './mesh-config.ts';
import { peerAuthentications } from './peer-authentication.ts';
import { rateLimits } from './resilience-policy.ts';
import { entryWorkload, serviceEntryServices, uncallable } from './service-entry.ts';
import { sidecarScope } from './sidecar.ts';
import { tlsRoutes } from './tls-route.ts';
import { type RouteContext, routeRule } from './virtual-service.ts';

export interface Translation {
  readonly mesh: Mesh;
  /** About objects that are in force; what could not be decoded is in the decoder's findings. */
  readonly findings: readonly Finding[];
  /** For the next translation. */
  readonly memo: Memo;
  readonly index: EndpointIndex;
  /** Changes of pods may be more than a change of endpoints: entries select some. */
  readonly selectsPods: boolean;
  readonly entryWorkloads: readonly Workload[];
  /** Hosts that others are aliases of. */
  readonly aliased: ReadonlySet<string>;
}

/**
 * The mesh that the objects describe. Pure; given the previous translation, parts whose objects did not change are the
 * very same values as before (a service whose endpoints did not change, all routes where only endpoints did).
 */
export function translate(objects: readonly Decoded[], previous?: Translation): Translation {
  const memo = new Memo(previous?.memo);
  const findings: Finding[] = [];
  const configMaps = new ByKind(objects.filter(({ kind }) => kind === 'ConfigMap')).all('ConfigMap');
  const configured = memo.get('settings', configMaps, () => meshSettings(configMaps));
  const { settings } = configured;
  const exported = memo.get('exports', [settings], () => new ExportedObjects(settings.exportTo));
  const by = new ByKind(exported.of(objects));
  const authentications = memo.get('authentications', by.all('PeerAuthentication'), () =>
    peerAuthentications(by.all('PeerAuthentication')),
  );
  const { rootNamespace } = settings;
  const mtls = memo.get(
    'mtls',
    [authentications, rootNamespace],
    () => new MtlsPolicies(authentications.rules, rootNamespace),
  );
  const nodes = memo.get('nodes', by.all('Node'), () => new NodeIndex(by.all('Node')));
  const index = new EndpointIndex(
    by.all('Service'),
    by.all('EndpointSlice'),
    by.all('Endpoints'),
    by.all('Pod'),
    nodes,
    mtls,
  );
  const aliased = new Set<string>();
  const services = translateServices(by, index, mtls, memo, findings, aliased);
  const policies = memo.get('policies', by.all('DestinationRule'), () => trafficPolicies(by.all('DestinationRule')));
  const gateways = memo.get('gateways', by.all('Gateway'), () => by.all('Gateway').flatMap(gatewayServers));
  const secrets = memo.get('secrets', by.all('Secret'), () => gatewaySecrets(by.all('Secret')));
  const routes = translateRoutes(by, policies.policies, gateways, memo);
  const tls = translateTlsRoutes(by, policies.policies, memo);
  const limits = memo.get('limits', by.all('ResiliencePolicy'), () => by.all('ResiliencePolicy').flatMap(rateLimits));
  const sidecars = memo.get('sidecars', by.all('Sidecar'), () => by.all('Sidecar').map(sidecarScope));
  const workloads = translateWorkloads(by, memo);
  findings.push(
    ...policies.findings,
    ...routes.findings,
    ...tls.findings,
    ...authentications.findings,
    ...configured.findings,
  );
  const parts = [
    services,
    nodes,
    workloads,
    routes.routes,
    tls.routes,
    policies.policies,
    gateways,
    authentications,
    limits,
    secrets,
    sidecars,
    settings,
  ] as const;
  const mesh = memo.get('mesh', parts, (): Mesh => {
    return {
      services,
      workloads,
      places: nodes.localities,
      routes: routes.routes,
      tlsRoutes: tls.routes,
      policies: policies.policies,
      gateways,
      secrets,
      peerAuthentications: authentications.rules,
      rateLimits: limits,
      sidecars,
      settings,
      domain: DOMAIN,
    };
  });
  const selectsPods = by.all('ServiceEntry').some(({ value }) => value.workloadSelector !== undefined);
  const entryWorkloads = by.all('WorkloadEntry').map(entryWorkload);
  return { mesh, findings, memo, index, selectsPods, entryWorkloads, aliased };
}

/** Objects of each kind, oldest first, so that nothing depends on the order of files. */
class ByKind {
  readonly #lists = new Map<KindName, Decoded[]>();

  constructor(objects: readonly Decoded[]) {
    for (const decoded of objects) {
      const list = this.#lists.get(decoded.kind);
      if (list === undefined) this.#lists.set(decoded.kind, [decoded]);
      else list.push(decoded);
    }
    for (const list of this.#lists.values()) list.sort((a, b) => compareAge(a.object, b.object));
  }
  all<K extends KindName>(kind: K): readonly Decoded<K>[] {
    return (this.#lists.get(kind) ?? []) as unknown as readonly Decoded<K>[];
  }
}

function translateServices(
  by: ByKind,
  index: EndpointIndex,
  mtls: MtlsPolicies,
  memo: Memo,
  findings: Finding[],
  aliased: Set<string>,
): ReadonlyMap<string, MeshService> {
  const services = new Map<string, MeshService>();
  for (const service of by.all('Service')) {
    const key = keyOf(service);
    const parts = index.parts(key);
    if (parts === undefined) continue;
    const made = memo.get(`service ${key}`, parts.inputs, parts.make);
    services.set(serviceHost(service), made.service);
    findings.push(...made.findings);
  }
  const allocated = new AutoAddresses();
  for (const entry of by.all('ServiceEntry')) addServiceEntry(entry, by, mtls, memo, services, findings, allocated);
  resolveAliases(services, memo, aliased);
  const sorted = [...services].sort(([a], [b]) => compareText(a, b));
  return memo.get(
    'services',
    sorted.map(([, service]) => service),
    () => new Map(sorted),
  );
}

function addServiceEntry(
  entry: Decoded<'ServiceEntry'>,
  by: ByKind,
  mtls: MtlsPolicies,
  memo: Memo,
  services: Map<string, MeshService>,
  findings: Finding[],
  allocated: AutoAddresses,
): void {
  const selects = entry.value.workloadSelector !== undefined;
  const near = <K extends 'Pod' | 'WorkloadEntry'>(kind: K): readonly Decoded<K>[] =>
    selects ? by.all(kind).filter(({ object }) => object.namespace === entry.object.namespace) : [];
  const pods = near('Pod');
  const entries = near('WorkloadEntry');
  const key = `entry ${entry.object.namespace}/${entry.object.name}`;
  const made = memo.get(key, [entry, mtls, ...pods, ...entries], () =>
    serviceEntryServices(entry, pods, entries, mtls),
  );
  findings.push(
    ...memo.get(`uncallable of ${key}`, [entry, ...entries], () =>
      uncallable(entry, entries).map(({ object, value }) => {
        const message = `${value.address} is a name, and ${objectName(entry.object)} (${placeOf(entry.object)}), which selects it, has resolution STATIC and leaves it out: write an IP address here, or resolution: DNS there`;
        return findingAt(object, 'warning', 'no-effect', ['spec', 'address'], message);
      }),
    ),
  );
  for (const [i, service] of made.entries()) {
    const other = services.get(service.host);
    if (other === undefined) {
      services.set(service.host, withAddresses(service, entry, memo, allocated));
      continue;
    }
    const message = `${service.host} is ${other.written.object} (${other.written.place}) already, which counts; this host of the ServiceEntry has no effect`;
    findings.push(findingAt(entry.object, 'warning', 'conflicting-host', ['spec', 'hosts', i], message));
  }
}

function withAddresses(
  service: MeshService,
  { object }: Decoded<'ServiceEntry'>,
  memo: Memo,
  allocated: AutoAddresses,
): MeshService {
  if (!wantsAddress(service) || object.labels[AUTO_ALLOCATE_LABEL] === 'false') return service;
  const autoAddresses = allocated.allocate(service.namespace, service.host);
  if (autoAddresses.length === 0) return service;
  return memo.get(`addresses ${service.host}`, [service, ...autoAddresses], () => ({ ...service, autoAddresses }));
}

/** An ExternalName that names a service of the mesh is that service by another name. */
function resolveAliases(services: Map<string, MeshService>, memo: Memo, aliased: Set<string>): void {
  for (const [host, service] of services) {
    const target = service.external && service.resolution === 'dns' ? service.endpoints[0]?.address : undefined;
    const real = target === undefined || target === host ? undefined : services.get(target);
    if (target === undefined || real === undefined || !service.written.object.startsWith('Service ')) continue;
    aliased.add(target);
    const alias = memo.get(`alias ${host}`, [service, real], (): MeshService => {
      const ports = service.ports.length === 0 ? real.ports : service.ports;
      const { resolution, external, endpoints } = real;
      return { ...service, ports, resolution, external, endpoints, aliasOf: target };
    });
    services.set(host, alias);
  }
}

function translateWorkloads(by: ByKind, memo: Memo): readonly Workload[] {
  const inputs = [...by.all('Pod'), ...by.all('WorkloadEntry')];
  return memo.get('workloads', inputs, () => [
    ...by.all('Pod').flatMap((pod) => podWorkload(pod) ?? []),
    ...by.all('WorkloadEntry').map(entryWorkload),
  ]);
}

function translateRoutes(
  by: ByKind,
  policies: readonly TrafficPolicyRule[],
  gateways: readonly GatewayServer[],
  memo: Memo,
): { readonly routes: readonly RouteTableRule[]; readonly findings: readonly Finding[] } {
  const delegates = new Map<string, Decoded<'VirtualService'>>();
  const roots: Decoded<'VirtualService'>[] = [];
  for (const one of by.all('VirtualService')) {
    if ((one.value.hosts ?? []).length > 0) roots.push(one);
    else delegates.set(`${one.object.namespace}/${one.object.name}`, one);
  }
  const subsets = memo.get('subsets', [policies], () => new SubsetIndex(policies));
  const translated = roots.map((source) => {
    const used = (source.value.http ?? []).map((route) => delegateOf(source, route, delegates));
    return memo.get(`routes ${objectName(source.object)}`, [source, policies, ...used], () => {
      const context: RouteContext = { ...subsets.lookup, findings: [] };
      return { source, rules: rulesOf(source, delegates, context), findings: context.findings };
    });
  });
  return memo.get('routes', [gateways, ...translated], () => {
    const merged = mergeRoutes(translated, gateways);
    // A delegate's findings are met once for each of its roots.
    const all = [...translated.flatMap((one) => one.findings), ...merged.findings];
    const findings = [...new Map(all.map((one) => [JSON.stringify(one), one])).values()];
    return { routes: merged.routes, findings };
  });
}

function translateTlsRoutes(by: ByKind, policies: readonly TrafficPolicyRule[], memo: Memo) {
  const services = by.all('VirtualService').filter(({ value }) => value.tls !== undefined);
  return memo.get('tls routes', [policies, ...services], () =>
    tlsRoutes(services, new SubsetIndex(policies).lookup.hasSubset),
  );
}

function rulesOf(
  source: Decoded<'VirtualService'>,
  delegates: ReadonlyMap<string, Decoded<'VirtualService'>>,
  context: RouteContext,
): TranslatedVirtualService['rules'] {
  return (source.value.http ?? []).flatMap((route, i) =>
    route.delegate === undefined
      ? [routeRule(route, source.object, ['spec', 'http', i], context)]
      : delegatedRules(source, i, route, delegates, context),
  );
}

/** Which subsets a route may name: those of the most specific host that a DestinationRule has for it. */
class SubsetIndex {
  readonly #byHost: ReadonlyMap<string, readonly TrafficPolicyRule[]>;
  /** Most specific first, as the policies are. */
  readonly #wildcards: readonly string[];

  constructor(policies: readonly TrafficPolicyRule[]) {
    this.#byHost = Map.groupBy(policies, (policy) => policy.host);
    this.#wildcards = [...this.#byHost.keys()].filter((host) => host.startsWith('*'));
  }
  get lookup(): Pick<RouteContext, 'hasSubset' | 'subsetsOf'> {
    return {
      hasSubset: (host, subset, namespace) => this.#subsets(host, namespace).includes(subset),
      subsetsOf: (host, namespace) => this.#subsets(host, namespace),
    };
  }

  #subsets(host: string, namespace: string): readonly string[] {
    const home = host.split('.')[1] ?? '';
    for (const pattern of [host, ...this.#wildcards.filter((wildcard) => hostMatches(wildcard, host))]) {
      const visible = (this.#byHost.get(pattern) ?? []).filter(
        ({ exportTo }) => visibleTo(exportTo, namespace) || visibleTo(exportTo, home),
      );
      if (visible.length > 0) return visible.flatMap((policy) => policy.subsets.map((subset) => subset.name));
    }
    return [];
  }
}
