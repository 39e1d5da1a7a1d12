import type { Clock } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Watch } from '../../src/base/watch.ts';
import { AdsServer, type AdsServerOptions } from '../../src/control/serve/ads.ts';
import type { ConnectedProxy } from '../../src/control/serve/clients.ts';
import type { ProxyNode } from '../../src/control/serve/node.ts';
import {
  type ProxySnapshot,
  proxySnapshot,
  type ResourceEntry,
  type Resources,
  resourceEntry,
} from '../../src/control/serve/snapshot.ts';
import type { ChangeScope, SnapshotSource } from '../../src/control/serve/source.ts';
import { decodersOf, type ResourceDecoder } from '../../src/xds/client/resource-decoder.ts';
import { type MessageType, pack, typeUrl } from '../../src/xds/proto/codec.ts';
import { Cluster } from '../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../src/xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { Router } from '../../src/xds/proto/gen/envoy/extensions/filters/http/router/v3.ts';
import { HttpConnectionManager } from '../../src/xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { type BalancerDecoder, decodeContext } from '../../src/xds/resources/context.ts';
import { standardResourceTypes } from '../../src/xds/resources/standard.ts';

const ADS = { ads: {}, resource_api_version: 'V3' } as const;

/** A snapshot source that tests write to: the same for every proxy unless `only` says otherwise. */
export class TestSource implements SnapshotSource {
  readonly #entries = new Map<string, Map<string, ResourceEntry>>();
  readonly #listeners = new Set<(scope: ChangeScope) => void>();
  #snapshot: ProxySnapshot = proxySnapshot('0', []);
  #version = 0;
  #stale = false;
  #endpointsOnly = true;

  snapshotFor(_node: ProxyNode): ProxySnapshot {
    if (this.#stale) {
      this.#stale = false;
      const before = this.#snapshot.resources;
      const resources = new Map<string, Resources>();
      for (const [url, entries] of this.#entries) {
        const same = before.get(url);
        resources.set(url, same !== undefined && equal(same, entries) ? same : new Map(entries));
      }
      this.#snapshot = { version: String(++this.#version), resources };
    }
    return this.#snapshot;
  }

  onChange(cb: (scope: ChangeScope) => void): () => void {
    this.#listeners.add(cb);
    return () => {
      this.#listeners.delete(cb);
    };
  }

  put(...entries: readonly ResourceEntry[]): this {
    for (const entry of entries) {
      const url = entry.any.type_url;
      let ofType = this.#entries.get(url);
      if (ofType === undefined) {
        ofType = new Map();
        this.#entries.set(url, ofType);
      }
      ofType.set(entry.name, entry);
      if (url !== typeUrl(ClusterLoadAssignment)) this.#endpointsOnly = false;
    }
    this.#stale = true;
    return this;
  }

  remove(type: MessageType<unknown>, name: string): this {
    this.#entries.get(typeUrl(type))?.delete(name);
    this.#endpointsOnly = false;
    this.#stale = true;
    return this;
  }

  /** Tells the server; by default with the scope that what was written since asks for. */
  changed(scope: ChangeScope = this.#endpointsOnly ? 'endpoints' : 'config'): void {
    this.#endpointsOnly = true;
    for (const listener of this.#listeners) listener(scope);
  }
}

function equal(a: Resources, b: Resources): boolean {
  if (a.size !== b.size) return false;
  for (const [name, entry] of b) if (a.get(name)?.version !== entry.version) return false;
  return true;
}

/** A listener whose routes come by RDS. */
export function httpListener(name: string, port: number, routes: string): ResourceEntry {
  const manager = pack(HttpConnectionManager, {
    stat_prefix: name,
    rds: { route_config_name: routes, config_source: ADS },
    http_filters: [{ name: 'router', typed_config: pack(Router, {}) }],
  });
  return resourceEntry(Listener, {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
  });
}

/** Sends everything to one cluster, or to several by weight. */
export function routesTo(name: string, ...clusters: readonly string[]): ResourceEntry {
  const weighted = { clusters: clusters.map((cluster) => ({ name: cluster, weight: 1 })) };
  const action = clusters.length === 1 ? { cluster: clusters[0] } : { weighted_clusters: weighted };
  return resourceEntry(RouteConfiguration, {
    name,
    virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: action }] }],
  });
}

