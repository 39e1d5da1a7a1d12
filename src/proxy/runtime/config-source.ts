import type { SocketAddress } from '../../model/address.ts';
import type { Cluster as ClusterConfig } from '../../model/cluster.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import { readDocument } from '../../xds/bootstrap/document.ts';
import { encodeNode, type NodeConfig } from '../../xds/bootstrap/node.ts';
import type { DynamicConfig } from '../../xds/client/dynamic-config.ts';
import { routesOf } from '../../xds/client/references.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, VIRTUAL_HOST } from '../../xds/client/type-urls.ts';
import { fromJson, type MessageType, Problems, pack, toJson } from '../../xds/proto/codec.ts';
import { Bootstrap } from '../../xds/proto/gen/envoy/config/bootstrap/v3.ts';
import { Cluster } from '../../xds/proto/gen/envoy/config/cluster/v3.ts';
import { Listener } from '../../xds/proto/gen/envoy/config/listener/v3.ts';
import { Secret } from '../../xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { Any as AnyType } from '../../xds/proto/gen/google/protobuf.ts';
import type { ConfigDumpSource, DumpedResource, DumpedResources, DumpKind } from '../admin/view.ts';

/** A cluster, and its endpoints as it has them now. */
export interface AssignedCluster {
  readonly config: Pick<ClusterConfig, 'name' | 'discovery'>;
  readonly assignment: LoadAssignment | null;
}

export interface ConfigSourceParts {
  /** The bootstrap as it was read; '' when the proxy was not started from a text. */
  readonly bootstrapText: string;
  readonly node: NodeConfig;
  readonly version: string;
  /** Wall time at which the bootstrap was read, ms. */
  readonly startedAt: number;
  clusters(): Iterable<AssignedCluster>;
  readonly discovery: () => DynamicConfig | null;
}

const TYPE_URLS: Readonly<Record<DumpKind, string>> = {
  cluster: CLUSTER,
  endpoint: ENDPOINT,
  listener: LISTENER,
  route: ROUTE,
  secret: SECRET,
};

/**
 * The wire config for `/config_dump`. Nothing is kept for it but the bootstrap's text: that is read again, and what
 * discovery brought is decoded again, when somebody asks.
 */
export class ConfigSource implements ConfigDumpSource {
  readonly #parts: ConfigSourceParts;

  constructor(parts: ConfigSourceParts) {
    this.#parts = parts;
  }

