import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { LogRoot } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/random.ts';
import { identityMetadata } from '../../src/cli/identity.ts';
import { announce } from '../../src/cli/instance.ts';
import { type ControlOptions, ControlServer } from '../../src/control/runtime/server.ts';
import type { ConnectedProxy } from '../../src/control/serve/clients.ts';
import type { Finding } from '../../src/control/source/collection.ts';
import { formatAddress, type SocketAddress } from '../../src/model/address.ts';
import { proxyDecodeContext } from '../../src/proxy/runtime/extensions.ts';
import type { IdentitySettings } from '../../src/proxy/runtime/identity.ts';
import { Proxy } from '../../src/proxy/runtime/server.ts';
import { readBootstrap } from '../../src/xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../../src/xds/bootstrap/document.ts';
import { EXPLAIN, type ProxyFlags, proxyBootstrap } from '../../src/xds/bootstrap/proxy-bootstrap.ts';
import type { JsonObject } from '../../src/xds/proto/codec.ts';
import { memoryFolder } from './memory-folder.ts';
import { type App, type AppOptions, app } from './mesh-app.ts';
import { closedPort } from './upstream.ts';

const EXPLAIN_LAYERS = EXPLAIN.layers as JsonObject[];

/** The port of every service of a test mesh. */
export const PORT = 9080;

const POLL_MS = 5;
/** 10 s and more. Not a time: on a busy machine what is awaited comes late, and the looks too. */
const MOST_LOOKS = 2000;

/** Resolves with what `look` finds, once it is there; names `what` when it does not come in so many looks. */
export async function until<T>(
  what: string | (() => string),
  look: () => T | Promise<T>,
  mostLooks = MOST_LOOKS,
): Promise<NonNullable<T>> {
  for (let looks = 1; ; looks++) {
    const found = await look();
    if (found !== null && found !== undefined && found !== false) return found;
    if (looks === mostLooks) throw new Error(`not in ${looks} looks: ${typeof what === 'string' ? what : what()}`);
    await new Promise<void>((resolve) => systemClock.after(POLL_MS, resolve));
  }
}

export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** One request on a connection of its own. A target with `http://` goes through an explicit proxy. */
export function call(
  port: number,
  target: string,
  headers: Readonly<Record<string, string>> = {},
  sends = '',
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const host = /^http:\/\/([^/]+)/.exec(target)?.[1] ?? 'bookinfo.example';
    const options = { host: '127.0.0.1', port, path: target, agent: false as const, headers: { host, ...headers } };
    const method = sends === '' ? 'GET' : 'POST';
    const sent = httpRequest({ ...options, method }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
    });
    sent.on('error', reject);
    sent.end(sends);
  });
}

/** Lines that somebody waits for; the oldest go. */
export class Lines extends Writable {
  readonly lines: string[] = [];

  constructor() {
    super({ decodeStrings: false });
  }
  add(line: string): void {
    this.lines.push(line);
    if (this.lines.length > 2000) this.lines.splice(0, 1000);
  }
  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    for (const line of String(chunk).split('\n')) if (line !== '') this.add(line);
    done();
  }
  find(pattern: RegExp): string | undefined {
    return this.lines.find((line) => pattern.test(line));
  }
  /** The first line that matches, once there is one. */
  until(pattern: RegExp): Promise<string> {
    return until(
      () => `a line like ${pattern}; the last: ${this.lines.slice(-5).join('')}`,
      () => this.find(pattern),
    );
  }
}

/** A proxy of the mesh, with the program beside it. */
export class MeshProxy {
  readonly name: string;
  readonly proxy: Proxy;
  readonly app: App | null;
  /** The proxy's own log. */
  readonly log: Lines;
  readonly accessLog: Lines;
  readonly lastGoodPath: string;
  withdraw: () => void = () => {};

  constructor(name: string, proxy: Proxy, log: Lines, accessLog: Lines, lastGoodPath: string, beside: App | null) {
    this.name = name;
    this.proxy = proxy;
    this.log = log;
    this.accessLog = accessLog;
    this.lastGoodPath = lastGoodPath;
    this.app = beside;
  }

