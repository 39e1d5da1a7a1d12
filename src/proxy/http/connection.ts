import type { Socket } from 'node:net';
import { WheelTimer } from '../../base/timer-wheel.ts';
import type { Headers } from '../../protocol/http/headers.ts';
import { Framing, type RequestHead } from '../../protocol/http/message.ts';
import type { MessageEvents } from '../../protocol/http1/events.ts';
import type { ParseError } from '../../protocol/http1/framing.ts';
import { RequestParser } from '../../protocol/http1/parser.ts';
import { Output } from '../io/output.ts';
import { ResponseFlag } from '../telemetry/response-flags.ts';
import type { ConnectionInfo } from '../telemetry/stream-info.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { badRequestReply } from './replies.ts';
import { HttpStream, type StreamConnection } from './stream.ts';

/** Bytes of pipelined requests that may wait while a response is being made. */
const MAX_WAITING_BYTES = 64 * 1024;

/** Gives the connection manager that is in force now: it can change between two requests. Null: the listener is gone. */
export type ManagerSource = () => ConnectionManager | null;

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
  readonly #idleTimer: WheelTimer;
  readonly #headTimer: WheelTimer;
  readonly #lifeTimer: WheelTimer;
  #requests = 0;
  #waiting = 0;
  #tunnel = false;
  #closing = false;
  #draining = false;
  #sawEnd = false;
  #closed = false;

  constructor(
    socket: Socket,
    info: ConnectionInfo,
    manager: ConnectionManager,
    source: ManagerSource,
    onClosed: (connection: HttpConnection) => void,
  ) {
    this.#socket = socket;
    this.#manager = manager;
    this.#source = source;
    this.#onClosed = onClosed;
    this.output = new Output(socket);
    this.#parser = new RequestParser(this, manager.limits);
    if (info.tlsVersion !== '') this.#parser.scheme = 'https';
    this.#stream = new HttpStream(this, manager);
    this.#stream.info.connection = info;
    const { config, env } = manager;
    this.#idleTimer = new WheelTimer(() => this.#onIdle());
    this.#headTimer = new WheelTimer(() => this.#onHeadTimeout());
    this.#lifeTimer = new WheelTimer(() => this.drain());
    if (config.idleTimeoutMs > 0) env.wheel.arm(this.#idleTimer, config.idleTimeoutMs);
    if (config.maxConnectionDurationMs > 0) env.wheel.arm(this.#lifeTimer, config.maxConnectionDurationMs);
    manager.stats.opened();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEndOfInput);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  /** Feeds bytes that were read before the connection was made, by protocol detection. */
  unshift(chunk: Buffer): void {
    this.#onData(chunk);
  }

  /** Ends the connection after the request in progress; at once when there is none. */
  drain(): void {
    this.#draining = true;
    if (!this.#stream.active && !this.#parser.inMessage) this.#close();
  }

  get draining(): boolean {
    const { maxRequestsPerConnection } = this.#manager.config;
    return (
      this.#draining ||
      this.#sawEnd ||
      this.#manager.env.draining ||
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
    const manager = this.#source();
    if (manager === null) this.#draining = true;
    else this.#manager = manager;
    this.#stream.onHead(head, this.#parser.notes, this.#manager);
    if (head.framing !== Framing.None && head.framing !== Framing.Tunnel) this.#armRequestTimeout();
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
      stream.onBroken(error.status, `http1.codec_error{${error.code}}`, error.reason);
      return;
    }
    if (error.code === 'truncated') {
      this.#close();
      return;
    }
    // No request began: a stream of its own gives the refusal its log line and its counts.
    const head = this.#parser.head;
    head.keepAlive = false;
    stream.refuse(head, this.#parser.notes, this.#source() ?? this.#manager, {
      ...badRequestReply(error.status, `http1.codec_error{${error.code}}`, error.reason),
      flags: ResponseFlag.DownstreamProtocolError,
    });
  }

  // === StreamConnection ===

  pauseReading(): void {
    this.#socket.pause();
  }
  resumeReading(): void {
    if (!this.#closing) this.#socket.resume();
  }
  pauseParsing(): void {
    this.#parser.pause();
  }
  resumeParsing(): void {
    // From inside a callback of the parser it goes on by itself.
    this.#parser.resume();
    this.#waited();
  }

  streamEnded(reuse: boolean): void {
    if (this.#closed) return;
    if (!reuse || this.draining || this.#tunnel) {
      this.#close();
      return;
    }
    const { config, env } = this.#manager;
    if (config.idleTimeoutMs > 0) env.wheel.arm(this.#idleTimer, config.idleTimeoutMs);
    if (!this.#parser.paused) return;
    if (this.reading) {
      // The parser is running: it continues when this callback returns.
      this.#parser.resume();
      return;
    }
    this.#turn(() => this.#parser.resume());
    this.#waited();
  }

  abort(): void {
    this.#closing = true;
    this.output.flush();
    this.#socket.destroy();
  }

  enterTunnel(): void {
    this.#tunnel = true;
    const rest = this.#parser.takeRest();
    if (rest !== null) this.#stream.onTunnel(rest);
    this.#waited();
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
      this.#waiting += chunk.length;
      parser.execute(chunk);
      if (this.#waiting > MAX_WAITING_BYTES) this.#socket.pause();
      return;
    }
    this.reading = true;
    parser.execute(chunk);
    this.#endTurn();
    if (!this.#stream.active && parser.inMessage) this.#armHeadTimeout();
  };

  #turn(run: () => void): void {
    this.reading = true;
    run();
    this.#endTurn();
  }

  #endTurn(): void {
    this.#stream.onTurnEnd();
    this.reading = false;
    if (!this.#closed) this.#stream.flushDownstream();
  }

  /** What waited has been read. */
  #waited(): void {
    if (this.#waiting === 0) return;
    this.#waiting = 0;
    if (!this.#closing) this.#socket.resume();
  }

  readonly #onEndOfInput = (): void => {
    this.#sawEnd = true;
    if (this.#tunnel) {
      this.#stream.onTunnelFin();
      return;
    }
    if (!this.#stream.active && !this.#parser.inMessage && this.#waiting === 0) {
      this.#close();
      return;
    }
    // A client that half-closes after a whole request still gets its answer.
    this.#turn(() => this.#parser.finish());
  };

  readonly #onDrain = (): void => {
    this.#stream.onWritable();
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
    this.#manager.stats.closed();
    this.#onClosed(this);
  };

  // === timeouts ===

  #armHeadTimeout(): void {
    const { config, env } = this.#manager;
    env.wheel.disarm(this.#idleTimer);
    const ms = config.requestHeadersTimeoutMs || config.requestTimeoutMs || config.idleTimeoutMs;
    if (ms > 0 && !this.#headTimer.isArmed) env.wheel.arm(this.#headTimer, ms);
  }

  #armRequestTimeout(): void {
    const { config, env } = this.#manager;
    if (config.requestTimeoutMs > 0) env.wheel.arm(this.#headTimer, config.requestTimeoutMs);
  }

  #onHeadTimeout(): void {
    if (this.#stream.active) {
      this.#stream.onBroken(408, 'request_overall_timeout', 'The request did not arrive whole in time.');
      this.#stream.flushDownstream();
      return;
    }
    const head = this.#parser.head;
    head.keepAlive = false;
    this.#stream.refuse(
      head,
      this.#parser.notes,
      this.#manager,
      badRequestReply(408, 'request_header_timeout', 'The request head did not arrive in time.'),
    );
    this.#stream.flushDownstream();
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
    this.output.end();
    // Reading on lets the peer's last bytes drain, so that it sees our answer and not a reset.
    this.#socket.resume();
    const { config, env } = this.#manager;
    env.wheel.arm(this.#idleTimer, config.delayedCloseTimeoutMs || 1);
    if (this.#sawEnd) this.#socket.destroySoon();
  }
}
