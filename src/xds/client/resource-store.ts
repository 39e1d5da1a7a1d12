import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { Watch } from '../../base/watch.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import type { Listener } from '../../model/listener.ts';
import type { RouteConfig } from '../../model/route.ts';
import { EMPTY_SNAPSHOT, type Snapshot } from '../../model/snapshot.ts';
import type { TlsSecret } from '../../model/tls.ts';
import { Deadlines } from './deadlines.ts';
import { DiscoveredHosts } from './discovered-hosts.ts';
import { clustersOf, endpointsOf, listenerReferences } from './references.ts';
import type { ResourceUpdate } from './resource-decoder.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, shortName, VIRTUAL_HOST } from './type-urls.ts';

export interface StoreOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Tells the server which names are wanted of a type; listeners and clusters are asked for by others. */
  readonly subscribe: (typeUrl: string, names: ReadonlySet<string>) => void;
  /** The bootstrap's own resources: always there, and never replaced by the server's. */
  readonly statics?: Snapshot;
  /** Types that come over ADS as a whole; the first consistent set has an answer for each. Default both. */
  readonly dynamic?: { readonly listeners: boolean; readonly clusters: boolean };
  /** Names of the secrets that a listener or cluster needs. */
  readonly secretsOf?: (resource: Listener | Cluster) => Iterable<string>;
  /** What does not arrive in this time is gone on without; Envoy's initial_fetch_timeout, 15 s. */
  readonly warmingMs?: number;
  /** How long a changed route waits for a cluster that the server has not mentioned; 1 s. */
  readonly missingClusterMs?: number;
  /** How long a cluster that lost its last endpoint keeps it while routes still lead there; 1 s. */
  readonly emptiedMs?: number;
  /** How long something the server removed is kept because something live still names it; 15 s. */
  readonly retainMs?: number;
}

/** Something accepted that is not live yet. */
export interface Warming {
  readonly typeUrl: string;
  readonly name: string;
  /** `EDS "reviews"` and so on. */
  readonly waitsFor: readonly string[];
}

/** Names of missing clusters in one line of the log. */
const MAX_NAMED = 10;

/**
 * Turns accepted resources into snapshots, make before break: a cluster goes live with its endpoints, a
 * route configuration with its clusters, a listener with its route configurations; until then the version
 * before stays in force. What the server removed goes when nothing live names it any more.
 *
 * Works in rounds, one for each update or time limit, each publishing at most one snapshot.
 */
export class ResourceStore {
  readonly #options: StoreOptions;
  readonly #statics: Snapshot;
  readonly #deadlines: Deadlines;
  readonly #answered = new Set<string>();
  readonly #absent = new Set<string>();

  // Accepted from the server.
  readonly #listeners: Map<string, Listener>;
  readonly #routes = new Map<string, RouteConfig>();
  readonly #hosts: DiscoveredHosts;
  readonly #clusters: Map<string, Cluster>;
  readonly #endpoints = new Map<string, LoadAssignment>();
  readonly #secrets = new Map<string, TlsSecret>();

