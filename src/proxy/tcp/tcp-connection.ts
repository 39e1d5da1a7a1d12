import type { Socket } from 'node:net';
import { errorCode } from '../../base/errors.ts';
import { WheelTimer } from '../../base/timer-wheel.ts';
import { formatAddress } from '../../model/address.ts';
import { resetSocket } from '../io/reset.ts';
import type { TcpSeries } from '../telemetry/metrics/istio.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import { type ConnectionInfo, StreamInfo } from '../telemetry/stream-info.ts';
import type { UpstreamCluster } from '../upstream/cluster.ts';
import { connectTo } from '../upstream/connect.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import { remoteAddressOf } from '../upstream/happy-eyeballs.ts';
import { failureOf, readyEvent } from '../upstream/tls.ts';
import type { Admit, TcpProxy } from './tcp-proxy.ts';

/** How long a server may take to read what a client left that has gone, where no idle_timeout says so. */
const FLUSH_MS = 300_000;

/** Who waits for what the upstream does while it is not known yet whether the connection is TCP. */
export interface UpstreamProbe {
  /** The server sent bytes, or FIN: null. */
  onServerSpoke(first: Buffer | null): void;
  /** No endpoint could be reached, or it went away. */
  onServerFailed(): void;
}

type Denial = NonNullable<ReturnType<Admit>>;
const PASSES: Denial = { details: '', reason: '' };

/** Its heads are those of every connection. */
const NO_HTTP = new StreamInfo();

/**
 * A downstream connection forwarded as bytes to one endpoint of a (weighted) cluster
 * (envoy.extensions.filters.network.tcp_proxy.v3). Half-close is passed on in both directions, a reset of the server
 * is passed on to the client; a failed connect is tried again, perhaps elsewhere, up to `max_connect_attempts`.
 */
export class TcpConnection {
  /** Facts for the access log, whose stream is the whole connection. */
  readonly info = new StreamInfo();
  readonly #downstream: Socket;
  /** What it was made for. */
  readonly proxy: TcpProxy;
  readonly #onClosed: (connection: TcpConnection) => void;
  readonly #connectTimer: WheelTimer;
  /** Each null where its field is not set. */
  #idleTimer: WheelTimer | null;
  #durationTimer: WheelTimer | null = null;
  #logTimer: WheelTimer | null = null;
  #upstream: Socket | null = null;
  #cluster: UpstreamCluster | null = null;
  #endpoint: UpstreamEndpoint | null = null;
  #series: TcpSeries | null = null;
  #askedAt = 0;
  /** Connected and not closed since. */
  #connected = false;
  /** Not null: the upstream is only dialled, and the downstream is not ours yet. */
  #probe: UpstreamProbe | null;
  #abandoned = false;
  /** Bytes of the downstream that were read before. */
  #first: Buffer | null = null;
  #timedOut = false;
  #failure = '';
  #ended = false;
  #flushing = false;
  /** What the filters before the proxy said; null: they were not asked yet. */
  #denial: Denial | null = null;
  /** Nothing is dialled before the host of its address has come. */
  #awaitsHost = false;
  /** Of {@link AddressWaiter}: a connection is one. */
  readonly generation = 0;

  /** With a `probe` it dials only, and waits for {@link begin} or {@link abandon}. */
  constructor(
    downstream: Socket,
    connection: ConnectionInfo,
    proxy: TcpProxy,
    onClosed: (connection: TcpConnection) => void,
    probe: UpstreamProbe | null = null,
    first: Buffer | null = null,
  ) {
    const { config, env } = proxy;
    this.#downstream = downstream;
    this.proxy = proxy;
    this.#onClosed = onClosed;
    this.#connectTimer = new WheelTimer(this.#onConnectTimeout);
    this.#idleTimer = config.idleTimeoutMs > 0 ? new WheelTimer(this.#onIdle) : null;
    const { info } = this;
    info.request = NO_HTTP.request;
    info.response = NO_HTTP.response;
    info.connection = connection;
    info.protocol = '';
    info.logType = 'TcpConnectionEnd';
    info.filterChain = proxy.filterChain;
    info.startWall = env.clock.wall();
    info.start = env.clock.now();
    this.#probe = probe;
    if (probe === null) this.begin(first);
    else this.#reach();
  }

