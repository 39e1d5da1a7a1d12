import { RequestHead, ResponseHead } from '../http/message.ts';
import type { MessageEvents } from './events.ts';
import {
  Asked,
  DEFAULT_LIMITS,
  frameRequest,
  frameResponse,
  isAuthority,
  ParseError,
  type ParserLimits,
} from './framing.ts';
import { MessageParser } from './message-parser.ts';
import { CR, FIELD_VALUE, LF, octetsAre, SP, showOctet, TARGET, TOKEN } from './octets.ts';

const MAX_METHOD_LENGTH = 32;
/** Empty lines tolerated before a request line (RFC 9112 section 2.2 asks for at least one). */
const MAX_EMPTY_LINES = 8;
/** `HTTP/1.1` */
const VERSION_LENGTH = 8;

/** Reads the requests of one downstream connection. */
export class RequestParser extends MessageParser<RequestHead> {
  /** The scheme the client speaks to us; an absolute-form target names its own. */
  scheme = 'http';
  #emptyLines = 0;
  #sawCr = false;
  #methodEnd = 0;
  #targetEnd = 0;

  constructor(events: MessageEvents<RequestHead>, limits: ParserLimits = DEFAULT_LIMITS) {
    super(new RequestHead(), events, limits, true);
  }

  protected override beginMessage(bytes: Buffer, from: number, end: number): number {
    let at = from;
    while (at < end) {
      const octet = bytes[at]!;
      if (this.#sawCr) {
        if (octet !== LF)
          throw new ParseError('bad_request_line', 'A CR before the request line is not followed by LF.');
        if (++this.#emptyLines > MAX_EMPTY_LINES) {
          throw new ParseError('bad_request_line', 'Too many empty lines before the request line.');
        }
        this.#sawCr = false;
      } else if (octet === CR) {
        this.#sawCr = true;
      } else {
        this.#emptyLines = 0;
        return at;
      }
      at++;
    }
    return at;
  }

  protected override startLine(bytes: Buffer, base: number, end: number): number {
    let at = base;
    while (at < end && TOKEN[bytes[at]!] === 1) at++;
    if (at - base > MAX_METHOD_LENGTH) throw new ParseError('bad_method', 'The method is too long.', 501);
    if (at >= end) return -1;
    if (bytes[at] !== SP || at === base) {
      throw new ParseError('bad_request_line', `The method holds ${showOctet(bytes[at]!)}.`);
    }
    const methodEnd = at++;
    if (methodEnd - base === 3 && bytes[base] === 0x50 && bytes[base + 1] === 0x52 && bytes[base + 2] === 0x49) {
      throw new ParseError('bad_method', 'The method PRI belongs to the preface of HTTP/2.');
    }
    const targetStart = at;
    while (at < end && TARGET[bytes[at]!] === 1) at++;
    if (at >= end) return -1;
    if (bytes[at] !== SP) throw badTargetEnd(bytes[at]!);
    if (at === targetStart) throw new ParseError('bad_request_line', 'The request line has no target.');
    const targetEnd = at++;
    if (at + VERSION_LENGTH + 2 > end) return checkPartialVersion(bytes, at, end);
    this.head.minorVersion = minorVersion(bytes, at, 'bad_request_line');
    at += VERSION_LENGTH;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) {
      throw new ParseError('bad_request_line', 'The request line does not end in CRLF right after the version.');
    }
    this.#methodEnd = methodEnd - base;
    this.#targetEnd = targetEnd - base;
    return at + 2;
  }

  protected override finishHead(bytes: Buffer, base: number): void {
    const { head } = this;
    head.scheme = this.scheme;
    head.method = methodAt(bytes, base, this.#methodEnd) ?? head.headers.raw.substring(0, this.#methodEnd);
    this.#target(bytes, base + this.#methodEnd + 1, base + this.#targetEnd, base);
    frameRequest(head, this.notes);
  }

  #target(bytes: Buffer, start: number, end: number, base: number): void {
    const { head } = this;
    const { raw } = head.headers;
    if (head.method === 'CONNECT') {
      if (!isAuthority(bytes, start, end) || raw.lastIndexOf(':', end - base) <= raw.lastIndexOf(']', end - base)) {
        throw new ParseError('bad_target', 'The target of CONNECT is not host:port.');
      }
      head.authority = raw.substring(start - base, end - base);
    } else if (bytes[start] === 0x2f) {
      head.path = raw.substring(start - base, end - base);
    } else if (end - start === 1 && bytes[start] === 0x2a) {
      if (head.method !== 'OPTIONS') throw new ParseError('bad_target', 'The target "*" is for OPTIONS only.');
      head.path = '*';
    } else {
      this.#absoluteTarget(bytes, start, end, base);
    }
  }

  #absoluteTarget(bytes: Buffer, start: number, end: number, base: number): void {
    const { head } = this;
    const { raw } = head.headers;
    let at = start;
    if (end - start > 7 && octetsAre(bytes, start, 'http://')) {
      at += 7;
      head.scheme = 'http';
    } else if (end - start > 8 && octetsAre(bytes, start, 'https://')) {
      at += 8;
      head.scheme = 'https';
    } else {
      throw new ParseError('bad_target', 'The target is neither a path nor an http or https URL.');
    }
    const authorityStart = at;
    while (at < end && bytes[at] !== 0x2f && bytes[at] !== 0x3f) at++;
    if (!isAuthority(bytes, authorityStart, at)) {
      throw new ParseError('bad_target', 'The target URL has no valid host and port.');
    }
    head.authority = raw.substring(authorityStart - base, at - base);
    head.absoluteForm = true;
    const rest = raw.substring(at - base, end - base);
    if (rest === '') head.path = head.method === 'OPTIONS' ? '*' : '/';
    else head.path = bytes[at] === 0x3f ? `/${rest}` : rest;
  }

  protected override mayContinue(): boolean {
    return this.head.keepAlive;
  }

  protected override eofError(inMessage: boolean): ParseError | null {
    return inMessage
      ? new ParseError('truncated', 'The client closed the connection in the middle of a request.')
      : null;
  }

  protected override toOwnError(error: ParseError): ParseError {
    return error;
  }
}

