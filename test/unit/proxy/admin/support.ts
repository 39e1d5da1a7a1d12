import { connect, type Socket } from 'node:net';
import { systemClock } from '../../../../src/base/clock.ts';
import { LogRoot, silentLogger } from '../../../../src/base/log.ts';
import { seededRandom } from '../../../../src/base/random.ts';
import { Registry } from '../../../../src/base/registry.ts';
import { TimerWheel } from '../../../../src/base/timer-wheel.ts';
import { EMPTY_SNAPSHOT } from '../../../../src/model/snapshot.ts';
import type { HostPolicy } from '../../../../src/proxy/admin/host.ts';
import type { AdminRoute } from '../../../../src/proxy/admin/route.ts';
import { AdminServer } from '../../../../src/proxy/admin/server.ts';
import { HTTP_FILTER_TYPES } from '../../../../src/proxy/filters/standard.ts';
import { type AdminViewParts, ProxyAdminView } from '../../../../src/proxy/runtime/admin-view.ts';
import { SnapshotApplier } from '../../../../src/proxy/runtime/apply.ts';
import { DrainManager } from '../../../../src/proxy/runtime/drain.ts';
import { ProxyEnvironment } from '../../../../src/proxy/runtime/environment.ts';
import { proxyDecodeContext } from '../../../../src/proxy/runtime/extensions.ts';
import { StaticRuntime } from '../../../../src/proxy/runtime/runtime-values.ts';
import { LogSinks } from '../../../../src/proxy/telemetry/accesslog/sink.ts';
import { identityOfNode } from '../../../../src/proxy/telemetry/metrics/identity.ts';
import { RequestMetrics } from '../../../../src/proxy/telemetry/metrics/istio.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { systemResolver } from '../../../../src/proxy/upstream/dns.ts';
import { standardBalancers } from '../../../../src/proxy/upstream/lb/standard.ts';
import { readBootstrap } from '../../../../src/xds/bootstrap/bootstrap.ts';
import { type ManualClock, manualClock } from '../../../support/clock.ts';

export interface Served {
  readonly port: number;
  readonly clock: ManualClock;
  readonly server: AdminServer;
  close(): Promise<void>;
}

/** An admin server on a free port, with a clock that stands still. */
export async function serve(routes: readonly AdminRoute[], hosts: HostPolicy = { kind: 'local' }): Promise<Served> {
  const clock = manualClock();
  const wheel = new TimerWheel(clock);
  const server = new AdminServer({ name: 'admin', routes, hosts, clock, wheel, log: silentLogger(clock) });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    port,
    clock,
    server,
    async close() {
      await server.close();
      wheel.close();
    },
  };
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A raw client: writes text, reads answers one after the other. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  #text = '';
  #ended = false;
  #wake: (() => void) | null = null;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text) => {
      this.#text += String(text);
      this.#wake?.();
    });
    this.closed = new Promise((resolve) => {
      const end = (): void => {
        this.#ended = true;
        this.#wake?.();
        this.socket.destroy();
        resolve();
      };
      this.socket.on('end', end);
      this.socket.on('error', end);
      this.socket.on('close', end);
    });
  }

  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** The next answer; `head` for one that has no body. */
  async reply(head = false): Promise<Reply> {
    for (;;) {
      const parsed = this.#take(head);
      if (parsed !== null) return parsed;
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #take(head: boolean): Reply | null {
    const at = this.#text.indexOf('\r\n\r\n');
    if (at < 0) return null;
    const [start = '', ...lines] = this.#text.slice(0, at).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    );
    const length = head ? 0 : Number(headers['content-length'] ?? 0);
    if (this.#text.length < at + 4 + length) return null;
    const body = this.#text.slice(at + 4, at + 4 + length);
    this.#text = this.#text.slice(at + 4 + length);
    return { status: Number(start.split(' ')[1]), headers, body };
  }
}

/** One request on a connection of its own. */
export async function request(
  port: number,
  method: string,
  target: string,
  headers: readonly string[] = [],
): Promise<Reply> {
  const client = new RawClient(port);
  const lines = [`${method} ${target} HTTP/1.1`, 'Connection: close'];
  if (!headers.some((line) => /^host:/i.test(line))) lines.push('Host: localhost');
  client.send(`${[...lines, ...headers].join('\r\n')}\r\n\r\n`);
  const reply = await client.reply(method === 'HEAD');
  await client.closed;
  return reply;
}

export interface RunningProxy {
  readonly view: ProxyAdminView;
  readonly env: ProxyEnvironment;
  readonly applier: SnapshotApplier;
  readonly calls: string[];
  close(): Promise<void>;
}

/** The parts of a proxy under a static bootstrap, and its admin view. */
export async function startProxy(yaml: string, overrides: Partial<AdminViewParts> = {}): Promise<RunningProxy> {
  const result = readBootstrap(yaml, proxyDecodeContext());
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  const { bootstrap } = result;
  const calls: string[] = [];
  const logRoot = new LogRoot(systemClock, () => {});
  const log = logRoot.logger();
  const sinks = new LogSinks(systemClock, { stdout: process.stdout, stderr: process.stderr });
  const runtime = new StaticRuntime(bootstrap.runtime);
  const stats = new StatStore();
  const env = new ProxyEnvironment({
    clock: systemClock,
    random: seededRandom(1),
    log,
    stats,
    sinks,
    node: bootstrap.node,
    runtime,
    filterTypes: new Registry(
      'HTTP filter',
      HTTP_FILTER_TYPES.map((type) => [type.kind, type]),
    ),
    balancers: standardBalancers,
    resolve: systemResolver,
    metrics: new RequestMetrics(stats, identityOfNode({})),
    overload: bootstrap.overload,
    explain: false,
  });
  const applier = new SnapshotApplier(env);
  await applier.apply({
    ...EMPTY_SNAPSHOT,
    listeners: new Map(bootstrap.listeners.map((listener) => [listener.name, listener])),
    clusters: new Map(bootstrap.clusters.map((cluster) => [cluster.name, cluster])),
  });
  const view = new ProxyAdminView({
    env,
    applier,
    bootstrap,
    bootstrapText: yaml,
    runtime,
    sinks,
    logRoot,
    version: '1.2.3',
    ready: () => true,
    discovery: () => null,
    drain: new DrainManager(env, applier),
    quit: () => calls.push('quit'),
    ...overrides,
  });
  return {
    view,
    env,
    applier,
    calls,
    async close() {
      applier.close();
      env.wheel.close();
      await sinks.close();
    },
  };
}
