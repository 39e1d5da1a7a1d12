import type { LogLevel } from '../../base/log.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import type { AdminRoute } from '../admin/route.ts';
import type { ClusterView, DrainingListener, DrainView, ListenerView, MemoryUse, ServerState } from '../admin/view.ts';
import type { StatStore } from '../telemetry/metrics/store.ts';
import type { EndpointDescription } from '../upstream/describe.ts';
import { type AdminViewParts, ProxyAdminView } from './admin-view.ts';
import type { AssignedCluster } from './config-source.ts';
import { memoryUse, type RunningCounts } from './running-counts.ts';
import type { WorkerCounts, WorkerView } from './worker-protocol.ts';
import type { Workers } from './workers.ts';

/** Pages that show what the workers have, connection by connection or endpoint by endpoint. */
const LOOKS: ReadonlySet<string> = new Set(['/clusters', '/listeners', '/remora/drain', '/config_dump']);
/** Pages of numbers. */
const COUNTS: ReadonlySet<string> = new Set(['/stats', '/stats/prometheus', '/metrics', '/memory']);
/** Pages that one of them answers, for all have the same config. */
const ASKS: ReadonlySet<string> = new Set(['/certs', '/remora/explain']);

/** The running proxy where workers serve: what they answered last. A page of {@link WorkersAdminView.asking} asks first. */
export class WorkersAdminView extends ProxyAdminView {
  readonly #workers: Workers;
  readonly #statics: ReadonlySet<string>;
  #views: readonly WorkerView[] = [];
  #counts: readonly WorkerCounts[] = [];
  #merged: StatStore;

  constructor(parts: AdminViewParts, workers: Workers) {
    const { logRoot, sinks } = parts;
    super({
      ...parts,
      concurrency: workers.count,
      logRoot: {
        get level() {
          return logRoot.level;
        },
        set level(level: LogLevel) {
          logRoot.level = level;
          workers.setLogLevel(level);
        },
      },
      sinks: {
        reopen() {
          sinks.reopen();
          workers.reopenLogs();
        },
      },
    });
    this.#workers = workers;
    this.#statics = new Set(parts.bootstrap.clusters.map(({ name }) => name));
    this.#merged = workers.stats.read();
  }

  /** The same pages, each of which has the workers say first what it shows. */
  asking(routes: readonly AdminRoute[]): readonly AdminRoute[] {
    const workers = this.#workers;
    return routes.map((route): AdminRoute => {
      const { path, handle } = route;
      if (ASKS.has(path)) return { ...route, handle: ({ query }) => workers.page(path, query.text) };
      if (LOOKS.has(path)) {
        return {
          ...route,
          handle: async (request) => {
            this.#views = await workers.views();
            return await handle(request);
          },
        };
      }
      if (COUNTS.has(path)) {
        return {
          ...route,
          handle: async (request) => {
            this.#counts = await workers.sync();
            return await handle(request);
          },
        };
      }
      if (path !== '/reset_counters') return route;
      return {
        ...route,
        handle: (request) => {
          workers.resetCounters();
          return handle(request);
        },
      };
    });
  }

  /** Connections that nobody accepts are not to be sent here. */
  override state(): ServerState {
    const state = super.state();
    return state === 'LIVE' && !this.#workers.serve ? 'INITIALIZING' : state;
  }

  override stateReason(): string {
    return this.state() === 'INITIALIZING' ? 'All workers have ended and are started again.' : super.stateReason();
  }

  override get stats(): StatStore {
    return this.#merged;
  }

  override sample(): void {
    super.sample();
    this.#merged = this.#workers.stats.read();
  }

  override memory(): MemoryUse {
    const own = memoryUse();
    const all = [own, ...this.#counts.map(({ memory }) => memory)];
    const sum = (of: (one: MemoryUse) => number): number => all.reduce((total, one) => total + of(one), 0);
    return {
      allocated: sum(({ allocated }) => allocated),
      heapSize: sum(({ heapSize }) => heapSize),
      heapFree: sum(({ heapFree }) => heapFree),
      physical: own.physical,
    };
  }

  protected override counts(): RunningCounts {
    const [first] = this.#counts;
    const none = { activeClusters: 0, warmingClusters: 0, activeListeners: 0, daysUntilExpiry: null };
    const all = this.#counts.map(({ running }) => running);
    return {
      ...(first?.running ?? none),
      connections: all.reduce((total, { connections }) => total + connections, 0),
      drainingListeners: Math.max(0, ...all.map(({ drainingListeners }) => drainingListeners)),
    };
  }

  /** Of each cluster what one worker says, with what all have done. */
  override clusters(): readonly ClusterView[] {
    const [first, ...others] = this.#views.map(({ clusters }) => clusters);
    if (first === undefined) return [];
    const added = new Map<string, EndpointDescription>();
    const keyOf = (cluster: string, address: string): string => `${cluster} ${address}`;
    for (const { description } of others.flat()) {
      for (const endpoint of description.endpoints) {
        const key = keyOf(description.name, endpoint.address);
        const before = added.get(key);
        added.set(key, before === undefined ? endpoint : summed(before, endpoint));
      }
    }
    return first.map((view): ClusterView => {
      const { description } = view;
      const { name, endpoints } = description;
      const all = endpoints.map((endpoint) => {
        const other = added.get(keyOf(name, endpoint.address));
        return other === undefined ? endpoint : summed(endpoint, other);
      });
      return { ...view, addedViaApi: !this.#statics.has(name), description: { ...description, endpoints: all } };
    });
  }

  protected override assignments(): Iterable<AssignedCluster> {
    const found: ReadonlyMap<string, LoadAssignment> = this.#views[0]?.assignments ?? new Map();
    const { clusters, endpoints } = this.#workers.snapshot;
    return Array.from(clusters.values(), (config) => {
      const named = config.discovery.kind === 'EDS' ? endpoints.get(config.discovery.serviceName) : undefined;
      return { config, assignment: named ?? found.get(config.name) ?? null };
    });
  }

  override listeners(): readonly ListenerView[] {
    const views = this.#views.map(({ listeners }) => listeners);
    return (views[0] ?? []).map((view) => ({
      ...view,
      connections: views.flat().reduce((sum, one) => sum + (one.name === view.name ? one.connections : 0), 0),
    }));
  }

  override drains(): DrainView {
    const own = super.drains();
    const listeners: DrainingListener[] = [];
    for (const one of this.#views.flatMap(({ drains }) => drains.listeners)) {
      const at = listeners.findIndex(({ name, removed }) => name === one.name && removed === one.removed);
      if (at < 0) listeners.push(one);
      else listeners[at] = { ...listeners[at]!, connections: [...listeners[at]!.connections, ...one.connections] };
    }
    return { ...own, listeners };
  }
}

function summed(a: EndpointDescription, b: EndpointDescription): EndpointDescription {
  return {
    ...a,
    connections: a.connections + b.connections,
    activeRequests: a.activeRequests + b.activeRequests,
    requests: a.requests + b.requests,
    successes: a.successes + b.successes,
    errors: a.errors + b.errors,
  };
}
