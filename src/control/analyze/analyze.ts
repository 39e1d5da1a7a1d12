import type { Mesh } from '../mesh/mesh.ts';
import type { MeshService } from '../mesh/service.ts';
import { type Finding, objectName } from '../source/collection.ts';
import { findingAt, placeOf } from '../source/finding.ts';
import { nearest } from '../source/schema/suggest.ts';
import type { Path } from '../source/schema/type.ts';
import type { Decoded, KindName } from '../translate/decoded.ts';
import {
  compareAge,
  compareText,
  exportedTo,
  fullHost,
  gatewayName,
  hostMatches,
  labelsMatch,
  visibleTo,
} from '../translate/names.ts';
import { tlsConflicts } from './mutual-tls.ts';
import { shadowedRoutes } from './shadow.ts';

/**
 * Mistakes that no object shows alone. They are told apart from what translation itself finds (missing subsets,
 * conflicting rules), because they do not change the mesh: a route may name a service that is yet to come.
 */
export function analyze(objects: readonly Decoded[], mesh: Mesh): readonly Finding[] {
  const analysis = new Analysis(objects, mesh);
  for (const service of analysis.all('VirtualService')) analysis.virtualService(service);
  analysis.sharedHosts();
  for (const gateway of analysis.all('Gateway')) analysis.gateway(gateway);
  for (const rule of analysis.all('DestinationRule')) analysis.destinationRule(rule);
  for (const service of analysis.all('Service')) analysis.service(service);
  for (const policy of analysis.all('ResiliencePolicy')) analysis.resiliencePolicy(policy);
  return analysis.findings.sort(
    (a, b) => compareText(a.file, b.file) || a.line - b.line || compareText(a.message, b.message),
  );
}

class Analysis {
  readonly findings: Finding[] = [];
  readonly #objects: readonly Decoded[];
  readonly #mesh: Mesh;
  readonly #wildcards: readonly MeshService[];
  readonly #gateways: ReadonlyMap<string, Decoded<'Gateway'>>;
  readonly #delegated: ReadonlySet<string>;

