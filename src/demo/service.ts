/** What the four Bookinfo services share: a small HTTP server, its routes, its settings and its end. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ServiceOptions {
  /** 0 takes a free port. */
  readonly port?: number;
  readonly host?: string;
  readonly version?: string;
  /** The name of this instance; `<service>-<version>-<pid>` when not given. */
  readonly pod?: string;
  readonly cluster?: string;
  /** Answer every request with this status; 0 is healthy. Ratings and reviews only. */
  readonly sick?: number;
  /** Wait this long before each answer. Ratings and reviews only. */
  readonly slowMs?: number;
  /** Signs sessions; a random one when not given. Productpage only. */
  readonly sessionKey?: string;
  /** How long a call of another service may take. Productpage only. */
  readonly callTimeoutMs?: number;
}

export interface RunningService {
  readonly port: number;
  /** Takes no new connection, lets requests in flight finish within a second, then resolves. */
  close(): Promise<void>;
}

export interface Identity {
  readonly name: string;
  readonly version: string;
  readonly pod: string;
}

export interface ServiceRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  body(limit: number): Promise<string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string;
}

export type Handler = (request: ServiceRequest) => Answer | Promise<Answer>;

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: RegExp;
  /** `id` is the first group of `path`, or an empty string. */
  answer(request: ServiceRequest, id: string): Answer | Promise<Answer>;
}

/** Thrown by a handler to answer with something other than what it was about to say. */
export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const GRACE_MS = 1000;

export function identify(name: string, options: ServiceOptions): Identity {
  const version = options.version ?? 'v1';
  return { name, version, pod: options.pod ?? `${name}-${version}-${process.pid}` };
}

export function json(status: number, value: unknown): Answer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

/** A book's number from a path; anything else is the caller's mistake. */
export function productId(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Refusal(400, 'please provide numeric product ID');
  return Number(text);
}

export function byRoute(routes: readonly Route[]): Handler {
  return (request) => {
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const allowed: string[] = [];
    for (const route of routes) {
      const match = route.path.exec(request.path);
      if (match === null) continue;
      if (route.method === method) return route.answer(request, match[1] ?? '');
      allowed.push(route.method);
    }
    if (allowed.length === 0) throw new Refusal(404, 'not found');
    const refused = json(405, { error: 'method not allowed' });
    return { ...refused, headers: { ...refused.headers, allow: allowed.join(', ') } };
  };
}

export async function serve(identity: Identity, options: ServiceOptions, handler: Handler): Promise<RunningService> {
  let closing = false;
  const server = createServer((incoming, response) => {
    void answer(handler, incoming).then((given) => {
      response.writeHead(given.status, {
        'content-length': Buffer.byteLength(given.body),
        'x-bookinfo-version': identity.version,
        'x-bookinfo-pod': identity.pod,
        ...(closing ? { connection: 'close' } : {}),
        ...given.headers,
      });
      response.end(given.body);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async close() {
      closing = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const late = sleep(GRACE_MS, undefined, { ref: false }).then(() => server.closeAllConnections());
      await Promise.race([closed, late]);
      await closed;
    },
  };
}

async function answer(handler: Handler, incoming: IncomingMessage): Promise<Answer> {
  try {
    return await handler(readRequest(incoming));
  } catch (error) {
    if (!(error instanceof Refusal)) return json(500, { error: 'internal error' });
    const refused = json(error.status, { error: error.message });
    // The rest of a body that was too long is not worth reading.
    return error.status === 413 ? { ...refused, headers: { ...refused.headers, connection: 'close' } } : refused;
  }
}

function readRequest(incoming: IncomingMessage): ServiceRequest {
  const url = URL.parse(incoming.url ?? '/', 'http://localhost');
  if (url === null) throw new Refusal(400, 'malformed request target');
  return {
    method: incoming.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    headers: incoming.headers,
    body: (limit) => readBody(incoming, limit),
  };
}

async function readBody(incoming: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > limit) throw new Refusal(413, `the body is longer than ${limit} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The whole environment of a service, read here and nowhere else. */
function optionsFromEnv(env: NodeJS.ProcessEnv): ServiceOptions {
  return {
    port: integer(env, 'PORT', 0, 0, 65535),
    host: env.HOST || '127.0.0.1',
    version: env.VERSION || 'v1',
    sick: integer(env, 'SICK', 0, 0, 599),
    slowMs: integer(env, 'SLOW_MS', 0, 0, 600_000),
    ...(env.POD_NAME ? { pod: env.POD_NAME } : {}),
    ...(env.CLUSTER_NAME ? { cluster: env.CLUSTER_NAME } : {}),
    ...(env.SESSION_KEY ? { sessionKey: env.SESSION_KEY } : {}),
    ...(env.CALL_TIMEOUT_MS ? { callTimeoutMs: integer(env, 'CALL_TIMEOUT_MS', 0, 1, 600_000) } : {}),
  };
}

function integer(env: NodeJS.ProcessEnv, name: string, fallback: number, min: number, max: number): number {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new Error(`${name} must be a number from ${min} to ${max}, not "${text}"`);
  return value;
}

/** Runs a service as a process: settings from the environment, one line when ready, exit 0 on SIGTERM and SIGINT. */
export async function main(name: string, start: (options: ServiceOptions) => Promise<RunningService>): Promise<void> {
  try {
    const options = optionsFromEnv(process.env);
    const running = await start(options);
    const stop = () => void running.close().then(() => process.exit(0));
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    process.stdout.write(`${name} listening on ${options.host}:${running.port}\n`);
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
