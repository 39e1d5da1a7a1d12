import type { Clock } from '../../../base/clock.ts';
import { type TimerWheel, WheelTimer } from '../../../base/timer-wheel.ts';
import type { ParserLimits } from '../../../protocol/http1/framing.ts';
import { Reads } from '../../io/reads.ts';
import type { Resource } from '../circuit-breaker.ts';
import type { UpstreamCluster } from '../cluster.ts';
import { connectTo } from '../connect.ts';
import type { UpstreamEndpoint } from '../endpoint.ts';
import { ANY_HTTP_SERVER, type ServerIdentity } from '../tls.ts';
import { Http1Connection, type ResetReason } from './http1-connection.ts';
import type { EndpointPool } from './pool.ts';

/** Why no connection could be had: the pool's own reasons besides those of a failed connection. */
export type PoolFailure = ResetReason | 'overflow' | 'drained';

/** A request that waits for a connection. The pool calls exactly one of the two, unless it is cancelled before. */
export interface PendingRequest {
  readonly priority: 'DEFAULT' | 'HIGH';
  /** Do not put it on a kept-alive connection: it has just met one that the peer had closed. */
  readonly fresh: boolean;
  /** The pool's: the unit it holds while it is in line. */
  pendingUnit: Resource | null;
  onConnection(connection: Http1Connection): void;
  onPoolFailure(failure: PoolFailure, detail: string): void;
}

export interface PoolEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
}

/** Upstream response heads may be larger than what we accept from clients. */
const LIMITS: ParserLimits = { maxHeadBytes: 96 * 1024, maxHeaders: 200 };

/** A peer that says `Keep-Alive: timeout=5` may close at 5 s sharp; a request sent then would meet the FIN on its way. */
const PEER_IDLE_MARGIN_MS = 500;

/**
 * The HTTP/1.1 connections to one endpoint. Free ones are a stack: the warmest is used first, the coldest
 * reach their idle timeout. A request that finds none opens one and waits in line; any connection that
 * becomes free or connected serves the head of the line.
 */
export class Http1Pool implements EndpointPool {
  readonly limits = LIMITS;
  readonly #endpoint: UpstreamEndpoint;
  #cluster: UpstreamCluster;
  readonly #env: PoolEnvironment;
  readonly #server: ServerIdentity;
  readonly #free: Http1Connection[] = [];
  /** Each with the unit of the circuit breaker that it holds. */
  readonly #all = new Map<Http1Connection, Resource>();
  /** Connections being opened, with their deadlines. */
  readonly #opening = new Map<Http1Connection, WheelTimer>();
  readonly #waiting: PendingRequest[] = [];
  #draining = false;

  /** `server`: whom its connections are for, where requests say so. */
  constructor(endpoint: UpstreamEndpoint, cluster: UpstreamCluster, env: PoolEnvironment, server = ANY_HTTP_SERVER) {
    this.#endpoint = endpoint;
    this.#cluster = cluster;
    this.#env = env;
    this.#server = server;
  }

  get severalAddresses(): boolean {
    return this.#endpoint.eyeballs !== null;
  }

  get connections(): number {
    return this.#all.size;
  }

  /** `cluster` is the one the request came through: after a config change it may be newer than the pool. */
  acquire(request: PendingRequest, cluster: UpstreamCluster): void {
    this.#cluster = cluster;
    const { wheel } = this.#env;
    const free = this.#free;
    // One goes, so that there is room for a new one below the limit too.
    if (request.fresh) free.pop()?.destroy();
    while (free.length > 0 && !request.fresh) {
      const connection = free.pop()!;
      wheel.disarm(connection.idleTimer);
      if (connection.usable && !this.#tooOld(connection)) {
        request.onConnection(connection);
        return;
      }
      connection.destroy();
    }
    this.#open(request);
  }

