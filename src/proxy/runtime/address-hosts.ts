import type { HostQueue } from '../http/host-requests.ts';
import type { RouteTable } from '../router/table.ts';
import type { AddressHosts, AddressWaiter } from '../tcp/tcp-proxy.ts';

type Tables = ReadonlyMap<string, { readonly table: RouteTable | null }>;

/**
 * Where bytes go that came by a port of HTTP: the virtual hosts of its route configuration know services by their
 * addresses too, and are discovered as for requests.
 */
export class TableAddressHosts implements AddressHosts {
  readonly #queue: HostQueue;
  #tables: Tables = new Map();

  constructor(queue: HostQueue) {
    this.#queue = queue;
  }

  /** Finds tables there. */
  follow(tables: Tables): void {
    this.#tables = tables;
  }

  awaits(routes: string, address: string, waiter: AddressWaiter): boolean {
    const table = this.#tables.get(routes)?.table ?? null;
    return table?.lacks(address) === true && this.#queue.wait(table, address, waiter);
  }

  bytesTo(routes: string, address: string): string | null {
    const host = this.#tables.get(routes)?.table?.hostIndex.find(address) ?? null;
    const cluster = host?.virtualHost.bytesTo;
    if (host === null || cluster === undefined) return null;
    // A host that is in use is not let go.
    if (host.use !== null) host.use.seen = true;
    return cluster;
  }
}
