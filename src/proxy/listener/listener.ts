import { createServer, type Server, type Socket } from 'node:net';
import { messageOf } from '../../base/errors.ts';
import { type Count, LocalCount, SharedCount, type SharedCounts } from '../../base/shared-counts.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { Listener as ListenerConfig, TrafficDirection } from '../../model/listener.ts';
import { type ConnectionDeparture, HttpConnection } from '../http/connection.ts';
import type { ConnectionManager } from '../http/connection-manager.ts';
import { type ListenSockets, listenKept, socketKey } from '../io/listen-sockets.ts';
import { TcpConnection } from '../tcp/tcp-connection.ts';
import type { TcpEnvironment } from '../tcp/tcp-proxy.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { type ConnectionInfo, StreamInfo } from '../telemetry/stream-info.ts';
import { type Admission, Verdict } from './admission.ts';
import { bindError } from './bind-error.ts';
import type { ChainHandler, CompiledListener, Secure, TcpHandler } from './compiled-listener.ts';
import { type AcceptedFacts, factsOf, inputOf } from './connection-facts.ts';
import { DeclaredProtocols } from './declared-protocol.ts';
import { Detection, type DetectionHost, type DetectionPlan, type GivenUp } from './detection.ts';
import type { DrainWindow } from './drain-window.ts';
import type { ChainInput } from './filter-chain.ts';
import { HeldSockets } from './held-sockets.ts';
import { detectInside } from './inside.ts';
import { Interception, type InterceptionEnvironment } from './interception.ts';
import { type ConnectionFacts, compileListenerFilters, type ListenerFilterStep } from './listener-filters.ts';
import { ListenerStats } from './stats.ts';

/** What listeners share. */
export interface ListenerEnvironment extends TcpEnvironment, InterceptionEnvironment {
  /** The listener in force at an address, or at any address with that port; null: none. */
  listenerFor(destination: SocketAddress): Listener | null;
  /** Over which all connections of a direction are asked to leave; null: they are not. */
  drainWindow(direction: TrafficDirection): DrainWindow | null;
  readonly admission: Admission;
  /** Who keeps listening sockets for a process that takes over; null: nobody. */
  readonly sockets: ListenSockets | null;
  /** What workers have in common; null: this thread is the only one. */
  readonly workers?: { readonly counts: SharedCounts } | null;
  /** A listener has no connection any more. */
  listenerEmpty(): void;
  readonly runtime: {
    number(key: string, fallback: number): number;
    boolean(key: string, fallback: boolean): boolean;
  };
  nextConnectionId(): number;
}

