import type { Socket } from 'node:net';
import { WheelTimer } from '../../../base/timer-wheel.ts';
import { formatAddress } from '../../../model/address.ts';
import type { Headers } from '../../../protocol/http/headers.ts';
import { Framing, type ResponseHead } from '../../../protocol/http/message.ts';
import type { MessageEvents } from '../../../protocol/http1/events.ts';
import type { HeadNotes, ParseError } from '../../../protocol/http1/framing.ts';
import { ResponseParser } from '../../../protocol/http1/parser.ts';
import { Output } from '../../io/output.ts';
import { keep, type Reads } from '../../io/reads.ts';
import type { UpstreamConnectionInfo } from '../../telemetry/stream-info.ts';
import type { TlsInfo } from '../../telemetry/tls-info.ts';
import { remoteAddressOf } from '../happy-eyeballs.ts';
import type { ClusterStats } from '../stats.ts';
import { failureOf, readyEvent, upstreamTlsInfo } from '../tls.ts';
import type { Http1Pool } from './http1-pool.ts';

/** How an attempt at an upstream ended without a whole response. */
export type ResetReason =
  /** No connection could be made. */
  | 'connection-failure'
  | 'connection-timeout'
  /** The connection closed or was reset while the attempt was on it. */
  | 'connection-termination'
  /** The server answered something that is not HTTP. */
  | 'protocol-error';

/**
 * What a request wants to hear of the connection it is on. All calls are synchronous. After `onEnd` or
 * `onReset` nothing more comes.
 */
export interface ResponseReader {
  onHead(head: ResponseHead): void;
  onData(chunk: Buffer, start: number, end: number): void;
  onTrailers(trailers: Headers): void;
  onEnd(): void;
  onReset(reason: ResetReason, detail: string): void;
  /** The end of one turn's reads: what the reader gathered should be sent. */
  onFlush(): void;
  /** The connection can take more of the request's body. */
  onWritable(): void;
  /** After a 101 or a 2xx to CONNECT: raw bytes. */
  onTunnelData(chunk: Buffer): void;
  onTunnelEnd(): void;
}

let lastId = 0;

/** One HTTP/1.1 connection to an endpoint, serving one request at a time. */
export class Http1Connection implements MessageEvents<ResponseHead>, UpstreamConnectionInfo {
  readonly socket: Socket;
  readonly output: Output;
  readonly #pool: Http1Pool;
  readonly #parser: ResponseParser;
  readonly idleTimer: WheelTimer;
  /** The request it serves; null while idle. */
  reader: ResponseReader | null = null;
  /** Requests sent on it, the present one included. */
  requests = 0;
  connected = false;
  /** null: plain TCP. */
  tls: TlsInfo | null = null;
  /** The request on it has been sent whole. */
  requestEnded = false;
  /** Any byte of the present response has arrived. */
  responseStarted = false;
  /** Ms of idleness after which the peer may close it, by its own `Keep-Alive: timeout=`. */
  peerIdleMs = Number.POSITIVE_INFINITY;
  openedAt = 0;
  /** When the connect began. */
  askedAt = 0;
  readonly id = ++lastId;
  localAddress = '';
  remoteAddress: string | undefined = undefined;
  readonly protocol = 'HTTP/1.1';
  /** Where it was counted as open, whatever the cluster's stats are called by then. */
  countedBy: ClusterStats | null = null;
  #reusable = true;
  #closed = false;
  #tunnel = false;
  #failure = '';