/** Reads the responses of one upstream connection. Every response needs an {@link ResponseParser.expect} before it. */
export class ResponseParser extends MessageParser<ResponseHead> {
  /** What the request asked that the next final response answers; -1 when none is awaited. */
  #asked: Asked | -1 = -1;
  /** Further ones, when requests are pipelined. */
  readonly #pipelined: Asked[] = [];
  /** A 1xx came for the awaited response. */
  #sawInterim = false;
  /** One of them said that the connection closes. */
  #closesAfter = false;
  #reasonStart = 0;

  constructor(events: MessageEvents<ResponseHead>, limits: ParserLimits = DEFAULT_LIMITS) {
    super(new ResponseHead(), events, limits, false);
  }

  /** Says that a request with this method was sent, and whether it asked for an upgrade: only then may 101 come. */
  expect(method: string, upgrade = false): void {
    const asked = upgrade
      ? Asked.Upgrade
      : method === 'HEAD'
        ? Asked.Head
        : method === 'CONNECT'
          ? Asked.Connect
          : Asked.Plain;
    if (this.#asked < 0) this.#asked = asked;
    else this.#pipelined.push(asked);
  }

  /** Whether a response is awaited or being read. */
  get expecting(): boolean {
    return this.#asked >= 0;
  }

  protected override eofError(inMessage: boolean): ParseError | null {
    if (inMessage) return new ParseError('truncated', 'The server closed the connection in the middle of a response.');
    if (this.#asked < 0) return null;
    if (this.#sawInterim) return new ParseError('truncated', 'The server closed before its final response.');
    return new ParseError('no_response', 'The server closed the connection without a response.');
  }

  protected override beginMessage(_bytes: Buffer, at: number, _end: number): number {
    if (this.#asked < 0)
      throw new ParseError('unexpected_response', 'The server sent bytes that no request asked for.');
    return at;
  }

  protected override startLine(bytes: Buffer, base: number, end: number): number {
    let at = base + VERSION_LENGTH;
    if (at + 6 > end) return checkPartialStatusLine(bytes, base, end);
    this.head.minorVersion = minorVersion(bytes, base, 'bad_status_line');
    const status = bytes[at] === SP ? threeDigits(bytes, at + 1) : -1;
    if (status < 100) throw new ParseError('bad_status_line', 'The status line has no status of three digits.');
    at += 4;
    if (bytes[at] === SP) at++;
    else if (bytes[at] !== CR) throw new ParseError('bad_status_line', 'The status is not followed by a space.');
    this.#reasonStart = at - base;
    while (at < end && FIELD_VALUE[bytes[at]!] === 1) at++;
    if (at >= end) return -1;
    if (bytes[at] !== CR) throw new ParseError('bad_status_line', `The reason phrase holds ${showOctet(bytes[at]!)}.`);
    if (at + 1 >= end) return -1;
    if (bytes[at + 1] !== LF) throw new ParseError('bad_status_line', 'A CR in the status line is not followed by LF.');
    this.head.status = status;
    return at + 2;
  }

  protected override finishHead(_bytes: Buffer, _base: number): void {
    const { head } = this;
    head.reason = head.headers.raw.substring(this.#reasonStart, this.startLineEnd - 2);
    frameResponse(head, this.notes, this.#asked as Asked);
    if (head.status < 200) this.#closesAfter ||= !head.keepAlive;
    else if (this.#closesAfter) head.keepAlive = false;
  }

  protected override mayContinue(): boolean {
    if (this.head.status < 200) {
      this.#sawInterim = true;
      return true;
    }
    this.#sawInterim = false;
    this.#asked = this.#pipelined.length > 0 ? this.#pipelined.shift()! : -1;
    return this.head.keepAlive;
  }

  protected override toOwnError(error: ParseError): ParseError {
    return new ParseError(error.code, error.reason, 502, 'upstream');
  }
}

/** The standard methods as constants, so that no string is made for them. */
function methodAt(bytes: Uint8Array, at: number, length: number): string | undefined {
  switch (bytes[at]) {
    case 0x47: // G
      return isMethod(bytes, at, length, 'GET');
    case 0x50: // P
      if (length === 4) return isMethod(bytes, at, length, 'POST');
      return length === 3 ? isMethod(bytes, at, length, 'PUT') : isMethod(bytes, at, length, 'PATCH');
    case 0x48: // H
      return isMethod(bytes, at, length, 'HEAD');
    case 0x44: // D
      return isMethod(bytes, at, length, 'DELETE');
    case 0x4f: // O
      return isMethod(bytes, at, length, 'OPTIONS');
    case 0x43: // C
      return isMethod(bytes, at, length, 'CONNECT');
    default:
      return undefined;
  }
}

function isMethod(bytes: Uint8Array, at: number, length: number, method: string): string | undefined {
  if (length !== method.length) return undefined;
  for (let i = 0; i < length; i++) if (bytes[at + i] !== method.charCodeAt(i)) return undefined;
  return method;
}

const VERSION_PREFIX = 'HTTP/1.';

function minorVersion(bytes: Uint8Array, at: number, code: 'bad_request_line' | 'bad_status_line'): number {
  let matched = 0;
  while (matched < 7 && bytes[at + matched] === VERSION_PREFIX.charCodeAt(matched)) matched++;
  const minor = bytes[at + 7]! - 0x30;
  if (matched === 7 && (minor === 0 || minor === 1)) return minor;
  if (isVersion(bytes, at, matched)) {
    throw new ParseError('unsupported_version', 'The version is neither HTTP/1.1 nor HTTP/1.0.', 505);
  }
  throw code === 'bad_status_line'
    ? new ParseError(code, 'The response does not begin with HTTP/1.')
    : new ParseError(code, 'The request line has no version HTTP/1.1 or HTTP/1.0.');
}

/** `HTTP/`, digit, dot, digit. */
function isVersion(bytes: Uint8Array, at: number, matched: number): boolean {
  return matched >= 5 && isDigit(bytes[at + 5]!) && bytes[at + 6] === 0x2e && isDigit(bytes[at + 7]!);
}

function isDigit(octet: number): boolean {
  return octet >= 0x30 && octet <= 0x39;
}

function threeDigits(bytes: Uint8Array, at: number): number {
  const a = bytes[at]!;
  const b = bytes[at + 1]!;
  const c = bytes[at + 2]!;
  return isDigit(a) && isDigit(b) && isDigit(c) ? (a - 0x30) * 100 + (b - 0x30) * 10 + (c - 0x30) : -1;
}

/** The version is not whole yet: refuses what can never become one, so that a line without it is not waited for. */
function checkPartialVersion(bytes: Uint8Array, at: number, end: number): number {
  for (let i = at; i < end; i++) {
    const octet = bytes[i]!;
    if (octet === LF && i - at !== VERSION_LENGTH + 1) {
      throw new ParseError('bad_request_line', 'The request line has no HTTP version or ends in a bare LF.');
    }
  }
  return -1;
}

function checkPartialStatusLine(bytes: Uint8Array, at: number, end: number): number {
  for (let i = at; i < end; i++) {
    if (bytes[i] === LF) throw new ParseError('bad_status_line', 'The status line is too short.');
    if (
      i - at >= 7 ||
      bytes[i] === VERSION_PREFIX.charCodeAt(i - at) ||
      (i - at > 4 && (isDigit(bytes[i]!) || bytes[i] === 0x2e))
    )
      continue;
    throw new ParseError('bad_status_line', 'The response does not begin with HTTP/1.');
  }
  return -1;
}

function badTargetEnd(octet: number): ParseError {
  if (octet === CR || octet === LF) {
    return new ParseError('bad_request_line', 'The request line has no HTTP version (HTTP/0.9 is not served).');
  }
  if (octet === 0x23) return new ParseError('bad_target', 'The target holds a fragment.');
  return new ParseError('bad_target', `The target holds ${showOctet(octet)}.`);
}