/** One without `leave` is not a client's yet: detection, a handshake. */
interface Connection {
  drain(): void;
  destroy(): void;
  leave?(announceMs: number, closeMs: number): void;
  stay?(): void;
  /** Nothing but the peers end it. */
  readonly endless?: boolean;
  readonly departure?: ConnectionDeparture;
  /** The facts of a connection that is its own stream. */
  readonly info?: StreamInfo;
}

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
  /** Its connections, those that other workers have of it included. */
  readonly #open: Count;
  #stats: ListenerStats;
  readonly #limitKey: string;
  readonly #interception: Interception;
  /** Null: chains are chosen at once. */
  #plan: DetectionPlan | null;
  #gone = false;
  accepting = true;
  #window: DrainWindow | null = null;
  /** Accepted, not read yet. */
  readonly #held = new HeldSockets();
  readonly #declared: DeclaredProtocols;
  #onEmpty: (() => void) | null = null;

  constructor(compiled: CompiledListener, env: ListenerEnvironment) {
    this.name = compiled.config.name;
    this.wheel = env.wheel;
    this.#compiled = compiled;
    this.#env = env;
    this.#stats = new ListenerStats(env.stats, compiled.config.statPrefix);
    this.#limitKey = `envoy.resource_limits.listener.${this.name}.connection_limit`;
    this.#interception = new Interception(this.name, env);
    const workers = env.workers ?? null;
    const mismatch = (): void => this.#stats.count('protocol_detection_mismatch');
    this.#declared = new DeclaredProtocols(env.log, workers?.counts ?? null, mismatch);
    this.#open =
      workers === null ? new LocalCount() : new SharedCount(workers.counts.counters(`listener ${this.name}`, 1));
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
    this.#interception.check(this.config);
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
    this.#interception.open(server, address, this.config);
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

  /** Clients are asked to leave over `window`, and so are those that come meanwhile; null: they may stay. */
  setDrain(window: DrainWindow | null): void {
    if (this.#window === window) return;
    this.#window = window;
    for (const connection of this.#connections) {
      if (window === null) connection.stay?.();
      else this.#askToLeave(connection, window, false);
    }
  }
  get drainWindow(): DrainWindow | null {
    return this.#window;
  }

  #askToLeave(connection: Connection, window: DrainWindow, fresh: boolean): void {
    const { announceMs, closeMs } = window.departure(this.#env.clock.now(), this.#env.random, fresh);
    connection.leave?.(announceMs, closeMs);
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
      if (connection.endless === true) connection.destroy();
      else connection.drain();
    }
  }

  /** Calls `fn` when there is no connection left; at once when there is none. */
  onEmpty(fn: () => void): void {
    if (this.#connections.size === 0) fn();
    else this.#onEmpty = fn;
  }

  departures(): ConnectionDeparture[] {
    return [...this.#connections].flatMap(({ departure }) => departure ?? []);
  }

  /** Stops accepting and cuts every connection. */
  destroy(): void {
    this.#gone = true;
    this.stopAccepting();
    this.#held.destroy();
    this.#stats.release();
    for (const connection of [...this.#connections]) connection.destroy();
  }

  async #bindOne(address: SocketAddress): Promise<void> {
    const server = createServer(
      { allowHalfOpen: true, noDelay: true, highWaterMark: this.config.perConnectionBufferLimitBytes },
      this.#onConnection,
    );
    this.#servers.push({ server, address });
    // The other family has a socket of its own.
    const ipv6Only = address.host === '::' && this.config.addresses.some(({ host }) => host === '0.0.0.0');
    const where = { host: address.host, port: address.port, backlog: this.config.tcpBacklog, ipv6Only };
    try {
      await listenKept(server, socketKey(this.name, address), where, this.#env.sockets);
    } catch (error) {
      throw bindError(this.name, address, error);
    }
    this.#watch(server);
    this.#interception.open(server, address, this.config);
  }

  readonly #onConnection = (socket: Socket): void => {
    // Accepted in the very turn that destroyed the listener.
    if (this.#gone) {
      socket.destroy();
      return;
    }
    const verdict = this.#env.admission.judge(this.config);
    if (verdict === Verdict.Serve) this.#accept(socket);
    else if (verdict !== Verdict.Hold || !this.#held.hold(socket)) {
      this.#stats.count(
        verdict === Verdict.Overflow ? 'downstream_global_cx_overflow' : 'downstream_cx_overload_reject',
      );
      socket.destroy();
    }
  };

  /** Serves the connections that were held while the process was short of something. */
  serveHeld(): void {
    for (const socket of this.#held.take()) this.#accept(socket);
  }

  /** Takes over a connection that another listener accepted for this one's address, with what it read of it. */
  receive(socket: Socket, facts: ConnectionFacts, first: Buffer | null): void {
    if (first !== null) socket.unshift(first);
    this.#accept(socket, { ...factsOf(socket), remote: facts.remote, local: facts.local, handedOn: true });
  }

  #accept(socket: Socket, facts = factsOf(socket)): void {
    if (this.#open.sum >= this.#env.runtime.number(this.#limitKey, Number.POSITIVE_INFINITY)) {
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
          originalDestination: (socket) => this.#interception.destinationOf(socket, this.config),
          shared: this.#env.workers == null ? null : { counts: this.#env.workers.counts, listener: this.name },
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
    this.#await(new Detection(socket, facts, plan, this));
  }

  #await(detection: Detection): void {
    this.#detections.add(detection);
    this.#add(detection);
    this.#stats.waiting(1);
    detection.start();
  }

  dial(detection: Detection, waited: boolean): TcpConnection | 'later' | null {
    const facts = detection.facts;
    const handler = this.#find({ ...inputOf(facts), transportProtocol: facts.transportProtocol || 'raw_buffer' });
    if (handler?.kind !== 'tcp' || handler.secure !== null) return null;
    // Almost all of them are what was said: nothing is dialled for those.
    if (handler.declared?.protocol === 'http' && !waited) return 'later';
    const info = this.#infoOf(facts);
    return new TcpConnection(detection.socket, info, handler.proxy, this.#closer(info), detection);
  }

  onDetected(detection: Detection): void {
    const { socket, facts, first, upstream } = detection;
    this.#forget(detection);
    if (detection.serverFirst) this.#stats.count('protocol_detection_server_first');
    if (detection.timedOut) this.#stats.count('downstream_pre_cx_timeout');
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

  onGivenUp(detection: Detection, why: GivenUp, info = this.#infoOf(detection.facts)): void {
    this.#forget(detection);
    if (why === 'timeout') this.#stats.count('downstream_pre_cx_timeout');
    else if (why === 'remote-close') this.#stats.count('downstream_listener_filter_remote_close');
    else if (why === 'error') this.#stats.count('downstream_listener_filter_error');
    this.#log(null, info, this.#env.clock.now(), 0);
    this.#ended(detection);
  }

  #forget(detection: Detection): void {
    this.#detections.delete(detection);
    this.#stats.waiting(-1);
  }

  // === the chain is known ===

  /** `first`: bytes read already. `dialled`: an upstream that is only good for the chain that it was dialled for. */
  #serve(socket: Socket, facts: ConnectionFacts, first: Buffer | null, dialled: TcpConnection | null): void {
    let handler = this.#find(inputOf(facts));
    if (handler?.declared?.holdsClients && handler.secure === null && first !== null)
      handler = this.#find({ ...inputOf(facts), ...AS_HTTP });
    if (handler === null) {
      this.#stats.count('no_filter_chain_match');
      this.#log(null, this.#infoOf(facts), this.#env.clock.now(), ResponseFlag.NoRouteFound);
      dialled?.abandon();
      socket.on('error', ignore);
      socket.destroy();
      return;
    }
    this.#stats.accepted();
    if (this.config.protocolDetection !== null && handler.secure === null)
      this.#declared.compare(handler.kind, handler.declared, this.config, facts);
    if (handler.secure !== null) {
      dialled?.abandon();
      this.#secure(socket, facts, first, handler, handler.secure);
    } else this.#pass(socket, facts, this.#infoOf(facts), first, handler, dialled);
  }

  #secure(socket: Socket, facts: ConnectionFacts, first: Buffer | null, handler: ChainHandler, secure: Secure): void {
    socket.pause();
    if (first !== null) socket.unshift(first);
    // Whoever shakes hands is a connection: it is waited for, and can be cut.
    const handshake: Connection = { drain() {}, destroy: () => void socket.destroy() };
    this.#add(handshake);
    const openedAt = this.#env.clock.now();
    const onDone: Parameters<Secure>[1] = (secured, failure = '') => {
      if (secured === null) this.#unserved({ ...this.#infoOf(facts), tlsFailure: `TLS error: ${failure}` }, openedAt);
      else {
        const { requestedServerName, version } = secured.info;
        const info = { ...this.#infoOf(facts), requestedServerName, tlsVersion: version, tls: secured.info };
        if (handler.kind === 'tcp' && handler.declared !== null) this.#lookInside(secured.socket, facts, info, handler);
        else this.#connect(secured.socket, facts, info, null, handler);
      }
      this.#ended(handshake);
    };
    if (facts.transportProtocol !== 'tls') secure(socket, onDone);
    else secure(socket, onDone, { serverName: facts.serverName, alpn: facts.applicationProtocols });
  }

  /** The client's proxy says bytes, and HTTP was declared. */
  #lookInside(socket: Socket, facts: ConnectionFacts, info: ConnectionInfo, handler: TcpHandler): void {
    const openedAt = this.#env.clock.now();
    const detection = detectInside(socket, facts, this.#plan?.steps ?? [], {
      wheel: this.wheel,
      dial: (probe) => new TcpConnection(socket, info, handler.proxy, this.#closer(info), probe),
      onSeen: ({ first, upstream }, isHttp) => {
        this.#forget(detection);
        const asHttp = { ...facts, applicationProtocols: ISTIO_HTTP };
        const http = isHttp ? this.#find(inputOf(asHttp)) : null;
        if (http === null) this.#declared.compare('tcp', handler.declared, this.config, facts);
        this.#pass(socket, http === null ? facts : asHttp, info, first, http ?? handler, upstream);
        this.#ended(detection);
      },
      onGivenUp: (_, why) => {
        this.#stats.closed(this.#env.clock.now() - openedAt);
        this.onGivenUp(detection, why, info);
      },
    });
    this.#await(detection);
  }

  /** It had a chain, and ends before anybody served it. */
  #unserved(info: ConnectionInfo, openedAt: number): void {
    this.#stats.closed(this.#env.clock.now() - openedAt);
    this.#log(null, info, openedAt, 0);
  }

  /** `dialled`: an upstream that is used when it was dialled for this chain. */
  #pass(
    socket: Socket,
    facts: ConnectionFacts,
    info: ConnectionInfo,
    first: Buffer | null,
    handler: ChainHandler,
    dialled: TcpConnection | null,
  ): void {
    if (handler.kind === 'tcp' && dialled !== null && dialled.proxy === handler.proxy) {
      this.#keepAlive(socket);
      this.#add(dialled);
      dialled.begin(first);
      return;
    }
    dialled?.abandon();
    this.#connect(socket, facts, info, first, handler);
  }

  #connect(
    socket: Socket,
    facts: ConnectionFacts,
    info: ConnectionInfo,
    first: Buffer | null,
    handler: ChainHandler,
  ): void {
    if (handler.kind === 'tcp') {
      this.#keepAlive(socket);
      const connection = new TcpConnection(socket, info, handler.proxy, this.#closer(info), null, first);
      this.#add(connection);
      return;
    }
    const source = this.#managers(inputOf(facts), handler.manager);
    const connection = new HttpConnection(socket, info, handler.manager, source, this.#closer(info));
    this.#add(connection);
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

  #add(connection: Connection): void {
    this.#connections.add(connection);
    this.#open.take();
    this.#env.admission.opened();
    const window = this.#window ?? this.#env.drainWindow(this.config.trafficDirection);
    if (window !== null) this.#askToLeave(connection, window, true);
  }

  #ended(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    this.#open.release();
    this.#env.admission.closed();
    if (this.#connections.size > 0) return;
    this.#onEmpty?.();
    this.#env.listenerEmpty();
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

const AS_HTTP = { applicationProtocols: ['http/1.1'] } as const;
/** What a proxy of the mesh offers for HTTP. */
const ISTIO_HTTP = ['istio-http/1.1'];

function ignore(): void {}