  constructor(socket: Socket, reads: Reads, pool: Http1Pool) {
    this.socket = socket;
    this.#pool = pool;
    this.output = new Output(socket);
    this.#parser = new ResponseParser(this, pool.limits);
    this.idleTimer = new WheelTimer(() => this.destroy());
    socket.on(readyEvent(socket), this.#onConnect);
    reads.onBytes = this.#onData;
    socket.on('end', this.#onEndOfInput);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  /** Begins a request: the reader hears of its response. */
  begin(reader: ResponseReader, method: string, upgrade: boolean): void {
    this.reader = reader;
    this.requests++;
    this.requestEnded = false;
    this.responseStarted = false;
    this.#parser.expect(method, upgrade);
  }

  /** The request has been written whole. */
  endRequest(): void {
    this.requestEnded = true;
  }

  /** Whether it is safe to put a new request on it now. */
  get usable(): boolean {
    return !this.#closed && this.#reusable && this.socket.writable && !this.socket.readableEnded;
  }

  /** No request after this one. */
  stopReuse(): void {
    this.#reusable = false;
    if (this.reader === null) this.destroy();
  }

  /** Gives `reader`'s request up: the connection cannot be used again, its reader hears nothing more. */
  abandon(reader: ResponseReader): void {
    // It may serve somebody else already.
    if (this.reader !== reader) return;
    this.reader = null;
    this.destroy();
  }

  destroy(): void {
    this.#reusable = false;
    this.socket.destroy();
  }

  /** Destroys it with a reason of ours. */
  fail(detail: string): void {
    this.#failure = detail;
    this.destroy();
  }

  /** What the parser noted about the present response's head. */
  get notes(): HeadNotes {
    return this.#parser.notes;
  }

  pause(): void {
    this.socket.pause();
  }
  resume(): void {
    this.socket.resume();
  }

  // === MessageEvents ===

  onHead(head: ResponseHead): void {
    if (head.framing === Framing.Tunnel) this.#tunnel = true;
    if (!head.keepAlive && head.status >= 200) this.#reusable = false;
    if (head.keepAliveTimeoutMs >= 0) this.peerIdleMs = head.keepAliveTimeoutMs;
    this.reader?.onHead(head);
  }
  onData(chunk: Buffer, start: number, end: number): void {
    this.reader?.onData(chunk, start, end);
  }
  onTrailers(trailers: Headers): void {
    this.reader?.onTrailers(trailers);
  }
  onEnd(): void {
    // An interim response is a message of its own; the request is not answered yet.
    if (this.#parser.head.status < 200) return;
    const reader = this.reader;
    this.reader = null;
    // The rest of a request that was answered early must not go out on a connection others will use; and bytes
    // behind the response, which nobody asked for, would be read as the answer to the next request.
    if (!this.requestEnded || this.#parser.unread > 0) this.#reusable = false;
    if (this.usable) this.#pool.release(this);
    else this.socket.destroy();
    reader?.onEnd();
  }
  onError(error: ParseError): void {
    this.#reusable = false;
    const early = error.code === 'no_response' || error.code === 'truncated';
    this.#reset(early ? 'connection-termination' : 'protocol-error', error.reason);
    this.socket.destroy();
  }

  // === socket events ===

  readonly #onConnect = (): void => {
    // A server that was not let in.
    if (this.socket.destroyed) return;
    this.tls = upstreamTlsInfo(this.socket);
    this.connected = true;
    // Asked now: a socket that has closed does not know any more.
    const { localAddress = '', localPort = 0 } = this.socket;
    this.localAddress = formatAddress({ host: localAddress, port: localPort });
    if (this.#pool.severalAddresses) this.remoteAddress = remoteAddressOf(this.socket);
    this.#pool.onConnected(this);
  };

  readonly #onData = (chunk: Buffer): void => {
    const reader = this.reader;
    if (reader === null) {
      // Nothing was asked: a server that speaks out of turn cannot be trusted with the next request.
      this.destroy();
      return;
    }
    if (this.#tunnel) {
      reader.onTunnelData(chunk);
      return;
    }
    this.responseStarted = true;
    this.#parser.execute(chunk);
    if (this.#tunnel && !this.#closed) {
      const rest = this.#parser.takeRest();
      if (rest !== null) reader.onTunnelData(rest);
    }
    reader.onFlush();
    this.#parser.keepUnread(keep);
  };

  readonly #onEndOfInput = (): void => {
    this.#reusable = false;
    if (this.#tunnel) {
      this.reader?.onTunnelEnd();
      return;
    }
    const reader = this.reader;
    if (reader !== null) {
      this.#parser.finish();
      reader.onFlush();
    }
    // A half-closed server has said all it will; nothing we write would be answered.
    if (!this.socket.destroyed) this.socket.destroy();
  };

  readonly #onDrain = (): void => {
    this.reader?.onWritable();
  };

  readonly #onError = (error: Error): void => {
    this.#failure = failureOf(this.socket, error);
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.#reusable = false;
    const detail = this.#failure === '' ? 'the server closed the connection' : this.#failure;
    this.#pool.onClosed(this, detail);
    this.#reset(this.connected ? 'connection-termination' : 'connection-failure', detail);
  };

  #reset(reason: ResetReason, detail: string): void {
    const reader = this.reader;
    if (reader === null) return;
    this.reader = null;
    reader.onReset(reason, detail);
  }
}
