import { createServer, type Server, type Socket } from 'node:net';
import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { FilterChain, Listener as ListenerConfig, NetworkFilter } from '../../model/listener.ts';
import { plainAddress } from '../http/addresses.ts';
import { HttpConnection } from '../http/connection.ts';
import type { ConnectionManager } from '../http/connection-manager.ts';
import { TcpConnection } from '../tcp/tcp-connection.ts';
import type { TcpEnvironment, TcpProxy } from '../tcp/tcp-proxy.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { type ConnectionInfo, StreamInfo } from '../telemetry/stream-info.ts';
import { Detection, type DetectionHost, type DetectionPlan, type GivenUp } from './detection.ts';
import { type ChainInput, FilterChainTable } from './filter-chain.ts';
import { type ConnectionFacts, compileListenerFilters, type ListenerFilterStep } from './listener-filters.ts';
import type { NoOriginalDestinations, OriginalDestinations } from './original-dst.ts';
import { ListenerStats } from './stats.ts';

/** What a downstream TLS handshake gave. */
export interface SecuredSocket {
  readonly socket: Socket;
  readonly info: {
    /** TLS version such as `TLSv1.3`. */
    readonly version: string;
    /** SNI in lower case; '' without one. */
    readonly requestedServerName: string;
  };
}

/**
 * Does the server's side of a TLS handshake on an accepted socket, whose first bytes may have been put back with
 * `unshift()`; null: it failed, and the socket is destroyed or will be.
 */
export type Secure = (socket: Socket, onDone: (secured: SecuredSocket | null) => void) => void;

/** A compiled filter chain: what serves its connections. `secure` is null where they are not encrypted. */
export type ChainHandler = { readonly secure: Secure | null } & (
  | { readonly kind: 'http'; readonly manager: ConnectionManager }
  | { readonly kind: 'tcp'; readonly proxy: TcpProxy }
);

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
  /** Where redirected connections were meant to go; loaded when a listener first asks. */
  originalDestinations(): OriginalDestinations | NoOriginalDestinations;
  /** The listener in force at an address, or at any address with that port; null: none. */
  listenerFor(destination: SocketAddress): Listener | null;
  readonly runtime: {
    number(key: string, fallback: number): number;
    boolean(key: string, fallback: boolean): boolean;
  };
  nextConnectionId(): number;
}

/** `info`: the facts of a connection that is its own stream. */
type Connection = { drain(): void; destroy(): void; readonly info?: StreamInfo };

/**
 * Connections of a listener that may wait for their first bytes; of more the one that has waited longest is closed.
 * Runtime `remora.listener.max_waiting` says otherwise.
 */
const MAX_WAITING = 16_384;

/**
 * How long an opaque connection is silent before the kernel asks whether the peer is still there: less than the
 * 4 to 6 minutes after which load balancers and NATs forget it.
 */
const TCP_KEEPALIVE_MS = 180_000;

/**
 * A bound listener. Its config can be replaced while connections are open: each request asks for the
 * filter chain in force, so no edit closes a connection whose chain still exists.
 */
export class Listener implements DetectionHost {
  readonly name: string;
  readonly wheel: ListenerEnvironment['wheel'];
  readonly #env: ListenerEnvironment;
  #compiled: CompiledListener;
  /** Counts updates: what connections remember of the config, so that none holds an old one in memory. */
  #version = 0;
  readonly #servers: { readonly server: Server; readonly address: SocketAddress }[] = [];
  readonly #connections = new Set<Connection>();
  /** Connections without a chain yet, the one that has waited longest first. They are in `#connections` too. */
  readonly #detections = new Set<Detection>();
  #stats: ListenerStats;
  readonly #limitKey: string;
  /** Null: chains are chosen at once. */
  #plan: DetectionPlan | null;
  #gone = false;
  #saidNoOriginalDst = false;
  #saidMismatch = false;
  #onEmpty: (() => void) | null = null;

  constructor(compiled: CompiledListener, env: ListenerEnvironment) {
    this.name = compiled.config.name;
    this.wheel = env.wheel;
    this.#compiled = compiled;
    this.#env = env;
    this.#stats = new ListenerStats(env.stats, compiled.config.statPrefix);
    this.#limitKey = `envoy.resource_limits.listener.${this.name}.connection_limit`;
    this.#plan = this.#compilePlan(null);
  }