  /** Forwards the downstream from now on, `first` before all else. */
  begin(first: Buffer | null): void {
    const { info, proxy } = this;
    const { config } = proxy;
    const downstream = this.#downstream;
    this.#probe = null;
    this.#first = first;
    proxy.stats.opened();
    this.#durationTimer = this.#timer(config.maxDurationMs, this.#onMaxDuration);
    this.#logTimer = proxy.accessLog === null ? null : this.#timer(config.logIntervalMs, this.#onLogInterval);
    // Nothing is read before there is somebody to give it to.
    downstream.pause();
    downstream.on('error', this.#onDownstreamError);
    downstream.on('close', this.#onDownstreamClose);
    const upstream = this.#upstream;
    if (upstream === null || upstream.destroyed) {
      info.attempts = 0;
      info.flags = 0;
      if (!this.#awaitsHost) this.#reach();
    } else if (this.#connected) {
      upstream.removeAllListeners('readable');
      this.#pump(upstream);
    }
  }

  /** Lets go of an upstream that was only dialled; the downstream is not touched. */
  abandon(): void {
    this.#abandoned = true;
    this.#probe = null;
    this.proxy.env.wheel.release(this.#connectTimer);
    this.#upstream?.destroy();
  }

  /** Bytes have no requests to wait for: a drained TCP connection lives until a side closes it. */
  drain(): void {}
  leave(): void {}
  stay(): void {}
  get endless(): boolean {
    return true;
  }
  get departure() {
    const { id, directRemote } = this.info.connection;
    return { id, remote: directRemote, kind: 'tcp', busy: true, state: 'staying', inMs: null } as const;
  }

  destroy(): void {
    this.#closeLocally('proxy_closed');
  }

  #timer(ms: number, expire: () => void): WheelTimer | null {
    if (ms <= 0) return null;
    const timer = new WheelTimer(expire);
    this.proxy.env.wheel.arm(timer, ms);
    return timer;
  }

  // === connecting ===

  #reach(): void {
    this.#denial ??= this.proxy.admit === null ? PASSES : (this.proxy.admit(this.info) ?? PASSES);
    if (this.#denial !== PASSES) {
      this.#deny(this.#denial);
      return;
    }
    this.#awaitsHost = this.proxy.awaits(this.info.connection.local, this);
    if (!this.#awaitsHost) this.#connect();
  }

  /** What is only dialled may still turn out to be HTTP, of which others decide. */
  #deny({ details, reason }: Denial): void {
    if (this.#probe !== null) {
      this.#probe.onServerFailed();
      return;
    }
    this.info.reason = reason;
    this.proxy.env.log.debug(`tcp ${this.proxy.config.statPrefix}: ${reason}`);
    this.#closeLocally(details);
  }

  hostAnswered(): void {
    this.#awaitsHost = false;
    if (!this.#abandoned && !this.#ended && !this.#downstream.destroyed) this.#connect();
  }

  #connect(): void {
    const { info } = this;
    const { config, env, stats } = this.proxy;
    const name = this.proxy.pickCluster(info.connection.local);
    const cluster = env.cluster(name);
    if (cluster === undefined) {
      stats.store.inc(stats.noRoute);
      this.#refuse(ResponseFlag.NoClusterFound, 'no_route', `cluster ${name} does not exist`);
      return;
    }
    info.cluster = cluster;
    if (info.attempts >= config.maxConnectAttempts) {
      cluster.stats.count('upstream_cx_connect_attempts_exceeded');
      const tries = info.attempts === 1 ? 'one try' : `${info.attempts} tries`;
      this.#refuse(
        ResponseFlag.UpstreamRetryLimitExceeded,
        'connect_failed',
        `no connection to cluster ${name} after ${tries}: ${info.upstreamFailureReason}`,
      );
      return;
    }
    const { connections } = cluster.breakers.DEFAULT;
    if (!connections.canAcquire()) {
      cluster.stats.connectionOverflow();
      const reason = `cluster ${name} has max_connections ${connections.limit} open`;
      this.#refuse(ResponseFlag.UpstreamOverflow, 'resource_limit_exceeded', reason);
      return;
    }
    const endpoint = cluster.pick({
      hash: null,
      avoid: null,
      originalDestination: info.connection.local,
      request: null,
    });
    if (endpoint === null) {
      cluster.stats.count('upstream_cx_none_healthy');
      const reason = `cluster ${name} has no healthy endpoint`;
      this.#refuse(ResponseFlag.NoHealthyUpstream, 'no_healthy_upstream', reason);
      return;
    }
    connections.take();
    info.attempts++;
    info.upstream = endpoint;
    this.#cluster = cluster;
    this.#endpoint = endpoint;
    this.#timedOut = false;
    this.#failure = '';
    this.#askedAt = env.clock.now();
    const upstream = connectTo(endpoint, cluster);
    this.#upstream = upstream;
    cluster.stats.connectionOpened(false);
    cluster.stats.pendingStarted();
    endpoint.requests++;
    env.wheel.arm(this.#connectTimer, cluster.config.connectTimeoutMs);
    this.#connected = false;
    const ready = readyEvent(upstream);
    upstream.on(ready, this.#onConnect);
    upstream.on('error', (error) => this.#onUpstreamError(upstream, error));
    const askedAt = this.#askedAt;
    let connected = false;
    upstream.on(ready, () => {
      connected = !upstream.destroyed;
    });
    upstream.on('close', () => this.#onUpstreamClose(upstream, cluster, endpoint, askedAt, connected));
  }

  readonly #onConnect = (): void => {
    const { info } = this;
    const { env } = this.proxy;
    const upstream = this.#upstream!;
    // A server that was not let in.
    if (upstream.destroyed) return;
    const cluster = this.#cluster!;
    const endpoint = this.#endpoint!;
    this.#connected = true;
    env.wheel.disarm(this.#connectTimer);
    const now = env.clock.now();
    info.upstreamConnection = {
      id: env.nextConnectionId(),
      localAddress: formatAddress({ host: upstream.localAddress ?? '', port: upstream.localPort ?? 0 }),
      ...(endpoint.eyeballs === null ? {} : { remoteAddress: remoteAddressOf(upstream) }),
      protocol: '',
      askedAt: this.#askedAt,
      openedAt: now,
    };
    cluster.stats.pendingEnded();
    cluster.stats.attemptStarted();
    cluster.stats.connected(now - this.#askedAt);
    cluster.outlier?.recordSuccessLocalOrigin(endpoint);
    endpoint.activeRequests++;
    if (this.#probe === null) this.#pump(upstream);
    else upstream.once('readable', () => this.#probe?.onServerSpoke(peek(upstream)));
  };

  #pump(upstream: Socket): void {
    const { config, env, accessLog } = this.proxy;
    const downstream = this.#downstream;
    this.#series = env.metrics.tcpOpened(this.info);
    this.#pumpUp(upstream);
    this.#pumpDown(upstream);
    this.#touch();
    if (config.logOnConnected && accessLog !== null) this.#log('TcpUpstreamConnected');
    const first = this.#first;
    this.#first = null;
    downstream.resume();
    // As if it came now, with the same counts and back-pressure.
    if (first !== null) downstream.emit('data', first);
    // Its FIN came while the connection was not known to be TCP.
    if (downstream.readableEnded) upstream.end();
  }

  readonly #onConnectTimeout = (): void => {
    this.#timedOut = true;
    this.#failure = 'connect timeout';
    this.#upstream?.destroy();
  };

  /** No connection can be made: the client's ends. */
  #refuse(flag: number, why: string, reason: string): void {
    const { info } = this;
    if (this.#probe !== null) {
      this.#probe.onServerFailed();
      return;
    }
    info.flags |= flag;
    info.reason = reason;
    this.proxy.env.log.debug(`tcp ${this.proxy.config.statPrefix}: ${reason}`);
    this.#closeLocally(`tcp_initialization_failure:${why}`);
  }

  // === bytes ===

  /** Client to server, with back-pressure: what neither side takes waits in the kernel of the one that sends. */
  #pumpUp(upstream: Socket): void {
    const { info } = this;
    const { stats } = this.proxy;
    const { store } = stats;
    const series = this.#series!;
    const downstream = this.#downstream;
    downstream.on('data', (chunk: Buffer) => {
      const { length } = chunk;
      info.bytesReceived += length;
      store.add(stats.received, length);
      store.add(series.received, length);
      this.#touch();
      if (!upstream.writable) return;
      info.upstreamBytesSent += length;
      if (upstream.write(chunk)) return;
      downstream.pause();
      store.inc(stats.pausedReading);
    });
    downstream.on('end', () => upstream.end());
    upstream.on('drain', () => {
      this.#touch();
      if (this.#ended || !downstream.isPaused()) return;
      store.inc(stats.resumedReading);
      downstream.resume();
    });
  }

  #pumpDown(upstream: Socket): void {
    const { info } = this;
    const { stats } = this.proxy;
    const { store } = stats;
    const series = this.#series!;
    const downstream = this.#downstream;
    const clusterStats = this.#cluster!.stats;
    upstream.on('data', (chunk: Buffer) => {
      if (this.#ended) {
        // As a kernel does whose reader has gone.
        upstream.destroy();
        return;
      }
      const { length } = chunk;
      info.upstreamBytesReceived += length;
      this.#touch();
      if (!downstream.writable) return;
      info.bytesSent += length;
      store.add(stats.sent, length);
      store.add(series.sent, length);
      if (downstream.write(chunk)) return;
      upstream.pause();
      store.inc(clusterStats.upstreamPausedReading);
    });
    upstream.on('end', () => downstream.end());
    downstream.on('drain', () => {
      this.#touch();
      if (!upstream.isPaused()) return;
      store.inc(clusterStats.upstreamResumedReading);
      upstream.resume();
    });
  }

  #touch(): void {
    const { config, env } = this.proxy;
    if (config.idleTimeoutMs > 0) env.wheel.arm(this.#idleTimer!, config.idleTimeoutMs);
  }

  // === endings ===

  readonly #onIdle = (): void => {
    const { stats } = this.proxy;
    stats.store.inc(stats.idleTimeouts);
    if (this.#ended) {
      this.#upstream?.destroy();
      return;
    }
    this.info.reason = `no byte in either direction for ${this.proxy.config.idleTimeoutMs} ms`;
    this.#closeLocally('tcp_session_idle_timeout');
  };

  readonly #onMaxDuration = (): void => {
    const { stats, config } = this.proxy;
    stats.store.inc(stats.maxDurations);
    this.info.flags |= ResponseFlag.DurationTimeout;
    this.info.reason = `open for max_downstream_connection_duration, ${config.maxDurationMs} ms`;
    this.#closeLocally('max_connection_duration_reached');
  };

  readonly #onLogInterval = (): void => {
    const { config, env } = this.proxy;
    env.wheel.arm(this.#logTimer!, config.logIntervalMs);
    this.#log('TcpPeriodic');
  };

  /** Closes both sides at once; what waits to be sent is lost. */
  #closeLocally(why: string): void {
    const { info } = this;
    if (info.localCloseReason === '') info.localCloseReason = why;
    this.#downstream.destroy();
    this.#upstream?.destroy();
  }

  readonly #onDownstreamError = (error: Error): void => {
    if (errorCode(error) === 'ECONNRESET') this.info.downstreamCloseType = 'RemoteReset';
    this.#downstream.destroy();
  };

