import type { Resources } from './snapshot.ts';

/** What virtual hosts are called by: route configurations, and in each the domains. */
interface Table {
  readonly exact: Map<string, string>;
  /** Without their star; longest first. */
  readonly suffixes: [key: string, name: string][];
  readonly prefixes: [key: string, name: string][];
}

/** Finds the virtual host that a request for `<route configuration>/<host>` goes to, as the router of a proxy does. */
export class HostIndex {
  readonly #tables = new Map<string, Table>();

  constructor(hosts: Resources) {
    for (const { name, domains = [] } of hosts.values()) {
      const table = this.#table(routesOf(name));
      for (const domain of domains) {
        const lower = domain.toLowerCase();
        if (lower.startsWith('*')) table.suffixes.push([lower.slice(1), name]);
        else if (lower.endsWith('*')) table.prefixes.push([lower.slice(0, -1), name]);
        else table.exact.set(lower, name);
      }
    }
    for (const { suffixes, prefixes } of this.#tables.values()) {
      for (const list of [suffixes, prefixes]) list.sort(([a], [b]) => b.length - a.length);
    }
  }

  /** Names of the route configurations that have virtual hosts. */
  get routes(): Iterable<string> {
    return this.#tables.keys();
  }

  /** The resource's name; null when there is none. */
  find(asked: string): string | null {
    const table = this.#tables.get(routesOf(asked));
    if (table === undefined) return null;
    const host = asked.slice(asked.lastIndexOf('/') + 1).toLowerCase();
    const longer = ([key]: readonly [string, string]): boolean => host.length > key.length;
    return (
      table.exact.get(host) ??
      table.suffixes.find((one) => longer(one) && host.endsWith(one[0]))?.[1] ??
      table.prefixes.find((one) => longer(one) && host.startsWith(one[0]))?.[1] ??
      null
    );
  }

  #table(routes: string): Table {
    let table = this.#tables.get(routes);
    if (table === undefined) {
      table = { exact: new Map(), suffixes: [], prefixes: [] };
      this.#tables.set(routes, table);
    }
    return table;
  }
}

/** The route configuration's part of a name. Hosts have no slash, so the last one ends it. */
export function routesOf(name: string): string {
  const slash = name.lastIndexOf('/');
  return slash < 0 ? name : name.slice(0, slash);
}

/** Whether the name is of one host, and not of all that a route configuration has. */
export function isHostName(name: string): boolean {
  return name.includes('/');
}

const indexes = new WeakMap<Resources, HostIndex>();

/** Built when the first client asks, for all of them. */
export function hostIndex(hosts: Resources): HostIndex {
  let index = indexes.get(hosts);
  if (index === undefined) {
    index = new HostIndex(hosts);
    indexes.set(hosts, index);
  }
  return index;
}
