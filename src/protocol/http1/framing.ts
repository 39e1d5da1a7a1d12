import { RemoraError } from '../../base/errors.ts';
import type { Headers } from '../http/headers.ts';
import { Framing, type RequestHead, type ResponseHead } from '../http/message.ts';
import { CR, HEX_VALUE, HOST_NAME, HTAB, octetsAre, SP, TOKEN } from './octets.ts';

/**
 * The rules that decide where a message ends and whom it is for, in one place: request smuggling
 * lives where two parsers answer these differently, so everything ambiguous is refused.
 */

export type ParseErrorCode =
  | 'bad_request_line'
  | 'bad_method'
  | 'bad_target'
  | 'unsupported_version'
  | 'bad_status_line'
  | 'bad_header'
  | 'header_too_large'
  | 'too_many_headers'
  | 'bad_host'
  | 'bad_content_length'
  | 'bad_transfer_encoding'
  | 'conflicting_framing'
  | 'bad_chunk'
  | 'chunk_extensions_too_large'
  | 'bad_trailer'
  | 'truncated'
  | 'no_response'
  | 'unexpected_response'
  | 'unexpected_upgrade';

/** Why bytes were refused. The connection they came on cannot be used any more. */
export class ParseError extends RemoraError {
  override readonly code: ParseErrorCode;
  /** What to answer: 400, 413, 431, 501 or 505 for a request; 502 for a response. */
  readonly status: number;
  /** One sentence for a person. */
  readonly reason: string;

  constructor(code: ParseErrorCode, reason: string, status = 400, source: 'downstream' | 'upstream' = 'downstream') {
    super(code, reason, { source });
    this.name = 'ParseError';
    this.code = code;
    this.status = status;
    this.reason = reason;
  }
}

/** What a parser refuses for its size. */
export interface ParserLimits {
  /** Start line, header lines and blank line, in bytes; the same for a trailer section. */
  readonly maxHeadBytes: number;
  /** Header lines of a head or trailer section. */
  readonly maxHeaders: number;
}

/** Envoy's defaults: `max_request_headers_kb` 60 and `max_headers_count` 100. */
export const DEFAULT_LIMITS: ParserLimits = { maxHeadBytes: 60 * 1024, maxHeaders: 100 };

/** Fields a Connection header may nominate besides the hop-by-hop ones we know. Envoy allows 10. */
const MAX_NOMINATED = 10;

/** What a noted line is, in {@link HeadNotes.kinds}. */
const Hop = {
  /** Removed always: Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding. */
  Drop: 0,
  Upgrade: 1,
  Te: 2,
  ContentLength: 3,
} as const;

/**
 * What the header walker noticed while passing over a head, so that framing and hop-by-hop removal
 * need no look-up by name. One a parser, valid as long as the head it belongs to.
 */
export class HeadNotes {
  /** -1 when there is none. */
  contentLength = -1;
  chunked = false;
  hostLine = -1;
  close = false;
  keepAlive = false;
  /** Connection names `upgrade`. */
  upgradeOption = false;
  upgradeLine = -1;
  expectContinue = false;
  keepAliveTimeoutMs = -1;
  /** Fields that Connection nominates beyond the hop-by-hop ones we know. */
  nominated = 0;
  /** Hop-by-hop lines: index and kind. Arrays of up to 64 bytes lie in V8's heap, larger ones cost an allocation outside. */
  lines = new Uint16Array(32);
  kinds = new Uint8Array(32);
  count = 0;
  readonly #isRequest: boolean;

  constructor(isRequest: boolean) {
    this.#isRequest = isRequest;
  }

  reset(): void {
    this.contentLength = -1;
    this.chunked = false;
    this.hostLine = -1;
    this.close = false;
    this.keepAlive = false;
    this.upgradeOption = false;
    this.upgradeLine = -1;
    this.expectContinue = false;
    this.keepAliveTimeoutMs = -1;
    this.nominated = 0;
    this.count = 0;
  }