  // In force.
  #live = {
    listeners: new Map<string, Listener>(),
    routes: new Map<string, RouteConfig>(),
    clusters: new Map<string, Cluster>(),
    endpoints: new Map<string, LoadAssignment>(),
  };
  #changed = { listeners: false, routes: false, clusters: false, endpoints: false };
  #warming: Warming[] = [];
  #closed = false;
  #inRound = false;
  #again = false;

  readonly snapshot = new Watch<Snapshot>(EMPTY_SNAPSHOT);
  /** True once the first consistent set is in force, and from then on. */
  readonly ready = new Watch(false);
  /** Secrets as decoded, by name. */
  readonly secrets = new Watch<ReadonlyMap<string, TlsSecret>>(new Map());

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#statics = options.statics ?? EMPTY_SNAPSHOT;
    this.#deadlines = new Deadlines(options.clock, () => this.#round());
    this.#hosts = new DiscoveredHosts(options.log);
    this.#listeners = new Map(this.#statics.listeners);
    this.#clusters = new Map(this.#statics.clusters);
    for (const [name, routes] of this.#statics.routes) this.#routes.set(name, routes);
    for (const [name, assignment] of this.#statics.endpoints) this.#endpoints.set(name, assignment);
  }

  /** What waits, and for what. */
  get warming(): readonly Warming[] {
    return this.#warming;
  }

  /** Puts the static resources in force and begins to count time limits. */
  start(): void {
    this.#round();
  }

  /** Hosts to be asked for, as `<route configuration>/<host>`, beside all that the server sends of its own accord. */
  askForHosts(names: ReadonlySet<string>): void {
    this.#askedHosts = names;
    this.#subscribe();
  }
  #askedHosts: ReadonlySet<string> = new Set();

  apply(update: ResourceUpdate): void {
    this.#answered.add(update.typeUrl);
    if (update.typeUrl === VIRTUAL_HOST) {
      this.#hosts.update(update);
      this.#round();
      return;
    }
    const target = this.#target(update.typeUrl);
    if (target === null) return;
    for (const { name, resource } of update.updated) {
      if (target.statics?.has(name)) {
        this.#options.log.warn('a static resource of the same name stays', { type: shortName(update.typeUrl), name });
        continue;
      }
      target.accepted.set(name, resource);
      this.#absent.delete(`${update.typeUrl} ${name}`);
    }
    for (const name of update.removed) {
      if (target.statics?.has(name)) continue;
      target.accepted.delete(name);
      this.#absent.add(`${update.typeUrl} ${name}`);
    }
    if (update.typeUrl === SECRET) this.secrets.set(new Map(this.#secrets));
    this.#round();
  }

  close(): void {
    this.#closed = true;
    this.#deadlines.close();
  }

  #target(typeUrl: string): { accepted: Map<string, unknown>; statics: ReadonlyMap<string, unknown> | null } | null {
    if (typeUrl === LISTENER) return { accepted: this.#listeners, statics: this.#statics.listeners };
    if (typeUrl === CLUSTER) return { accepted: this.#clusters, statics: this.#statics.clusters };
    if (typeUrl === ROUTE) return { accepted: this.#routes, statics: this.#statics.routes };
    if (typeUrl === ENDPOINT) return { accepted: this.#endpoints, statics: this.#statics.endpoints };
    if (typeUrl === SECRET) return { accepted: this.#secrets as Map<string, unknown>, statics: null };
    return null;
  }

  /** Subscribing may bring an answer at once (a test, the disk): that is for the next round. */
  #round(): void {
    if (this.#closed) return;
    if (this.#inRound) {
      this.#again = true;
      return;
    }
    this.#inRound = true;
    try {
      do {
        this.#again = false;
        this.#settle();
      } while (this.#again);
    } finally {
      this.#inRound = false;
    }
  }

  #settle(): void {
    this.#deadlines.begin();
    this.#warming = [];
    // Bottom up what is new, top down what is gone.
    for (const [name, cluster] of this.#clusters) this.#promote('clusters', CLUSTER, name, cluster);
    for (const [name, routes] of this.#routes) this.#promote('routes', ROUTE, name, this.#hosts.addTo(routes));
    for (const [name, listener] of this.#listeners) this.#promote('listeners', LISTENER, name, listener);
    this.#dropListeners();
    this.#dropRoutes();
    this.#dropClusters();
    this.#settleEndpoints();
    const ready = this.ready.value || this.#isReady();
    this.#deadlines.end();
    this.#publish();
    if (ready && !this.ready.value) this.ready.set(true);
    this.#subscribe();
  }

  #promote(
    kind: 'clusters' | 'routes' | 'listeners',
    typeUrl: string,
    name: string,
    resource: Cluster | RouteConfig | Listener,
  ): void {
    const live = this.#live[kind] as Map<string, unknown>;
    if (live.get(name) === resource) return;
    const waitsFor = this.#blockers(typeUrl, name, resource, live.get(name));
    if (waitsFor.length > 0) {
      this.#warming.push({ typeUrl, name, waitsFor });
      return;
    }
    live.set(name, resource);
    this.#changed[kind] = true;
    if (typeUrl !== CLUSTER) this.#nameMissing(typeUrl, name, resource as RouteConfig | Listener);
  }

  /** Live, but some of its requests will fail: whoever reads the log must not have to find out why. */
  #nameMissing(typeUrl: string, name: string, resource: RouteConfig | Listener): void {
    const named = 'virtualHosts' in resource ? clustersOf(resource) : listenerReferences(resource).clusters;
    const missing = [...named].filter((cluster) => !this.#live.clusters.has(cluster));
    if (missing.length === 0) return;
    const clusters = missing.slice(0, MAX_NAMED).join(', ') + (missing.length > MAX_NAMED ? ', …' : '');
    this.#options.log.warn('names clusters that the server does not have; requests for them are answered with 503', {
      type: shortName(typeUrl),
      name,
      clusters,
    });
  }

  #blockers(typeUrl: string, name: string, resource: unknown, before: unknown): string[] {
    const waits: string[] = [];
    if (typeUrl === CLUSTER) {
      const cluster = resource as Cluster;
      const service = endpointsOf(cluster);
      if (service !== null && !this.#endpoints.has(service) && !this.#gaveUp(ENDPOINT, service))
        waits.push(label(ENDPOINT, service));
      this.#waitForSecrets(cluster, waits);
    } else if (typeUrl === ROUTE) {
      if (before === undefined && (resource as RouteConfig).discoversHosts === true) this.#waitForHosts(name, waits);
      const named = before === undefined ? null : clustersOf(before as RouteConfig);
      this.#waitForClusters(name, clustersOf(resource as RouteConfig), named, waits);
    } else {
      const listener = resource as Listener;
      const { routes, clusters } = listenerReferences(listener);
      for (const route of routes) {
        if (this.#live.routes.has(route)) continue;
        // One that has arrived and waits itself has a time limit of its own.
        if (this.#routes.has(route) || !this.#gaveUp(ROUTE, route)) waits.push(label(ROUTE, route));
      }
      const named = before === undefined ? null : listenerReferences(before as Listener).clusters;
      this.#waitForClusters(name, clusters, named, waits);
      this.#waitForSecrets(listener, waits);
    }
    return waits;
  }

  /** Of its own accord the server may send some, or all: before its first answer requests would find none. */
  #waitForHosts(routes: string, waits: string[]): void {
    if (!this.#answered.has(VIRTUAL_HOST) && !this.#gaveUp(VIRTUAL_HOST, routes))
      waits.push(label(VIRTUAL_HOST, routes));
  }

  /** `before` is what the version in force names; null when there is none, and so nothing to lose by not waiting. */
  #waitForClusters(
    owner: string,
    names: ReadonlySet<string>,
    before: ReadonlySet<string> | null,
    waits: string[],
  ): void {
    const { warmingMs = 15_000, missingClusterMs = 1_000 } = this.#options;
    for (const name of names) {
      if (this.#live.clusters.has(name)) continue;
      if (this.#clusters.has(name)) {
        waits.push(label(CLUSTER, name));
        continue;
      }
      // Nobody has heard of it: it may be on its way, or there may be none.
      const known = this.#answered.has(CLUSTER) || this.#options.dynamic?.clusters === false;
      const goOn = known
        ? before === null || before.has(name) || this.#deadlines.passed(`missing ${owner} ${name}`, missingClusterMs)
        : this.#deadlines.passed(CLUSTER, warmingMs);
      if (!goOn) waits.push(label(CLUSTER, name));
    }
  }

  #waitForSecrets(resource: Listener | Cluster, waits: string[]): void {
    for (const name of this.#options.secretsOf?.(resource) ?? []) {
      if (!this.#secrets.has(name) && !this.#gaveUp(SECRET, name)) waits.push(label(SECRET, name));
    }
  }

  /** The server said that it does not exist, or has not said anything for too long. */
  #gaveUp(typeUrl: string, name: string): boolean {
    // Endpoints that are not there yet may come; what is in force serves meanwhile. A start has nothing to serve by.
    const absent = this.#absent.has(`${typeUrl} ${name}`) && (typeUrl !== ENDPOINT || !this.ready.value);
    return absent || this.#deadlines.passed(label(typeUrl, name), this.#options.warmingMs ?? 15_000);
  }

  #dropListeners(): void {
    for (const name of this.#live.listeners.keys()) {
      if (this.#listeners.has(name)) continue;
      this.#live.listeners.delete(name);
      this.#changed.listeners = true;
    }
  }

  #dropRoutes(): void {
    const used = new Set<string>();
    for (const listener of this.#live.listeners.values())
      for (const name of listenerReferences(listener).routes) used.add(name);
    const wanted = this.#wantedRoutes();
    for (const name of this.#live.routes.keys()) {
      if (this.#statics.routes.has(name) || (this.#routes.has(name) && wanted.has(name))) continue;
      if (used.has(name) && this.#retain(ROUTE, name)) continue;
      this.#live.routes.delete(name);
      this.#changed.routes = true;
    }
    for (const name of this.#routes.keys())
      if (!wanted.has(name) && !this.#statics.routes.has(name)) this.#routes.delete(name);
  }

  #dropClusters(): void {
    const gone = [...this.#live.clusters.keys()].filter((name) => !this.#clusters.has(name));
    if (gone.length === 0) return;
    const used = new Set<string>();
    for (const routes of this.#live.routes.values()) for (const name of clustersOf(routes)) used.add(name);
    for (const listener of this.#live.listeners.values())
      for (const name of listenerReferences(listener).clusters) used.add(name);
    for (const name of gone) {
      if (used.has(name) && this.#retain(CLUSTER, name)) continue;
      this.#live.clusters.delete(name);
      this.#changed.clusters = true;
    }
  }

  /** Whether what the server removed is kept a while, because something live still names it. */
  #retain(typeUrl: string, name: string): boolean {
    return !this.#deadlines.passed(`retain ${typeUrl} ${name}`, this.#options.retainMs ?? 15_000);
  }

  #settleEndpoints(): void {
    const used = new Set<string>();
    for (const [name, cluster] of this.#live.clusters) {
      const service = endpointsOf(cluster);
      if (service === null) continue;
      const assignment = this.#endpoints.get(service);
      const live = this.#live.endpoints.get(service);
      // A cluster that is only retained keeps the endpoints it had.
      if (assignment !== undefined || !this.#clusters.has(name)) used.add(service);
      if (assignment === undefined || assignment === live || this.#emptiedEarly(name, assignment, live)) continue;
      this.#live.endpoints.set(service, assignment);
      this.#changed.endpoints = true;
    }
    for (const name of this.#live.endpoints.keys()) {
      if (used.has(name)) continue;
      this.#live.endpoints.delete(name);
      this.#changed.endpoints = true;
    }
    const wanted = this.#wantedEndpoints();
    for (const name of this.#endpoints.keys())
      if (!wanted.has(name) && !this.#statics.endpoints.has(name)) this.#endpoints.delete(name);
  }

  /** Endpoints run ahead of the routes that lead away from them: the last ones stay until those are here too. */
  #emptiedEarly(cluster: string, now: LoadAssignment, before: LoadAssignment | undefined): boolean {
    if (before === undefined || !isEmpty(now) || isEmpty(before)) return false;
    const routed = [...this.#live.routes.values()].some((routes) => clustersOf(routes).has(cluster));
    return routed && !this.#deadlines.passed(`emptied ${cluster}`, this.#options.emptiedMs ?? 1_000);
  }

  #wantedRoutes(): Set<string> {
    const wanted = new Set<string>();
    for (const listeners of [this.#listeners, this.#live.listeners]) {
      for (const listener of listeners.values())
        for (const name of listenerReferences(listener).routes) wanted.add(name);
    }
    return wanted;
  }

  #wantedEndpoints(): Set<string> {
    const wanted = new Set<string>();
    for (const clusters of [this.#clusters, this.#live.clusters]) {
      for (const cluster of clusters.values()) {
        const service = endpointsOf(cluster);
        if (service !== null) wanted.add(service);
      }
    }
    return wanted;
  }

  #subscribe(): void {
    const { subscribe, secretsOf } = this.#options;
    const endpoints = this.#wantedEndpoints();
    const routes = this.#wantedRoutes();
    this.#forgetAbsent(ENDPOINT, endpoints);
    this.#forgetAbsent(ROUTE, routes);
    subscribe(ENDPOINT, endpoints);
    subscribe(ROUTE, routes);
    subscribe(VIRTUAL_HOST, this.#hosts.wanted(this.#routes.values(), this.#askedHosts));
    if (secretsOf === undefined) return;
    const secrets = new Set<string>();
    for (const resource of [...this.#listeners.values(), ...this.#clusters.values()]) {
      for (const name of secretsOf(resource)) secrets.add(name);
    }
    subscribe(SECRET, secrets);
  }

  #forgetAbsent(typeUrl: string, wanted: ReadonlySet<string>): void {
    for (const key of this.#absent) {
      if (key.startsWith(`${typeUrl} `) && !wanted.has(key.slice(typeUrl.length + 1))) this.#absent.delete(key);
    }
  }

  #isReady(): boolean {
    const { dynamic = { listeners: true, clusters: true }, warmingMs = 15_000 } = this.#options;
    const answered = (typeUrl: string): boolean =>
      this.#answered.has(typeUrl) || this.#deadlines.passed(typeUrl, warmingMs);
    const clusters = !dynamic.clusters || answered(CLUSTER);
    const listeners = !dynamic.listeners || answered(LISTENER);
    return clusters && listeners && this.#warming.length === 0;
  }

  #publish(): void {
    const changed = this.#changed;
    if (!changed.listeners && !changed.routes && !changed.clusters && !changed.endpoints) return;
    const before = this.snapshot.value;
    this.#changed = { listeners: false, routes: false, clusters: false, endpoints: false };
    // What did not change keeps its map, so that readers can tell by identity.
    this.snapshot.set({
      listeners: changed.listeners ? new Map(this.#live.listeners) : before.listeners,
      routes: changed.routes ? new Map(this.#live.routes) : before.routes,
      clusters: changed.clusters ? new Map(this.#live.clusters) : before.clusters,
      endpoints: changed.endpoints ? new Map(this.#live.endpoints) : before.endpoints,
    });
  }
}

function isEmpty({ localities }: LoadAssignment): boolean {
  return localities.every(({ endpoints }) => endpoints.length === 0);
}

function label(typeUrl: string, name: string): string {
  return `${shortName(typeUrl)} ${JSON.stringify(name)}`;
}