  /** The explicit proxy for the program's own calls. */
  get outbound(): SocketAddress {
    return this.#address('http_proxy');
  }
  get inbound(): SocketAddress {
    return this.#address(`inbound|${PORT}`);
  }
  #address(listener: string): SocketAddress {
    const address = this.proxy.addressOf(listener);
    if (address === undefined) throw new Error(`${this.name} has no listener ${listener}`);
    return address;
  }

  /** A call of the program beside this proxy: `http://reviews:9080/`. */
  call(target: string, headers: Readonly<Record<string, string>> = {}, sends = ''): Promise<Reply> {
    return call(this.outbound.port, target, headers, sends);
  }
  /** The routes in force, as text, for looking for a marker. */
  routesText(): string {
    const { routes } = this.proxy.applier.applied;
    if (this.#routes !== routes) this.#text = text([...routes.values()]);
    this.#routes = routes;
    return this.#text;
  }
  #routes: unknown = null;
  #text = '';
  /** Its own program's rate limits in force, as text. */
  limitText(): string {
    return `${text([...this.proxy.applier.applied.listeners.values()])} ${this.routesText()}`;
  }
  get clusters(): string[] {
    return [...this.proxy.applier.applied.clusters.keys()].sort();
  }
  /** How much there is of everything that must not grow. */
  counts(): Record<string, number> {
    const { applier, env } = this.proxy;
    return {
      listeners: applier.listeners.size,
      tables: applier.tables.size,
      managers: applier.managers().length,
      clusters: [...env.clusters.clusters()].length,
      endpoints: [...env.clusters.clusters()].reduce((sum, cluster) => sum + cluster.total, 0),
      series: [...env.stats.series()].length,
    };
  }

  async close(): Promise<void> {
    this.withdraw();
    await this.proxy.close();
    await this.app?.close();
  }
}

/** Maps included. */
function text(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (part instanceof Map ? [...part] : part));
}

export interface ProxySpec {
  readonly service: string;
  readonly version?: string;
  readonly namespace?: string;
  readonly app?: AppOptions;
  /** SotW in place of delta. */
  readonly sotw?: boolean;
  /** Config and certificate are kept for a start while the control server is away. */
  readonly lastGood?: boolean;
  readonly lastGoodTtlMs?: number;
  /** It asks for hosts when its program first calls them. False: it knows all of the mesh. */
  readonly onDemand?: boolean;
  /** Threads that serve; this one when absent. */
  readonly workers?: number;
  /** Of the proxy's main thread. */
  readonly clock?: Clock;
  /** In a mesh with certificates: it has none. */
  readonly plain?: true;
  /** Of its certificate; that of its service otherwise. */
  readonly serviceAccount?: string;
}

/** Certificates for a mesh. */
export interface MeshCertificates {
  /** Of the proxies' identities, and of the CA's looks. */
  readonly clock?: Clock;
  readonly ttlMs?: number;
  readonly holdMs?: number;
  /** Proxies ask for config and certificates by TLS. */
  readonly secure?: true;
}

/** The folder that the control server watches. */
export class ConfigFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true });
  }
  /** In place, as `cp` does. */
  write(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }
  /** In one step, as editors do. */
  replace(name: string, text: string): void {
    const temporary = join(this.path, `.${name}.swp`);
    writeFileSync(temporary, text);
    renameSync(temporary, join(this.path, name));
  }
  remove(...names: readonly string[]): void {
    for (const name of names) rmSync(join(this.path, name), { force: true });
  }
}

/** A running mesh in this process. */
export class Mesh {
  readonly #folder: string;
  readonly config: ConfigFolder;
  readonly instances: ConfigFolder;
  readonly proxies = new Map<string, MeshProxy>();
  readonly log = new Lines();
  gatewayPort = 0;
  /** Where the gateway listens for what Gateways call port 443. */
  gatewayTlsPort = 0;
  readonly #clock: Clock;
  readonly #certificates: MeshCertificates | null;
  #control: ControlServer | null = null;
  #xdsPort = 0;
  #tlsPort = 0;

