import type { Socket } from 'node:net';
import { WheelTimer } from '../../base/timer-wheel.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead } from '../../protocol/http/message.ts';
import type { MessageEvents } from '../../protocol/http1/events.ts';
import type { ParseError } from '../../protocol/http1/framing.ts';
import { RequestParser } from '../../protocol/http1/parser.ts';
import { Output } from '../io/output.ts';
import { keep, readFrom } from '../io/reads.ts';
import { resetSocket } from '../io/reset.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { ConnectionInfo } from '../telemetry/stream-info.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { badRequestReply, codecDetails, idleHeadReply, requestTimeoutReply } from './replies.ts';
import type { HttpStats } from './stats.ts';
import { HttpStream } from './stream.ts';
import type { StreamConnection } from './stream-connection.ts';

/** Bytes behind a request in progress (pipelined ones, a tunnel's first) that may wait before reading stops. */
const MAX_WAITING_BYTES = 64 * 1024;

/** Why nothing is read from the client. */
const Block = {
  /** The upstream does not take more of the body. */
  Upstream: 1,
  /** Enough waits already. */
  Waiting: 2,
} as const;

/** Gives the connection manager that is in force now: it can change between two requests. Null: the listener is gone. */
export type ManagerSource = () => ConnectionManager | null;

/** How far a connection of a draining listener is, for the admin's view. */
export interface ConnectionDeparture {
  readonly id: number;
  readonly remote: SocketAddress;
  readonly kind: 'http' | 'tunnel' | 'tcp';
  /** A request is in progress. */
  readonly busy: boolean;
  /** `asked`: the next response says `Connection: close`. */
  readonly state: 'staying' | 'scheduled' | 'asked' | 'closing';
  /** Until the next state, when nothing else happens; null: nobody knows. */
  readonly inMs: number | null;
}

/**
 * One downstream HTTP/1.1 connection: codec below, one stream above, requests one after the other. It belongs
 * to no version of the config; each request asks for the manager in force.
 */
export class HttpConnection implements MessageEvents<RequestHead>, StreamConnection {
  readonly output: Output;
  /** A turn of reads is going on. */
  reading = false;
  readonly #socket: Socket;
  readonly #source: ManagerSource;
  readonly #parser: RequestParser;
  readonly #stream: HttpStream;
  readonly #onClosed: (connection: HttpConnection) => void;
  #manager: ConnectionManager;
  /** Where it is counted as open: its manager may change, and with it the prefix. */
  readonly #openedIn: HttpStats;
  readonly #idleTimer: WheelTimer;
  readonly #headTimer: WheelTimer;
  readonly #lifeTimer: WheelTimer;
  #requests = 0;
  /** {@link Block} bits. */
  #blocked = 0;
  /** The stream has ended and the next request may be read. */
  #next = false;
  #tunnel = false;
  /** The text of the last head that began a request. */
  #lastHead = '';
  #closing = false;
  #draining = false;
  /** Made when the listener drains. */
  #leaveTimer: WheelTimer | null = null;
  /** The client is asked to leave. */
  #leaving = false;
  /** Between being asked and being closed, without a request. */
  #quietMs = 0;
  #sawEnd = false;
  #closed = false;

