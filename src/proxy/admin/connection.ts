import type { Socket } from 'node:net';
import { messageOf } from '../../base/errors.ts';
import { WheelTimer } from '../../base/timer-wheel.ts';
import { Framing, type RequestHead } from '../../protocol/http/message.ts';
import type { MessageEvents } from '../../protocol/http1/events.ts';
import type { ParseError } from '../../protocol/http1/framing.ts';
import { RequestParser } from '../../protocol/http1/parser.ts';
import { reasonPhrase } from '../../protocol/http1/serializer.ts';
import { formatHttpDate } from '../io/date.ts';
import { hostAllowed, originAllowed } from './host.ts';
import { type AdminReply, Query, textReply } from './route.ts';
import type { ServerContext } from './server.ts';

const LIMITS = { maxHeadBytes: 16 * 1024, maxHeaders: 100 };
/** No route reads a body; a client that sends one is let finish, up to here. */
const MAX_BODY_BYTES = 64 * 1024;
/** For a request to arrive whole, counted from the last answer, and for an answer to be taken. */
const TIMEOUT_MS = 60_000;
const LINGER_MS = 1000;

/** What outlives the head, which the parser reuses. */
interface Pending {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly origin: string | undefined;
  readonly site: string | undefined;
  readonly keepAlive: boolean;
  readonly minorVersion: number;
}

/** One client of an admin server: reads a request, answers it whole, reads the next. */
export class AdminConnection implements MessageEvents<RequestHead> {
  readonly #socket: Socket;
  readonly #context: ServerContext;
  readonly #parser = new RequestParser(this, LIMITS);
  readonly #timer = new WheelTimer(() => this.#socket.destroy());
  #request: Pending | null = null;
  #bodyBytes = 0;
  #serving = false;
  #closing = false;
  #sawEnd = false;
  #ending = false;

