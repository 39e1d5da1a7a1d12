import { Writable } from 'node:stream';
import { TurnClock } from '../../base/clock.ts';
import { LogRoot } from '../../base/log.ts';
import { systemRandom } from '../../base/random.ts';
import { SharedCounts } from '../../base/shared-counts.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import type { TlsSecret } from '../../model/tls.ts';
import { Query } from '../admin/route.ts';
import type { AdminView } from '../admin/view.ts';
import type { ListenAddress, ListenSockets } from '../io/listen-sockets.ts';
import { LogSinks } from '../telemetry/accesslog/sink.ts';
import { type StatChange, StatStore } from '../telemetry/metrics/store.ts';
import { Channel, type Handlers, type Port } from './channel.ts';
import { DataPlane, filterTypes } from './data-plane.ts';
import { processProbes } from './overload.ts';
import { changedMap, changedSnapshot, givenSecrets } from './portable.ts';
import { memoryUse, runningCounts } from './running-counts.ts';
import { WorkerHosts } from './worker-hosts.ts';
import { offsetOf, sharedProbes } from './worker-probes.ts';
import type {
  BoundListener,
  MainCalls,
  SecretKind,
  WorkerCalls,
  WorkerCounts,
  WorkerStart,
  WorkerView,
} from './worker-protocol.ts';
import { beat } from './worker-watch.ts';

const LARGE_HEAP_BYTES = 64 * 1024 * 1024;

/** One of the threads that serve: the whole data plane, with what belongs to the process at the end of a channel. */
export class WorkerThread {
  readonly #start: WorkerStart;
  readonly #main: Channel<WorkerCalls, MainCalls>;
  readonly #plane: DataPlane;
  readonly #sinks: LogSinks;
  readonly #logRoot: LogRoot;
  readonly #filters = filterTypes();
  readonly #shared: SharedCounts;
  readonly #hosts: WorkerHosts;
  #snapshot: Snapshot = EMPTY_SNAPSHOT;
  readonly #secrets: Record<SecretKind, ReadonlyMap<string, TlsSecret>> = { discovered: new Map(), own: new Map() };
  #changes: StatChange[] = [];
  #applied = false;