  constructor(
    socket: Socket,
    info: ConnectionInfo,
    manager: ConnectionManager,
    source: ManagerSource,
    onClosed: (connection: HttpConnection) => void,
  ) {
    const own = readFrom(socket, this.#guarded(this.#onData));
    this.#socket = own;
    this.#manager = manager;
    this.#source = source;
    this.#onClosed = onClosed;
    this.output = new Output(own);
    this.#parser = new RequestParser(this, manager.limits);
    if (info.tlsVersion !== '') this.#parser.scheme = 'https';
    this.#stream = new HttpStream(this, manager);
    this.#stream.info.connection = info;
    const { config, env } = manager;
    this.#idleTimer = new WheelTimer(() => this.#onIdle());
    this.#headTimer = new WheelTimer(this.#guarded<void>(() => this.#onHeadTimeout()));
    this.#lifeTimer = new WheelTimer(() => this.drain());
    if (config.idleTimeoutMs > 0) env.wheel.arm(this.#idleTimer, config.idleTimeoutMs);
    if (config.maxConnectionDurationMs > 0) env.wheel.arm(this.#lifeTimer, config.maxConnectionDurationMs);
    this.#openedIn = manager.stats;
    manager.stats.opened(info.tlsVersion !== '');
    own.on('end', this.#guarded(this.#onEndOfInput));
    own.on('drain', this.#guarded(this.#onDrain));
    own.on('error', this.#onError);
    own.on('close', this.#guarded(this.#onClose));
  }

  /** Feeds bytes that were read before the connection was made, by protocol detection. */
  unshift(chunk: Buffer): void {
    this.#onData(chunk);
  }

  /** An exception in our own code ends the request and its connection, not the process. */
  #guarded<A>(handler: (arg: A) => void): (arg: A) => void {
    return (arg) => {
      try {
        handler(arg);
      } catch (error) {
        this.reading = false;
        this.#stream.onFault(error);
      }
    };
  }

  /** Ends the connection after the request in progress; at once when there is none. */
  drain(): void {
    this.#draining = true;
    if (!this.#stream.active && !this.#parser.inMessage) this.#close();
  }

  /**
   * The listener drains: in `announceMs` the client is asked to leave, by the response that comes next; in `closeMs`
   * the connection is closed if no request came.
   */
  leave(announceMs: number, closeMs: number): void {
    if (this.#closing) return;
    if (closeMs <= 0) {
      this.#leaving = true;
      this.drain();
      return;
    }
    this.#leaving = announceMs <= 0;
    this.#quietMs = closeMs - announceMs;
    this.#leaveTimer ??= new WheelTimer(() => this.#onLeave());
    this.#manager.env.wheel.arm(this.#leaveTimer, this.#leaving ? closeMs : announceMs);
  }
  /** Takes {@link leave} back, for a drain that was called off. */
  stay(): void {
    this.#leaving = false;
    if (this.#leaveTimer !== null) this.#manager.env.wheel.disarm(this.#leaveTimer);
  }
  /** Nothing but the peers end it. */
  get endless(): boolean {
    return this.#tunnel;
  }
  get departure(): ConnectionDeparture {
    const timer = this.#leaveTimer;
    const state = this.#closing ? 'closing' : this.draining ? 'asked' : timer?.isArmed ? 'scheduled' : 'staying';
    const inMs = timer?.isArmed ? Math.max(0, timer.deadline - this.#manager.env.clock.now()) : null;
    const { id, directRemote } = this.#stream.info.connection;
    return { id, remote: directRemote, kind: this.#tunnel ? 'tunnel' : 'http', busy: this.#stream.active, state, inMs };
  }

  get draining(): boolean {
    const { maxRequestsPerConnection } = this.#manager.config;
    return (
      this.#leaving ||
      this.#draining ||
      (this.#sawEnd && this.#parser.unread === 0) ||
      (maxRequestsPerConnection > 0 && this.#requests >= maxRequestsPerConnection)
    );
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // === MessageEvents ===

  onHead(head: RequestHead): void {
    const { wheel } = this.#manager.env;
    wheel.disarm(this.#idleTimer);
    wheel.disarm(this.#headTimer);
    this.#requests++;
    this.#lastHead = head.headers.raw;
    const manager = this.#source();
    if (manager === null) this.#draining = true;
    else this.#manager = manager;
    this.#stream.onHead(head, this.#parser.notes, this.#manager);
    if (head.framing !== Framing.None && head.framing !== Framing.Tunnel && !this.#closing) this.#armRequestTimeout();
  }
  onData(chunk: Buffer, start: number, end: number): void {
    this.#stream.onData(chunk, start, end);
  }
  onTrailers(trailers: Headers): void {
    this.#stream.onTrailers(trailers);
  }
  onEnd(): void {
    this.#manager.env.wheel.disarm(this.#headTimer);
    // The next request on the connection waits until this one is answered.
    this.#parser.pause();
    this.#stream.onRequestEnd();
  }
  onError(error: ParseError): void {
    const stream = this.#stream;
    const { stats } = this.#manager;
    stats.count(stats.protocolErrors);
    if (stream.active) {
      if (error.code === 'truncated') stream.onAborted();
      else stream.onBroken(error.status, codecDetails(error.code), error.reason);
      return;
    }
    if (error.code === 'truncated') {
      this.#close();
      return;
    }
    // No request began: a stream of its own gives the refusal its log line and its counts.
    const head = this.#parser.head;
    // Refused before its first byte was taken for a head: what is there is the request before it.
    if (head.headers.raw === this.#lastHead) head.reset();
    head.keepAlive = false;
    stream.refuse(head, this.#parser.notes, this.#source() ?? this.#manager, {
      ...badRequestReply(error.status, codecDetails(error.code), error.reason),
      flags: ResponseFlag.DownstreamProtocolError,
    });
  }

  // === StreamConnection ===

  pauseReading(): void {
    this.#block(Block.Upstream);
  }
  resumeReading(): void {
    this.#unblock(Block.Upstream);
  }
  pauseParsing(): void {
    this.#parser.pause();
  }
  resumeParsing(): void {
    this.#next = true;
    if (!this.reading) this.#goOn();
  }

  streamEnded(reuse: boolean): void {
    if (this.#closed) return;
    if (!reuse || this.draining || this.#tunnel) {
      this.#close();
      return;
    }
    const { config, env } = this.#manager;
    if (config.idleTimeoutMs > 0) env.wheel.arm(this.#idleTimer, config.idleTimeoutMs);
    this.#next = true;
    if (!this.reading) this.#goOn();
  }

  abort(reset: boolean): void {
    this.#closing = true;
    this.output.flush();
    if (reset) resetSocket(this.#socket);
    else this.#socket.destroy();
  }

  enterTunnel(): void {
    this.#tunnel = true;
    const rest = this.#parser.takeRest();
    this.#unblock(Block.Waiting);
    if (rest !== null) this.#stream.onTunnel(rest);
    if (this.#sawEnd) this.#stream.onTunnelFin();
  }

  // === socket events ===

  readonly #onData = (chunk: Buffer): void => {
    if (this.#closing) return;
    if (this.#tunnel) {
      this.#stream.onTunnel(chunk);
      return;
    }
    const parser = this.#parser;
    if (parser.paused) {
      // Pipelined behind a request in progress: kept, up to a bound.
      parser.execute(chunk);
      this.#boundWaiting();
    } else {
      this.reading = true;
      parser.execute(chunk);
      this.#stream.onTurnEnd();
      this.#goOn();
    }
    parser.keepUnread(keep);
  };

  /** Goes on with the bytes the parser has kept, request by request, and ends the turn. */
  #goOn(): void {
    const stream = this.#stream;
    this.reading = true;
    while (this.#next && !this.#closing) {
      // A client that sends requests and takes no answers waits until it does.
      if (this.output.full && !this.output.flush()) break;
      this.#next = false;
      this.#parser.resume();
      stream.onTurnEnd();
    }
    this.reading = false;
    if (this.#closed) return;
    stream.flushDownstream();
    if (this.#closing || this.#tunnel) return;
    this.#boundWaiting();
    if (!stream.active && this.#parser.inMessage) this.#armHeadTimeout();
  }

  #boundWaiting(): void {
    if (this.#parser.unread > MAX_WAITING_BYTES) this.#block(Block.Waiting);
    else this.#unblock(Block.Waiting);
  }

  #block(why: number): void {
    if (this.#blocked === 0) this.#socket.pause();
    this.#blocked |= why;
  }
  #unblock(why: number): void {
    if ((this.#blocked & why) === 0) return;
    this.#blocked &= ~why;
    if (this.#blocked === 0 && !this.#closing) this.#socket.resume();
  }

  readonly #onEndOfInput = (): void => {
    this.#sawEnd = true;
    if (this.#tunnel) {
      this.#stream.onTunnelFin();
      return;
    }
    const parser = this.#parser;
    if (!this.#stream.active && !parser.inMessage && parser.unread === 0) {
      this.#close();
      return;
    }
    // A client that half-closes after whole requests still gets its answers.
    this.reading = true;
    parser.finish();
    this.#stream.onTurnEnd();
    this.#goOn();
  };

  readonly #onDrain = (): void => {
    this.#stream.onWritable();
    if (this.#next && !this.reading) this.#goOn();
  };

  readonly #onError = (): void => {
    // 'close' follows and does the work; without a listener the process would end.
    this.#closing = true;
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.#closing = true;
    const { wheel } = this.#manager.env;
    this.#stream.onAborted();
    this.#stream.close();
    wheel.release(this.#idleTimer);
    wheel.release(this.#headTimer);
    wheel.release(this.#lifeTimer);
    if (this.#leaveTimer !== null) wheel.release(this.#leaveTimer);
    this.#openedIn.closed(this.#stream.info.connection.tlsVersion !== '');
    this.#onClosed(this);
  };

  // === timeouts ===

  #armHeadTimeout(): void {
    const { config, env } = this.#manager;
    env.wheel.disarm(this.#idleTimer);
    if (this.#headTimer.isArmed) return;
    const ms = headLimit(config)?.ms ?? config.idleTimeoutMs;
    if (ms > 0) env.wheel.arm(this.#headTimer, ms);
  }

  #armRequestTimeout(): void {
    const { config, env } = this.#manager;
    if (config.requestTimeoutMs > 0) env.wheel.arm(this.#headTimer, config.requestTimeoutMs);
  }

  #onHeadTimeout(): void {
    if (this.#closing) return;
    const stream = this.#stream;
    const { stats } = this.#manager;
    if (stream.active) {
      stats.count(stats.requestTimeouts);
      stream.onRequestTimeout();
      return;
    }
    const limit = headLimit(this.#manager.config);
    const idle = limit?.idle === true;
    stats.count(idle ? stats.idleTimeouts : stats.headerTimeouts);
    const { head, notes } = this.#parser;
    head.keepAlive = false;
    const reply = idle ? idleHeadReply(limit.ms) : requestTimeoutReply('request_header_timeout');
    stream.refuse(head, notes, this.#manager, reply);
  }

  #onLeave(): void {
    if (this.#closing) return;
    if (!this.#leaving) {
      this.#leaving = true;
      this.#manager.env.wheel.arm(this.#leaveTimer!, this.#quietMs);
    } else if (!this.#stream.active && !this.#parser.inMessage) {
      this.#close();
    }
  }

  #onIdle(): void {
    // The peer did not close after our FIN.
    if (this.#closing) this.#socket.destroy();
    else if (!this.#stream.active) this.#close();
  }

  /** Sends what is left, then FIN; a peer that does not close in return is cut after `delayed_close_timeout`. */
  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#leaving) this.#manager.stats.count(this.#manager.stats.drained);
    this.output.end();
    this.#blocked = 0;
    // Reading on lets the peer's last bytes drain, so that it sees our answer and not a reset.
    this.#socket.resume();
    const { config, env } = this.#manager;
    env.wheel.disarm(this.#headTimer);
    env.wheel.arm(this.#idleTimer, config.delayedCloseTimeoutMs || 1);
    if (this.#sawEnd) this.output.destroySoon();
  }
}

/**
 * How long a head may take from its first byte; null: for ever. Of Envoy's timers the shortest, and whether it is that of
 * an idle stream: a head that comes byte by byte does not begin it anew.
 */
function headLimit(config: HttpConnectionManager): { readonly ms: number; readonly idle: boolean } | null {
  const { requestHeadersTimeoutMs, requestTimeoutMs, streamIdleTimeoutMs } = config;
  const idle = streamIdleTimeoutMs || Number.POSITIVE_INFINITY;
  const ms = Math.min(requestHeadersTimeoutMs || idle, requestTimeoutMs || idle, idle);
  return ms === Number.POSITIVE_INFINITY ? null : { ms, idle: ms === idle };
}