  bootstrap(): { readonly json: unknown; readonly lastUpdated: number } {
    const { node, version, startedAt } = this.#parts;
    const json = toJson(Bootstrap, { ...this.#message(), node: encodeNode(node, version) });
    return { json, lastUpdated: startedAt };
  }

  resources(kind: DumpKind): DumpedResources {
    const { version, items } = this.#dynamic(kind);
    return { version, items: [...this.#statics(kind, items), ...items] };
  }

  #message(): Bootstrap {
    const { bootstrapText } = this.#parts;
    if (bootstrapText === '') return {};
    // It was read without a fault when the proxy started.
    const document = readDocument(bootstrapText, []);
    return fromJson(Bootstrap, document?.value, new Problems(), '', { validate: false });
  }

  #dynamic(kind: DumpKind): { version: string; items: DumpedResource[] } {
    const discovery = this.#parts.discovery();
    if (discovery === null) return { version: '', items: [] };
    const typeUrl = TYPE_URLS[kind];
    const { version, resources } = discovery.client.held(typeUrl);
    const { ads, warming } = discovery.status;
    const lastUpdated = ads.types.find((type) => type.typeUrl === typeUrl)?.lastAck?.at ?? 0;
    const waiting = new Set(warming.filter((one) => one.typeUrl === typeUrl).map((one) => one.name));
    const items = Array.from(
      resources.values(),
      ({ name, version: own, any }): DumpedResource => ({
        name,
        origin: waiting.has(name) ? 'warming' : 'active',
        version: own,
        lastUpdated,
        json: kind === 'route' ? this.#withHosts(discovery, name, toJson(AnyType, any)) : toJson(AnyType, any),
      }),
    );
    return { version, items };
  }

  /** Virtual hosts that were discovered are shown where they belong, as Envoy does. */
  #withHosts({ client }: DynamicConfig, routes: string, json: unknown): unknown {
    const found: unknown[] = [];
    for (const { name, any } of client.held(VIRTUAL_HOST).resources.values()) {
      if (routesOf(name) !== routes) continue;
      const { '@type': _type, ...host } = toJson(AnyType, any) as Json;
      found.push(host);
    }
    const own = (json as Json).virtual_hosts;
    return found.length === 0
      ? json
      : { ...(json as Json), virtual_hosts: [...(Array.isArray(own) ? own : []), ...found] };
  }

  #statics(kind: DumpKind, dynamic: readonly DumpedResource[]): DumpedResource[] {
    switch (kind) {
      case 'cluster':
        return (this.#message().static_resources?.clusters ?? []).map((one) => this.#static(Cluster, one));
      case 'listener':
        return (this.#message().static_resources?.listeners ?? []).map((one) => this.#static(Listener, one));
      case 'secret':
        return (this.#message().static_resources?.secrets ?? []).map((one) => this.#static(Secret, one));
      case 'route':
        return this.#inlineRoutes();
      case 'endpoint':
        return this.#assignments(new Set(dynamic.map(({ name }) => name)));
    }
  }

  #static<T extends { name?: string | undefined }>(type: MessageType<T>, message: T): DumpedResource {
    return this.#item(message.name ?? '', toJson(AnyType, pack(type, message)));
  }

  #item(name: string, json: unknown): DumpedResource {
    return { name, origin: 'static', version: '', lastUpdated: this.#parts.startedAt, json };
  }

  /** Route configurations inside of listeners, wherever the listener came from: Envoy calls them static. */
  #inlineRoutes(): DumpedResource[] {
    const found: DumpedResource[] = [];
    for (const { json } of this.resources('listener').items) {
      for (const config of routeConfigs(json)) {
        found.push(this.#item(String(config.name ?? ''), { '@type': ROUTE, ...config }));
      }
    }
    return found;
  }

  /** Endpoints of clusters that do not get theirs from discovery. */
  #assignments(dynamic: ReadonlySet<string>): DumpedResource[] {
    const found: DumpedResource[] = [];
    for (const { config, assignment } of this.#parts.clusters()) {
      if (assignment === null || (config.discovery.kind === 'EDS' && dynamic.has(config.discovery.serviceName)))
        continue;
      found.push({ ...this.#item(config.name, assignmentJson(config.name, assignment)), lastUpdated: 0 });
    }
    return found;
  }
}

type Json = Record<string, unknown>;

function* routeConfigs(json: unknown): Generator<Json> {
  if (typeof json !== 'object' || json === null) return;
  const type = (json as Json)['@type'];
  if (typeof type === 'string' && type.endsWith('.HttpConnectionManager')) {
    const config = (json as Json).route_config;
    if (typeof config === 'object' && config !== null) yield config as Json;
    return;
  }
  for (const value of Object.values(json)) yield* routeConfigs(value);
}

/** envoy.config.endpoint.v3.ClusterLoadAssignment */
function assignmentJson(cluster: string, assignment: LoadAssignment): Json {
  return {
    '@type': ENDPOINT,
    cluster_name: cluster,
    endpoints: assignment.localities.map(({ locality, priority, weight, endpoints }) => ({
      locality: {
        ...(locality.region === '' ? {} : { region: locality.region }),
        ...(locality.zone === '' ? {} : { zone: locality.zone }),
        ...(locality.subZone === '' ? {} : { sub_zone: locality.subZone }),
      },
      lb_endpoints: endpoints.map((endpoint) => ({
        endpoint: {
          address: addressJson(endpoint.address),
          ...(endpoint.moreAddresses === undefined
            ? {}
            : { additional_addresses: endpoint.moreAddresses.map((one) => ({ address: addressJson(one) })) }),
          ...(endpoint.hostname === '' ? {} : { hostname: endpoint.hostname }),
        },
        health_status: endpoint.health === 'UNKNOWN' ? 'HEALTHY' : endpoint.health,
        load_balancing_weight: endpoint.weight,
      })),
      ...(weight === 0 ? {} : { load_balancing_weight: weight }),
      ...(priority === 0 ? {} : { priority }),
    })),
    policy: { overprovisioning_factor: assignment.overprovisioningFactor },
  };
}

function addressJson({ host, port }: SocketAddress): Json {
  return { socket_address: { address: host, port_value: port } };
}
