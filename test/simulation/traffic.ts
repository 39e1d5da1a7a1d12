/**
 * A call through the mesh without sockets: YAML as users write it → the control server's snapshot for one proxy →
 * the proxy's decoders → its route table. What comes back is what the proxy would do with the request.
 */
import { readFileSync } from 'node:fs';
import { seededRandom } from '../../src/base/random.ts';
import { type ProxyNode, proxyNode } from '../../src/control/serve/node.ts';
import { inconsistencies, type ProxySnapshot, resourcesOf } from '../../src/control/serve/snapshot.ts';
import * as urls from '../../src/control/serve/type-urls.ts';
import type { ConfigObject, Finding } from '../../src/control/source/collection.ts';
import { readObjects } from '../../src/control/source/files/yaml.ts';
import { DecodedStore } from '../../src/control/translate/decode.ts';
import type { OutboundPolicy } from '../../src/control/translate/emit/capture.ts';
import type { EmitNote } from '../../src/control/translate/emit/shared.ts';
import { MeshEmitter } from '../../src/control/translate/emit/snapshot.ts';
import { type Translation, translate } from '../../src/control/translate/istio/mesh.ts';
import { formatAddress } from '../../src/model/address.ts';
import type { LoadAssignment } from '../../src/model/endpoint.ts';
import type { HttpConnectionManager } from '../../src/model/http-connection-manager.ts';
import type { RouteConfig } from '../../src/model/route.ts';
import { RequestHead } from '../../src/protocol/http/message.ts';
import { PLAINTEXT } from '../../src/proxy/router/match.ts';
import { compileRouteTable, type RouteTable } from '../../src/proxy/router/table.ts';
import { clusterName } from '../../src/proxy/router/weighted.ts';
import { proxyDecodeContext } from '../../src/proxy/runtime/extensions.ts';
import type { JsonObject } from '../../src/xds/proto/codec.ts';
import type { ResourceType } from '../../src/xds/resources/resource-type.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE } from '../../src/xds/resources/standard.ts';

export interface Call {
  /** `http://reviews:9080/reviews/0` through an explicit proxy, `/productpage` at a gateway. */
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the proxy does with a call. */
export type Outcome =
  | {
      readonly kind: 'forward';
      readonly route: string;
      readonly origin: string;
      readonly cluster: string;
      /** `127.0.0.1:31004`, of the endpoints that may be picked. */
      readonly endpoints: readonly string[];
      /** Filters that the route configures. */
      readonly filters: readonly string[];
      readonly timeoutMs: number;
    }
  | { readonly kind: 'redirect' | 'direct'; readonly route: string; readonly status: number }
  /** NR: no route; NC: the cluster is not there; UH: nobody to send it to. */
  | { readonly kind: 'error'; readonly flag: 'NR' | 'NC' | 'UH'; readonly status: number };

export interface ProxySpec {
  readonly kind?: 'sidecar' | 'router';
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly remora?: JsonObject;
  /** INTERCEPTION_MODE; such a proxy has no `remora`. */
  readonly capture?: 'REDIRECT' | 'TPROXY';
  /** Node that its pod runs on. */
  readonly node?: string;
  /** Whether it has shown who it is; true. */
  readonly proved?: boolean;
  /** It answers DNS, with addresses for hosts that have none or only with those that are given. */
  readonly dns?: 'allocates' | 'given';
  /** Of its pod, separated by commas. */
  readonly ips?: string;
  /** Its SPIFFE ID, when it has certificates. */
  readonly identity?: string;
  /** What the proxy says it is: `remora`, or `envoy`. */
  readonly agent?: string;
}

/** A file's text by the name that findings and origins show. */
export type Files = Readonly<Record<string, string>>;

const CONTEXT = proxyDecodeContext();

export function bookinfoFiles(...tries: readonly string[]): Files {
  const base = ['services', 'gateway', 'destination-rules'].filter(
    (name) => name !== 'destination-rules' || !tries.includes('breaker'),
  );
  const paths = [...base.map((name) => `${name}.yaml`), ...tries.map((name) => `try/${name}.yaml`)];
  return Object.fromEntries(
    paths.map((path) => [path, readFileSync(new URL(`../../config/bookinfo/${path}`, import.meta.url), 'utf8')]),
  );
}

/** The control server of a simulation: files in, snapshots out. */
export class Mesh {
  readonly notes: EmitNote[] = [];
  readonly #store = new DecodedStore();
  readonly #emitter: MeshEmitter;
  #translation: Translation | undefined;
  #objects = new Map<string, ConfigObject>();
  findings: readonly Finding[] = [];

