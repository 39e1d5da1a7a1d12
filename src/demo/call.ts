/** A call to another service by its plain name, with node's own client: `http_proxy` decides what it travels through. */
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';

export interface CallResult {
  /** 0 when no complete answer came; `reason` then says why. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Empty on a 200; otherwise one line that says what went wrong, in the words of whoever answered. */
  readonly reason: string;
  readonly ms: number;
}

export type ForwardedHeaders = Record<string, string>;

/** A signal that aborts after `ms`. */
export type TimeLimit = (ms: number) => AbortSignal;

const realTime: TimeLimit = (ms) => AbortSignal.timeout(ms);

const MAX_BODY = 1024 * 1024;
const MAX_REASON = 300;

// What a service must pass on so that its calls belong to the same trace and the same caller. `cookie` is not among
// them: the session is productpage's own affair.
const FORWARDED = new Set([
  'x-request-id',
  'traceparent',
  'tracestate',
  'baggage',
  'b3',
  'grpc-trace-bin',
  'sw8',
  'x-ot-span-context',
  'end-user',
  'user-agent',
  'authorization',
  'jwt',
]);
const FORWARDED_FAMILY = /^x-(?:b3-|datadog-|[a-z0-9-]+-trace(?:-|$))/;

export function forwardedHeaders(incoming: IncomingHttpHeaders): ForwardedHeaders {
  const forwarded: ForwardedHeaders = {};
  for (const [name, value] of Object.entries(incoming)) {
    if (typeof value === 'string' && (FORWARDED.has(name) || FORWARDED_FAMILY.test(name))) forwarded[name] = value;
  }
  return forwarded;
}

/** Never rejects. The time limit covers the whole call, body included. */
export async function get(
  url: string,
  headers: ForwardedHeaders,
  timeoutMs: number,
  timeLimit: TimeLimit = realTime,
): Promise<CallResult> {
  const started = performance.now();
  const signal = timeLimit(timeoutMs);
  try {
    const response = await send(url, headers, signal);
    const body = await readAll(response);
    const status = response.statusCode ?? 0;
    const reason = status === 200 ? '' : reasonIn(body, response);
    return { status, headers: response.headers, body, reason, ms: performance.now() - started };
  } catch (error) {
    const reason = signal.aborted ? `no answer within ${timeoutMs / 1000} s` : describe(error);
    return { status: 0, headers: {}, body: '', reason, ms: performance.now() - started };
  }
}

async function send(url: string, headers: ForwardedHeaders, signal: AbortSignal): Promise<IncomingMessage> {
  // No agent is named: node's global one keeps connections alive and honours NODE_USE_ENV_PROXY.
  const sent: ClientRequest = request(url, { headers: { accept: 'application/json', ...headers }, signal });
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      sent.on('response', resolve).on('error', reject).end();
    });
  } catch (error) {
    // A kept-alive connection that the other side closed just as we used it: nothing was served, so ask on another.
    const closedUnderUs = sent.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
    if (!closedUnderUs || signal.aborted) throw error;
    return send(url, headers, signal);
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY) throw new Error(`the answer is longer than ${MAX_BODY} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function reasonIn(body: string, response: IncomingMessage): string {
  const said = errorField(body) ?? body;
  const line = said.replace(/\s+/g, ' ').trim().slice(0, MAX_REASON);
  return line === '' ? (response.statusMessage ?? '') : line;
}

function errorField(body: string): string | undefined {
  const value = parseJson(body);
  return isObject(value) && typeof value.error === 'string' ? value.error : undefined;
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return message || code || 'the call failed';
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
