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

/** Who waits for what the upstream does while it is not known yet whether the connection is TCP. */
export interface UpstreamProbe {
  /** The server sent bytes, or FIN. */
  onServerSpoke(): void;
  /** No endpoint could be reached, or it went away. */
  onServerFailed(): void;
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
  /** Not null: the upstream is only dialled, and the downstream is not ours yet. */
  #probe: UpstreamProbe | null;
  #abandoned = false;
  /** Bytes of the downstream that were read before. */
  #first: Buffer | null = null;

  /** With a `probe` it dials only, and waits for {@link begin} or {@link abandon}. */
  constructor(
    downstream: Socket,
    info: ConnectionInfo,
    config: TcpProxy,
    env: TcpEnvironment,
    onClosed: (connection: TcpConnection) => void,
    probe: UpstreamProbe | null = null,
    first: Buffer | null = null,
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
    this.#probe = probe;
    if (probe === null) this.begin(first);
    else this.#connect();
  }

  /** Forwards the downstream from now on, `first` before all else. */
  begin(first: Buffer | null): void {
    const downstream = this.#downstream;
    this.#probe = null;
    this.#first = first;
    downstream.pause();
    downstream.on('error', () => downstream.destroy());
    downstream.on('close', this.#onDownstreamClose);
    const upstream = this.#upstream;
    if (upstream === null || upstream.destroyed) {
      this.#attempts = 0;
      this.#connected = false;
      this.#connect();
    } else if (this.#connected) {
      upstream.removeAllListeners('readable');
      this.#pumpBoth(upstream);
    }
  }

  /** Lets go of an upstream that was only dialled; the downstream is not touched. */
  abandon(): void {
    this.#abandoned = true;
    this.#probe = null;
    this.#env.wheel.release(this.#connectTimer);
    this.#upstream?.destroy();
  }

  /** Bytes have no requests to wait for: a drained TCP connection lives until a side closes it. */
  drain(): void {}

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
      this.#fail();
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
    upstream.on('close', () => this.#onUpstreamClose(upstream, cluster, endpoint));
  }

  #onConnect(upstream: Socket): void {
    this.#connected = true;
    this.#env.wheel.disarm(this.#connectTimer);
    if (this.#probe === null) this.#pumpBoth(upstream);
    else upstream.once('readable', () => this.#probe?.onServerSpoke());
  }

  #pumpBoth(upstream: Socket): void {
    const downstream = this.#downstream;
    if (this.#first !== null) upstream.write(this.#first);
    this.#first = null;
    this.#touch();
    pump(downstream, upstream, this.#touch);
    pump(upstream, downstream, this.#touch);
    downstream.resume();
    // Its FIN came while the connection was not known to be TCP.
    if (downstream.readableEnded) upstream.end();
  }

  #fail(): void {
    if (this.#probe === null) this.destroy();
    else this.#probe.onServerFailed();
  }

  #onUpstreamClose(upstream: Socket, cluster: UpstreamCluster, endpoint: UpstreamEndpoint): void {
    cluster.breakers.DEFAULT.connections.release();
    cluster.stats.connectionClosed();
    // Let go of, or dialled again meanwhile.
    if (this.#abandoned || upstream !== this.#upstream) return;
    if (this.#connected) {
      this.#connected = false;
      if (this.#probe === null) this.#downstream.destroySoon();
      else this.#probe.onServerFailed();
      return;
    }
    // A client that did not wait says nothing about the endpoint.
    if (this.#downstream.destroyed) return;
    cluster.stats.connectFailed(this.#timedOut);
    cluster.recordFailure(endpoint, this.#timedOut ? 'connection-timeout' : 'connection-failure');
    this.#timedOut = false;
    if (this.#attempts < this.#config.maxConnectAttempts) this.#connect();
    else this.#fail();
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

  /** What it was made for. */
  get config(): TcpProxy {
    return this.#config;
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
