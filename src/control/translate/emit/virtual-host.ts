import type { Route, RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { MeshService, ServicePort } from '../../mesh/service.ts';
import { hostMatches } from '../names.ts';
import { bytesTo } from './metadata.ts';
import { outboundCluster, withPort } from './names.ts';
import type { DetectedService, PortOfService } from './outbound.ts';
import { blockedHost, outsideHost, passthroughHost } from './outside.ts';
import { serviceRoute, tableRoutes } from './route.ts';
import { httpPorts, isHeadless, type Scope } from './scope.ts';
import { spellings } from './spelling.ts';

/** Istio's limit for bodies of direct responses; Envoy's own is 4 KiB. */
export const MAX_DIRECT_BODY = 1024 * 1024;

/** A virtual host that is not built yet. */
export interface HostPlan {
  readonly name: string;
  readonly domains: readonly string[];
  /** All that its routes come from; null where that is more than one service. */
  readonly of: PortOfService | null;
  /** Cluster for what is called at its addresses and is no HTTP; absent: that goes to where it was going. */
  readonly bytes?: string;
  routes(): Route[];
  /** Hosts that no other is for. */
  readonly rest?: VirtualHost;
}

/**
 * Hosts of the explicit proxy: one for each HTTP port of each service that the proxy may see, and those that only
 * routing rules know; all others are outside.
 */
export function httpProxyHosts(scope: Scope): HostPlan[] {
  const domains = new Domains(scope);
  const hosts: HostPlan[] = [];
  for (const service of scope.services.values()) {
    for (const port of httpPorts(service)) {
      const portless = port.number === 80 || httpPorts(service).length === 1;
      hosts.push(serviceHost(scope, { service, port }, domains.ofService(service, port, portless)));
    }
  }
  hosts.push(...ruledHosts(scope, domains));
  const outside = scope.outbound === 'ALLOW_ANY' ? outsideHost(scope.mesh.domain) : blockedHost();
  hosts.push(restHost(outside, domains));
  return hosts.filter(({ domains }) => domains.length > 0);
}

/** Hosts of captured HTTP on a port: names may be written with the port or without. */
export function portHosts(scope: Scope, port: number, there: readonly PortOfService[]): HostPlan[] {
  const domains = new Domains(scope);
  const hosts = there.map((one) => {
    const host = serviceHost(scope, one, domains.ofService(one.service, one.port, true));
    // Charts call ports http that are not (pains row 23): by its address the service is known all the same.
    const own = scope.detects && one.service.addresses.length > 0;
    return own ? { ...host, bytes: outboundCluster(port, '', one.service.host) } : host;
  });
  if (port === 80) hosts.push(...ruledHosts(scope, domains));
  hosts.push(restHost(scope.outbound === 'ALLOW_ANY' ? passthroughHost() : blockedHost(), domains));
  return hosts.filter(({ domains }) => domains.length > 0);
}

/** Routes of captured HTTP to the very addresses of a service: whatever host it names. */
export function detectedRoutes(scope: Scope, detected: DetectedService): RouteConfiguration {
  return routeConfig(detected.routes, [buildHost(serviceHost(scope, detected, ['*']))]);
}

/** A route configuration with all of its hosts in it. */
export function wholeRoutes(name: string, hosts: readonly HostPlan[]): RouteConfiguration {
  return routeConfig(name, hosts.map(buildHost));
}

export function buildHost(plan: HostPlan): VirtualHost {
  const { rest, name, domains, bytes } = plan;
  if (rest !== undefined) return rest;
  const host = { name, domains: [...domains], routes: plan.routes() };
  return bytes === undefined ? host : { ...host, metadata: bytesTo(bytes) };
}

export function routeConfig(name: string, virtual_hosts: VirtualHost[]): RouteConfiguration {
  return {
    name,
    virtual_hosts,
    validate_clusters: false,
    max_direct_response_body_size_bytes: MAX_DIRECT_BODY,
  };
}

function serviceHost(scope: Scope, of: PortOfService, domains: string[]): HostPlan {
  const { service, port } = of;
  const rules = scope.tableFor(service.host, 'mesh');
  const plain = (): Route[] => [serviceRoute(service, port, scope)];
  const name = withPort(service.host, port.number);
  if (rules === undefined) return { name, domains, of, routes: plain };
  const routes = (): Route[] => {
    const ruled = tableRoutes(rules, { scope, gateway: 'mesh', port: port.number });
    // Where no rule is for this proxy, the host is as if it had none.
    return ruled.length > 0 ? ruled : plain();
  };
  return { name, domains, of: null, routes };
}

/** Hosts that only routing rules know. */
function ruledHosts(scope: Scope, domains: Domains): HostPlan[] {
  const hosts: HostPlan[] = [];
  for (const [host, rules] of scope.tables('mesh').hosts) {
    if ([...scope.services.keys()].some((known) => hostMatches(host, known)) || !scope.mayCall(host, rules)) continue;
    const routes = tableRoutes(rules, { scope, gateway: 'mesh', port: 80 });
    if (routes.length === 0) continue;
    const name = withPort(host, 80);
    hosts.push({ name, domains: domains.claim([host, name]), of: null, routes: () => routes });
  }
  return hosts;
}

function restHost(host: VirtualHost, domains: Domains): HostPlan {
  const own = domains.claim(host.domains ?? []);
  return { name: host.name ?? '', domains: own, of: null, routes: () => host.routes ?? [], rest: host };
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
    const { mesh, namespace, services, captured } = this.#scope;
    // Instances are called by names of their own, as a StatefulSet's pods are; the caller has chosen which.
    const instances = captured !== null && isHeadless(service);
    const domains: string[] = [];
    for (const spelling of spellings(service, mesh.domain, isIn(service.host, namespace), instances)) {
      // It is another service.
      if (spelling.shorter !== null && services.has(spelling.shorter)) continue;
      if (portless) domains.push(spelling.domain);
      domains.push(spelling.withPort(port.number));
    }
    return this.claim(domains);
  }
}

/** `name.namespace.svc…` */
function isIn(host: string, namespace: string): boolean {
  return host.startsWith(`${namespace}.`, host.indexOf('.') + 1);
}