  constructor(start: WorkerStart, port: Port) {
    const clock = new TurnClock();
    this.#start = start;
    this.#main = new Channel<WorkerCalls, MainCalls>(port, this.#handlers());
    this.#logRoot = new LogRoot(clock, (line) => this.#main.tell('log', line), start.logLevel);
    this.#sinks = new LogSinks(clock, { stdout: this.#stream('stdout'), stderr: this.#stream('stderr') });
    // The thread that began the others is one more member: it looks after them.
    this.#shared = new SharedCounts(start.counts, start.worker, start.workers + 1, offsetOf(clock));
    const stats = new StatStore(undefined, (change) => this.#tellChange(change));
    this.#hosts = new WorkerHosts((wanted) => this.#main.ask('host', wanted), stats);
    this.#plane = new DataPlane({
      clock,
      random: systemRandom,
      log: this.#logRoot.logger(),
      stats,
      sinks: this.#sinks,
      bootstrap: { ...start.bootstrap, secrets: givenSecrets(start.bootstrap.secrets) },
      drain: start.drain,
      sockets: new MainSockets(this.#main),
      // The process does, and this is one more of its threads.
      serving: start.restarts > 0,
      worker: {
        resolve: (name) => this.#main.ask('resolve', name),
        workers: {
          counts: this.#shared,
          tellEjected: (cluster, address) => this.#main.tell('ejected', { cluster, address }),
        },
        hosts: this.#hosts,
        overloadProbes: sharedProbes(this.#shared),
        ticketSeed: Buffer.from(start.ticketSeed),
        // A worker that was started again has other numbers than the one before.
        connectionIds: { first: start.worker + 1 + start.restarts * 2 ** 32 * start.workers, step: start.workers },
      },
    });
    this.#hosts.follow(this.#plane.applier.tables);
    this.#plane.start();
    beat(this.#shared, clock);
  }

  #handlers(): Handlers<WorkerCalls> {
    return {
      apply: async (change) => {
        this.#snapshot = changedSnapshot(this.#snapshot, change, (kind, plain, place) =>
          this.#compileRouteConfig(kind, plain, place),
        );
        await this.#plane.applier.apply(this.#snapshot);
        this.#collectStart();
        return this.#listeners();
      },
      secrets: ({ kind, change }) => {
        const now = changedMap(this.#secrets[kind], change, givenSecrets);
        this.#secrets[kind] = now;
        const { secrets } = this.#plane.env.tls;
        if (kind === 'own') secrets.updateOwn(now);
        else secrets.update(now);
      },
      failHealthCheck: (failed) => this.#plane.drain.failHealthCheck(failed),
      drainListeners: (how) => this.#plane.drain.drainListeners(how),
      drain: (graceMs) => this.#plane.drain.drain(graceMs),
      handOver: (shutdownMs) => this.#plane.drain.handOver(shutdownMs),
      terminate: (plan) => this.#plane.drain.terminate(plan),
      sync: () => this.#sync(),
      view: () => this.#view(),
      admin: async ({ path, query }) => {
        const { adminRoutes } = await import('../admin/routes.ts');
        const view = await this.#adminView();
        const route = adminRoutes(view).find((one) => one.path === path)!;
        return await route.handle({ method: route.method, path, query: new Query(query) });
      },
      ejected: ({ cluster, address }) => this.#plane.env.clusters.get(cluster)?.followEjection(address),
      usedHosts: () => this.#hosts.takeUsed(),
      forgetHosts: (names) => this.#hosts.forget(names),
      logLevel: (level) => {
        this.#logRoot.level = level;
      },
      reopenLogs: () => this.#sinks.reopen(),
      resetCounters: () => this.#plane.env.stats.resetCounters(),
      close: async () => {
        this.#plane.close();
        await this.#sinks.close();
      },
    };
  }

  /** Most of a large heap is what its start left behind. */
  #collectStart(): void {
    if (!this.#applied && process.memoryUsage().heapUsed > LARGE_HEAP_BYTES) processProbes().collectGarbage();
    this.#applied = true;
  }

  #compileRouteConfig(kind: string, plain: unknown, place: string): unknown {
    const data = this.#filters.get(kind)?.routeData;
    return data === undefined ? plain : data.compile(plain, { counts: this.#shared, place });
  }

  #listeners(): BoundListener[] {
    return Array.from(this.#plane.applier.listeners.values(), ({ name, addresses }) => ({ name, addresses }));
  }

  // === numbers ===

  #tellChange(change: StatChange): void {
    this.#changes.push(change);
    // Config makes hundreds in one go.
    if (this.#changes.length === 1) queueMicrotask(() => this.#flushChanges());
  }

  #flushChanges(): void {
    if (this.#changes.length === 0) return;
    this.#main.tell('stats', this.#changes);
    this.#changes = [];
  }

  #sync(): WorkerCounts {
    for (const { breakers } of this.#plane.env.clusters.clusters()) {
      breakers.DEFAULT.publish();
      breakers.HIGH.publish();
    }
    this.#flushChanges();
    return { running: runningCounts(this.#plane), memory: memoryUse() };
  }

  // === admin pages ===

  async #view(): Promise<WorkerView> {
    const view = await this.#adminView();
    const assignments = new Map<string, LoadAssignment>();
    for (const { name, config, assignment } of this.#plane.env.clusters.clusters()) {
      if (assignment !== null && config.discovery.kind !== 'EDS') assignments.set(name, assignment);
    }
    return {
      clusters: view.clusters(),
      listeners: view.listeners(),
      drains: view.drains(),
      assignments,
    };
  }

  /** Loaded when somebody looks. */
  async #adminView(): Promise<AdminView> {
    const { ProxyAdminView } = await import('./admin-view.ts');
    const { env, applier, drain, runtime } = this.#plane;
    return new ProxyAdminView({
      env,
      stats: new StatStore(),
      applier,
      drain,
      runtime,
      // Those of the bootstrap itself are known to the thread that started this one.
      bootstrap: { node: this.#start.bootstrap.node, clusters: [] },
      bootstrapText: '',
      sinks: this.#sinks,
      logRoot: this.#logRoot,
      version: this.#start.version,
      ready: () => true,
      discovery: () => null,
      quit: () => {},
    });
  }

  /** Lines to the process's streams go by the thread that has them: others would write in between. */
  #stream(stream: 'stdout' | 'stderr'): Writable {
    return new Writable({
      write: (bytes: Buffer, _encoding, done) => {
        this.#main.ask('write', { stream, bytes }).then(() => done(), done);
      },
    });
  }
}

/** Sockets that outlive this thread. */
class MainSockets implements ListenSockets {
  readonly #main: Channel<WorkerCalls, MainCalls>;

  constructor(main: Channel<WorkerCalls, MainCalls>) {
    this.#main = main;
  }

  async take(key: string, { host, port, backlog, ipv6Only }: ListenAddress): Promise<object> {
    const address = {
      host,
      port,
      ...(backlog === undefined ? {} : { backlog }),
      ...(ipv6Only === undefined ? {} : { ipv6Only }),
    };
    return { fd: await this.#main.ask('take', { key, address }) };
  }
  keep(): void {}
  release(key: string): void {
    this.#main.tell('release', key);
  }
}
