import { createServer, type Server, type Socket } from 'node:net';
import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { FilterChain, Listener as ListenerConfig, NetworkFilter, TrafficDirection } from '../../model/listener.ts';
import { plainAddress } from '../http/addresses.ts';
import { type ConnectionDeparture, HttpConnection } from '../http/connection.ts';
import type { ConnectionManager } from '../http/connection-manager.ts';
import { type ListenSockets, listenKept, socketKey } from '../io/listen-sockets.ts';
import { TcpConnection } from '../tcp/tcp-connection.ts';
import type { TcpEnvironment, TcpProxy } from '../tcp/tcp-proxy.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { type ConnectionInfo, StreamInfo } from '../telemetry/stream-info.ts';
import { type Admission, Verdict } from './admission.ts';
import type { DrainWindow } from './drain-window.ts';
import { FilterChainTable } from './filter-chain.ts';
import { ListenerStats } from './stats.ts';

/** A compiled filter chain: what serves its connections. */
export type ChainHandler =
  | { readonly kind: 'http'; readonly manager: ConnectionManager }
  | { readonly kind: 'tcp'; readonly proxy: TcpProxy };

/** A listener's config with its chains compiled. */
export interface CompiledListener {
  readonly config: ListenerConfig;
  readonly chains: FilterChainTable<ChainHandler>;
  /** Logs every connection at its end. */
  readonly accessLog: AccessLogger | null;
}

/**
 * Compiles a listener: `handler` (chain null: the default chain) makes the chain's handler, or finds the one that serves an equal chain
 * already, so that an edit elsewhere in the listener resets nothing.
 */
export function compileListener(
  config: ListenerConfig,
  handler: (filter: NetworkFilter, chain: FilterChain | null) => ChainHandler,
  accessLog: AccessLogger | null = null,
): CompiledListener {
  const chains = config.filterChains.map((chain) => ({ chain, value: handler(chain.filter, chain) }));
  const fallback = config.defaultFilterChain;
  return {
    config,
    chains: new FilterChainTable(chains, fallback === null ? null : handler(fallback.filter, null)),
    accessLog,
  };
}

/** What listeners share. */
export interface ListenerEnvironment extends TcpEnvironment {
  /** Over which all connections of a direction are asked to leave; null: they are not. */
  drainWindow(direction: TrafficDirection): DrainWindow | null;
  readonly admission: Admission;
  /** Who keeps listening sockets for a process that takes over; null: nobody. */
  readonly sockets: ListenSockets | null;
  /** A listener has no connection any more. */
  listenerEmpty(): void;
}

interface Connection {
  drain(): void;
  destroy(): void;
  leave(announceMs: number, closeMs: number): void;
  stay(): void;
  readonly endless: boolean;
  readonly departure: ConnectionDeparture;
  /** The facts of a connection that is its own stream. */
  readonly info?: StreamInfo;
}

/**
 * A bound listener. Its config can be replaced while connections are open: each request asks for the
 * filter chain in force, so no edit closes a connection whose chain still exists.
 */
export class Listener {
  readonly name: string;
  readonly #env: ListenerEnvironment;
  #compiled: CompiledListener;
  readonly #servers: { readonly server: Server; readonly address: SocketAddress }[] = [];
  readonly #connections = new Set<Connection>();
  #stats: ListenerStats;
  #gone = false;
  accepting = true;
  #window: DrainWindow | null = null;
  /** Accepted, not read yet. */
  readonly #held: Socket[] = [];
  #onEmpty: (() => void) | null = null;

  constructor(compiled: CompiledListener, env: ListenerEnvironment) {
    this.name = compiled.config.name;
    this.#compiled = compiled;
    this.#env = env;
    this.#stats = new ListenerStats(env.stats, compiled.config.statPrefix);
  }

