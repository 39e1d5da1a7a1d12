import { Writable } from 'node:stream';
import { afterEach } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { LogRoot } from '../../src/base/log.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { DrainSettings } from '../../src/proxy/runtime/drain.ts';
import { proxyDecodeContext } from '../../src/proxy/runtime/extensions.ts';
import { Proxy } from '../../src/proxy/runtime/server.ts';
import type { StatStore } from '../../src/proxy/telemetry/metrics/store.ts';
import { type Bootstrap, readBootstrap } from '../../src/xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../../src/xds/bootstrap/document.ts';
import { key, pem } from './certs/index.ts';
import { type RawClient, rawClient } from './client.ts';
import { type Answer, type HttpUpstream, httpUpstream, type RawUpstream, rawUpstream } from './upstream.ts';

/** Protobuf JSON, written as Envoy's YAML has it. */
export type Json = { [key: string]: unknown };

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const TCP = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';
const STDOUT = 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';
/** Space-separated, so that a test compares one field. */
const LOG_FORMAT =
  '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST%\n';

export interface LogLine {
  readonly method: string;
  readonly path: string;
  readonly code: number;
  readonly flags: string;
  readonly details: string;
  readonly received: number;
  readonly sent: number;
  readonly upstream: string;
}

/** A running proxy with one listener, on port 0 of loopback. */
export class TestProxy {
  readonly proxy: Proxy;
  readonly bootstrap: Bootstrap;
  readonly port: number;
  /** The process's own log. */
  readonly processLog: string[];
  readonly #output: LogCapture;

  constructor(proxy: Proxy, bootstrap: Bootstrap, output: LogCapture, processLog: string[]) {
    this.proxy = proxy;
    this.bootstrap = bootstrap;
    this.#output = output;
    this.processLog = processLog;
    this.port = proxy.addressOf('main')!.port;
  }

  /** A new connection to the listener. */
  async client(): Promise<RawClient> {
    const client = await rawClient(this.port, secured);
    cleanups.push(() => {
      client.socket.destroy();
    });
    return client;
  }

  /** Resolves with the access log's line number `index` (from 0), once it is there. */
  async log(index: number): Promise<LogLine> {
    return parseLine(await this.#output.line(index));
  }
  get logLines(): readonly string[] {
    return this.#output.lines;
  }

  /** A stat by its dotted name; 0 when it does not exist. */
  stat(dotted: string): number {
    return numberOf(this.proxy.env.stats, dotted);
  }
  /** The same over all threads. */
  async statOfAll(dotted: string): Promise<number> {
    return numberOf(await this.proxy.stats(), dotted);
  }

  /** The bootstrap's config as the snapshot that `applier.apply` takes, with some parts changed. */
  snapshot(changes: Partial<Snapshot> = {}): Snapshot {
    const { listeners, clusters } = this.bootstrap;
    return {
      listeners: new Map(listeners.map((listener) => [listener.name, listener])),
      clusters: new Map(clusters.map((cluster) => [cluster.name, cluster])),
      routes: new Map(),
      endpoints: new Map(),
      ...changes,
    };
  }
}

function numberOf(stats: StatStore, dotted: string): number {
  for (const series of stats.series()) if (series.dotted === dotted) return stats.value(series.id);
  return 0;
}

function parseLine(line: string): LogLine {
  const [method = '', path = '', code = '', flags = '', details = '', received = '', sent = '', upstream = ''] =
    line.split(' ');
  return { method, path, code: Number(code), flags, details, received: Number(received), sent: Number(sent), upstream };
}

class LogCapture extends Writable {
  readonly lines: string[] = [];
  #partial = '';
  #wakers: (() => void)[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const texts = (this.#partial + chunk.toString('latin1')).split('\n');
    this.#partial = texts.pop()!;
    this.lines.push(...texts);
    for (const wake of this.#wakers.splice(0)) wake();
    done();
  }
  async line(index: number): Promise<string> {
    while (this.lines.length <= index) await new Promise<void>((resolve) => this.#wakers.push(resolve));
    return this.lines[index]!;
  }
}

/** What workers say for the process's own log. */
function lines(into: string[]): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      into.push(chunk.toString());
      done();
    },
  });
}

/** Builds a bootstrap piece by piece; everything not said is Envoy's default. */
export class ProxyBuilder {
  readonly #clusters: Json[] = [];
  readonly #routes: Json[] = [];
  readonly #filters: Json[] = [];
  #virtualHost: Json = {};
  #routeConfig: Json = {};
  #manager: Json = {};
  #router: Json = {};
  #listener: Json = {};
  readonly #more: Json[] = [];
  #chain: Json = {};
  #secrets: Json[] = [];
  #runtime: Json = {};
  #tcp: Json | null = null;
  #clock: Clock = systemClock;
  #random: Random = seededRandom(1);
  #logFormat = LOG_FORMAT;
  #bootstrap: Json = {};
  #drain: DrainSettings | undefined;
  #concurrency = 1;