  /** Takes a waiting request out of the line. */
  cancel(request: PendingRequest): void {
    const at = this.#waiting.indexOf(request);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#left(request);
    if (this.#draining) this.#dropOpening();
  }

  /** A connection is free again. */
  release(connection: Http1Connection): void {
    const limit = this.#cluster.config.maxRequestsPerConnection;
    if (this.#draining || (limit > 0 && connection.requests >= limit)) {
      connection.destroy();
      return;
    }
    if (this.#waiting.length > 0) {
      this.#serve(connection);
      return;
    }
    const idle = this.#idleMs(connection);
    if (idle <= 0) {
      connection.destroy();
      return;
    }
    this.#free.push(connection);
    if (idle !== Number.POSITIVE_INFINITY) this.#env.wheel.arm(connection.idleTimer, idle);
  }

  onConnected(connection: Http1Connection): void {
    this.#settle(connection);
    connection.openedAt = this.#env.clock.now();
    connection.countedBy!.connected(connection.openedAt - connection.askedAt);
    if (this.#waiting.length > 0) this.#serve(connection);
    else this.release(connection);
  }

  onClosed(connection: Http1Connection, detail: string): void {
    const opening = this.#settle(connection);
    const unit = this.#all.get(connection);
    if (unit === undefined) return;
    this.#all.delete(connection);
    this.#env.wheel.release(connection.idleTimer);
    unit.release();
    const { socket, askedAt } = connection;
    connection.countedBy!.connectionClosed(this.#env.clock.now() - askedAt, socket.bytesRead, socket.bytesWritten);
    const at = this.#free.indexOf(connection);
    if (at >= 0) this.#free.splice(at, 1);
    if (opening) this.#connectFailed(detail);
    // Those who waited for it to become free need another one.
    else if (this.#waiting.length > this.#opening.size) this.#connect(this.#waiting[0]!.priority);
  }

  /** A connection was not made: fails the requests that have no other to hope for. */
  #connectFailed(detail: string): void {
    const timedOut = detail === CONNECT_TIMEOUT;
    this.#cluster.stats.connectFailed(timedOut);
    let failed = this.#waiting.length - this.#opening.size;
    if (failed <= 0) return;
    // With a connection that works, the others may wait for it.
    if (this.#all.size > this.#opening.size) failed = 1;
    for (const request of this.#waiting.splice(0, failed)) {
      this.#left(request);
      request.onPoolFailure(timedOut ? 'connection-timeout' : 'connection-failure', detail);
    }
  }

  drain(): void {
    this.#draining = true;
    for (const connection of [...this.#free]) connection.destroy();
    for (const connection of [...this.#all.keys()]) if (!this.#opening.has(connection)) connection.stopReuse();
    // Nothing of them was sent: they may go elsewhere, or come back for a last connection here.
    for (const request of this.#waiting.splice(0)) {
      this.#left(request);
      request.onPoolFailure('drained', 'the endpoint left the cluster');
    }
    this.#dropOpening();
  }

  destroy(): void {
    this.#draining = true;
    for (const connection of [...this.#all.keys()]) connection.destroy();
  }

  #open(request: PendingRequest): void {
    const breaker = this.#cluster.breakers[request.priority];
    if (!breaker.pendingRequests.acquire()) {
      this.#cluster.stats.pendingOverflow();
      request.onPoolFailure('overflow', `max_pending_requests ${breaker.pendingRequests.limit} reached`);
      return;
    }
    request.pendingUnit = breaker.pendingRequests;
    this.#waiting.push(request);
    this.#cluster.stats.pendingStarted();
    this.#connect(request.priority);
  }

  #connect(priority: 'DEFAULT' | 'HIGH'): void {
    const { connections } = this.#cluster.breakers[priority];
    if (!connections.acquire()) {
      this.#cluster.stats.connectionOverflow();
      // It waits for a connection that this endpoint has. Without any it would wait for ever: Envoy too opens one then.
      if (this.#all.size > 0) return;
      connections.take();
    }
    const reads = new Reads();
    const socket = connectTo(this.#endpoint, this.#cluster, reads.options, this.#server);
    const connection = new Http1Connection(socket, reads, this);
    const timer = new WheelTimer(() => connection.fail(CONNECT_TIMEOUT));
    this.#all.set(connection, connections);
    this.#opening.set(connection, timer);
    connection.askedAt = this.#env.clock.now();
    connection.countedBy = this.#cluster.stats;
    connection.countedBy.connectionOpened(true);
    this.#env.wheel.arm(timer, this.#cluster.config.connectTimeoutMs);
  }

  /** A request is no longer in line. */
  #left(request: PendingRequest): void {
    request.pendingUnit?.release();
    request.pendingUnit = null;
    this.#cluster.stats.pendingEnded();
  }

  /** Connections being opened that nobody waits for any more. */
  #dropOpening(): void {
    if (this.#waiting.length > 0) return;
    for (const connection of [...this.#opening.keys()]) connection.destroy();
  }

  #serve(connection: Http1Connection): void {
    const request = this.#waiting.shift()!;
    this.#left(request);
    request.onConnection(connection);
  }

  /** No longer being opened; true when it was. */
  #settle(connection: Http1Connection): boolean {
    const timer = this.#opening.get(connection);
    if (timer === undefined) return false;
    this.#opening.delete(connection);
    this.#env.wheel.release(timer);
    return true;
  }

  #idleMs(connection: Http1Connection): number {
    const own = this.#cluster.config.idleTimeoutMs;
    const peer = connection.peerIdleMs - PEER_IDLE_MARGIN_MS;
    return Math.min(own === 0 ? Number.POSITIVE_INFINITY : own, peer);
  }

  #tooOld(connection: Http1Connection): boolean {
    const limit = this.#cluster.config.maxConnectionDurationMs;
    return limit > 0 && this.#env.clock.now() - connection.openedAt > limit;
  }
}

const CONNECT_TIMEOUT = 'connect timeout';
