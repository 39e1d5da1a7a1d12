import type { Route, RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { MeshService, ServicePort } from '../../mesh/service.ts';
import { hostMatches, isAddress } from '../names.ts';
import { domainHost, HTTP_PROXY, withPort } from './names.ts';
import type { DetectedService, PortOfService } from './outbound.ts';
import { blockedHost, outsideHost, passthroughHost } from './outside.ts';
import { serviceRoute, tableRoutes } from './route.ts';
import { httpPorts, isHeadless, type Scope } from './scope.ts';

/** Istio's limit for bodies of direct responses; Envoy's own is 4 KiB. */
export const MAX_DIRECT_BODY = 1024 * 1024;

/**
 * Routes of the explicit proxy: a virtual host for each HTTP port of each service that the proxy may see, and for
 * hosts that only routing rules know; all others are outside.
 */
export function httpProxyRoutes(scope: Scope): RouteConfiguration {
  const domains = new Domains(scope);
  const hosts: VirtualHost[] = [];
  for (const service of scope.services.values()) {
    for (const port of httpPorts(service)) {
      const portless = port.number === 80 || httpPorts(service).length === 1;
      add(hosts, serviceHost(scope, service, port, domains.ofService(service, port, portless)));
    }
  }
  addRuledHosts(scope, domains, hosts);
  const outside = scope.outbound === 'ALLOW_ANY' ? outsideHost(scope.mesh.domain) : blockedHost();
  add(hosts, { ...outside, domains: domains.claim(['*']) });
  return table(HTTP_PROXY, hosts);
}

/** Routes of captured HTTP on a port: by host, which may be written with the port or without. */
export function portRoutes(scope: Scope, port: number, there: readonly PortOfService[]): RouteConfiguration {
  const domains = new Domains(scope);
  const hosts: VirtualHost[] = [];
  for (const one of there) {
    add(hosts, serviceHost(scope, one.service, one.port, domains.ofService(one.service, one.port, true)));
  }
  if (port === 80) addRuledHosts(scope, domains, hosts);
  const outside = scope.outbound === 'ALLOW_ANY' ? passthroughHost() : blockedHost();
  add(hosts, { ...outside, domains: domains.claim(['*']) });
  return table(String(port), hosts);
}

/** Routes of captured HTTP to the very addresses of a service: whatever host it names. */
export function detectedRoutes(scope: Scope, { routes, service, port }: DetectedService): RouteConfiguration {
  return table(routes, [serviceHost(scope, service, port, ['*'])]);
}

function table(name: string, virtual_hosts: VirtualHost[]): RouteConfiguration {
  return {
    name,
    virtual_hosts,
    validate_clusters: false,
    max_direct_response_body_size_bytes: MAX_DIRECT_BODY,
  };
}

function serviceHost(scope: Scope, service: MeshService, port: ServicePort, domains: string[]): VirtualHost {
  return { name: withPort(service.host, port.number), domains, routes: serviceRoutes(scope, service, port) };
}

function serviceRoutes(scope: Scope, service: MeshService, port: ServicePort): Route[] {
  const rules = scope.tableFor(service.host, 'mesh');
  const ruled = rules === undefined ? [] : tableRoutes(rules, { scope, gateway: 'mesh', port: port.number });
  // Where no rule is for this proxy, the host is as if it had none.
  return ruled.length > 0 ? ruled : [serviceRoute(service, port)];
}

/** Hosts that only routing rules know. */
function addRuledHosts(scope: Scope, domains: Domains, hosts: VirtualHost[]): void {
  for (const [host, rules] of scope.tables('mesh').hosts) {
    if ([...scope.services.keys()].some((known) => hostMatches(host, known))) continue;
    const routes = tableRoutes(rules, { scope, gateway: 'mesh', port: 80 });
    add(hosts, { name: withPort(host, 80), domains: domains.claim([host, withPort(host, 80)]), routes });
  }
}

function add(hosts: VirtualHost[], host: VirtualHost): void {
  if ((host.domains?.length ?? 0) > 0 && (host.routes?.length ?? 0) > 0) hosts.push(host);
}

/** Hands out domains, each once: Envoy refuses a table that has one twice. */
class Domains {
  readonly #scope: Scope;
  readonly #taken = new Set<string>();

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  claim(domains: readonly string[]): string[] {
    return domains.filter((domain) => {
      if (this.#taken.has(domain)) return false;
      this.#taken.add(domain);
      return true;
    });
  }

  /** Every way to write the service's name from this namespace, with the port, and without if `portless`. */
  ofService(service: MeshService, port: ServicePort, portless: boolean): string[] {
    const names = [service.host, ...this.#alternatives(service)];
    if (!isAddress(service.host) && !service.host.startsWith('*')) names.push(`${service.host}.`);
    for (const address of service.addresses) if (isAddress(address)) names.push(address);
    // Instances are called by names of their own, as a StatefulSet's pods are; the caller has chosen which.
    if (this.#scope.captured !== null && isHeadless(service)) names.push(...names.map((name) => `*.${name}`));
    return this.claim(
      names.flatMap((name) =>
        portless ? [domainHost(name), withPort(name, port.number)] : [withPort(name, port.number)],
      ),
    );
  }

  /** The shorter names of a Kubernetes service, but for one that is some other service's full name. */
  #alternatives({ host }: MeshService): string[] {
    const { mesh, namespace, services } = this.#scope;
    const suffix = `.svc.${mesh.domain}`;
    if (!host.endsWith(suffix) || host.startsWith('*')) return [];
    const short = host.slice(0, -suffix.length);
    const [name = '', space, more] = short.split('.');
    if (space === undefined || more !== undefined) return [];
    const all = [...(space === namespace ? [name] : []), short, `${short}.svc`];
    return all.filter((alternative) => !services.has(alternative));
  }
}