  get config(): ListenerConfig {
    return this.#compiled.config;
  }
  get accessLog(): AccessLogger | null {
    return this.#compiled.accessLog;
  }
  /** Where it really listens: port 0 resolved. */
  get addresses(): SocketAddress[] {
    return this.#servers.map(({ server, address }) => {
      const bound = server.address();
      return typeof bound === 'object' && bound !== null ? { host: address.host, port: bound.port } : address;
    });
  }
  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Binds every address; a failure names the address and what to do. A socket that one of `leaving`, listeners
   * that are about to go, has open at an address is taken over, so that no client is turned away in between.
   */
  async bind(leaving: readonly Listener[] = []): Promise<void> {
    for (const address of this.config.addresses) {
      const server = leaving.map((listener) => listener.#give(address)).find((given) => given !== null);
      if (server === undefined || server === null) await this.#bindOne(address);
      else this.#adopt(server, address);
    }
  }

  #give(wanted: SocketAddress): Server | null {
    const at = this.#servers.findIndex(({ address }) => address.host === wanted.host && address.port === wanted.port);
    return at < 0 || wanted.port === 0 ? null : this.#servers.splice(at, 1)[0]!.server;
  }

  #adopt(server: Server, address: SocketAddress): void {
    server.removeAllListeners('connection').on('connection', this.#onConnection);
    this.#watch(server);
    this.#servers.push({ server, address });
  }

  #watch(server: Server): void {
    // An accept error (out of descriptors) is not the end of the listener.
    server.removeAllListeners('error').on('error', (error) => {
      this.#env.log.error(`listener ${this.name}: ${messageOf(error)}`);
    });
  }

  /** Replaces the config; the addresses must be the same. */
  update(compiled: CompiledListener): void {
    if (compiled.config.statPrefix !== this.config.statPrefix) {
      this.#stats.release();
      this.#stats = new ListenerStats(this.#env.stats, compiled.config.statPrefix);
    }
    this.#compiled = compiled;
  }

  /** Clients are asked to leave over `window`, and so are those that come meanwhile; null: they may stay. */
  setDrain(window: DrainWindow | null): void {
    if (this.#window === window) return;
    this.#window = window;
    for (const connection of this.#connections) {
      if (window === null) connection.stay();
      else this.#askToLeave(connection, window, false);
    }
  }
  get drainWindow(): DrainWindow | null {
    return this.#window;
  }

  #askToLeave(connection: Connection, window: DrainWindow, fresh: boolean): void {
    const { announceMs, closeMs } = window.departure(this.#env.clock.now(), this.#env.random, fresh);
    connection.leave(announceMs, closeMs);
  }

  /** New connections are refused; open ones live on. */
  stopAccepting(): void {
    if (!this.accepting) return;
    this.accepting = false;
    for (const { server, address } of this.#servers) {
      server.close();
      this.#env.sockets?.release(socketKey(this.name, address));
    }
  }

  /** It was removed or replaced: accepts no more, and its series go with its last connection. */
  retire(): void {
    this.stopAccepting();
    this.#stats.release();
  }

  /** Connections without a request end now, the others after theirs; what is no request goes on. */
  endIdle(): void {
    for (const connection of [...this.#connections]) connection.drain();
  }

  /** As {@link endIdle}; tunnels and TCP connections, which may never end by themselves, are cut. */
  endAll(): void {
    for (const connection of [...this.#connections]) {
      if (connection.endless) connection.destroy();
      else connection.drain();
    }
  }

  /** Calls `fn` when there is no connection left; at once when there is none. */
  onEmpty(fn: () => void): void {
    if (this.#connections.size === 0) fn();
    else this.#onEmpty = fn;
  }

  departures(): ConnectionDeparture[] {
    return Array.from(this.#connections, ({ departure }) => departure);
  }

  /** Stops accepting and cuts every connection. */
  destroy(): void {
    this.#gone = true;
    this.stopAccepting();
    for (const socket of this.#held.splice(0)) socket.destroy();
    this.#stats.release();
    for (const connection of [...this.#connections]) connection.destroy();
  }

  async #bindOne(address: SocketAddress): Promise<void> {
    const server = createServer(
      { allowHalfOpen: true, noDelay: true, highWaterMark: this.config.perConnectionBufferLimitBytes },
      this.#onConnection,
    );
    this.#servers.push({ server, address });
    const where = { host: address.host, port: address.port, backlog: this.config.tcpBacklog };
    try {
      await listenKept(server, socketKey(this.name, address), where, this.#env.sockets);
    } catch (error) {
      throw bindError(this.name, address, error);
    }
    this.#watch(server);
  }

  readonly #onConnection = (socket: Socket): void => {
    // Accepted in the very turn that destroyed the listener.
    if (this.#gone) {
      socket.destroy();
      return;
    }
    const verdict = this.#env.admission.judge(this.config);
    if (verdict === Verdict.Serve) this.#serve(socket);
    else if (verdict === Verdict.Hold && this.#held.length < MAX_HELD) this.#hold(socket);
    else {
      if (verdict === Verdict.Overflow) this.#stats.overflowed();
      else this.#stats.rejected();
      socket.destroy();
    }
  };

  /** Serves the connections that were held while the process was short of something. */
  serveHeld(): void {
    for (const socket of this.#held.splice(0)) {
      socket.removeListener('error', ignore);
      if (!socket.destroyed) this.#serve(socket.resume());
    }
  }

  #hold(socket: Socket): void {
    socket.on('error', ignore);
    this.#held.push(socket.pause());
  }

  #serve(socket: Socket): void {
    const info = this.#describe(socket);
    const handler = this.#handlerFor(info);
    if (handler === null) {
      this.#stats.noChain();
      this.#log(null, info, this.#env.clock.now(), ResponseFlag.NoRouteFound);
      socket.destroy();
      return;
    }
    const stats = this.#stats;
    const acceptedAt = this.#env.clock.now();
    stats.accepted();
    this.#env.admission.opened();
    const onClosed = (connection: Connection): void => {
      this.#connections.delete(connection);
      this.#env.admission.closed();
      stats.closed(this.#env.clock.now() - acceptedAt);
      this.#log(connection, info, acceptedAt, 0);
      if (this.#connections.size > 0) return;
      this.#onEmpty?.();
      this.#env.listenerEmpty();
    };
    const connection =
      handler.kind === 'http'
        ? new HttpConnection(socket, info, handler.manager, () => this.#managerFor(info), onClosed)
        : new TcpConnection(socket, info, handler.proxy, onClosed);
    this.#connections.add(connection);
    const window = this.#window ?? this.#env.drainWindow(this.config.trafficDirection);
    if (window !== null) this.#askToLeave(connection, window, true);
  }

  #log(connection: Connection | null, about: ConnectionInfo, acceptedAt: number, flags: number): void {
    const { accessLog } = this.#compiled;
    if (accessLog === null) return;
    const info = connection?.info ?? new StreamInfo();
    if (connection?.info === undefined) {
      const now = this.#env.clock.now();
      info.connection = about;
      info.protocol = '';
      info.start = acceptedAt;
      info.end = now;
      info.startWall = this.#env.clock.wall() - (now - acceptedAt);
      info.flags = flags;
    }
    info.logType = 'NotSet';
    accessLog(info);
  }

  #managerFor(info: ConnectionInfo): ConnectionManager | null {
    const handler = this.#handlerFor(info);
    return handler?.kind === 'http' ? handler.manager : null;
  }

  #handlerFor(info: ConnectionInfo): ChainHandler | null {
    return this.#compiled.chains.find({
      destinationAddress: info.local.host,
      destinationPort: info.local.port,
      serverName: info.requestedServerName,
      transportProtocol: 'raw_buffer',
      applicationProtocols: NO_PROTOCOLS,
      directSource: info.directRemote.host,
      source: info.directRemote.host,
      sourcePort: info.directRemote.port,
    });
  }

  #describe(socket: Socket): ConnectionInfo {
    return {
      id: this.#env.nextConnectionId(),
      directRemote: { host: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 },
      local: { host: plainAddress(socket.localAddress), port: socket.localPort ?? 0 },
      requestedServerName: '',
      tlsVersion: '',
      direction: this.config.trafficDirection,
    };
  }
}

/** As long a queue as a kernel would keep; each may fill its buffer once. */
const MAX_HELD = 64;
/** 'close' follows. */
function ignore(): void {}
const NO_PROTOCOLS: readonly string[] = [];

function bindError(listener: string, address: SocketAddress, error: unknown): RemoraError {
  const at = formatAddress(address);
  const why =
    errorCode(error) === 'EADDRINUSE'
      ? `${at} is in use: stop what listens there or change the listener's port`
      : errorCode(error) === 'EACCES'
        ? `no permission to listen on ${at}: ports below 1024 need privileges`
        : errorCode(error) === 'EADDRNOTAVAIL'
          ? `${at} is not an address of this machine`
          : `cannot listen on ${at}: ${messageOf(error)}`;
  return new RemoraError('bind', `listener ${listener}: ${why}`, { source: 'user', cause: error });
}
