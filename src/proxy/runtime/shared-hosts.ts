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
 * for all of them and remember for all of them. A host is here when every worker has it and none has been told otherwise.
 */
export class SharedHosts implements HostTables, HostUsers {
  readonly #requests: HostRequests;
  readonly #workers: HostWorkers;
  /** Made when somebody asks: without hosts on demand nobody does. */
  readonly #names = new WeakMap<RouteConfig, HostNames>();
  #told: Snapshot['routes'] = new Map();
  #inForce: Snapshot['routes'] = new Map();

  constructor(requests: HostRequests, workers: HostWorkers) {
    this.#requests = requests;
    this.#workers = workers;
  }

  /** Workers are told these: some may have them before others. */
  tell(routes: Snapshot['routes']): void {
    this.#told = routes;
  }

  /** These are in force in every worker. */
  update(routes: Snapshot['routes']): void {
    this.#inForce = routes;
    this.#requests.tablesChanged();
  }

  /** A worker waits for a host that it does not have. */
  ask({ routes, host }: WantedHost): HostAnswer | Promise<HostAnswer> {
    const requests = this.#requests;
    const answer = (): HostAnswer => (requests.isKnownAbsent(`${routes}/${host}`) ? 'absent' : 'go on');
    const { promise, resolve } = Promise.withResolvers<HostAnswer>();
    const waits = requests.wait({ config: { name: routes } }, host, {
      generation: 0,
      hostAnswered: () => resolve(answer()),
    });
    return waits ? promise : answer();
  }

  get(routes: string): { readonly table: HostTable } | undefined {
    const inForce = this.#inForce.get(routes);
    const told = this.#told.get(routes);
    if (inForce === undefined || told === undefined) return undefined;
    const table = this.#namesOf(inForce);
    if (told === inForce) return { table };
    const soon = this.#namesOf(told);
    return { table: { hostIndex: table.hostIndex, lacks: (host) => table.lacks(host) || soon.lacks(host) } };
  }

  async look(): Promise<void> {
    for (const used of await this.#workers.usedHosts()) {
      for (const { routes, name } of used) {
        const config = this.#inForce.get(routes);
        if (config !== undefined) this.#namesOf(config).use(name);
      }
    }
  }

  forgotten(names: readonly string[]): void {
    this.#workers.forgetHosts(names);
  }

  #namesOf(config: RouteConfig): HostNames {
    let names = this.#names.get(config);
    if (names === undefined) {
      names = new HostNames(config);
      this.#names.set(config, names);
    }
    return names;
  }
}

interface NamedHost {
  readonly virtualHost: VirtualHost;
  readonly use: { seen: boolean };
}

/** The hosts of a route configuration, without their routes. */
class HostNames implements HostTable {
  readonly hostIndex: HostIndex<NamedHost>;
  readonly #discovers: boolean;
  readonly #hosts = new Map<string, NamedHost>();

  constructor(config: RouteConfig) {
    this.#discovers = config.discoversHosts === true;
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
    if (!this.#discovers) return false;
    const host = this.hostIndex.find(authority);
    return host === null || host.virtualHost.fallback === true;
  }
}
