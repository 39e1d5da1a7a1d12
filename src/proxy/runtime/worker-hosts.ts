import {
  askableHost,
  type HostQueue,
  type HostTables,
  type HostWaiter,
  MAX_WAITING,
  type NamedTable,
} from '../http/host-requests.ts';
import type { RouteTable } from '../router/table.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { HostAnswer, UsedHost, WantedHost } from './worker-protocol.ts';

/** A host that this worker has asked for. */
interface Asked {
  readonly routes: string;
  readonly host: string;
  /** There is none, until the main thread says that it has forgotten so. */
  absent: boolean;
  readonly waiters: { readonly waiter: HostWaiter; readonly generation: number }[];
}

/** Tables with what says of their hosts which were used. */
export interface UsedTables extends HostTables, Iterable<readonly [string, { readonly table: RouteTable | null }]> {}

/**
 * Hosts on demand in a worker: whom to ask, for how long to wait, and what is remembered of it is decided by the main
 * thread (`shared-hosts.ts`), for all workers. Here are the requests that wait, which go on as soon as this worker has
 * the host, and the names of which there is nothing to wait for.
 */
export class WorkerHosts implements HostQueue {
  readonly #asked = new Map<string, Asked>();
  readonly #ask: (wanted: WantedHost) => Promise<HostAnswer>;
  readonly #stats: StatStore;
  readonly #overflow: number;
  #tables: UsedTables = new Map();
  #waiting = 0;

  constructor(ask: (wanted: WantedHost) => Promise<HostAnswer>, stats: StatStore) {
    this.#ask = ask;
    this.#stats = stats;
    this.#overflow = stats.counter('envoy_on_demand_hosts', { event: 'overflow' }, 'on_demand.overflow');
  }

  /** Finds tables there. */
  follow(tables: UsedTables): void {
    this.#tables = tables;
  }

  wait({ config: { name: routes } }: NamedTable, authority: string, waiter: HostWaiter): boolean {
    const host = askableHost(authority);
    if (host === null) return false;
    const key = `${routes}/${host}`;
    const known = this.#asked.get(key);
    if (known?.absent === true) return false;
    if (this.#waiting >= MAX_WAITING) {
      this.#stats.add(this.#overflow, 1);
      return false;
    }
    const asked = known ?? this.#begin(key, routes, host);
    this.#waiting++;
    asked.waiters.push({ waiter, generation: waiter.generation });
    return true;
  }

  tablesChanged(): void {
    for (const [key, asked] of this.#asked) {
      const table = this.#tables.get(asked.routes)?.table ?? null;
      if (table === null || table.lacks(asked.host)) continue;
      this.#asked.delete(key);
      this.#release(asked);
    }
  }

  /** The main thread does not remember any more that there are no such hosts. */
  forget(names: readonly string[]): void {
    for (const name of names) if (this.#asked.get(name)?.absent === true) this.#asked.delete(name);
  }

  /** The hosts that were used since the last time. */
  takeUsed(): UsedHost[] {
    const used: UsedHost[] = [];
    for (const [routes, { table }] of this.#tables) {
      for (const { use, virtualHost } of table?.hosts ?? []) {
        if (use?.seen !== true) continue;
        use.seen = false;
        used.push({ routes, name: virtualHost.name });
      }
    }
    return used;
  }

  close(): void {
    this.#asked.clear();
  }

  #begin(key: string, routes: string, host: string): Asked {
    const asked: Asked = { routes, host, absent: false, waiters: [] };
    this.#asked.set(key, asked);
    this.#ask({ routes, host }).then(
      (answer) => this.#answered(key, asked, answer),
      // Only where the main thread ends this one.
      () => this.#answered(key, asked, 'go on'),
    );
    return asked;
  }

  #answered(key: string, asked: Asked, answer: HostAnswer): void {
    // It came meanwhile.
    if (this.#asked.get(key) !== asked) return;
    // Whoever goes on now does not ask again.
    asked.absent = true;
    this.#release(asked);
    if (answer === 'go on') this.#asked.delete(key);
  }

  #release({ waiters }: Asked): void {
    const all = waiters.splice(0);
    this.#waiting -= all.length;
    for (const { waiter, generation } of all) if (waiter.generation === generation) waiter.hostAnswered();
  }
}
