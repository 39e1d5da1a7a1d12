import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** A response as it stood on the wire. */
export interface WireResponse {
  readonly status: number;
  readonly reason: string;
  /** Status line and header lines, with their line ends. */
  readonly head: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Without transfer coding, as latin1. */
  readonly body: string;
  /** Trailer lines of a chunked body. */
  readonly trailers: string;
  /** The first value of a header, or undefined; `name` in lower case. */
  header(name: string): string | undefined;
}

/** A client that writes octets and reads exactly one response, or everything until the server closes. */
export class RawClient {
  readonly socket: Socket;
  received = '';
  ended = false;
  closed = false;
  error: NodeJS.ErrnoException | null = null;
  readonly #wakers: (() => void)[] = [];
  readonly #transport: Socket;

  /** `transport`: the TCP socket below one of TLS. */
  constructor(socket: Socket, transport: Socket = socket) {
    this.socket = socket;
    this.#transport = transport;
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
    socket.on('error', (error) => {
      this.error = error;
    });
  }

  write(text: string | Buffer): this {
    this.socket.write(text, 'latin1');
    return this;
  }
  end(text = ''): void {
    this.socket.end(text, 'latin1');
  }
  reset(): void {
    this.#transport.resetAndDestroy();
  }

  /** A GET without a body, with these header lines. */
  get(path = '/', ...lines: string[]): this {
    return this.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`);
  }
  /** A POST with a Content-Length body. */
  post(path: string, body: string, ...lines: string[]): this {
    const extra = lines.map((line) => `${line}\r\n`).join('');
    return this.write(`POST ${path} HTTP/1.1\r\nHost: a\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`);
  }

  async until(test: (received: string) => boolean): Promise<string> {
    while (!test(this.received)) {
      if (this.ended) throw new Error(`connection ended; received: ${JSON.stringify(this.received.slice(0, 500))}`);
      await this.#event();
    }
    return this.received;
  }

  /** So many octets, taken off what was received. */
  async bytes(count: number): Promise<string> {
    const text = await this.until((received) => received.length >= count);
    this.received = text.slice(count);
    return text.slice(0, count);
  }

  /** One response, interim ones included as responses of their own. `method`: of the request it answers. */
  async response(method = 'GET'): Promise<WireResponse> {
    const headEnd = (await this.until((received) => received.includes('\r\n\r\n'))).indexOf('\r\n\r\n') + 4;
    const head = this.received.slice(0, headEnd);
    this.received = this.received.slice(headEnd);
    const parsed = parseHead(head);
    const { status } = parsed;
    const bodyless =
      status < 200 || status === 204 || status === 304 || method === 'HEAD' || (method === 'CONNECT' && status < 300);
    if (bodyless) return wireResponse(parsed, '', '');
    if (parsed.header('transfer-encoding') === 'chunked') return this.#chunked(parsed);
    const length = parsed.header('content-length');
    if (length !== undefined) return wireResponse(parsed, await this.bytes(Number(length)), '');
    await this.untilEnded();
    const body = this.received;
    this.received = '';
    return wireResponse(parsed, body, '');
  }

  /** Everything until the server sends FIN, or breaks the connection. */
  async rest(): Promise<string> {
    await this.untilEnded();
    const rest = this.received;
    this.received = '';
    return rest;
  }
  async untilEnded(): Promise<void> {
    while (!this.ended) await this.#event();
  }
  async untilClosed(): Promise<void> {
    while (!this.closed) await this.#event();
  }

  async #chunked(parsed: ParsedHead): Promise<WireResponse> {
    let body = '';
    for (;;) {
      const size = Number.parseInt(await this.#line(), 16);
      if (Number.isNaN(size)) throw new Error('not a chunk size');
      if (size === 0) break;
      body += await this.bytes(size);
      if ((await this.#line()) !== '') throw new Error('a chunk is longer than its size');
    }
    let trailers = '';
    for (let line = await this.#line(); line !== ''; line = await this.#line()) trailers += `${line}\r\n`;
    return wireResponse(parsed, body, trailers);
  }

  async #line(): Promise<string> {
    const text = await this.until((received) => received.includes('\r\n'));
    const end = text.indexOf('\r\n');
    this.received = text.slice(end + 2);
    return text.slice(0, end);
  }

  #event(): Promise<void> {
    return new Promise((resolve) => this.#wakers.push(resolve));
  }
  #wake(): void {
    for (const waker of this.#wakers.splice(0)) waker();
  }
}

type ParsedHead = Omit<WireResponse, 'body' | 'trailers'>;

function parseHead(head: string): ParsedHead {
  const lines = head.split('\r\n');
  const match = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(lines[0]!);
  if (match === null) throw new Error(`not a status line: ${lines[0]}`);
  const headers = lines.slice(1, -2).map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return {
    status: Number(match[1]),
    reason: match[2]!,
    head,
    headers,
    header: (name) => headers.find(([other]) => other.toLowerCase() === name)?.[1],
  };
}

function wireResponse(parsed: ParsedHead, body: string, trailers: string): WireResponse {
  return { ...parsed, body, trailers };
}

/** Connects to a port of loopback; `secured`: by TLS, whatever the certificate. */
export async function rawClient(port: number, secured = false): Promise<RawClient> {
  const transport = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
  const socket = secured ? connectTls({ socket: transport, rejectUnauthorized: false }) : transport;
  await new Promise<void>((resolve, reject) => {
    socket.once(secured ? 'secureConnect' : 'connect', resolve);
    socket.once('error', reject);
  });
  return new RawClient(socket, transport);
}