  /** Looks at one header line `bytes[nameStart, nameStart + nameLength)`, value `[start, end)` without white space around it. */
  note(bytes: Uint8Array, nameStart: number, nameLength: number, start: number, end: number, line: number): void {
    const first = bytes[nameStart]! | 0x20;
    switch (nameLength) {
      case 2:
        if (first === 0x74 && octetsAre(bytes, nameStart, 'te')) this.#hop(line, Hop.Te);
        return;
      case 4:
        if (first === 0x68 && this.#isRequest && octetsAre(bytes, nameStart, 'host')) {
          this.#host(bytes, start, end, line);
        }
        return;
      case 6:
        if (first === 0x65 && octetsAre(bytes, nameStart, 'expect') && valueIs(bytes, start, end, '100-continue')) {
          this.expectContinue = true;
        }
        return;
      case 7:
        if (first === 0x75 && octetsAre(bytes, nameStart, 'upgrade')) {
          if (this.upgradeLine < 0) this.upgradeLine = line;
          this.#hop(line, Hop.Upgrade);
        }
        return;
      case 10:
        if (first === 0x63) {
          if (octetsAre(bytes, nameStart, 'connection')) {
            this.#connection(bytes, start, end);
            this.#hop(line, Hop.Drop);
          }
        } else if (first === 0x6b && octetsAre(bytes, nameStart, 'keep-alive')) {
          this.#keepAliveTimeout(bytes, start, end);
          this.#hop(line, Hop.Drop);
        }
        return;
      case 14:
        if (first === 0x63 && octetsAre(bytes, nameStart, 'content-length')) {
          refuseTabs(bytes, nameStart + nameLength + 1, start, end, 'bad_content_length');
          this.#contentLength(bytes, start, end);
          this.#hop(line, Hop.ContentLength);
        }
        return;
      case 16:
        if (first === 0x70 && octetsAre(bytes, nameStart, 'proxy-connection')) {
          if (listNames(bytes, start, end, 'close')) this.close = true;
          this.#hop(line, Hop.Drop);
        }
        return;
      case 17:
        if (first === 0x74 && octetsAre(bytes, nameStart, 'transfer-encoding')) {
          refuseTabs(bytes, nameStart + nameLength + 1, start, end, 'bad_transfer_encoding');
          this.#transferEncoding(bytes, start, end);
          this.#hop(line, Hop.Drop);
        }
        return;
      default:
    }
  }

  #hop(line: number, kind: number): void {
    if (this.count === this.lines.length) this.#grow();
    this.lines[this.count] = line;
    this.kinds[this.count] = kind;
    this.count++;
  }

  #grow(): void {
    const { lines, kinds } = this;
    this.lines = new Uint16Array(lines.length * 2);
    this.lines.set(lines);
    this.kinds = new Uint8Array(kinds.length * 2);
    this.kinds.set(kinds);
  }

  #host(bytes: Uint8Array, start: number, end: number, line: number): void {
    if (this.hostLine >= 0) throw new ParseError('bad_host', 'The request has more than one Host header.');
    if (!isAuthority(bytes, start, end))
      throw new ParseError('bad_host', 'The Host header is not a valid host and port.');
    this.hostLine = line;
  }

  #contentLength(bytes: Uint8Array, start: number, end: number): void {
    if (this.contentLength >= 0) {
      throw new ParseError('bad_content_length', 'The message has more than one Content-Length header.');
    }
    let length = 0;
    for (let i = start; i < end; i++) {
      const digit = bytes[i]! - 0x30;
      if (digit < 0 || digit > 9)
        throw new ParseError('bad_content_length', 'Content-Length is not a plain decimal number.');
      length = length * 10 + digit;
      if (length > Number.MAX_SAFE_INTEGER) throw new ParseError('bad_content_length', 'Content-Length is too large.');
    }
    if (start === end) throw new ParseError('bad_content_length', 'Content-Length is empty.');
    // The grammar has them, but there are servers that then read octal. Responses are let be: some servers pad theirs.
    if (this.#isRequest && end - start > 1 && bytes[start] === 0x30) {
      throw new ParseError('bad_content_length', 'Content-Length has a leading zero.');
    }
    this.contentLength = length;
  }

  #transferEncoding(bytes: Uint8Array, start: number, end: number): void {
    if (this.chunked) {
      throw new ParseError('bad_transfer_encoding', 'The message has more than one Transfer-Encoding header.');
    }
    if (!valueIs(bytes, start, end, 'chunked')) {
      const known = isOtherCoding(bytes, start, end);
      throw new ParseError(
        'bad_transfer_encoding',
        'Transfer-Encoding is something other than "chunked" alone.',
        known ? 501 : 400,
      );
    }
    this.chunked = true;
  }

  #connection(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const c = bytes[at]!;
      if (c === 0x2c || c === 0x20 || c === 0x09) {
        at++;
        continue;
      }
      const from = at;
      while (at < end && bytes[at] !== 0x2c) at++;
      let to = at;
      while (bytes[to - 1] === 0x20 || bytes[to - 1] === 0x09) to--;
      this.#connectionOption(bytes, from, to);
    }
  }

  #connectionOption(bytes: Uint8Array, from: number, to: number): void {
    if (valueIs(bytes, from, to, 'keep-alive')) this.keepAlive = true;
    else if (valueIs(bytes, from, to, 'close')) this.close = true;
    else if (valueIs(bytes, from, to, 'upgrade')) this.upgradeOption = true;
    else if (!valueIs(bytes, from, to, 'te') && ++this.nominated > MAX_NOMINATED) {
      throw new ParseError('bad_header', `Connection nominates more than ${MAX_NOMINATED} header fields.`);
    }
  }

  /** `timeout=5, max=100`: the first number after `timeout=`. */
  #keepAliveTimeout(bytes: Uint8Array, start: number, end: number): void {
    for (let i = start; i + 8 < end; i++) {
      if ((bytes[i]! | 0x20) !== 0x74 || !octetsAre(bytes, i, 'timeout=')) continue;
      let seconds = -1;
      for (let at = i + 8; at < end; at++) {
        const digit = bytes[at]! - 0x30;
        if (digit < 0 || digit > 9 || seconds > 1e6) break;
        seconds = (seconds < 0 ? 0 : seconds * 10) + digit;
      }
      if (seconds >= 0) this.keepAliveTimeoutMs = seconds * 1000;
      return;
    }
  }
}

