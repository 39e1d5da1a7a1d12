import type { RouteConfig, VirtualHost } from '../../model/route.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { HostRequests, HostTable, HostTables, HostUsers } from '../http/host-requests.ts';
import { HostIndex, parseDomain } from '../router/virtual-hosts.ts';
import type { HostAnswer, UsedHost, WantedHost } from './worker-protocol.ts';

/** Whoever serves by the tables. */
export interface HostWorkers {
  /** Of those who answer in time. */
  usedHosts(): Promise<readonly (readonly UsedHost[])[]>;
  forgetHosts(names: readonly string[]): void;
}

/**
 * Hosts on demand where workers serve: the main thread has the control server's stream, so its {@link HostRequests} ask
 * for all of them and remember for all of them, by the virtual hosts of the config that is in force in every worker.
 */
export class SharedHosts implements HostTables, HostUsers {
  readonly #requests: HostRequests;
  readonly #workers: HostWorkers;
  readonly #tables = new Map<string, { readonly table: HostNames }>();
  #routes: Snapshot['routes'] = new Map();

  constructor(requests: HostRequests, workers: HostWorkers) {
    this.#requests = requests;
    this.#workers = workers;
  }

  /** These are in force in every worker. */
  update(routes: Snapshot['routes']): void {
    this.#routes = routes;
    for (const [name, { table }] of this.#tables) if (routes.get(name) !== table.config) this.#tables.delete(name);
    this.#requests.tablesChanged();
  }

  /** A worker waits for a host that it does not have. */
  ask({ routes, host }: WantedHost): HostAnswer | Promise<HostAnswer> {
    const requests = this.#requests;
    if (this.get(routes)?.table.lacks(host) === false) return 'go on';
    const answer = (): HostAnswer => (requests.isKnownAbsent(`${routes}/${host}`) ? 'absent' : 'go on');
    const { promise, resolve } = Promise.withResolvers<HostAnswer>();
    const waits = requests.wait({ config: { name: routes } }, host, {
      generation: 0,
      hostAnswered: () => resolve(answer()),
    });
    return waits ? promise : answer();
  }

  // Indexed when somebody asks: without hosts on demand nobody does.
  get(routes: string): { readonly table: HostNames } | undefined {
    let found = this.#tables.get(routes);
    const config = this.#routes.get(routes);
    if (found === undefined && config !== undefined) {
      found = { table: new HostNames(config) };
      this.#tables.set(routes, found);
    }
    return found;
  }

  async look(): Promise<void> {
    for (const used of await this.#workers.usedHosts()) {
      for (const { routes, name } of used) this.get(routes)?.table.use(name);
    }
  }

  forgotten(names: readonly string[]): void {
    this.#workers.forgetHosts(names);
  }
}

interface NamedHost {
  readonly virtualHost: VirtualHost;
  readonly use: { seen: boolean };
}

/** The hosts of a route configuration, without their routes. */
class HostNames implements HostTable {
  readonly config: RouteConfig;
  readonly hostIndex: HostIndex<NamedHost>;
  readonly #hosts = new Map<string, NamedHost>();

  constructor(config: RouteConfig) {
    this.config = config;
    const domains = config.virtualHosts.flatMap((virtualHost) => {
      const host: NamedHost = { virtualHost, use: { seen: false } };
      this.#hosts.set(virtualHost.name, host);
      return virtualHost.domains.map((domain) => [parseDomain(domain), host] as const);
    });
    this.hostIndex = new HostIndex(domains, config.ignorePortInHostMatching);
  }

  use(name: string): void {
    const host = this.#hosts.get(name);
    if (host !== undefined) host.use.seen = true;
  }

  lacks(authority: string): boolean {
    if (this.config.discoversHosts !== true) return false;
    const host = this.hostIndex.find(authority);
    return host === null || host.virtualHost.fallback === true;
  }
}