  /** A static cluster of loopback ports. */
  cluster(name: string, endpoints: number | readonly number[], fields: Json = {}): this {
    const ports = typeof endpoints === 'number' ? [endpoints] : endpoints;
    this.#clusters.push({
      name,
      type: 'STATIC',
      load_assignment: {
        cluster_name: name,
        endpoints: [
          {
            lb_endpoints: ports.map((port) => ({
              endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
            })),
          },
        ],
      },
      ...fields,
    });
    return this;
  }
  rawCluster(fields: Json): this {
    this.#clusters.push(fields);
    return this;
  }
  /** A route; without any, everything goes to the first cluster. */
  route(route: Json): this {
    this.#routes.push(route);
    return this;
  }
  /** `{prefix: /} → cluster` with these fields in the route action. */
  to(cluster: string, action: Json = {}, route: Json = {}): this {
    return this.route({ match: { prefix: '/' }, route: { cluster, ...action }, ...route });
  }
  filter(name: string, typedConfig: Json, fields: Json = {}): this {
    this.#filters.push({ name, typed_config: typedConfig, ...fields });
    return this;
  }
  virtualHost(fields: Json): this {
    this.#virtualHost = { ...this.#virtualHost, ...fields };
    return this;
  }
  routeConfig(fields: Json): this {
    this.#routeConfig = { ...this.#routeConfig, ...fields };
    return this;
  }
  /** `enable_trailers` on both sides, of the clusters that are there already. */
  trailers(): this {
    const http_protocol_options = { enable_trailers: true };
    for (const cluster of this.#clusters) Object.assign(cluster, { http_protocol_options });
    return this.manager({ http_protocol_options });
  }
  /** Fields of the HTTP connection manager. */
  manager(fields: Json): this {
    this.#manager = { ...this.#manager, ...fields };
    return this;
  }
  router(fields: Json): this {
    this.#router = fields;
    return this;
  }
  listener(fields: Json): this {
    this.#listener = { ...this.#listener, ...fields };
    return this;
  }
  /** Fields of the listener's only filter chain. */
  chain(fields: Json): this {
    this.#chain = { ...this.#chain, ...fields };
    return this;
  }
  /** TLS of the chain (DownstreamTlsContext). */
  tls(context: Json): this {
    return this.chain({ transport_socket: transportSocket('DownstreamTlsContext', context) });
  }
  secret(fields: Json): this {
    this.#secrets.push(fields);
    return this;
  }
  /** A listener beside the one that clients connect to. */
  rawListener(fields: Json): this {
    this.#more.push(fields);
    return this;
  }
  runtime(fields: Json): this {
    this.#runtime = { ...this.#runtime, ...fields };
    return this;
  }
  /** Reasons in the bodies of local replies. */
  explain(): this {
    return this.runtime({ 'remora.local_reply.explain': true });
  }
  /** A TCP proxy in place of the HTTP connection manager. */
  tcp(fields: Json): this {
    this.#tcp = fields;
    return this;
  }
  clock(clock: Clock): this {
    this.#clock = clock;
    return this;
  }
  random(random: Random): this {
    this.#random = random;
    return this;
  }
  logFormat(format: string): this {
    this.#logFormat = format;
    return this;
  }

  /** Fields of the bootstrap itself. */
  fields(fields: Json): this {
    this.#bootstrap = { ...this.#bootstrap, ...fields };
    return this;
  }
  /** So many threads serve. They have the system's clock and chance. */
  workers(count: number): this {
    this.#concurrency = count;
    return this;
  }
  drain(timeMs: number, strategy: DrainSettings['strategy'] = 'gradual'): this {
    this.#drain = { timeMs, strategy };
    return this;
  }

  json(): Json {
    const accessLog = [
      {
        name: 'log',
        typed_config: { '@type': STDOUT, log_format: { text_format_source: { inline_string: this.#logFormat } } },
      },
    ];
    const first = this.#clusters[0]?.['name'];
    const routes = this.#routes.length > 0 ? this.#routes : [{ match: { prefix: '/' }, route: { cluster: first } }];
    const http = {
      '@type': HCM,
      stat_prefix: 'main',
      access_log: accessLog,
      route_config: {
        name: 'routes',
        virtual_hosts: [{ name: 'all', domains: ['*'], routes, ...this.#virtualHost }],
        ...this.#routeConfig,
      },
      http_filters: [...this.#filters, { name: 'router', typed_config: { '@type': ROUTER, ...this.#router } }],
      ...this.#manager,
    };
    const filter =
      this.#tcp === null
        ? { name: 'http', typed_config: http }
        : { name: 'tcp', typed_config: { '@type': TCP, stat_prefix: 'main', access_log: accessLog, ...this.#tcp } };
    return {
      layered_runtime: { layers: [{ name: 'static', static_layer: this.#runtime }] },
      static_resources: {
        listeners: [
          {
            name: 'main',
            address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
            filter_chains: [{ filters: [filter], ...(secured ? DOWNSTREAM : {}), ...this.#chain }],
            ...this.#listener,
          },
          ...this.#more,
        ],
        clusters: secured ? this.#clusters.map((cluster) => ({ ...UPSTREAM, ...cluster })) : this.#clusters,
        secrets: this.#secrets,
      },
      ...this.#bootstrap,
    };
  }

  bootstrap(): Bootstrap {
    const result = readBootstrap(JSON.stringify(this.json()), proxyDecodeContext());
    if (result.ok) return result.bootstrap;
    throw new Error(describeProblems('test', result.problems).join('\n'));
  }

  async start(): Promise<TestProxy> {
    const bootstrap = this.bootstrap();
    const output = new LogCapture();
    const processLog: string[] = [];
    const clock = this.#clock;
    const proxy = new Proxy({
      bootstrap,
      clock,
      random: this.#random,
      log: new LogRoot(clock, (line) => processLog.push(line), 'debug').logger(),
      stdout: output,
      stderr: this.#concurrency === 1 ? output : lines(processLog),
      version: 'test',
      concurrency: this.#concurrency,
      ...(this.#drain === undefined ? {} : { drain: this.#drain }),
    });
    await proxy.start();
    cleanups.push(() => proxy.close());
    return new TestProxy(proxy, bootstrap, output, processLog);
  }
}

/** A `transport_socket` of TLS, by the name of its message. */
export function transportSocket(message: 'DownstreamTlsContext' | 'UpstreamTlsContext', context: Json): Json {
  const type = `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${message}`;
  return { name: 'envoy.transport_sockets.tls', typed_config: { '@type': type, ...context } };
}

/** Everything that is made from now on speaks TLS where nothing else is said: clients, proxies on both sides, upstreams. */
export function speakTls(): void {
  secured = true;
}
let secured = false;
const DOWNSTREAM: Json = {
  transport_socket: transportSocket('DownstreamTlsContext', {
    common_tls_context: {
      tls_certificates: [
        { certificate_chain: { inline_string: pem('server') }, private_key: { inline_string: key('server') } },
      ],
    },
  }),
};
const UPSTREAM: Json = { transport_socket: transportSocket('UpstreamTlsContext', {}) };

/** Begins a proxy. It, its clients and its upstreams end with the test, and must leave nothing open. */
export function proxy(): ProxyBuilder {
  return new ProxyBuilder();
}

/** A recording HTTP upstream that ends with the test. */
export async function upstream(answer?: Answer): Promise<HttpUpstream> {
  const made = await httpUpstream(answer, secured);
  cleanups.unshift(() => made.close());
  return made;
}

/** A scripted upstream that ends with the test. */
export async function scripted(): Promise<RawUpstream> {
  const made = await rawUpstream(secured);
  cleanups.unshift(() => made.close());
  return made;
}

/** Closes something of the test's own after proxies and clients, before what is left open is counted. */
export function closeLast(close: () => void | Promise<void>): void {
  cleanups.unshift(close);
}

/** A turn of the event loop, with what its I/O brings. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Turns until `test` holds: for what has no event a test could wait on. Ends by the test's timeout. */
export async function eventually(test: () => boolean): Promise<void> {
  while (!test()) await turn();
}

/** So many turns in which something that must not happen would have. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

const cleanups: (() => void | Promise<void>)[] = [];
/** What vitest itself has open. */
const OURS = new Set(['TCPSocketWrap', 'TCPServerWrap', 'TCPConnectWrap', 'Timeout', 'FSReqCallback']);

function openHandles(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((kind) => OURS.has(kind) && kind !== 'Timeout' && kind !== 'FSReqCallback');
}

afterEach(async () => {
  // Clients first, then proxies: in reverse of their making. Upstreams, put in front, last.
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  // Closing takes the loop a few turns; what is left after many was leaked.
  for (let i = 0; i < 200 && openHandles().length > 0; i++) await turn();
  const left = openHandles();
  if (left.length > 0) throw new Error(`left open after the test: ${left.join(', ')}`);
});
