import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { TcpProxy } from '../../model/listener.ts';
import type { ConnectionInfo } from '../telemetry/stream-info.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import { connectTo } from '../upstream/connect.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';

/** What TCP proxying needs of the process. */
export interface TcpEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly log: Logger;
  cluster(name: string): UpstreamCluster | undefined;
}

/**
 * A downstream connection forwarded as bytes to one endpoint of a (weighted) cluster
 * (envoy.extensions.filters.network.tcp_proxy.v3). Half-close is passed on in both directions; a failed
 * connect is tried again at another endpoint up to `max_connect_attempts`.
 */
export class TcpConnection {
  readonly #downstream: Socket;
  readonly #info: ConnectionInfo;
  readonly #config: TcpProxy;
  readonly #env: TcpEnvironment;
  readonly #onClosed: (connection: TcpConnection) => void;
  readonly #idleTimer: WheelTimer;
  readonly #connectTimer: WheelTimer;
  #upstream: Socket | null = null;
  #cluster: UpstreamCluster | null = null;
  #endpoint: UpstreamEndpoint | null = null;
  #attempts = 0;
  #connected = false;
  #timedOut = false;

  constructor(
    downstream: Socket,
    info: ConnectionInfo,
    config: TcpProxy,
    env: TcpEnvironment,
    onClosed: (connection: TcpConnection) => void,
  ) {
    this.#downstream = downstream;
    this.#info = info;
    this.#config = config;
    this.#env = env;
    this.#onClosed = onClosed;
    this.#idleTimer = new WheelTimer(() => this.destroy());
    this.#connectTimer = new WheelTimer(() => {
      this.#timedOut = true;
      this.#upstream?.destroy();
    });
    downstream.pause();
    downstream.on('error', () => downstream.destroy());
    downstream.on('close', this.#onDownstreamClose);
    this.#connect();
  }

  /** Bytes have no requests to wait for: a drained TCP connection lives until a side closes it. */
  drain(): void {}
  leave(): void {}
  stay(): void {}
  get endless(): boolean {
    return true;
  }
  get departure() {
    const { id, directRemote } = this.#info;
    return { id, remote: directRemote, kind: 'tcp', busy: true, state: 'staying', inMs: null } as const;
  }

  destroy(): void {
    this.#downstream.destroy();
  }

  #connect(): void {
    this.#attempts++;
    const cluster = this.#env.cluster(this.#pickCluster());
    const endpoint =
      cluster?.pick({ hash: null, avoid: null, originalDestination: this.#info.local, request: null }) ?? null;
    if (cluster === undefined || endpoint === null || !cluster.breakers.DEFAULT.connections.acquire()) {
      this.#env.log.debug(`tcp ${this.#config.statPrefix}: no endpoint for the connection`);
      this.destroy();
      return;
    }
    this.#cluster = cluster;
    this.#endpoint = endpoint;
    const upstream = connectTo(endpoint, cluster.config);
    this.#upstream = upstream;
    cluster.stats.connectionOpened();
    this.#env.wheel.arm(this.#connectTimer, cluster.config.connectTimeoutMs);
    upstream.on('connect', () => this.#onConnect(upstream));
    upstream.on('error', () => upstream.destroy());
    upstream.on('close', () => this.#onUpstreamClose(cluster, endpoint));
  }

  #onConnect(upstream: Socket): void {
    const downstream = this.#downstream;
    this.#connected = true;
    this.#env.wheel.disarm(this.#connectTimer);
    this.#touch();
    pump(downstream, upstream, this.#touch);
    pump(upstream, downstream, this.#touch);
    downstream.resume();
  }

  #onUpstreamClose(cluster: UpstreamCluster, endpoint: UpstreamEndpoint): void {
    cluster.breakers.DEFAULT.connections.release();
    cluster.stats.connectionClosed();
    if (this.#connected) {
      this.#downstream.destroySoon();
      return;
    }
    // A client that did not wait says nothing about the endpoint.
    if (this.#downstream.destroyed) return;
    cluster.stats.connectFailed(this.#timedOut);
    cluster.recordFailure(endpoint, this.#timedOut ? 'connection-timeout' : 'connection-failure');
    this.#timedOut = false;
    if (this.#attempts < this.#config.maxConnectAttempts) this.#connect();
    else this.destroy();
  }

  readonly #onDownstreamClose = (): void => {
    this.#env.wheel.release(this.#idleTimer);
    this.#env.wheel.release(this.#connectTimer);
    this.#upstream?.destroy();
    this.#onClosed(this);
  };

  readonly #touch = (): void => {
    if (this.#config.idleTimeoutMs > 0) this.#env.wheel.arm(this.#idleTimer, this.#config.idleTimeoutMs);
  };

  #pickCluster(): string {
    const { clusters } = this.#config;
    let total = 0;
    for (const { weight } of clusters) total += weight;
    let left = total > 0 ? this.#env.random.int(total) : 0;
    for (const { name, weight } of clusters) {
      left -= weight;
      if (left < 0) return name;
    }
    return clusters[0]?.name ?? '';
  }

  /** The endpoint's address, for the admin's views. */
  get upstreamAddress(): string {
    return this.#endpoint?.address ?? '';
  }
  get clusterName(): string {
    return this.#cluster?.name ?? '';
  }
}

/** Copies bytes with back-pressure, and FIN with them. */
function pump(from: Socket, to: Socket, touch: () => void): void {
  from.on('data', (chunk: Buffer) => {
    touch();
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('end', () => to.end());
}
