/** Servers of the soak: they do what the request's path asks, and check what they are sent octet by octet. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { seededRandom } from '../../src/base/random.ts';

/** What bodies are cut out of: both sides know it. */
export const OCTETS = Buffer.alloc(3 * 1024 * 1024);
{
  const random = seededRandom(7);
  for (let i = 0; i < OCTETS.length; i += 4) OCTETS.writeInt32LE((random.next() * 2 ** 32) | 0, i);
}

export interface Seen {
  requests: number;
  upgrades: number;
  /** Bodies that were not what their client sent; empty when all is well. */
  readonly faults: string[];
}

/** `?n=` octets from `?o=` on, as the answer; `?un=` and `?uo=` are what the request's body must be. */
function queryOf(request: IncomingMessage): URLSearchParams {
  return new URL(request.url!, 'http://soak').searchParams;
}

export class SoakUpstream {
  readonly seen: Seen = { requests: 0, upgrades: 0, faults: [] };
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  get port(): number {
    return this.#port;
  }

  /** On the port it had before, if it had one. */
  async start(): Promise<this> {
    // Connections that idle are closed while the proxy has them in its pool.
    const server = createServer({ keepAliveTimeout: 1500, highWaterMark: 16 * 1024 }, (request, response) =>
      this.#answer(request, response),
    );
    server.on('checkContinue', (request, response) => {
      response.writeContinue();
      this.#answer(request, response);
    });
    server.on('upgrade', (request, socket, head) => {
      this.seen.upgrades++;
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx-id: ${request.headers['x-id']}\r\n\r\n`,
      );
      if (head.length > 0) socket.write(head);
      socket.on('error', () => socket.destroy());
      socket.pipe(socket);
    });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port: this.#port }, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  /** At once, with every connection reset. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.seen.requests++;
    const query = queryOf(request);
    const act = query.get('act') ?? 'bytes';
    request.on('error', () => {});
    response.on('error', () => {});
    if (act === 'reset') {
      request.socket.resetAndDestroy();
      return;
    }
    if (act === 'hang') {
      request.resume();
      return;
    }
    const id = String(request.headers['x-id']);
    if (act === 'echo') {
      response.writeHead(200, {
        'x-id': id,
        ...(request.headers['content-length'] && query.has('length')
          ? { 'content-length': request.headers['content-length'] }
          : {}),
      });
      request.pipe(response);
      return;
    }
    this.#takeBody(request, query, () => this.#send(request, response, query, id, act));
  }

  #takeBody(request: IncomingMessage, query: URLSearchParams, then: () => void): void {
    const at = Number(query.get('uo') ?? 0);
    const wanted = Number(query.get('un') ?? 0);
    let length = 0;
    let same = true;
    request.on('data', (chunk: Buffer) => {
      same &&= chunk.equals(OCTETS.subarray(at + length, at + length + chunk.length));
      length += chunk.length;
    });
    request.on('end', () => {
      if (!same || length !== wanted) this.#fault(`${request.url}: the body is not what was sent (${length} octets)`);
      then();
    });
  }

  #send(request: IncomingMessage, response: ServerResponse, query: URLSearchParams, id: string, act: string): void {
    const n = Number(query.get('n') ?? 0);
    const at = Number(query.get('o') ?? 0);
    const status = Number(query.get('status') ?? 200);
    if (query.has('hints')) response.writeEarlyHints({ link: '</x>; rel=preload' });
    const bodyless = request.method === 'HEAD' || status === 204 || status === 304;
    const chunked = query.has('chunked');
    response.writeHead(status, {
      'x-id': id,
      ...(chunked || status === 204 ? {} : { 'content-length': n }),
      ...(query.has('trailers') ? { trailer: 'x-sum' } : {}),
      ...(query.has('close') ? { connection: 'close' } : {}),
    });
    if (bodyless) {
      response.end();
      return;
    }
    if (act === 'cut') {
      response.write(OCTETS.subarray(at, at + (n >> 1)));
      setTimeout(() => request.socket.resetAndDestroy(), 5);
      return;
    }
    if (query.has('trailers')) response.addTrailers({ 'x-sum': String(n) });
    if (!chunked) {
      response.end(OCTETS.subarray(at, at + n));
      return;
    }
    this.#pieces(response, at, at + n);
  }

  /** Pieces of changing sizes, no faster than they are taken. */
  #pieces(response: ServerResponse, from: number, end: number): void {
    let at = from;
    let size = 1;
    const more = (): void => {
      while (at < end) {
        const upTo = Math.min(end, at + size);
        size = size > 50_000 ? 1 : size * 3;
        const room = response.write(OCTETS.subarray(at, upTo));
        at = upTo;
        if (!room) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  }

  #fault(what: string): void {
    if (this.seen.faults.length < 20) this.seen.faults.push(what);
  }
}