/** HTAB is white space to some parsers and part of the value to others (llhttp): none may stand beside a framing value. */
function refuseTabs(bytes: Uint8Array, from: number, start: number, end: number, code: ParseErrorCode): void {
  let tab = false;
  for (let i = from; i < start; i++) if (bytes[i] === HTAB) tab = true;
  for (let i = end; i < bytes.length && bytes[i] !== CR; i++) if (bytes[i] === HTAB) tab = true;
  if (tab) throw new ParseError(code, 'A tab stands beside the value of a framing header.');
}

function valueIs(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  return end - start === text.length && octetsAre(bytes, start, text);
}

/** Whether a comma-separated list has this item, in any case. */
function listNames(bytes: Uint8Array, start: number, end: number, item: string): boolean {
  let at = start;
  while (at < end) {
    while (at < end && (bytes[at] === 0x2c || bytes[at] === SP || bytes[at] === HTAB)) at++;
    const from = at;
    while (at < end && bytes[at] !== 0x2c) at++;
    let to = at;
    while (to > from && (bytes[to - 1] === SP || bytes[to - 1] === HTAB)) to--;
    if (valueIs(bytes, from, to, item)) return true;
  }
  return false;
}

/** A well-formed list of codings that we do not implement (501) rather than nonsense (400). */
function isOtherCoding(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end) return false;
  let sawOther = false;
  let at = start;
  while (at < end) {
    const from = at;
    while (at < end && TOKEN[bytes[at]!] === 1) at++;
    if (at === from) return false;
    if (!valueIs(bytes, from, at, 'chunked') && !valueIs(bytes, from, at, 'identity')) sawOther = true;
    if (at === end) break;
    if (bytes[at] !== 0x2c) return false;
    at++;
    while (at < end && bytes[at] === 0x20) at++;
    if (at === end) return false;
  }
  return sawOther;
}

/** uri-host [":" port], not empty: what Host, an absolute-form target and CONNECT may name. No userinfo, no empty port. */
export function isAuthority(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  if (at >= end) return false;
  if (bytes[at] === 0x5b) {
    at++;
    while (at < end && (HEX_VALUE[bytes[at]!] !== 0xff || bytes[at] === 0x3a || bytes[at] === 0x2e)) at++;
    if (at - start < 3 || bytes[at] !== 0x5d || at >= end) return false;
    at++;
  } else {
    while (at < end && HOST_NAME[bytes[at]!] === 1) {
      if (bytes[at] === 0x25 && !isPercentEncoded(bytes, at, end)) return false;
      at++;
    }
    if (at === start) return false;
  }
  return at === end || isPort(bytes, at, end);
}