  get accessLog(): AccessLogger | null {
    return this.#compiled.accessLog;
  }
  get config(): ListenerConfig {
    return this.#compiled.config;
  }
  /** Where it really listens: port 0 resolved. */
  get addresses(): readonly SocketAddress[] {
    if (!this.config.bindToPort) return this.config.addresses;
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
    // It gets what others hand on.
    if (!this.config.bindToPort) return;
    this.#checkInterception();
    for (const address of this.config.addresses) {
      const server = leaving.map((listener) => listener.#give(address)).find((given) => given !== null);
      if (server === undefined || server === null) await this.#bindOne(address);
      else this.#adopt(server, address);
    }
  }

  /** A listener that only hands on, or that takes any address, is of no use where the kernel cannot be asked. */
  #checkInterception(): void {
    const { useOriginalDst, transparent, addresses } = this.config;
    if (!useOriginalDst && !transparent) return;
    const destinations = this.#env.originalDestinations();
    if ('reason' in destinations) {
      const field = useOriginalDst ? 'use_original_dst' : 'transparent';
      const why = new Error(`${field}: ${destinations.reason}`);
      throw bindError(this.name, addresses[0]!, why);
    }
  }

  #give(wanted: SocketAddress): Server | null {
    const at = this.#servers.findIndex(({ address }) => address.host === wanted.host && address.port === wanted.port);
    return at < 0 || wanted.port === 0 ? null : this.#servers.splice(at, 1)[0]!.server;
  }

  #adopt(server: Server, address: SocketAddress): void {
    server.removeAllListeners('connection').on('connection', this.#onConnection);
    this.#watch(server);
    this.#open(server, address);
    this.#servers.push({ server, address });
  }

  #open(server: Server, address: SocketAddress): void {
    if (!this.config.transparent) return;
    const destinations = this.#env.originalDestinations();
    if ('reason' in destinations || destinations.makeTransparent(server)) return;
    throw bindError(this.name, address, new Error('transparent needs the capability NET_ADMIN or NET_RAW'));
  }

  #watch(server: Server): void {
    // An accept error (out of descriptors) is not the end of the listener.
    server.removeAllListeners('error').on('error', (error) => {
      this.#env.log.error(`listener ${this.name}: ${messageOf(error)}`);
    });
  }

  /** Replaces the config; the addresses must be the same. */
  update(compiled: CompiledListener): void {
    const { listenerFilters: former, statPrefix } = this.config;
    if (compiled.config.statPrefix !== statPrefix) {
      this.#stats.release();
      this.#stats = new ListenerStats(this.#env.stats, compiled.config.statPrefix);
    }
    this.#compiled = compiled;
    this.#version++;
    const same = JSON.stringify(former) === JSON.stringify(this.config.listenerFilters);
    this.#plan = this.#compilePlan(same ? (this.#plan?.steps ?? null) : null);
  }

  /** Stops accepting; open connections end after the request in progress. `onEmpty` is called when the last has. */
  drain(onEmpty?: () => void): void {
    this.#gone = true;
    for (const { server } of this.#servers) server.close();
    for (const connection of [...this.#connections]) connection.drain();
    if (onEmpty === undefined) return;
    this.#stats.release();
    if (this.#connections.size === 0) onEmpty();
    else this.#onEmpty = onEmpty;
  }

  /** Stops accepting and cuts every connection. */
  destroy(): void {
    this.#gone = true;
    this.#stats.release();
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
      // The other family has a socket of its own.
      const ipv6Only = address.host === '::' && this.config.addresses.some(({ host }) => host === '0.0.0.0');
      server.listen({ host: address.host, port: address.port, backlog: this.config.tcpBacklog, ipv6Only }, () => {
        try {
          this.#open(server, address);
        } catch (error) {
          reject(error);
        }
        this.#watch(server);
        resolve();
      });
    });
  }

  readonly #onConnection = (socket: Socket): void => this.#accept(socket, factsOf(socket));

  /** Takes over a connection that another listener accepted for this one's address, with what it read of it. */
  receive(socket: Socket, facts: ConnectionFacts, first: Buffer | null): void {
    if (first !== null) socket.unshift(first);
    this.#accept(socket, { ...factsOf(socket), remote: facts.remote, local: facts.local, handedOn: true });
  }

  #accept(socket: Socket, facts: AcceptedFacts): void {
    // Accepted in the very turn that closed the server.
    if (this.#gone) {
      socket.destroy();
      return;
    }
    if (this.#connections.size >= this.#env.runtime.number(this.#limitKey, Number.POSITIVE_INFINITY)) {
      this.#stats.count('downstream_cx_overflow');
      socket.destroy();
      return;
    }
    const { keepAlive } = this.config;
    if (keepAlive !== null) socket.setKeepAlive(keepAlive.enabled, keepAlive.idleMs);
    if (this.#plan === null) {
      facts.transportProtocol = 'raw_buffer';
      this.#serve(socket, facts, null, null);
    } else this.#detect(socket, facts, this.#plan);
  }

  // === before the chain is known ===

  /** Filters that say what they said go on as they were: a rate limit does not begin anew. */
  #compilePlan(former: readonly ListenerFilterStep[] | null): DetectionPlan | null {
    const { listenerFilters, listenerFiltersTimeoutMs, continueOnListenerFiltersTimeout, protocolDetection } =
      this.config;
    if (listenerFilters.length === 0) return null;
    return {
      steps:
        former ??
        compileListenerFilters(listenerFilters, {
          stats: this.#env.stats,
          clock: this.#env.clock,
          runtime: this.#env.runtime,
          originalDestination: (socket) => this.#originalDestination(socket),
        }),
      timeoutMs: listenerFiltersTimeoutMs,
      continueOnTimeout: continueOnListenerFiltersTimeout,
      race: protocolDetection !== null,
    };
  }

  #detect(socket: Socket, facts: ConnectionFacts, plan: DetectionPlan): void {
    if (this.#detections.size >= this.#env.runtime.number('remora.listener.max_waiting', MAX_WAITING)) {
      const [longest] = this.#detections;
      this.#stats.count('downstream_pre_cx_overflow');
      longest!.destroy();
    }
    const detection = new Detection(socket, facts, plan, this);
    this.#detections.add(detection);
    this.#connections.add(detection);
    this.#stats.waiting(1);
    detection.start();
  }

  dial(detection: Detection): TcpConnection | null {
    const facts = detection.facts;
    const handler = this.#find({ ...inputOf(facts), transportProtocol: facts.transportProtocol || 'raw_buffer' });
    if (handler?.kind !== 'tcp' || handler.secure !== null) return null;
    const info = this.#infoOf(facts);
    return new TcpConnection(detection.socket, info, handler.proxy, this.#closer(info), detection);
  }

  onDetected(detection: Detection): void {
    const { socket, facts, first, upstream } = detection;
    this.#forget(detection);
    if (detection.serverFirst) this.#stats.count('protocol_detection_server_first');
    const other = this.#otherListener(facts);
    if (other === null) this.#serve(socket, facts, first, upstream);
    else {
      upstream?.abandon();
      other.receive(socket, facts, first);
    }
    this.#ended(detection);
  }

  /** The listener that an intercepted connection was meant for; null: this one. It is handed on once only. */
  #otherListener(facts: AcceptedFacts): Listener | null {
    if (!this.config.useOriginalDst || !facts.restored || facts.handedOn === true) return null;
    const other = this.#env.listenerFor(facts.local);
    return other === this ? null : other;
  }

  onGivenUp(detection: Detection, why: GivenUp): void {
    this.#forget(detection);
    if (why === 'timeout') this.#stats.count('downstream_pre_cx_timeout');
    else if (why === 'remote-close') this.#stats.count('downstream_listener_filter_remote_close');
    else if (why === 'error') this.#stats.count('downstream_listener_filter_error');
    this.#ended(detection);
  }

  #forget(detection: Detection): void {
    this.#detections.delete(detection);
    this.#stats.waiting(-1);
  }

  #originalDestination(socket: Socket): SocketAddress | null {
    const destinations = this.#env.originalDestinations();
    if ('reason' in destinations) {
      this.#sayNoOriginalDestination(destinations.reason);
      return null;
    }
    const destination = destinations.of(socket);
    if (destination !== null) return { host: plainAddress(destination.host), port: destination.port };
    // By TPROXY the connection has the address that the client wanted.
    return this.config.transparent ? factsOf(socket).local : null;
  }

  #sayNoOriginalDestination(reason: string): void {
    if (this.#saidNoOriginalDst) return;
    this.#saidNoOriginalDst = true;
    this.#env.log.warn(
      `listener ${this.name}: original destinations are not known: the address that a client connects to is taken; ${reason}`,
    );
  }

  /** What was seen holds; that it is not what was declared is said once. */
  #compareWithDeclared(seen: 'http' | 'tcp', facts: ConnectionFacts): void {
    const declared = this.config.protocolDetection;
    if (declared === null || declared === 'auto' || declared === seen) return;
    this.#stats.count('protocol_detection_mismatch');
    if (this.#saidMismatch) return;
    this.#saidMismatch = true;
    const { host, port } = facts.local;
    this.#env.log.warn(
      `listener ${this.name}: declared ${declared}, but a connection to ${formatAddress({ host, port })} is ${seen}: what is seen holds; correct appProtocol or the port's name`,
    );
  }

  // === the chain is known ===

  /** `first`: bytes read already. `dialled`: an upstream that is only good for the chain that it was dialled for. */
  #serve(socket: Socket, facts: ConnectionFacts, first: Buffer | null, dialled: TcpConnection | null): void {
    const handler = this.#find(inputOf(facts));
    if (handler === null) {
      this.#stats.count('no_filter_chain_match');
      this.#log(null, this.#infoOf(facts), this.#env.clock.now(), ResponseFlag.NoRouteFound);
      dialled?.abandon();
      socket.on('error', ignore);
      socket.destroy();
      return;
    }
    if (this.config.protocolDetection !== null && handler.secure === null) {
      this.#compareWithDeclared(handler.kind, facts);
    }
    if (handler.secure !== null) {
      dialled?.abandon();
      this.#secure(socket, facts, first, handler, handler.secure);
    } else if (handler.kind === 'tcp' && dialled !== null && dialled.proxy === handler.proxy) {
      this.#keepAlive(socket);
      this.#stats.accepted();
      this.#connections.add(dialled);
      dialled.begin(first);
    } else {
      dialled?.abandon();
      this.#connect(socket, facts, this.#infoOf(facts), first, handler);
    }
  }

  #secure(socket: Socket, facts: ConnectionFacts, first: Buffer | null, handler: ChainHandler, secure: Secure): void {
    socket.pause();
    if (first !== null) socket.unshift(first);
    // Whoever shakes hands is a connection: it is waited for, and can be cut.
    const handshake: Connection = { drain() {}, destroy: () => void socket.destroy() };
    this.#connections.add(handshake);
    secure(socket, (secured) => {
      if (secured !== null) {
        const info = {
          ...this.#infoOf(facts),
          requestedServerName: secured.info.requestedServerName,
          tlsVersion: secured.info.version,
        };
        this.#connect(secured.socket, facts, info, null, handler);
      }
      this.#ended(handshake);
    });
  }

  #connect(
    socket: Socket,
    facts: ConnectionFacts,
    info: ConnectionInfo,
    first: Buffer | null,
    handler: ChainHandler,
  ): void {
    this.#stats.accepted();
    if (handler.kind === 'tcp') {
      this.#keepAlive(socket);
      const connection = new TcpConnection(socket, info, handler.proxy, this.#closer(info), null, first);
      this.#connections.add(connection);
      return;
    }
    const source = this.#managers(inputOf(facts), handler.manager);
    const connection = new HttpConnection(socket, info, handler.manager, source, this.#closer(info));
    this.#connections.add(connection);
    if (first !== null) connection.unshift(first);
  }

  #keepAlive(socket: Socket): void {
    if (this.config.keepAlive === null) socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
  }

  /** What a connection does at its end, for one that begins now. */
  #closer(info: ConnectionInfo): (connection: Connection) => void {
    const stats = this.#stats;
    const openedAt = this.#env.clock.now();
    return (connection) => {
      stats.closed(this.#env.clock.now() - openedAt);
      this.#log(connection, info, openedAt, 0);
      this.#ended(connection);
    };
  }

  #log(connection: Connection | null, about: ConnectionInfo, openedAt: number, flags: number): void {
    const { accessLog } = this.#compiled;
    if (accessLog === null) return;
    const info = connection?.info ?? new StreamInfo();
    if (connection?.info === undefined) {
      const now = this.#env.clock.now();
      info.connection = about;
      info.protocol = '';
      info.start = openedAt;
      info.end = now;
      info.startWall = this.#env.clock.wall() - (now - openedAt);
      info.flags = flags;
    }
    info.logType = 'NotSet';
    accessLog(info);
  }

  #ended(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  /** The manager in force for a connection's requests; looked for anew only when the listener has changed. */
  #managers(input: ChainInput, first: ConnectionManager): () => ConnectionManager | null {
    let of = this.#version;
    let manager: ConnectionManager | null = first;
    return () => {
      if (this.#gone) return null;
      if (of !== this.#version) {
        of = this.#version;
        const handler = this.#find(input);
        manager = handler?.kind === 'http' ? handler.manager : null;
      }
      return manager;
    };
  }

  #find(input: ChainInput): ChainHandler | null {
    return this.#compiled.chains.find(input);
  }

  #infoOf(facts: ConnectionFacts): ConnectionInfo {
    return {
      id: this.#env.nextConnectionId(),
      directRemote: facts.directRemote,
      remote: facts.remote,
      local: facts.local,
      requestedServerName: facts.serverName,
      tlsVersion: '',
      direction: this.config.trafficDirection,
    };
  }
}

/** Of a connection that another listener handed on. */
type AcceptedFacts = ConnectionFacts & { readonly handedOn?: boolean };

function factsOf(socket: Socket): AcceptedFacts {
  const remote = { host: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 };
  return {
    directRemote: remote,
    remote,
    local: { host: plainAddress(socket.localAddress), port: socket.localPort ?? 0 },
    restored: false,
    serverName: '',
    transportProtocol: '',
    applicationProtocols: NO_PROTOCOLS,
  };
}

function inputOf(facts: ConnectionFacts): ChainInput {
  return {
    destinationAddress: facts.local.host,
    destinationPort: facts.local.port,
    serverName: facts.serverName,
    transportProtocol: facts.transportProtocol,
    applicationProtocols: facts.applicationProtocols,
    directSource: facts.directRemote.host,
    source: facts.remote.host,
    sourcePort: facts.remote.port,
  };
}

function ignore(): void {}

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