/** `extra` distinguishes versions of a cluster. */
export function edsCluster(name: string, extra: Cluster = {}): ResourceEntry {
  return resourceEntry(Cluster, {
    name,
    type: 'EDS',
    connect_timeout: 1000,
    eds_cluster_config: { eds_config: ADS },
    ...extra,
  });
}

/** Endpoints on the loopback, one for each port. */
export function endpoints(cluster: string, ...ports: readonly number[]): ResourceEntry {
  const hosts = ports.map((port) => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
  }));
  return resourceEntry(ClusterLoadAssignment, { cluster_name: cluster, endpoints: [{ lb_endpoints: hosts }] });
}

/** A control plane in this process, on a free port. */
export class ControlPlane {
  readonly source: TestSource;
  #options: Partial<AdsServerOptions> = {};
  #server: AdsServer | null = null;
  readonly #clock: Clock;

  constructor(clock: Clock, source: TestSource) {
    this.#clock = clock;
    this.source = source;
  }

  /** Listener `name` on `port`, with routes of the same name to `clusters`. */
  http(name: string, port: number, ...clusters: readonly string[]): this {
    this.source.put(httpListener(name, port, name), routesTo(name, ...clusters));
    return this;
  }
  routes(name: string, ...clusters: readonly string[]): this {
    this.source.put(routesTo(name, ...clusters));
    return this;
  }
  /** EDS cluster `name` with an endpoint at each port. */
  cluster(name: string, ...ports: readonly number[]): this {
    this.source.put(edsCluster(name), endpoints(name, ...ports));
    return this;
  }
  endpoints(name: string, ...ports: readonly number[]): this {
    this.source.put(endpoints(name, ...ports));
    return this;
  }
  put(...entries: readonly ResourceEntry[]): this {
    this.source.put(...entries);
    return this;
  }
  remove(type: MessageType<unknown>, name: string): this {
    this.source.remove(type, name);
    return this;
  }
  with(options: Partial<AdsServerOptions>): this {
    this.#options = { ...this.#options, ...options };
    return this;
  }
  /** Makes what was written known to those who are connected. */
  push(scope?: ChangeScope): this {
    this.source.changed(scope);
    return this;
  }

  async start(): Promise<this> {
    const server = new AdsServer({
      source: this.source,
      clock: this.#clock,
      log: silentLogger(this.#clock),
      port: 0,
      ...this.#options,
    });
    const port = await server.listen();
    // A restart comes back where it was.
    this.#options = { ...this.#options, port };
    this.#server = server;
    return this;
  }
  async stop(): Promise<void> {
    await this.#server?.close();
    this.#server = null;
  }
  /** Resolves when the proxies that are connected are as `is` asks. */
  when(is: (clients: readonly ConnectedProxy[]) => boolean): Promise<readonly ConnectedProxy[]> {
    const { clients } = this.server;
    return new Promise((resolve) => {
      const look = (): void => {
        const list = clients.list();
        if (!is(list)) return;
        unsubscribe();
        resolve(list);
      };
      const unsubscribe = clients.changes.subscribe(look);
      look();
    });
  }
  /** Resolves when at least one proxy is connected and all have ACKed everything. */
  synced(): Promise<readonly ConnectedProxy[]> {
    return this.when((proxies) => proxies.length > 0 && proxies.every((proxy) => proxy.applied === proxy.target));
  }
  get server(): AdsServer {
    if (this.#server === null) throw new Error('the control plane is not started');
    return this.#server;
  }
  get address(): string {
    return this.server.address;
  }
}

/** `const plane = await controlPlane().cluster('a', 9080).http('web', 8080, 'a').start()` */
export function controlPlane(clock: Clock = systemClock, source = new TestSource()): ControlPlane {
  return new ControlPlane(clock, source);
}

/** Resolves with the value once it is as `is` asks. */
export function reached<T>(watch: Watch<T>, is: (value: T) => boolean): Promise<T> {
  if (is(watch.value)) return Promise.resolve(watch.value);
  return new Promise((resolve) => {
    const unsubscribe = watch.subscribe((value) => {
      if (!is(value)) return;
      unsubscribe();
      resolve(value);
    });
  });
}

const roundRobin: BalancerDecoder = {
  kind: 'round_robin',
  configType: 'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
  defaults: null,
  decode: () => null,
};

/** What a client needs to read this control plane: the standard resource types, without the proxy's extensions. */
export function testDecoders(): ResourceDecoder[] {
  return decodersOf(standardResourceTypes, decodeContext({ balancers: [roundRobin] }));
}
