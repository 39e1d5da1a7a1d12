import {
  createServer as createHttpServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { key, pem } from './certs/index.ts';

/** Waits for what another part of a test pushes; order is kept. */
class Queue<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  push(item: T): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting(item);
  }
  next(): Promise<T> {
    const item = this.#items.shift();
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item);
  }
  get size(): number {
    return this.#items.length;
  }
}

/** One accepted connection of a {@link RawUpstream}, moved byte by byte by the test. */
export class RawConnection {
  readonly socket: Socket;
  /** Everything received and not yet read, as latin1. */
  received = '';
  ended = false;
  closed = false;
  readonly #wakers: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.#wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('close', () => {
      this.closed = true;
      this.ended = true;
      this.#wake();
    });
    socket.on('error', () => {});
  }

  /** Resolves when what was received satisfies `test`; rejects when the peer ends first. */
  async until(test: (received: string) => boolean): Promise<string> {
    while (!test(this.received)) {
      if (this.ended) throw new Error(`connection ended; received: ${JSON.stringify(this.received.slice(0, 500))}`);
      await this.#event();
    }
    return this.received;
  }

  /** A whole request head, taken off what was received. */
  async head(): Promise<string> {
    const text = await this.until((received) => received.includes('\r\n\r\n'));
    const end = text.indexOf('\r\n\r\n') + 4;
    this.received = text.slice(end);
    return text.slice(0, end);
  }

  /** So many octets, taken off what was received. */
  async bytes(count: number): Promise<string> {
    const text = await this.until((received) => received.length >= count);
    this.received = text.slice(count);
    return text.slice(0, count);
  }

  write(text: string | Buffer): this {
    this.socket.write(text, 'latin1');
    return this;
  }
  /** Sends FIN. */
  end(text = ''): void {
    this.socket.end(text, 'latin1');
  }
  /** Sends RST. */
  reset(): void {
    // TLS: the socket below.
    const { _parent: transport } = this.socket as Socket & { _parent?: Socket | null };
    (transport ?? this.socket).resetAndDestroy();
  }
  async untilEnded(): Promise<void> {
    while (!this.ended) await this.#event();
  }
  async untilClosed(): Promise<void> {
    while (!this.closed) await this.#event();
  }

  #event(): Promise<void> {
    return new Promise((resolve) => this.#wakers.push(resolve));
  }
  #wake(): void {
    for (const waker of this.#wakers.splice(0)) waker();
  }
}

const CERTIFICATE = { cert: pem('server'), key: key('server') };

/** A TCP server, or one of TLS, that says only what the test says. */
export class RawUpstream {
  readonly server: Server;
  readonly connections: RawConnection[] = [];
  readonly #accepted = new Queue<RawConnection>();

  constructor(secured: boolean) {
    const options = { allowHalfOpen: true, noDelay: true };
    const accepted = (socket: Socket): void => {
      const connection = new RawConnection(socket);
      this.connections.push(connection);
      this.#accepted.push(connection);
    };
    this.server = secured ? createTlsServer({ ...options, ...CERTIFICATE }, accepted) : createServer(options, accepted);
  }
  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }
  /** The next connection that is accepted, or was and nobody asked for yet. */
  accept(): Promise<RawConnection> {
    return this.#accepted.next();
  }
  /** Accepted connections that nobody asked for. */
  get unasked(): number {
    return this.#accepted.size;
  }
  close(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

export async function rawUpstream(secured = false): Promise<RawUpstream> {
  const upstream = new RawUpstream(secured);
  await listen(upstream.server);
  return upstream;
}

export interface RecordedRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: NodeJS.Dict<string>;
  /** Which connection it came on, counted from 0. */
  readonly connection: number;
}

export type Answer = (request: RecordedRequest, response: ServerResponse) => void;

/** An HTTP server that notes each request, body included, and answers `ok` unless told otherwise. */
export interface HttpUpstream {
  readonly port: number;
  readonly requests: RecordedRequest[];
  readonly connections: number;
  answer: Answer;
  close(): Promise<void>;
}

export async function httpUpstream(
  answer: Answer = (_request, response) => response.end('ok'),
  secured = false,
): Promise<HttpUpstream> {
  const ids = new Map<Socket, number>();
  const requests: RecordedRequest[] = [];
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => {});
    request.on('end', () => {
      const recorded: RecordedRequest = {
        method: request.method!,
        url: request.url!,
        rawHeaders: request.rawHeaders,
        headers: request.headers,
        body: Buffer.concat(chunks).toString('latin1'),
        trailers: request.trailers,
        connection: ids.get(request.socket)!,
      };
      requests.push(recorded);
      upstream.answer(recorded, response);
    });
  };
  const server = secured
    ? createHttpsServer({ keepAliveTimeout: 0, ...CERTIFICATE }, onRequest)
    : createHttpServer({ keepAliveTimeout: 0 }, onRequest);
  server.on(secured ? 'secureConnection' : 'connection', (socket: Socket) => ids.set(socket, ids.size));
  await listen(server);
  const upstream = {
    port: (server.address() as AddressInfo).port,
    requests,
    get connections() {
      return ids.size;
    },
    answer,
    close(): Promise<void> {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return upstream;
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => resolve());
  });
}

/** A port of loopback where nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await listen(server);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
