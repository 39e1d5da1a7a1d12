import type { RouteConfiguration, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { MeshService, ServicePort } from '../../mesh/service.ts';
import { hostMatches, isAddress } from '../names.ts';
import { domainHost, HTTP_PROXY, withPort } from './names.ts';
import { outsideHost } from './outside.ts';
import { serviceRoute, tableRoutes } from './route.ts';
import { httpPorts, type Scope } from './scope.ts';

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
    const table = scope.tableFor(service.host, 'mesh');
    for (const port of httpPorts(service)) {
      const ruled = table === undefined ? [] : tableRoutes(table, { scope, gateway: 'mesh', port: port.number });
      add(hosts, {
        name: withPort(service.host, port.number),
        domains: domains.ofService(service, port),
        // Where no rule is for this proxy, the host is as if it had none.
        routes: ruled.length > 0 ? ruled : [serviceRoute(service, port)],
      });
    }
  }
  for (const [host, table] of scope.tables('mesh').hosts) {
    if ([...scope.services.keys()].some((known) => hostMatches(host, known))) continue;
    const routes = tableRoutes(table, { scope, gateway: 'mesh', port: 80 });
    add(hosts, { name: withPort(host, 80), domains: domains.claim([host, withPort(host, 80)]), routes });
  }
  add(hosts, { ...outsideHost(scope.mesh.domain), domains: domains.claim(['*']) });
  return {
    name: HTTP_PROXY,
    virtual_hosts: hosts,
    validate_clusters: false,
    max_direct_response_body_size_bytes: MAX_DIRECT_BODY,
  };
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

  /** Every way to write the service's name from this namespace, with the port, and without where that is clear. */
  ofService(service: MeshService, port: ServicePort): string[] {
    const names = [service.host, ...this.#alternatives(service)];
    if (!isAddress(service.host) && !service.host.startsWith('*')) names.push(`${service.host}.`);
    for (const address of service.addresses) if (isAddress(address)) names.push(address);
    const portless = port.number === 80 || httpPorts(service).length === 1;
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