  constructor(files: Files, policy: OutboundPolicy = 'ALLOW_ANY') {
    this.#emitter = new MeshEmitter((note) => this.notes.push(note), policy, 'cluster.local');
    this.write(files);
  }

  /** Replaces all files. */
  write(files: Files): void {
    const read = Object.entries(files).map(([name, text]) => readObjects(text, name));
    // As FileSource does: an object that did not change is the same value as before.
    const objects = read.flatMap((one) => one.objects).map((object) => this.#objects.get(keyOf(object)) ?? object);
    this.#objects = new Map(objects.map((object) => [keyOf(object), object]));
    const decoded = this.#store.update(objects);
    this.#translation = translate(decoded.objects, this.#translation);
    this.findings = [...read.flatMap(({ findings }) => findings), ...decoded.findings, ...this.#translation.findings];
  }

  get mesh(): Translation['mesh'] {
    if (this.#translation === undefined) throw new Error('nothing was written');
    return this.#translation.mesh;
  }

  snapshot(spec: ProxySpec = {}): ProxySnapshot {
    return this.#emitter.emit(this.mesh, node(spec));
  }

  proxy(spec: ProxySpec = {}): SimulatedProxy {
    return new SimulatedProxy(this.snapshot(spec));
  }
}

export function node(spec: ProxySpec): ProxyNode {
  const {
    kind = 'sidecar',
    name = 'productpage-v1',
    namespace = 'default',
    labels = {},
    agent = 'remora',
    capture,
    ips = '127.0.0.1',
    dns,
  } = spec;
  const mode =
    capture === undefined
      ? { REMORA: spec.remora ?? remoraOf(kind) }
      : { INTERCEPTION_MODE: capture, INSTANCE_IPS: ips };
  const identity = spec.identity === undefined ? {} : { REMORA_IDENTITY: spec.identity };
  const where: JsonObject = spec.node === undefined ? {} : { NODE_NAME: spec.node };
  const names: JsonObject =
    dns === undefined ? {} : { DNS_CAPTURE: 'true', ...(dns === 'given' ? { DNS_AUTO_ALLOCATE: 'false' } : {}) };
  const metadata: JsonObject = {
    NAMESPACE: namespace,
    LABELS: { ...labels },
    ...mode,
    ...identity,
    ...names,
    ...where,
  };
  return proxyNode(
    {
      id: `${kind}~${ips.split(',')[0]}~${name}.${namespace}~${namespace}.svc.cluster.local`,
      metadata,
      user_agent_name: agent,
      user_agent_version: '1',
    },
    { proved: spec.proved ?? true },
  );
}

function remoraOf(kind: 'sidecar' | 'router'): JsonObject {
  return kind === 'sidecar' ? { httpProxy: '127.0.0.1:15001' } : { portMap: { 80: 8080 }, bind: '127.0.0.1' };
}

/** A proxy that has taken a snapshot. Throws where the proxy would NACK. */
export class SimulatedProxy {
  readonly snapshot: ProxySnapshot;
  readonly warnings: string[] = [];
  readonly #tables = new Map<string, RouteTable>();
  readonly #clusters: ReadonlyMap<string, unknown>;
  readonly #endpoints: ReadonlyMap<string, LoadAssignment>;
  readonly #managers: ReadonlyMap<string, HttpConnectionManager>;

  constructor(snapshot: ProxySnapshot) {
    this.snapshot = snapshot;
    const dangling = inconsistencies(snapshot);
    if (dangling.length > 0) throw new Error(dangling.join('\n'));
    this.#clusters = this.#decode(CLUSTER, urls.CLUSTER);
    this.#endpoints = this.#decode(ENDPOINT, urls.ENDPOINT);
    const listeners = this.#decode(LISTENER, urls.LISTENER);
    this.#managers = new Map(
      [...listeners].flatMap(([name, { filterChains }]) =>
        filterChains.flatMap(({ filter }) => (filter.kind === 'http' ? [[name, filter.http] as const] : [])),
      ),
    );
    for (const [name, config] of this.#decode(ROUTE, urls.ROUTE)) this.#tables.set(name, compile(config));
  }

  get listeners(): readonly string[] {
    return [...this.#managers.keys()];
  }

  /** The route table of a listener, whether inline or discovered. */
  table(listener: string): RouteTable {
    const manager = this.#managers.get(listener);
    if (manager === undefined) throw new Error(`no listener ${listener}; there are ${this.listeners.join(', ')}`);
    if (manager.routes.kind === 'inline') return compile(manager.routes.config);
    const table = this.#tables.get(manager.routes.name);
    if (table === undefined) throw new Error(`no routes ${manager.routes.name}`);
    return table;
  }

  call(listener: string, call: Call, seed = 1): Outcome {
    const head = requestHead(call);
    const route = this.table(listener).match(head, PLAINTEXT);
    if (route === null) return { kind: 'error', flag: 'NR', status: 404 };
    const { name } = route.route;
    if (route.action.kind === 'redirect') return { kind: 'redirect', route: name, status: route.action.status };
    if (route.action.kind === 'direct') return { kind: 'direct', route: name, status: route.action.config.status };
    const target = route.action.targets.pick(head, seededRandom(seed));
    const cluster = target === null ? '' : clusterName(target, head);
    if (!this.#clusters.has(cluster)) return { kind: 'error', flag: 'NC', status: 503 };
    const endpoints = this.#pickable(cluster);
    if (endpoints.length === 0) return { kind: 'error', flag: 'UH', status: 503 };
    const filters = [...(target?.perFilterConfig ?? route.perFilterConfig).keys()];
    const { timeoutMs } = route.action.config;
    return { kind: 'forward', route: name, origin: route.route.origin, cluster, endpoints, filters, timeoutMs };
  }

  /** How often each cluster is chosen, in percent. */
  split(listener: string, call: Call, times = 1000): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (let seed = 0; seed < times; seed++) {
      const outcome = this.call(listener, call, seed);
      const key = outcome.kind === 'forward' ? outcome.cluster : outcome.kind;
      counts[key] = (counts[key] ?? 0) + 100 / times;
    }
    return counts;
  }

  #pickable(cluster: string): readonly string[] {
    const assignment = this.#endpoints.get(cluster);
    // Clusters that are not discovered have theirs in themselves.
    if (assignment === undefined) return ['static'];
    return assignment.localities.flatMap(({ endpoints }) =>
      endpoints
        .filter(({ health }) => health !== 'UNHEALTHY' && health !== 'DRAINING')
        .map(({ address }) => formatAddress(address)),
    );
  }

  #decode<M>(type: ResourceType<M>, url: string): ReadonlyMap<string, M> {
    const decoded = new Map<string, M>();
    for (const [name, entry] of resourcesOf(this.snapshot, url)) {
      const result = type.decode(entry.any, CONTEXT);
      this.warnings.push(...result.warnings.map(({ path, reason }) => `${name} ${path}: ${reason}`));
      if (!result.ok)
        throw new Error(`${name}: ${result.errors.map(({ path, reason }) => `${path}: ${reason}`).join('; ')}`);
      decoded.set(name, result.resource);
    }
    return decoded;
  }
}

function keyOf({ kind, namespace, name, origin, resourceVersion }: ConfigObject): string {
  return [kind, namespace, name, origin.where, resourceVersion].join(' ');
}

function compile(config: RouteConfig): RouteTable {
  return compileRouteTable(config, {
    random: seededRandom(1),
    runtime: { boolean: (_key, fallback) => fallback, number: (_key, fallback) => fallback },
  });
}

function requestHead({ url, method = 'GET', headers = {} }: Call): RequestHead {
  const head = new RequestHead();
  const match = /^http:\/\/([^/]+)(\/.*)$/.exec(url);
  head.method = method;
  head.authority = match?.[1] ?? 'bookinfo.example';
  head.path = match?.[2] ?? url;
  head.absoluteForm = match !== null;
  for (const [name, value] of Object.entries(headers)) head.headers.add(name, value);
  return head;
}