function isPercentEncoded(bytes: Uint8Array, at: number, end: number): boolean {
  return at + 2 < end && HEX_VALUE[bytes[at + 1]!] !== 0xff && HEX_VALUE[bytes[at + 2]!] !== 0xff;
}

function isPort(bytes: Uint8Array, colon: number, end: number): boolean {
  if (bytes[colon] !== 0x3a || colon + 1 === end || end - colon > 6) return false;
  let port = 0;
  for (let i = colon + 1; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65535;
}

/** Body framing, persistence and Host of a request whose lines were all read (RFC 9112 sections 3.2, 6.3 and 9.3). */
export function frameRequest(head: RequestHead, notes: HeadNotes): void {
  frameHost(head, notes);
  const old = head.minorVersion === 0;
  head.keepAlive = !notes.close && (!old || notes.keepAlive);
  head.expectContinue = notes.expectContinue && !old;
  if (notes.chunked) {
    if (notes.contentLength >= 0) throw bothFramings();
    if (old) throw oldChunked();
    head.framing = Framing.Chunked;
  } else if (notes.contentLength >= 0) {
    head.framing = Framing.Length;
    head.contentLength = notes.contentLength;
  }
  if (head.method === 'CONNECT') {
    if (notes.chunked || notes.contentLength > 0) {
      throw new ParseError('conflicting_framing', 'A CONNECT request cannot have a body.');
    }
    head.framing = Framing.Tunnel;
    head.contentLength = -1;
  }
  if (notes.upgradeLine >= 0 && notes.upgradeOption && !old) {
    head.upgrade = upgradeValue(head.headers, notes);
  }
}

function frameHost(head: RequestHead, notes: HeadNotes): void {
  const { headers } = head;
  if (notes.hostLine < 0) {
    if (head.minorVersion === 1) throw new ParseError('bad_host', 'The request has no Host header.');
    if (head.authority !== '') headers.add('Host', head.authority);
    return;
  }
  if (head.authority === '') {
    head.authority = headers.valueAt(notes.hostLine);
  } else if (headers.valueAt(notes.hostLine) !== head.authority) {
    // RFC 9112 section 3.2.2: a proxy ignores the Host it received and sends the target's authority.
    headers.removeLine(notes.hostLine);
    headers.add('Host', head.authority);
  }
}

/** What the request a response answers asked for; decides the response's framing. */
export const Asked = { Plain: 0, Head: 1, Connect: 2, Upgrade: 3 } as const;
export type Asked = (typeof Asked)[keyof typeof Asked];

/** Body framing and persistence of a response whose lines were all read (RFC 9112 sections 6.3 and 9.3). */
export function frameResponse(head: ResponseHead, notes: HeadNotes, asked: Asked): void {
  const { status } = head;
  const old = head.minorVersion === 0;
  head.keepAlive = !notes.close && (!old || notes.keepAlive);
  head.keepAliveTimeoutMs = notes.keepAliveTimeoutMs;
  if (notes.chunked) {
    if (notes.contentLength >= 0) throw bothFramings();
    if (old) throw oldChunked();
  }
  if (status < 200) {
    // llhttp reads a body behind 1xx it does not know; whoever names one there is not to be guessed about.
    if (notes.chunked || notes.contentLength > 0) {
      throw new ParseError('conflicting_framing', 'An informational response cannot have a body.');
    }
    if (status !== 101) return;
    if (asked !== Asked.Upgrade) {
      throw new ParseError('unexpected_upgrade', 'The server switched protocols without being asked to.');
    }
    head.framing = Framing.Tunnel;
    if (notes.upgradeLine >= 0) head.upgrade = upgradeValue(head.headers, notes);
  } else if (asked === Asked.Connect && status < 300) {
    head.framing = Framing.Tunnel;
  } else if (asked === Asked.Head || status === 204 || status === 304) {
    head.framing = Framing.None;
    // Whoever announces a body where there is none may send it too: it must not be taken for the next response.
    if (status === 204 && (notes.chunked || notes.contentLength > 0)) head.keepAlive = false;
  } else if (notes.chunked) {
    head.framing = Framing.Chunked;
  } else if (notes.contentLength >= 0) {
    head.framing = Framing.Length;
    head.contentLength = notes.contentLength;
  } else {
    head.framing = Framing.UntilClose;
    head.keepAlive = false;
  }
}

function upgradeValue(headers: Headers, notes: HeadNotes): string {
  let upgrades = 0;
  for (let i = 0; i < notes.count; i++) if (notes.kinds[i] === Hop.Upgrade) upgrades++;
  return upgrades === 1 ? headers.valueAt(notes.upgradeLine) : headers.getJoined('upgrade')!;
}

function bothFramings(): ParseError {
  return new ParseError('conflicting_framing', 'The message has both Transfer-Encoding and Content-Length.');
}

function oldChunked(): ParseError {
  return new ParseError('bad_transfer_encoding', 'Transfer-Encoding in an HTTP/1.0 message.');
}

/**
 * Removes what is for this connection only (RFC 9110 section 7.6.1) from a head the parser delivered:
 * Connection and the fields it nominates, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade,
 * and TE but for `trailers`. Like Envoy it leaves Proxy-Authenticate and Proxy-Authorization alone.
 * With `keepUpgrade` the Upgrade lines stay and `Connection: Upgrade` is put back.
 */
export function stripHopByHop(headers: Headers, notes: HeadNotes, keepUpgrade: boolean): void {
  if (notes.count === 0) return;
  if (notes.nominated > 0) removeNominated(headers);
  const { lines, kinds, count } = notes;
  for (let i = 0; i < count; i++) {
    const line = lines[i]!;
    const kind = kinds[i]!;
    if (kind === Hop.Drop || (kind === Hop.Upgrade && !keepUpgrade)) headers.removeLine(line);
    else if (kind === Hop.Te) stripTe(headers, line);
  }
  if (keepUpgrade) headers.add('Connection', 'Upgrade');
}

/** For responses that have no body by their nature but name a length: 1xx, 204 and a 2xx to CONNECT (RFC 9110 section 8.6). */
export function stripContentLength(headers: Headers, notes: HeadNotes): void {
  for (let i = 0; i < notes.count; i++) if (notes.kinds[i] === Hop.ContentLength) headers.removeLine(notes.lines[i]!);
}

function stripTe(headers: Headers, line: number): void {
  if (headers.offsets[line * 4 + 1]! < 0) return;
  const value = headers.valueAt(line).toLowerCase();
  if (value === 'trailers') return;
  const name = headers.nameAt(line);
  headers.removeLine(line);
  for (const coding of value.split(',')) {
    if (coding.trim() !== 'trailers') continue;
    headers.add(name, 'trailers');
    return;
  }
}

function removeNominated(headers: Headers): void {
  const options = headers.getJoined('connection')?.toLowerCase().split(',') ?? [];
  for (const option of options) {
    const name = option.trim();
    if (name === '' || name === 'upgrade' || name === 'te' || isForEveryRecipient(name)) continue;
    headers.remove(name);
  }
}

/** Fields meant for all recipients, which a Connection header therefore cannot have removed (RFC 9110 section 7.6.1). */
function isForEveryRecipient(name: string): boolean {
  return END_TO_END.has(name) || name.startsWith('x-forwarded-') || name.startsWith('x-envoy-');
}

const END_TO_END: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'forwarded',
  'host',
  'location',
  'max-forwards',
  'proxy-authenticate',
  'proxy-authorization',
  'range',
  'set-cookie',
  'trailer',
  'traceparent',
  'tracestate',
  'vary',
  'via',
  'www-authenticate',
  'x-real-ip',
  'x-request-id',
]);

/** Fields that may not come after the body, because they decide framing, routing or access (RFC 9110 section 6.5.1). */
export function isForbiddenTrailer(lowerName: string): boolean {
  return FORBIDDEN_TRAILERS.has(lowerName) || lowerName.startsWith('content-') || lowerName.startsWith('x-forwarded-');
}

const FORBIDDEN_TRAILERS: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'connection',
  'cookie',
  'expect',
  'expires',
  'forwarded',
  'host',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'warning',
  'www-authenticate',
]);