  /** `clock`: of the control server. */
  constructor(clock: Clock = systemClock, certificates: MeshCertificates | null = null) {
    this.#clock = certificates?.clock ?? clock;
    this.#certificates = certificates;
    this.#folder = memoryFolder('remora-mesh-');
    this.config = new ConfigFolder(join(this.#folder, 'config'));
    this.instances = new ConfigFolder(join(this.#folder, 'instances'));
  }

  /** Where the CA keeps its root. */
  get caFolder(): string {
    return join(this.#folder, 'ca');
  }
  /** The file of the proxies' token, which is the CA's own until a test changes it. */
  get tokenPath(): string {
    const path = join(this.#folder, 'token');
    if (!existsSync(path)) copyFileSync(join(this.caFolder, 'local.token'), path);
    return path;
  }
  get control(): ControlServer {
    if (this.#control === null) throw new Error('the control server is not running');
    return this.#control;
  }
  proxy(name: string): MeshProxy {
    const proxy = this.proxies.get(name);
    if (proxy === undefined) throw new Error(`no proxy ${name}; there are ${[...this.proxies.keys()].join(', ')}`);
    return proxy;
  }

  /** Starts the control server; again on the same port after `stopControl`. */
  async startControl(): Promise<void> {
    const control = new ControlServer({
      paths: [this.config.path, this.instances.path],
      xds: { host: '127.0.0.1', port: this.#xdsPort },
      http: { host: '127.0.0.1', port: 0 },
      clock: this.#clock,
      log: new LogRoot(this.#clock, (line) => this.log.add(line), 'debug').logger(),
      version: 'test',
      ...(this.#certificates === null ? {} : { ca: this.#caOptions(this.#certificates) }),
    });
    await control.start();
    this.#control = control;
    this.#xdsPort = control.xdsAddress.port;
    this.#tlsPort = control.secureAddress.port;
  }
  #caOptions({ ttlMs = 86_400_000, holdMs }: MeshCertificates): NonNullable<ControlOptions['ca']> {
    return {
      trustDomain: 'cluster.local',
      ttlMs,
      keep: { kind: 'folder', path: this.caFolder },
      pluggedFolder: '',
      audience: 'istio-ca',
      secure: { host: '127.0.0.1', port: this.#tlsPort },
      dns: ['localhost'],
      ...(holdMs === undefined ? {} : { holdMs }),
    };
  }

  /** Who a proxy of the mesh is; null: nobody. */
  #identity(spec: ProxySpec): IdentitySettings | null {
    const { service, namespace = 'default', serviceAccount = service, plain } = spec;
    if (this.#certificates === null || plain) return null;
    const secure = this.#certificates.secure ?? false;
    const address = secure ? `localhost:${this.#tlsPort}` : `127.0.0.1:${this.#xdsPort}`;
    return {
      id: { trustDomain: 'cluster.local', namespace, serviceAccount },
      ca: { address, secure },
      control: { address, secure },
      tokenPath: this.tokenPath,
      rootsPath: secure ? join(this.caFolder, 'root-cert.pem') : '',
      keptPath: spec.lastGood === true ? join(this.#folder, `${service}.identity`) : '',
      ttlS: 0,
    };
  }

  async stopControl(): Promise<void> {
    await this.#control?.close();
    this.#control = null;
  }

  /** A sidecar and its program, announced to the mesh once it has its listeners. */
  async sidecar(spec: ProxySpec): Promise<MeshProxy> {
    const { service, version = 'v1', namespace = 'default' } = spec;
    const name = `${service}-${version}`;
    // The program learns of its proxy when that listens: it is asked for at each call.
    const beside = await app(name, { ...spec.app, outbound: () => this.proxies.get(name)?.outbound.port ?? 0 });
    const proxy = this.#proxy(
      name,
      {
        type: 'sidecar',
        control: formatAddress({ host: '127.0.0.1', port: this.#xdsPort }),
        ip: '127.0.0.1',
        pod: name,
        namespace,
        workload: name,
        labels: { app: service, version },
        metadata: {
          REMORA: {
            inbound: [
              {
                port: PORT,
                bind: '127.0.0.1:0',
                app: `127.0.0.1:${beside.port}`,
                service: `${service}.${namespace}.svc.cluster.local`,
              },
            ],
            httpProxy: '127.0.0.1:0',
          },
        },
      },
      spec,
      beside,
    );
    await proxy.proxy.start();
    this.announce(proxy, spec);
    return proxy;
  }

  announce(proxy: MeshProxy, spec: ProxySpec): void {
    const { service, version = 'v1', namespace = 'default' } = spec;
    const inboundPort = proxy.inbound.port;
    const { serviceAccount } = this.#identity(spec)?.id ?? {};
    const identity = serviceAccount === undefined ? {} : { serviceAccount };
    const instance = { pod: proxy.name, service, namespace, version, servicePort: PORT, inboundPort, ...identity };
    proxy.withdraw = announce(instance, this.instances.path, 'http', false);
  }

  /** An ingress gateway, `istio: ingressgateway`; its port 80 is `gatewayPort`. */
  async gateway(spec: Omit<ProxySpec, 'service'> = {}): Promise<MeshProxy> {
    this.gatewayPort = await closedPort();
    this.gatewayTlsPort = await closedPort();
    const proxy = this.#proxy(
      'gateway',
      {
        type: 'router',
        control: formatAddress({ host: '127.0.0.1', port: this.#xdsPort }),
        ip: '127.0.0.1',
        pod: 'gateway',
        namespace: spec.namespace ?? 'default',
        workload: 'gateway',
        labels: { istio: 'ingressgateway' },
        metadata: { REMORA: { portMap: { 80: this.gatewayPort, 443: this.gatewayTlsPort }, bind: '127.0.0.1' } },
      },
      { ...spec, service: 'gateway' },
      null,
    );
    await proxy.proxy.start();
    return proxy;
  }

  #proxy(name: string, flags: ProxyFlags, spec: ProxySpec, beside: App | null): MeshProxy {
    const log = new Lines();
    const accessLog = new Lines();
    const identity = this.#identity(spec);
    const metadata = { ...flags.metadata, ...identityMetadata(identity) };
    const control = identity?.control.address ?? flags.control;
    const account = identity === null ? {} : { serviceAccount: identity.id.serviceAccount };
    const bootstrap: JsonObject = {
      ...proxyBootstrap({
        ...flags,
        ...account,
        control,
        metadata,
        delta: spec.sotw !== true,
        admin: { host: '127.0.0.1', port: 0 },
      }),
      layered_runtime: {
        layers: [...EXPLAIN_LAYERS, { name: 'test', static_layer: { 'remora.on_demand': spec.onDemand === true } }],
      },
    };
    const result = readBootstrap(JSON.stringify(bootstrap), proxyDecodeContext());
    if (!result.ok) throw new Error(describeProblems(name, result.problems).join('\n'));
    const lastGoodPath = join(this.#folder, `${name}.last-good.json`);
    const proxy = new Proxy({
      bootstrap: result.bootstrap,
      clock: spec.clock ?? this.#certificates?.clock ?? systemClock,
      concurrency: spec.workers ?? 1,
      random: systemRandom,
      ...(identity === null ? {} : { identity }),
      log: new LogRoot(systemClock, (line) => log.add(line), 'debug').logger(),
      stdout: accessLog,
      stderr: accessLog,
      version: 'test',
      ...(spec.lastGood === true ? { lastGood: { path: lastGoodPath, ttlMs: spec.lastGoodTtlMs ?? 0 } } : {}),
    });
    const made = new MeshProxy(name, proxy, log, accessLog, lastGoodPath, beside);
    this.proxies.set(name, made);
    return made;
  }

  /** What a path of the control server's HTTP port answers. */
  async status<T>(path: string): Promise<T> {
    return JSON.parse((await call(this.control.httpAddress.port, path, { host: 'localhost' })).body) as T;
  }
  findings(): Promise<(Finding & { text: string })[]> {
    return this.status('/findings');
  }
  /** The finding with this code, once it is there. */
  finding(code: string): Promise<Finding & { text: string }> {
    return until(`finding ${code}`, async () => (await this.findings()).find((one) => one.code === code));
  }
  /** Resolves when all proxies that are connected have applied all there is. */
  synced(count = this.proxies.size): Promise<readonly ConnectedProxy[]> {
    return until(`${count} proxies in sync`, async () => {
      const list = await this.status<ConnectedProxy[]>('/proxies');
      return list.length === count && list.every((one) => one.applied === one.target) ? list : null;
    });
  }
  /** Resolves when the routes of these proxies, or of all, have the text. */
  async routed(text: string, ...names: readonly string[]): Promise<void> {
    const proxies = names.length === 0 ? [...this.proxies.values()] : names.map((name) => this.proxy(name));
    await until(`${text} in the routes of ${proxies.map(({ name }) => name).join(', ')}`, () =>
      proxies.every((proxy) => proxy.routesText().includes(text)),
    );
  }

  /** Before memory is measured. */
  forgetLines(): void {
    for (const { log, accessLog } of this.proxies.values()) for (const one of [log, accessLog]) one.lines.length = 0;
    this.log.lines.length = 0;
  }
  /** What everybody said last, and what the proxies wait for, for a test that fails. */
  async describe(): Promise<string> {
    const lines = [...this.proxies.values()].map(({ name, proxy, log }) => {
      const { warming = [], source = '' } = proxy.discovery?.status ?? {};
      return `${name}: from ${source}, warming ${JSON.stringify(warming)}\n${log.lines.slice(-8).join('')}`;
    });
    const proxies = this.#control === null ? '' : JSON.stringify(await this.status('/proxies'));
    return [...lines, 'control:', ...this.log.lines.slice(-20), proxies].join('\n');
  }

  async close(): Promise<void> {
    await Promise.all([...this.proxies.values()].map((proxy) => proxy.close()));
    await this.stopControl();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Says step by step what a mesh consists of; proxies start in the order in which they are named. */
export class MeshBuilder {
  readonly #files: (readonly [string, string])[] = [];
  readonly #steps: ((mesh: Mesh) => Promise<unknown>)[] = [];
  readonly #clock: Clock;
  #certificates: MeshCertificates | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Proxies have certificates, by a CA of the mesh. */
  certificates(certificates: MeshCertificates = {}): this {
    this.#certificates = certificates;
    return this;
  }

  /** A file of config. */
  yaml(name: string, text: string): this {
    this.#files.push([name, text]);
    return this;
  }
  sidecar(service: string, version = 'v1', more: Omit<ProxySpec, 'service' | 'version'> = {}): this {
    this.#steps.push((mesh) => mesh.sidecar({ service, version, ...more }));
    return this;
  }
  gateway(spec: Omit<ProxySpec, 'service'> = {}): this {
    this.#steps.push((mesh) => mesh.gateway(spec));
    return this;
  }
  /** Resolves when every proxy has all of the config. */
  async start(): Promise<Mesh> {
    const mesh = new Mesh(this.#clock, this.#certificates);
    try {
      for (const [name, text] of this.#files) mesh.config.write(name, text);
      await mesh.startControl();
      for (const step of this.#steps) await step(mesh);
      // The last instance's announcement is read and pushed after its proxy was in sync.
      for (const { proxy, app: beside } of mesh.proxies.values()) {
        if (beside === null) continue;
        const inbound = proxy.addressOf(`inbound|${PORT}`)?.port;
        await until(`${beside.name} announced`, () => announced(mesh, inbound ?? 0));
      }
      await mesh.synced();
    } catch (error) {
      const said = await mesh.describe();
      await mesh.close();
      throw new Error(`the mesh does not start\n${said}`, { cause: error });
    }
    return mesh;
  }
}

/** Every sidecar of the mesh knows the instance on that port. */
function announced(mesh: Mesh, port: number): boolean {
  return [...mesh.proxies.values()].every(({ app: beside, proxy }) => {
    if (beside === null) return true;
    const ports = [...proxy.applier.applied.endpoints.values()].flatMap(({ localities }) =>
      localities.flatMap(({ endpoints }) => endpoints.map(({ address }) => address.port)),
    );
    return ports.includes(port);
  });
}

/** `await mesh().yaml('a.yaml', text).sidecar('productpage').sidecar('reviews', 'v2').gateway().start()`; `clock`: of the control server */
export function mesh(clock: Clock = systemClock): MeshBuilder {
  return new MeshBuilder(clock);
}