  constructor(objects: readonly Decoded[], mesh: Mesh) {
    this.#objects = objects;
    this.#mesh = mesh;
    this.#wildcards = [...mesh.services.values()].filter((service) => service.host.startsWith('*'));
    this.#gateways = new Map(this.all('Gateway').map((one) => [`${one.object.namespace}/${one.object.name}`, one]));
    this.#delegated = new Set(
      this.all('VirtualService').flatMap(({ object, value }) =>
        (value.http ?? []).flatMap(({ delegate }) =>
          delegate === undefined ? [] : [`${delegate.namespace || object.namespace}/${delegate.name}`],
        ),
      ),
    );
  }

  all<K extends KindName>(kind: K): readonly Decoded<K>[] {
    return this.#objects.filter((decoded) => decoded.kind === kind) as unknown as readonly Decoded<K>[];
  }

  virtualService(service: Decoded<'VirtualService'>): void {
    const { object, value } = service;
    this.findings.push(...shadowedRoutes(service));
    const hosts = value.hosts ?? [];
    if (hosts.length === 0 && !this.#delegated.has(`${object.namespace}/${object.name}`)) {
      this.#add(
        service,
        'warning',
        'unused-delegate',
        [],
        'has no hosts, and no VirtualService delegates to it: it has no effect',
      );
    }
    this.#gatewaysOf(service);
    if (isForMesh(service)) {
      for (const [i, text] of hosts.entries()) {
        const host = fullHost(text, object.namespace);
        if (this.#callable(host)) {
          const apart = this.#apart(value.exportTo, object.namespace, this.#service(host));
          if (apart !== null)
            this.#add(service, 'warning', 'not-exported', ['spec', 'hosts', i], `${apart}: it has no effect`);
          continue;
        }
        this.#add(
          service,
          'warning',
          'unknown-host',
          ['spec', 'hosts', i],
          `${host} is no service of the mesh${this.#meant(host)}`,
        );
      }
    }
    for (const [i, route] of (value.http ?? []).entries()) {
      for (const [j, { destination }] of (route.route ?? []).entries()) {
        this.#destination(service, destination, ['spec', 'http', i, 'route', j, 'destination']);
      }
    }
  }

  #destination(
    service: Decoded<'VirtualService'>,
    { host: text, port }: { readonly host: string; readonly port?: { readonly number?: number } },
    path: Path,
  ): void {
    const host = fullHost(text, service.object.namespace);
    const target = this.#service(host);
    if (target === undefined) {
      const message = `${host} is no service of the mesh: requests fail with 503${this.#meant(host)}`;
      this.#add(service, 'error', 'unknown-host', [...path, 'host'], message);
      return;
    }
    const apart = this.#apart(service.value.exportTo, service.object.namespace, target);
    if (apart !== null) {
      this.#add(service, 'error', 'not-exported', [...path, 'host'], `${apart}: requests fail with 503`);
      return;
    }
    const { namespace } = service.object;
    if (isForMesh(service) && !visibleTo(target.exportTo, namespace)) {
      const message = `${host} (${target.written.object}) is exported to ${whom(target.exportTo)}: requests from namespace ${namespace} fail with 503`;
      this.#add(service, 'warning', 'not-exported', [...path, 'host'], message);
    }
    const number = port?.number;
    if (number !== undefined && !target.ports.some((one) => one.number === number)) {
      const ports = target.ports.map((one) => one.number).join(', ') || 'none';
      this.#add(
        service,
        'error',
        'unknown-port',
        [...path, 'port', 'number'],
        `${host} has no port ${number}: its ports are ${ports}`,
      );
    }
  }

  #gatewaysOf(service: Decoded<'VirtualService'>): void {
    const { object, value } = service;
    const bound = new Set(
      (value.gateways?.length ? value.gateways : ['mesh']).map((name) => gatewayName(name, object.namespace)),
    );
    const seen = new Set<string>();
    for (const [i, reference] of (value.gateways ?? []).entries()) {
      if (reference === 'mesh') continue;
      const name = gatewayName(reference, object.namespace);
      const gateway = this.#gateways.get(name);
      if (gateway === undefined) {
        const near = nearest(name, [...this.#gateways.keys()]);
        const hint = near === undefined ? '' : `: did you mean ${near}?`;
        this.#add(
          service,
          'error',
          'missing-gateway',
          ['spec', 'gateways', i],
          `the Gateway ${name} is not there${hint}`,
        );
        continue;
      }
      if (seen.has(name)) continue;
      seen.add(name);
      for (const [j, host] of (value.hosts ?? []).entries()) {
        this.#gatewayHost(service, gateway, host, ['spec', 'hosts', j]);
      }
    }
    for (const [i, route] of (value.http ?? []).entries()) {
      for (const [j, match] of (route.match ?? []).entries()) {
        for (const [k, reference] of (match.gateways ?? []).entries()) {
          if ((value.hosts ?? []).length === 0 || bound.has(gatewayName(reference, object.namespace))) continue;
          const message = `${reference} is not among spec.gateways: this match has no effect there`;
          this.#add(service, 'warning', 'missing-gateway', ['spec', 'http', i, 'match', j, 'gateways', k], message);
        }
      }
    }
  }

  #gatewayHost(service: Decoded<'VirtualService'>, gateway: Decoded<'Gateway'>, text: string, path: Path): void {
    const host = fullHost(text, service.object.namespace);
    const served = gateway.value.servers.flatMap((server) => server.hosts);
    const matches = served.some((entry) => {
      const slash = entry.indexOf('/');
      const space = slash < 0 ? '*' : entry.slice(0, slash) === '.' ? gateway.object.namespace : entry.slice(0, slash);
      const pattern = entry.slice(slash + 1).toLowerCase();
      if (space !== '*' && space !== service.object.namespace) return false;
      return hostMatches(pattern, host) || hostMatches(host, pattern);
    });
    if (matches) return;
    const name = `${gateway.object.namespace}/${gateway.object.name}`;
    const message = `the Gateway ${name} does not serve ${host} (it serves ${served.join(', ')}): nothing gets here through it`;
    this.#add(service, 'warning', 'host-not-served', path, message);
  }

  /** Istio uses the oldest VirtualService of a host for calls within the mesh; we merge them. Worth a word either way. */
  sharedHosts(): void {
    const owners = new Map<string, Decoded<'VirtualService'>[]>();
    for (const service of this.all('VirtualService').toSorted((a, b) => compareAge(a.object, b.object))) {
      const { object, value } = service;
      if (!isForMesh(service)) continue;
      for (const [i, text] of (value.hosts ?? []).entries()) {
        const host = fullHost(text, object.namespace);
        const others = owners.get(host) ?? [];
        const other = others.find((one) => seenTogether(one, service));
        if (other !== undefined) {
          const message = `${host} is routed by ${objectName(other.object)} (${placeOf(other.object)}) too: their rules are merged here, where Istio uses only the first (the older one)`;
          this.#add(service, 'warning', 'shared-host', ['spec', 'hosts', i], message);
        }
        owners.set(host, [...others, service]);
      }
    }
  }

  /** Secrets are those beside the gateway's pods; where no pod is known, any of that name is looked at. */
  gateway(gateway: Decoded<'Gateway'>): void {
    const selector = Object.entries(gateway.value.selector ?? {});
    const pods = this.#mesh.workloads.filter(({ labels }) => selector.every(([key, text]) => labels[key] === text));
    const spaces = selector.length === 0 ? [] : [...new Set(pods.map(({ namespace }) => namespace))];
    const secrets = [...this.#mesh.secrets.values()];
    for (const [i, { tls }] of gateway.value.servers.entries()) {
      const name = tls?.credentialName ?? '';
      if (name === '' || tls?.mode === 'ISTIO_MUTUAL') continue;
      const path = ['spec', 'servers', i, 'tls', 'credentialName'];
      for (const space of secrets.length === 0 ? [] : spaces) {
        if (this.#mesh.secrets.has(`${space}/${name}`)) continue;
        const elsewhere = secrets.find((secret) => secret.name === name);
        const hint = elsewhere === undefined ? '' : `; there is one in ${elsewhere.namespace}`;
        const message = `there is no Secret ${space}/${name}, where the gateway’s pods are: its hosts are not served${hint}`;
        this.#add(gateway, 'warning', 'missing-secret', path, message);
      }
      for (const secret of secrets) {
        if (secret.name !== name || secret.certificate !== null) continue;
        if (spaces.length > 0 && !spaces.includes(secret.namespace)) continue;
        const message = `Secret ${secret.namespace}/${name} has no tls.crt and tls.key: its hosts are not served`;
        this.#add(gateway, 'error', 'missing-secret', path, message);
      }
    }
  }

  destinationRule(rule: Decoded<'DestinationRule'>): void {
    const host = fullHost(rule.value.host, rule.object.namespace);
    const covered = [...this.#mesh.services.values()].filter(
      (service) => hostMatches(host, service.host) || hostMatches(service.host, host),
    );
    if (covered.length === 0) {
      const what = host.startsWith('*')
        ? 'matches no service of the mesh'
        : `is no service of the mesh${this.#meant(host)}`;
      this.#add(rule, 'warning', 'unknown-host', ['spec', 'host'], `${host} ${what}`);
      return;
    }
    const { exportTo } = rule.value;
    const apart = covered.map((service) => this.#apart(exportTo, rule.object.namespace, service));
    if (apart[0] != null && apart.every((one) => one !== null)) {
      this.#add(rule, 'warning', 'not-exported', ['spec', 'host'], `${apart[0]}: it has no effect`);
      return;
    }
    this.findings.push(...tlsConflicts(rule, covered, this.#mesh));
    for (const [i, subset] of (rule.value.subsets ?? []).entries())
      this.#subset(rule, covered, subset, ['spec', 'subsets', i]);
    for (const [i, { port }] of (rule.value.trafficPolicy?.portLevelSettings ?? []).entries()) {
      if (covered.some((service) => service.ports.some((one) => one.number === port.number))) continue;
      this.#add(
        rule,
        'warning',
        'unknown-port',
        ['spec', 'trafficPolicy', 'portLevelSettings', i, 'port', 'number'],
        `${host} has no port ${port.number}`,
      );
    }
  }

  #subset(
    rule: Decoded<'DestinationRule'>,
    services: readonly MeshService[],
    { name, labels = {} }: { readonly name: string; readonly labels?: Readonly<Record<string, string>> },
    path: Path,
  ): void {
    const endpoints = services.flatMap((service) => service.endpoints);
    if (endpoints.length === 0 || endpoints.some((endpoint) => labelsMatch(labels, endpoint.labels))) return;
    const wanted = Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    this.#add(rule, 'warning', 'empty-subset', path, `no endpoint has the labels of subset ${name} (${wanted})`);
  }

  service(service: Decoded<'Service'>): void {
    const { object, value } = service;
    const made = this.#mesh.services.get(fullHost(object.name, object.namespace));
    for (const [i, port] of (value.spec.ports ?? []).entries()) {
      const protocol = made?.ports.find((one) => one.number === port.port)?.protocol;
      if (protocol !== 'auto') continue;
      const message = `neither appProtocol nor the name of port ${port.port} says its protocol, so it is found out for each connection: name it http-… or tcp-…`;
      this.#add(service, 'warning', 'unnamed-protocol', ['spec', 'ports', i], message);
    }
  }

  resiliencePolicy(policy: Decoded<'ResiliencePolicy'>): void {
    const space = policy.object.namespace;
    for (const [i, ref] of policy.value.targetRefs.entries()) {
      const path = ['spec', 'targetRefs', i];
      const target = this.#objects.find(
        ({ kind, object }) => kind === ref.kind && object.namespace === space && object.name === ref.name,
      );
      if (target === undefined) {
        this.#add(
          policy,
          'error',
          'unknown-target',
          [...path, 'name'],
          `there is no ${ref.kind} ${space}/${ref.name}: nothing is limited`,
        );
      } else if (ref.sectionName !== undefined && target.kind === 'VirtualService') {
        const names = ((target as Decoded<'VirtualService'>).value.http ?? []).flatMap((route) => route.name ?? []);
        if (names.includes(ref.sectionName)) continue;
        const message = `${objectName(target.object)} has no route named ${ref.sectionName}: its routes are ${names.join(', ') || 'unnamed'}`;
        this.#add(policy, 'error', 'unknown-target', [...path, 'sectionName'], message);
      }
    }
  }

  #service(host: string): MeshService | undefined {
    return this.#mesh.services.get(host) ?? this.#wildcards.find((service) => hostMatches(service.host, host));
  }

  /** Why no proxy has both the rule and the service; null: some may. */
  #apart(exportTo: readonly string[] | undefined, namespace: string, service: MeshService | undefined): string | null {
    const sees = exportedTo(exportTo, namespace);
    if (service === undefined || sees.length === 0 || service.exportTo.includes('*')) return null;
    if (service.exportTo.some((space) => visibleTo(sees, space))) return null;
    const seen = `${service.host} (${service.written.object}) is exported to ${whom(service.exportTo)}`;
    return `${seen}${sees.includes('*') ? '' : `, and this to ${whom(sees)}`}, so no proxy has both`;
  }

  /** A host, or a wildcard that covers at least one. */
  #callable(host: string): boolean {
    if (this.#service(host) !== undefined) return true;
    return host.startsWith('*') && [...this.#mesh.services.keys()].some((known) => hostMatches(host, known));
  }

  /** `reviews.default` is an external name to Istio, and nearly always meant as the service. */
  #meant(host: string): string {
    const whole = host.endsWith('.svc') ? `${host}.${this.#mesh.domain}` : `${host}.svc.${this.#mesh.domain}`;
    const near = this.#mesh.services.has(whole) ? whole : this.#near(host);
    return near === undefined ? '' : `; did you mean ${near}?`;
  }

  /** Of services whose hosts end alike it is the name that counts: the rest would make all of them near. */
  #near(host: string): string | undefined {
    const dot = host.indexOf('.');
    const [name, rest] = dot < 0 ? [host, ''] : [host.slice(0, dot), host.slice(dot)];
    const hosts = [...this.#mesh.services.keys()];
    const beside = hosts.filter((one) => one.indexOf('.') >= 0 && one.slice(one.indexOf('.')) === rest);
    const short = nearest(
      name,
      beside.map((one) => one.slice(0, one.indexOf('.'))),
    );
    if (short !== undefined) return short + rest;
    const moved = hosts.find((one) => one.startsWith(`${name}.`) && one.endsWith(`.svc.${this.#mesh.domain}`));
    if (rest.endsWith(`.svc.${this.#mesh.domain}`)) return moved;
    return nearest(host, hosts);
  }

  #add({ object }: Decoded, severity: Finding['severity'], code: string, path: Path, message: string): void {
    this.findings.push(findingAt(object, severity, code, path, message));
  }
}

/** Whether sidecars go by it. */
function isForMesh({ value }: Decoded<'VirtualService'>): boolean {
  return value.gateways === undefined || value.gateways.length === 0 || value.gateways.includes('mesh');
}

function whom(spaces: readonly string[]): string {
  if (spaces.length === 0) return 'nobody';
  return `${spaces.length === 1 ? 'namespace' : 'namespaces'} ${spaces.join(', ')} alone`;
}

function seenTogether(a: Decoded<'VirtualService'>, b: Decoded<'VirtualService'>): boolean {
  const left = exportedTo(a.value.exportTo, a.object.namespace);
  const right = exportedTo(b.value.exportTo, b.object.namespace);
  return left.includes('*') || right.includes('*') || left.some((space) => right.includes(space));
}
