import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { messageOf, RemoraError } from '../../base/errors.ts';

/** What a path answers: an object is sent as JSON, text as it is. */
export type Answer = { readonly status: number; readonly body: string | object };

export type Routes = Readonly<Record<string, (query: URLSearchParams) => Answer>>;

/** The control server's own HTTP port: readiness, who is connected, what is wrong with the config. Read-only. */
export class StatusServer {
  readonly #routes: Routes;
  readonly #server: Server;

  constructor(routes: Routes) {
    this.#routes = routes;
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.headersTimeout = 10_000;
    this.#server.requestTimeout = 10_000;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => {
        const at = `${host}:${port}`;
        reject(
          new RemoraError('status_bind', `cannot listen on ${at} for status: ${messageOf(error)}`, {
            source: 'user',
            cause: error,
          }),
        );
      });
      this.#server.listen(port, host, resolve);
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://control');
    const { status, body } = this.#route(request, url);
    const text = typeof body === 'string' ? body : `${JSON.stringify(body, null, 2)}\n`;
    response.writeHead(status, {
      'content-type': typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json',
      'content-length': Buffer.byteLength(text),
    });
    response.end(request.method === 'HEAD' ? undefined : text);
  }

  #route(request: IncomingMessage, url: URL): Answer {
    if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'only GET\n' };
    // A page in a browser must not read a local control server under a name of its own.
    if (!isLocalName(request.headers.host ?? ''))
      return { status: 403, body: 'the Host header must be an address or localhost\n' };
    const route = this.#routes[url.pathname];
    if (route !== undefined && Object.hasOwn(this.#routes, url.pathname)) return route(url.searchParams);
    return { status: 404, body: `there is ${Object.keys(this.#routes).join(' ')}\n` };
  }
}

function isLocalName(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || /^\d+\.\d+\.\d+\.\d+$/.test(name) || name.startsWith('[');
}
