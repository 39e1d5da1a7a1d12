import { Agent as HttpAgent, type IncomingMessage, type OutgoingHttpHeaders, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { Clock } from '../../../base/clock.ts';
import { messageOf, RemoraError } from '../../../base/errors.ts';
import { isRecord } from '../schema/type.ts';
import type { KubeAccess } from './access.ts';
import { LineSplitter } from './lines.ts';

/** What the API server, or the way to it, said to a request that failed. */
export class KubeError extends RemoraError {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The reason of a Status object, such as `Expired`, `Forbidden`, `AlreadyExists`; '' none. */
  readonly reason: string;
  /** Seconds that the server asks to wait; 0 none. */
  readonly retryAfter: number;

  constructor(status: number, reason: string, message: string, retryAfter = 0, cause?: unknown) {
    super('kube_api', message, {
      source: 'upstream',
      retryable: status === 0 || status === 429 || status >= 500,
      cause,
    });
    this.name = 'KubeError';
    this.status = status;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

export interface KubeRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute, with its query. */
  readonly path: string;
  readonly accept?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  /** For the whole answer. */
  readonly timeoutMs?: number;
}

/** A stream that is being read, until it ends of itself or is closed. */
export interface KubeStream {
  close(): void;
}

export interface KubeStreamEvents {
  /** The head of the answer has come, with status 200. */
  open(): void;
  line(text: string): void;
  /** Exactly once, unless it was closed. null: the server ended it in order. */
  end(error: KubeError | null): void;
}

/** The part of the client that reads; informers need no more. */
export interface KubeReader {
  get(request: KubeRequest): Promise<unknown>;
  stream(path: string, accept: string, events: KubeStreamEvents): KubeStream;
}

export interface KubeClientOptions {
  readonly access: KubeAccess;
  readonly clock: Clock;
  /** Sent as user-agent. */
  readonly agent: string;
}

const TIMEOUT_MS = 30_000;
/** Time to connect and to begin the answer of a stream. */
const OPEN_MS = 15_000;
/** A page of 500 pods is about 3 MB. */
const MAX_ANSWER = 256 * 1024 * 1024;
/** etcd holds objects of 1.5 MB; one event holds one object. */
const MAX_LINE = 16 * 1024 * 1024;
const MAX_ERROR = 64 * 1024;
const KEEPALIVE_MS = 15_000;

/**
 * A client of the Kubernetes API over HTTP/1.1: what list, watch, leases and status need, and nothing else. Certificates
 * and tokens are read again whenever their files changed, so that no rotation needs a restart.
 */
export class KubeClient implements KubeReader {
  readonly #options: KubeClientOptions;
  readonly #secure: boolean;
  #agent: HttpAgent;
  /** What the connections of the present agent were made with. */
  #material = '';

  constructor(options: KubeClientOptions) {
    this.#options = options;
    this.#secure = options.access.server.protocol === 'https:';
    this.#agent = this.#newAgent();
  }

  get server(): string {
    return this.#options.access.server.host;
  }

  /** The object that the server answers with; a KubeError for anything but 2xx. */
  get(request: KubeRequest): Promise<unknown> {
    return this.send({ ...request, method: 'GET' });
  }

  async send(request: KubeRequest): Promise<unknown> {
    const text = await new Promise<string>((resolve, reject) => this.#send(request, resolve, reject));
    try {
      return text === '' ? null : JSON.parse(text);
    } catch (error) {
      throw new KubeError(0, '', `${this.server} answered ${request.path} with no JSON`, 0, error);
    }
  }

  #send(request: KubeRequest, resolve: (text: string) => void, reject: (error: KubeError) => void): void {
    const { method = 'GET', path, body, timeoutMs = TIMEOUT_MS } = request;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers: OutgoingHttpHeaders = { accept: request.accept ?? 'application/json' };
    if (text !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json';
      headers['content-length'] = Buffer.byteLength(text);
    }
    const outgoing = this.#request(method, path, headers, reject);
    if (outgoing === null) return;
    const timer = this.#options.clock.after(timeoutMs, () => outgoing.destroy(new Error('no answer in time')));
    const fail = (error: unknown): void => {
      timer.cancel();
      reject(this.#failed(path, error));
    };
    outgoing.on('error', fail);
    outgoing.on('response', (response) => {
      const ok = (response.statusCode ?? 0) < 300;
      collect(response, ok ? MAX_ANSWER : MAX_ERROR, fail, (answer) => {
        timer.cancel();
        if (ok) resolve(answer);
        else reject(refusal(response, path, answer));
      });
    });
    outgoing.end(text);
  }

  /** Lines of an answer that does not end by itself. */
  stream(path: string, accept: string, events: KubeStreamEvents): KubeStream {
    let over = false;
    const end = (error: KubeError | null): void => {
      if (over) return;
      over = true;
      timer.cancel();
      events.end(error);
    };
    const outgoing = this.#request('GET', path, { accept }, (error) => queueMicrotask(() => end(error)));
    const timer = this.#options.clock.after(OPEN_MS, () => outgoing?.destroy(new Error('no answer in time')));
    const fail = (error: unknown): void => end(this.#failed(path, error));
    outgoing?.on('error', fail);
    // A peer that vanished without a word is noticed by the kernel within half a minute.
    outgoing?.on('socket', (socket) => socket.setKeepAlive(true, KEEPALIVE_MS));
    outgoing?.on('response', (response) => {
      timer.cancel();
      if (over) return;
      if (response.statusCode !== 200) {
        collect(response, MAX_ERROR, fail, (answer) => end(refusal(response, path, answer)));
        return;
      }
      events.open();
      const lines = new LineSplitter(MAX_LINE, (line) => {
        if (!over) events.line(line);
      });
      response.on('data', (chunk: Buffer) => {
        if (!over && !lines.push(chunk)) outgoing.destroy(new Error(`an event of more than ${MAX_LINE} bytes`));
      });
      response.on('error', fail);
      response.on('end', () => end(null));
      response.on('close', () => fail(new Error('connection lost')));
    });
    outgoing?.end();
    return {
      close: () => {
        over = true;
        timer.cancel();
        outgoing?.destroy();
      },
    };
  }

  /** Ends all connections; what is under way fails. */
  close(): void {
    this.#agent.destroy();
  }

  #request(method: string, path: string, headers: OutgoingHttpHeaders, reject: (error: KubeError) => void) {
    const { access, agent } = this.#options;
    try {
      const token = access.token?.read();
      const options = {
        method,
        host: access.server.hostname.replace(/^\[|\]$/g, ''),
        port: access.server.port || (this.#secure ? 443 : 80),
        path: `${access.server.pathname.replace(/\/$/, '')}${path}`,
        headers: {
          'user-agent': agent,
          ...headers,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        agent: this.#freshAgent(),
      };
      return this.#secure ? requestHttps(options) : requestHttp(options);
    } catch (error) {
      // A file that cannot be read at this moment; the caller tries again later.
      reject(this.#failed(path, error));
      return null;
    }
  }

  /** The agent whose connections are made with the certificates as they are now. */
  #freshAgent(): HttpAgent {
    if (!this.#secure) return this.#agent;
    const { ca, cert, key } = this.#options.access;
    const material = [ca, cert, key].map((one) => one?.read() ?? '').join('\n');
    if (material !== this.#material) {
      // Streams that are open go on as they are: they end by themselves within minutes.
      this.#material = material;
      this.#agent = this.#newAgent();
    }
    return this.#agent;
  }

  #newAgent(): HttpAgent {
    const { access } = this.#options;
    const common = { keepAlive: true, keepAliveMsecs: KEEPALIVE_MS, maxFreeSockets: 4, timeout: 0 };
    if (!this.#secure) return new HttpAgent(common);
    const text = (one: { read(): string } | null) => one?.read() as string;
    return new HttpsAgent({
      ...common,
      rejectUnauthorized: !access.insecure,
      ...(access.ca === null ? {} : { ca: text(access.ca) }),
      ...(access.cert === null ? {} : { cert: text(access.cert), key: text(access.key) }),
      ...(access.serverName === '' ? {} : { servername: access.serverName }),
    });
  }

  #failed(path: string, error: unknown): KubeError {
    if (error instanceof KubeError) return error;
    const what = path.split('?', 1)[0];
    return new KubeError(0, '', `${this.server} does not answer ${what}: ${messageOf(error)}`, 0, error);
  }
}

function collect(
  response: IncomingMessage,
  limit: number,
  fail: (error: unknown) => void,
  done: (text: string) => void,
): void {
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else response.destroy(new Error(`an answer of more than ${limit} bytes`));
  });
  response.on('error', fail);
  response.on('end', () => done(Buffer.concat(chunks).toString('utf8')));
}

function refusal(response: IncomingMessage, path: string, text: string): KubeError {
  const status = response.statusCode ?? 0;
  const seconds = Number(response.headers['retry-after'] ?? 0);
  return statusError(status, path, parsed(text) ?? { message: text.slice(0, 200).trim() }, seconds);
}

/** The error that a `Status` object says. */
export function statusError(status: number, path: string, value: unknown, retryAfter = 0): KubeError {
  const { reason, message } = isRecord(value) ? value : {};
  const text = typeof message === 'string' && message !== '' ? message : `the API server answered ${status}`;
  return new KubeError(
    status,
    typeof reason === 'string' ? reason : '',
    `${path.split('?', 1)[0]}: ${text}`,
    Number.isFinite(retryAfter) ? retryAfter : 0,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