  #onUpstreamError(upstream: Socket, error: Error): void {
    if (upstream !== this.#upstream) {
      upstream.destroy();
      return;
    }
    this.#failure = this.#failure || failureOf(upstream, error);
    if (this.#connected && errorCode(error) === 'ECONNRESET') {
      this.info.flags |= ResponseFlag.UpstreamRemoteReset;
      this.info.upstreamCloseType = 'RemoteReset';
    }
    upstream.destroy();
  }

  #onUpstreamClose(
    upstream: Socket,
    cluster: UpstreamCluster,
    endpoint: UpstreamEndpoint,
    askedAt: number,
    connected: boolean,
  ): void {
    const { info } = this;
    const { env, stats } = this.proxy;
    const current = upstream === this.#upstream;
    if (current) env.wheel.disarm(this.#connectTimer);
    if (this.#flushing) stats.flushEnded();
    if (this.#ended && this.#idleTimer !== null) env.wheel.release(this.#idleTimer);
    if (connected) {
      cluster.stats.attemptEnded();
      endpoint.activeRequests--;
    } else cluster.stats.pendingEnded();
    cluster.stats.connectionClosed(env.clock.now() - askedAt, upstream.bytesRead, upstream.bytesWritten);
    cluster.breakers.DEFAULT.connections.release();
    // Let go of, or dialled again meanwhile; and a client that did not wait says nothing about the endpoint.
    if (this.#abandoned || !current || this.#downstream.destroyed) return;
    if (connected) {
      this.#connected = false;
      if (this.#probe !== null) {
        this.#probe.onServerFailed();
        return;
      }
      if (info.upstreamCloseType === 'RemoteReset') {
        info.downstreamCloseType = 'LocalReset';
        resetSocket(this.#downstream);
      } else this.#downstream.destroySoon();
      return;
    }
    info.flags |= ResponseFlag.UpstreamConnectionFailure;
    info.upstreamFailureReason = this.#failure;
    cluster.stats.connectFailed(this.#timedOut);
    cluster.recordFailure(endpoint, this.#timedOut ? 'connection-timeout' : 'connection-failure');
    this.#connect();
  }

  readonly #onDownstreamClose = (): void => {
    this.#ended = true;
    const { info } = this;
    const { env, stats, accessLog } = this.proxy;
    const { wheel } = env;
    for (const timer of [this.#connectTimer, this.#durationTimer, this.#logTimer]) {
      if (timer !== null) wheel.release(timer);
    }
    this.#letUpstreamGo();
    if (!this.#flushing && this.#idleTimer !== null) wheel.release(this.#idleTimer);
    stats.closed();
    info.end = env.clock.now();
    if (this.#series !== null) env.metrics.tcpClosed(this.#series, info);
    if (accessLog !== null) accessLog(info);
    this.#onClosed(this);
  };

  /** What the client sent before it went still goes to the server, for as long as that takes it (idle_timeout). */
  #letUpstreamGo(): void {
    const upstream = this.#upstream;
    if (upstream === null || upstream.destroyed) return;
    if (!this.#connected || this.info.localCloseReason !== '' || upstream.writableLength === 0) {
      upstream.destroy();
      return;
    }
    this.#flushing = true;
    this.proxy.stats.flushStarted();
    if (this.#idleTimer === null) {
      this.#idleTimer = new WheelTimer(() => upstream.destroy());
      this.proxy.env.wheel.arm(this.#idleTimer, FLUSH_MS);
    }
    upstream.resume();
    upstream.destroySoon();
  }

  #log(type: string): void {
    const { info } = this;
    info.logType = type;
    info.end = this.proxy.env.clock.now();
    this.proxy.accessLog!(info);
    info.logType = 'TcpConnectionEnd';
    info.end = -1;
  }
}

/** What has come and was not read; null when that is the end. */
function peek(socket: Socket): Buffer | null {
  // To read where there is nothing would say the end before anybody listens for it.
  if (socket.readableLength === 0) return null;
  const first = socket.read() as Buffer;
  socket.unshift(first);
  return first;
}
