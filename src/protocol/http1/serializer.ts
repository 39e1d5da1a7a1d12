import type { Headers } from '../http/headers.ts';
import { Framing, type RequestHead, type ResponseHead } from '../http/message.ts';
import { FIELD_VALUE, TOKEN } from './octets.ts';

/**
 * Builds heads as one latin1 string, to be written with the first body bytes in one go.
 * Lines that came from the wire were validated by the parser and are copied whole; what was added
 * since is checked here, so that no CR, LF or NUL can be emitted, whoever added it.
 */

/** The Connection line of a head; '' leaves persistence to the version's default. */
export const ConnectionLine = {
  None: '',
  Close: 'Connection: close\r\n',
  /** For HTTP/1.0 clients that asked for it. */
  KeepAlive: 'Connection: keep-alive\r\n',
} as const;
export type ConnectionLine = (typeof ConnectionLine)[keyof typeof ConnectionLine];

const CHUNKED_LINE = 'Transfer-Encoding: chunked\r\n';

/**
 * A request's head with its blank line. `framing` is how the body will be sent: `Chunked` adds Transfer-Encoding
 * and drops Content-Length; for `Length` the caller sees to it that the headers have Content-Length (one that was
 * read does). Hop-by-hop headers are gone already (`stripHopByHop`). `lines` are further header lines, each ended by
 * CRLF, that the caller vouches for.
 */
export function requestHead(head: RequestHead, framing: Framing, lines: string): string {
  const target = head.method === 'CONNECT' ? head.authority : head.path;
  return `${head.method} ${isTarget(target) ? target : safeTarget(target)} HTTP/1.1\r\n${headerLines(head.headers, framing)}${lines}\r\n`;
}

/** A response's head with its blank line; also for 1xx. The same conditions as {@link requestHead}. */
export function responseHead(head: ResponseHead, framing: Framing, connection: ConnectionLine): string {
  return `${statusLine(head.status, head.reason)}${headerLines(head.headers, framing)}${connection}\r\n`;
}

function headerLines(headers: Headers, framing: Framing): string {
  if (headers.added.length > 0) sanitizeAdded(headers.added);
  if (framing !== Framing.Chunked) return headers.serialize();
  headers.remove('content-length');
  return headers.serialize() + CHUNKED_LINE;
}

const STATUS_LINES: (string | undefined)[] = [];
const REASONS: string[] = [];

for (const [status, reason] of [
  [100, 'Continue'],
  [101, 'Switching Protocols'],
  [103, 'Early Hints'],
  [200, 'OK'],
  [201, 'Created'],
  [202, 'Accepted'],
  [203, 'Non-Authoritative Information'],
  [204, 'No Content'],
  [205, 'Reset Content'],
  [206, 'Partial Content'],
  [207, 'Multi-Status'],
  [300, 'Multiple Choices'],
  [301, 'Moved Permanently'],
  [302, 'Found'],
  [303, 'See Other'],
  [304, 'Not Modified'],
  [307, 'Temporary Redirect'],
  [308, 'Permanent Redirect'],
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [402, 'Payment Required'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [405, 'Method Not Allowed'],
  [406, 'Not Acceptable'],
  [407, 'Proxy Authentication Required'],
  [408, 'Request Timeout'],
  [409, 'Conflict'],
  [410, 'Gone'],
  [411, 'Length Required'],
  [412, 'Precondition Failed'],
  [413, 'Payload Too Large'],
  [414, 'URI Too Long'],
  [415, 'Unsupported Media Type'],
  [416, 'Range Not Satisfiable'],
  [417, 'Expectation Failed'],
  [421, 'Misdirected Request'],
  [422, 'Unprocessable Entity'],
  [423, 'Locked'],
  [424, 'Failed Dependency'],
  [425, 'Too Early'],
  [426, 'Upgrade Required'],
  [428, 'Precondition Required'],
  [429, 'Too Many Requests'],
  [431, 'Request Header Fields Too Large'],
  [451, 'Unavailable For Legal Reasons'],
  [500, 'Internal Server Error'],
  [501, 'Not Implemented'],
  [502, 'Bad Gateway'],
  [503, 'Service Unavailable'],
  [504, 'Gateway Timeout'],
  [505, 'HTTP Version Not Supported'],
  [507, 'Insufficient Storage'],
  [511, 'Network Authentication Required'],
] as const) {
  REASONS[status] = reason;
  STATUS_LINES[status] = `HTTP/1.1 ${status} ${reason}\r\n`;
}

/** The usual reason phrase of a status; '' for one that has none. */
export function reasonPhrase(status: number): string {
  return REASONS[status] ?? '';
}

function statusLine(status: number, reason: string): string {
  const usual = STATUS_LINES[status];
  if (usual !== undefined && reason === REASONS[status]) return usual;
  return `HTTP/1.1 ${status} ${isFieldValue(reason) ? reason : safeValue(reason)}\r\n`;
}

/** The line before a chunk's data; the data is followed by {@link CHUNK_END}. */
export function chunkHeader(size: number): string {
  return `${size.toString(16)}\r\n`;
}

export const CHUNK_END = '\r\n';

/** Ends a chunked body without trailers. */
export const LAST_CHUNK = '0\r\n\r\n';

/** Ends a chunked body with trailers. */
export function lastChunk(trailers: Headers | null): string {
  if (trailers === null) return LAST_CHUNK;
  sanitizeAdded(trailers.added);
  return `0\r\n${trailers.serialize()}\r\n`;
}

/** Names the proxy itself adds to every message: known to be tokens. */
const OWN_NAMES: ReadonlySet<string> = new Set([
  'x-forwarded-proto',
  'x-forwarded-for',
  'x-request-id',
  'x-envoy-upstream-service-time',
  'server',
  'date',
  'content-length',
  'content-type',
]);

/** Leaves out headers whose name is no token; octets that may not stand in a value become spaces (RFC 9110 section 5.5). */
function sanitizeAdded(added: string[]): void {
  for (let i = 0; i < added.length; i += 2) {
    if (!OWN_NAMES.has(added[i]!) && !isToken(added[i]!)) {
      added.splice(i, 2);
      i -= 2;
    } else if (!isFieldValue(added[i + 1]!)) {
      added[i + 1] = safeValue(added[i + 1]!);
    }
  }
}

function isToken(name: string): boolean {
  for (let i = 0; i < name.length; i++) if (TOKEN[name.charCodeAt(i)] !== 1) return false;
  return name.length > 0;
}

// Beyond 0xff a table answers undefined: such a character would lose its high byte on the wire and could become LF.
function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (FIELD_VALUE[value.charCodeAt(i)] !== 1) return false;
  return true;
}

/** Characters beyond latin1 are sent as UTF-8 octets, control characters as spaces. */
function safeValue(value: string): string {
  const octets = /[\u0100-\uffff]/.test(value) ? Buffer.from(value).toString('latin1') : value;
  let safe = '';
  for (let i = 0; i < octets.length; i++) safe += FIELD_VALUE[octets.charCodeAt(i)] === 1 ? octets[i]! : ' ';
  return safe;
}

function isTarget(target: string): boolean {
  for (let i = 0; i < target.length; i++) {
    const c = target.charCodeAt(i);
    if (c <= 0x20 || c >= 0x7f) return false;
  }
  return target.length > 0;
}

/** A target that was rewritten into something unsendable: what cannot be sent is percent-encoded. */
function safeTarget(target: string): string {
  if (target === '') return '/';
  let safe = '';
  for (const octet of Buffer.from(target)) {
    safe +=
      octet > 0x20 && octet < 0x7f
        ? String.fromCharCode(octet)
        : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return safe;
}
