// Many ADS clients in one process, which ask as Envoy does (delta): all clusters and listeners, then the endpoints and
// routes that those name, and the virtual hosts of routes that leave them out (VHDS). Forked by bench/kube.ts; tells it when every client has received a change.
import * as grpc from '@grpc/grpc-js';
import { referencesOf } from '../../src/control/serve/references.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST } from '../../src/control/serve/type-urls.ts';
import { type Any, decode, encode, Problems, unpack } from '../../src/xds/proto/codec.ts';
import { Cluster } from '../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { Listener } from '../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from '../../src/xds/proto/gen/envoy/service/discovery/v3.ts';

export interface ClientsRequest {
  /** Connect so many to `target`. */
  readonly connect?: { readonly target: string; readonly clients: number; readonly namespaces: number };
  /** Tell when all clients have received a resource of this type whose name contains the text and whose version is new. */
  readonly expect?: { readonly id: number; readonly typeUrl: string; readonly name: string };
  readonly reset?: true;
  readonly report?: true;
}

export interface ClientsAnswer {
  readonly connected?: {
    readonly clusters: number;
    readonly endpoints: number;
    readonly routes: number;
    readonly hosts: number;
  };
  readonly expecting?: number;
  /** When each client had it, in ms of the machine's monotonic clock. */
  readonly received?: { readonly id: number; readonly at: readonly number[] };
  readonly report?: { readonly bytes: number; readonly responses: number };
}

interface Expectation {
  readonly id: number;
  readonly typeUrl: string;
  readonly name: string;
  readonly waiting: Set<Client>;
  readonly at: number[];
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const expectations = new Set<Expectation>();
const clients: Client[] = [];
/** What resources name, decoded once for all clients. */
const decoded = new Map<string, readonly { typeUrl: string; name: string }[]>();
let bytes = 0;
let responses = 0;

class Client {
  readonly #connection: grpc.Client;
  #call!: grpc.ClientDuplexStream<Uint8Array, Uint8Array>;
  readonly #node: object;
  readonly #versions = new Map<string, string>();
  readonly #subscribed = new Map<string, Set<string>>();
  readonly wanted = new Set<string>();
  /** Types of which something came. */
  readonly #has = new Set<string>();
  first = true;

