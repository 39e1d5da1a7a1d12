import type { Logger } from '../../base/log.ts';
import type { RouteConfig, VirtualHost } from '../../model/route.ts';
import { routesOf } from './references.ts';
import type { ResourceUpdate } from './resource-decoder.ts';
import { WILDCARD } from './subscription.ts';

/**
 * Virtual hosts that came one by one, and the route configurations that they belong to. A configuration with its hosts
 * is the same object for as long as neither changes, and each host is as it was decoded.
 */
export class DiscoveredHosts {
  readonly #log: Logger;
  /** By route configuration, then by resource. */
  readonly #hosts = new Map<string, Map<string, VirtualHost>>();
  readonly #whole = new Map<string, RouteConfig>();

  constructor(log: Logger) {
    this.#log = log;
  }

  update({ updated, removed }: ResourceUpdate): void {
    for (const { name, resource } of updated) {
      const routes = routesOf(name);
      let hosts = this.#hosts.get(routes);
      if (hosts === undefined) {
        hosts = new Map();
        this.#hosts.set(routes, hosts);
      }
      const host = this.#shortNamed(resource as VirtualHost, routes);
      if (hosts.get(name) === host) continue;
      hosts.set(name, host);
      this.#whole.delete(routes);
    }
    for (const name of removed) {
      const routes = routesOf(name);
      const hosts = this.#hosts.get(routes);
      if (hosts?.delete(name) !== true) continue;
      if (hosts.size === 0) this.#hosts.delete(routes);
      this.#whole.delete(routes);
    }
  }

  /** The configuration with its hosts; itself when it has all of them in it. */
  addTo(config: RouteConfig): RouteConfig {
    if (config.discoversHosts !== true) return config;
    const before = this.#whole.get(config.name);
    if (before?.base === config) return before;
    const virtualHosts = this.#merge(config, this.#hosts.get(config.name)?.values() ?? []);
    const whole = { ...config, virtualHosts, base: config };
    this.#whole.set(config.name, whole);
    return whole;
  }

  /** What to ask for: all that the server sends of its own accord, and hosts by name. */
  wanted(configs: Iterable<RouteConfig>, asked: ReadonlySet<string>): Set<string> {
    const routes = new Set<string>();
    for (const { name, discoversHosts } of configs) if (discoversHosts === true) routes.add(name);
    if (routes.size === 0) return routes;
    return new Set([WILDCARD, ...[...asked].filter((name) => routes.has(routesOf(name)))]);
  }

  /** Where a host has its resource's name, as Envoy wants it, people know it without the configuration's. */
  #shortNamed(host: VirtualHost, routes: string): VirtualHost {
    if (!host.name.startsWith(`${routes}/`)) return host;
    let named = this.#named.get(host);
    if (named === undefined) {
      named = { ...host, name: host.name.slice(routes.length + 1) };
      this.#named.set(host, named);
    }
    return named;
  }
  readonly #named = new WeakMap<VirtualHost, VirtualHost>();

  /** Of two hosts with one domain the first has it: a table with both could not be compiled. */
  #merge(config: RouteConfig, more: Iterable<VirtualHost>): VirtualHost[] {
    const taken = new Map(config.virtualHosts.flatMap((host) => host.domains.map((domain) => [domain, host.name])));
    const hosts = [...config.virtualHosts];
    for (const host of more) {
      const conflicts = host.domains.filter((domain) => taken.has(domain));
      for (const domain of host.domains) if (!taken.has(domain)) taken.set(domain, host.name);
      if (conflicts.length === 0) {
        hosts.push(host);
        continue;
      }
      const { name } = config;
      const other = taken.get(conflicts[0]!);
      this.#log.warn('virtual hosts share a domain', { routes: name, host: host.name, other, domain: conflicts[0] });
      const own = host.domains.filter((domain) => !conflicts.includes(domain));
      if (own.length > 0) hosts.push({ ...host, domains: own });
    }
    return hosts;
  }
}
