import { createServer, type Server, type Socket } from 'node:net';
import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { FilterChain, Listener as ListenerConfig, NetworkFilter } from '../../model/listener.ts';
import { plainAddress } from '../http/addresses.ts';
import { HttpConnection } from '../http/connection.ts';
import type { ConnectionManager } from '../http/connection-manager.ts';
import type { TcpEnvironment } from '../tcp/tcp-proxy.ts';
import { TcpConnection } from '../tcp/tcp-proxy.ts';
import type { ConnectionInfo } from '../telemetry/stream-info.ts';
import { FilterChainTable } from './filter-chain.ts';
import { acceptTls, type DownstreamTls } from './tls.ts';

/** A compiled filter chain: what serves its connections. */
export type ChainHandler =
  | { readonly kind: 'http'; readonly tls: DownstreamTls | null; readonly manager: ConnectionManager }
  | {
      readonly kind: 'tcp';
      readonly tls: DownstreamTls | null;
      readonly filter: Extract<NetworkFilter, { kind: 'tcp' }>['tcp'];
    };

/** A listener's config with its chains compiled. */
export interface CompiledListener {
  readonly config: ListenerConfig;
  readonly chains: FilterChainTable<ChainHandler>;
}

/**
 * Compiles a listener: `handler` (chain null: the default chain) makes the chain's handler, or finds the one that serves an equal chain
 * already, so that an edit elsewhere in the listener resets nothing.
 */
export function compileListener(
  config: ListenerConfig,
  handler: (filter: NetworkFilter, chain: FilterChain | null) => ChainHandler,
): CompiledListener {
  const chains = config.filterChains.map((chain) => ({ chain, value: handler(chain.filter, chain) }));
  const fallback = config.defaultFilterChain;
  return {
    config,
    chains: new FilterChainTable(chains, fallback === null ? null : handler(fallback.filter, null)),
  };
}

/** What listeners share. */
export interface ListenerEnvironment extends TcpEnvironment {
  nextConnectionId(): number;
  readonly acceptStats: {
    accepted(listener: string): void;
    closed(listener: string): void;
    noChain(listener: string): void;
  };
}

type Connection = { drain(): void; destroy(): void };

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
  #gone = false;
  #onEmpty: (() => void) | null = null;

  constructor(compiled: CompiledListener, env: ListenerEnvironment) {
    this.name = compiled.config.name;
    this.#compiled = compiled;
    this.#env = env;
  }

  get config(): ListenerConfig {
    return this.#compiled.config;
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
    this.#compiled = compiled;
  }

  /** Stops accepting; open connections end after the request in progress. `onEmpty` is called when the last has. */
  drain(onEmpty?: () => void): void {
    this.#gone = true;
    for (const { server } of this.#servers) server.close();
    for (const connection of [...this.#connections]) connection.drain();
    if (onEmpty === undefined) return;
    if (this.#connections.size === 0) onEmpty();
    else this.#onEmpty = onEmpty;
  }

  /** Stops accepting and cuts every connection. */
  destroy(): void {
    this.#gone = true;
    for (const { server } of this.#servers) server.close();
    for (const connection of [...this.#connections]) connection.destroy();
  }

  #bindOne(address: SocketAddress): Promise<void> {
    const server = createServer(
      { allowHalfOpen: true, noDelay: true, highWaterMark: this.config.perConnectionBufferLimitBytes },
      this.#onConnection,
    );
    this.#servers.push({ server, address });
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(bindError(this.name, address, error)));
      server.listen({ host: address.host, port: address.port, backlog: this.config.tcpBacklog }, () => {
        this.#watch(server);
        resolve();
      });
    });
  }

  readonly #onConnection = (socket: Socket): void => {
    // Accepted in the very turn that closed the server.
    if (this.#gone) {
      socket.destroy();
      return;
    }
    const info = this.#describe(socket);
    const handler = this.#handlerFor(info);
    if (handler === null) {
      this.#env.acceptStats.noChain(this.name);
      socket.destroy();
      return;
    }
    if (handler.tls === null) {
      this.#serve(socket, info, handler);
      return;
    }
    // Whoever shakes hands is a connection: it is waited for, and can be cut.
    const handshake: Connection = { drain() {}, destroy: () => void socket.destroy() };
    this.#connections.add(handshake);
    acceptTls(socket, handler.tls, (secured) => {
      if (secured !== null) {
        const { requestedServerName, version } = secured.info;
        const shown = { ...info, requestedServerName, tlsVersion: version, tls: secured.info };
        this.#serve(secured.socket, shown, handler, info);
      }
      this.#connections.delete(handshake);
      if (this.#connections.size === 0) this.#onEmpty?.();
    });
  };

  /** `matched`: what the chain was found by. */
  #serve(socket: Socket, info: ConnectionInfo, handler: ChainHandler, matched = info): void {
    this.#env.acceptStats.accepted(this.name);
    const onClosed = (connection: Connection): void => {
      this.#connections.delete(connection);
      this.#env.acceptStats.closed(this.name);
      if (this.#connections.size === 0) this.#onEmpty?.();
    };
    const connection =
      handler.kind === 'http'
        ? new HttpConnection(socket, info, handler.manager, () => this.#managerFor(matched), onClosed)
        : new TcpConnection(socket, info, handler.filter, this.#env, onClosed);
    this.#connections.add(connection);
  }

  #managerFor(info: ConnectionInfo): ConnectionManager | null {
    if (this.#gone) return null;
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

const NO_PROTOCOLS: readonly string[] = [];

function bindError(listener: string, address: SocketAddress, error: Error): RemoraError {
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