  constructor(connection: grpc.Client, index: number, namespaces: number) {
    const namespace = `ns${index % namespaces}`;
    const ip = `10.99.${index >> 8}.${index & 255}`;
    this.#node = {
      id: `sidecar~${ip}~client-${index}.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `client-${index}.${namespace}`,
      metadata: {
        NAMESPACE: namespace,
        NAME: `client-${index}`,
        ISTIO_VERSION: '1.29.0',
        INSTANCE_IPS: ip,
        CLUSTER_ID: 'Kubernetes',
        LABELS: { app: `client-${index}` },
        REMORA: { httpProxy: '127.0.0.1:15001' },
      },
      user_agent_name: 'envoy',
      user_agent_build_version: { version: { major_number: 1, minor_number: 40, patch: 0 } },
    };
    this.#connection = connection;
    this.#open();
  }

  /** istiod turns clients away when many come at once; like Envoy, they come back with nothing. */
  #reopen(): void {
    for (const state of [this.#versions, this.#has, this.#subscribed, this.wanted, this.#more]) state.clear();
    this.#asksHosts = false;
    this.first = true;
    setTimeout(() => this.#open(), 500 + Math.random() * 1000);
  }

  #open(): void {
    const pass = (value: Uint8Array): Buffer => Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    this.#call = this.#connection.makeBidiStreamRequest(
      '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      pass,
      (buffer: Buffer) => buffer as Uint8Array,
      new grpc.Metadata(),
    );
    this.#call.on('data', (message: Uint8Array) => this.#receive(message));
    this.#call.on('error', () => this.#reopen());
    this.#send({ type_url: CLUSTER, resource_names_subscribe: ['*'] });
    this.#send({ type_url: LISTENER, resource_names_subscribe: ['*'] });
  }

  count(typeUrl: string): number {
    let count = 0;
    for (const key of this.#versions.keys()) if (key.startsWith(typeUrl)) count++;
    return count;
  }
  get complete(): boolean {
    return this.wanted.size === 0 && this.#has.has(CLUSTER) && this.#has.has(LISTENER);
  }

  #send(request: DeltaDiscoveryRequest): void {
    this.#call.write(encode(DeltaDiscoveryRequest, { ...(this.first ? { node: this.#node } : {}), ...request }));
    this.first = false;
  }

  #receive(message: Uint8Array): void {
    const at = now();
    bytes += message.byteLength;
    responses++;
    const response = decode(DeltaDiscoveryResponse, message, new Problems(), '', { validate: false });
    const url = response.type_url ?? '';
    const changed = new Set<string>();
    for (const { name = '', version = '', resource } of response.resources ?? []) {
      const key = `${url} ${name}`;
      this.wanted.delete(key);
      // istiod gives no versions; what it sends is then taken for new, which is to its advantage where changes follow one another.
      if (version === '' || this.#versions.get(key) !== version) changed.add(name);
      this.#versions.set(key, version);
      this.#has.add(url);
      if (
        url === ROUTE &&
        resource !== undefined &&
        !this.#asksHosts &&
        discoversHosts(resource, `${key} ${version}`)
      ) {
        this.#asksHosts = true;
        this.wanted.add(VIRTUAL_HOST);
        this.#send({ type_url: VIRTUAL_HOST });
      }
      if (url === VIRTUAL_HOST) this.wanted.delete(VIRTUAL_HOST);
      if (resource === undefined || (url !== CLUSTER && url !== LISTENER)) continue;
      const known = `${key} ${version}`;
      let references = decoded.get(known);
      if (references === undefined) {
        const value = unpack(resource, url === CLUSTER ? Cluster : (Listener as never), new Problems(), '');
        references = referencesOf(url, value);
        decoded.set(known, references);
      }
      for (const { typeUrl, name: to } of references) if (typeUrl !== CLUSTER) this.#want(typeUrl, to);
    }
    for (const name of response.removed_resources ?? []) {
      this.#versions.delete(`${url} ${name}`);
      this.wanted.delete(`${url} ${name}`);
    }
    this.#send({ type_url: url, response_nonce: response.nonce ?? '' });
    this.#subscribe();
    for (const expectation of expectations) {
      if (expectation.typeUrl !== url || !expectation.waiting.has(this)) continue;
      if (![...changed].some((name) => name.includes(expectation.name))) continue;
      expectation.waiting.delete(this);
      expectation.at.push(at);
      if (expectation.waiting.size > 0) continue;
      expectations.delete(expectation);
      answer({ received: { id: expectation.id, at: expectation.at } });
    }
  }

  #asksHosts = false;
  readonly #more = new Map<string, string[]>();

  #want(typeUrl: string, name: string): void {
    let names = this.#subscribed.get(typeUrl);
    if (names === undefined) {
      names = new Set();
      this.#subscribed.set(typeUrl, names);
    }
    if (names.has(name)) return;
    names.add(name);
    this.wanted.add(`${typeUrl} ${name}`);
    this.#more.set(typeUrl, [...(this.#more.get(typeUrl) ?? []), name]);
  }

  #subscribe(): void {
    for (const [type_url, names] of this.#more) this.#send({ type_url, resource_names_subscribe: names });
    this.#more.clear();
  }
}

/** Decoded once for all clients. */
function discoversHosts(resource: Any, key: string): boolean {
  let found = vhds.get(key);
  if (found === undefined) {
    found = unpack(resource, RouteConfiguration, new Problems(), '')?.vhds !== undefined;
    vhds.set(key, found);
  }
  return found;
}
const vhds = new Map<string, boolean>();

function answer(value: ClientsAnswer): void {
  process.send?.(value);
}

process.on('message', (request: ClientsRequest) => {
  if (request.connect !== undefined) connect(request.connect);
  if (request.expect !== undefined) {
    expectations.add({ ...request.expect, waiting: new Set(clients), at: [] });
    answer({ expecting: request.expect.id });
  }
  if (request.reset) bytes = responses = 0;
  if (request.report) answer({ report: { bytes, responses } });
});
process.on('disconnect', () => process.exit(0));

function connect({ target, clients: count, namespaces }: NonNullable<ClientsRequest['connect']>): void {
  for (let i = 0; i < count; i++) {
    const connection = new grpc.Client(target, grpc.credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': 256 * 1024 * 1024,
    });
    clients.push(new Client(connection, i, namespaces));
  }
  const timer = setInterval(() => {
    if (!clients.every((client) => client.complete)) return;
    clearInterval(timer);
    const [one] = clients;
    answer({
      connected: {
        clusters: one?.count(CLUSTER) ?? 0,
        endpoints: one?.count(ENDPOINT) ?? 0,
        routes: one?.count(ROUTE) ?? 0,
        hosts: one?.count(VIRTUAL_HOST) ?? 0,
      },
    });
  }, 100);
}