  constructor(socket: Socket, context: ServerContext, onClosed: () => void) {
    this.#socket = socket;
    this.#context = context;
    context.wheel.arm(this.#timer, TIMEOUT_MS);
    socket.on('data', (chunk: Buffer) => {
      if (!this.#closing) this.#parser.execute(chunk);
    });
    socket.on('end', () => {
      this.#sawEnd = true;
      if (this.#closing) return;
      this.#parser.finish();
      this.#endIfDone();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#closing = true;
      context.wheel.release(this.#timer);
      onClosed();
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Closes once the request in progress is answered; at once when there is none. */
  end(): void {
    this.#ending = true;
    if (!this.#serving && !this.#parser.inMessage) this.#close();
  }

  // === MessageEvents ===

  onHead(head: RequestHead): void {
    const { headers } = head;
    this.#bodyBytes = 0;
    this.#request = {
      method: head.method,
      target: head.path,
      authority: head.authority,
      origin: headers.get('origin'),
      site: headers.get('sec-fetch-site'),
      keepAlive: head.keepAlive && !this.#ending,
      minorVersion: head.minorVersion,
    };
    if (head.framing === Framing.Tunnel) this.#refuse(textReply('CONNECT is not served here.\n', 405));
    else if (head.contentLength > MAX_BODY_BYTES) this.#refuse(TOO_LARGE);
    else if (head.expectContinue) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n');
  }

  onData(_chunk: Buffer, start: number, end: number): void {
    this.#bodyBytes += end - start;
    if (this.#bodyBytes > MAX_BODY_BYTES) this.#refuse(TOO_LARGE);
  }

  onTrailers(): void {}

  onEnd(): void {
    if (this.#closing) return;
    // The next request waits in the parser and, beyond that, in the kernel.
    this.#parser.pause();
    this.#socket.pause();
    this.#serving = true;
    void this.#serve(this.#request!);
  }

  onError(error: ParseError): void {
    if (this.#closing) return;
    if (error.code === 'truncated') this.#close();
    else this.#refuse(textReply(`${error.reason}\n`, error.status));
  }

  // === answering ===

  async #serve(request: Pending): Promise<void> {
    let reply: AdminReply;
    try {
      reply = await this.#route(request);
    } catch (error) {
      this.#context.log.error('admin request failed', { target: request.target, error: messageOf(error) });
      reply = textReply('internal error\n', 500);
    }
    if (this.#socket.destroyed) return;
    this.#request = null;
    const sent = this.#write(request, reply);
    if (!request.keepAlive) {
      this.#close();
      return;
    }
    if (this.#ending) this.#close();
    else if (sent) this.#next();
    else this.#socket.once('drain', () => this.#next());
  }

  #next(): void {
    if (this.#closing) return;
    this.#serving = false;
    this.#context.wheel.arm(this.#timer, TIMEOUT_MS);
    this.#socket.resume();
    this.#parser.resume();
    this.#endIfDone();
  }

  #route(request: Pending): AdminReply | Promise<AdminReply> {
    const { routes, hosts } = this.#context;
    const { method, target, authority } = request;
    if (!hostAllowed(hosts, authority)) {
      return textReply(`Host ${JSON.stringify(authority)} is not served here: use an IP address or localhost.\n`, 403);
    }
    const mark = target.indexOf('?');
    const path = mark < 0 ? target : target.slice(0, mark);
    const route = routes.get(path);
    if (route === undefined) return textReply(`invalid path. ${routes.help()}`, 404);
    const fits = route.method === 'GET' ? method === 'GET' || method === 'HEAD' : method === 'POST';
    if (!fits) {
      const allow = route.method === 'GET' ? 'GET, HEAD' : 'POST';
      return {
        ...textReply(`Method ${method} not allowed, ${route.method} required.\n`, 405),
        headers: [['allow', allow]],
      };
    }
    if (route.method === 'POST' && !originAllowed(authority, request.origin, request.site)) {
      return textReply('Requests from pages of another origin are refused.\n', 403);
    }
    return route.handle({ method, path, query: new Query(mark < 0 ? '' : target.slice(mark + 1)) });
  }

  /** Answers what will not be read to its end, and closes. */
  #refuse(reply: AdminReply): void {
    if (this.#closing) return;
    const request = this.#request;
    this.#write({ method: request?.method ?? 'GET', keepAlive: false, minorVersion: 1 }, reply);
    this.#close();
  }

  /** False when the socket's buffer is full. */
  #write(request: Pick<Pending, 'method' | 'keepAlive' | 'minorVersion'>, reply: AdminReply): boolean {
    const body = Buffer.from(reply.body);
    let head = `HTTP/1.1 ${reply.status} ${reasonPhrase(reply.status)}\r\n`;
    head += `content-type: ${reply.type}\r\ncontent-length: ${body.length}\r\n`;
    head += 'cache-control: no-cache, max-age=0\r\nx-content-type-options: nosniff\r\n';
    head += `date: ${formatHttpDate(this.#context.clock.wall())}\r\nserver: remora\r\n`;
    for (const [name, value] of reply.headers ?? []) head += `${name}: ${value}\r\n`;
    if (!request.keepAlive) head += 'connection: close\r\n';
    else if (request.minorVersion === 0) head += 'connection: keep-alive\r\n';
    this.#socket.cork();
    this.#socket.write(`${head}\r\n`, 'latin1');
    const room = this.#socket.write(request.method === 'HEAD' ? NOTHING : body, () => reply.afterSent?.());
    this.#socket.uncork();
    return room;
  }

  #endIfDone(): void {
    if (this.#sawEnd && !this.#serving && !this.#parser.inMessage) this.#close();
  }

  /** Sends what is left, then FIN; reads on a moment so that the client sees the answer and not a reset. */
  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#parser.pause();
    this.#socket.end();
    this.#socket.resume();
    // A client that takes its time over a long answer has the usual time for it.
    const flushed = this.#socket.writableLength === 0;
    if (flushed) this.#context.wheel.arm(this.#timer, LINGER_MS);
    else this.#socket.once('finish', () => this.#context.wheel.arm(this.#timer, LINGER_MS));
  }
}

const NOTHING = Buffer.alloc(0);
const TOO_LARGE = textReply('The body is too large.\n', 413);
