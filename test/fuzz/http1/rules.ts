/**
 * Every way in which our parser and llhttp may differ, by name. A difference that no rule explains fails the
 * fuzz test. A rule about a head looks at what llhttp made of it, and not only at what we say.
 */
import type { ParseError, ParseErrorCode } from '../../../src/protocol/http1/framing.ts';
import type { FuzzCase } from './generate.ts';
import { LLHTTP_METHODS, type LlhttpMessage, type LlhttpPeer } from './llhttp.ts';
import type { Recorder } from './ours.ts';

export interface StricterRule {
  readonly name: string;
  /** `offending` is llhttp's view of the message we refused, when it got that far. */
  explains(error: ParseError, test: FuzzCase, offending: LlhttpMessage | undefined, theirs: LlhttpPeer): boolean;
}

function rule(
  name: string,
  code: ParseErrorCode,
  reason: RegExp,
  evidence: (offending: LlhttpMessage | undefined, text: string, test: FuzzCase) => boolean,
): StricterRule {
  return {
    name,
    explains: (error, test, offending) =>
      error.code === code && reason.test(error.reason) && evidence(offending, test.bytes.toString('latin1'), test),
  };
}

function valuesOf(message: LlhttpMessage | undefined, name: string): string[] {
  const lines = message?.headers ?? [];
  return lines.filter((_, i) => i % 2 === 1 && lines[i - 1]!.toLowerCase() === name);
}

const methodOf = (message: LlhttpMessage | undefined) => message?.start.split(' ')[0] ?? '';
const targetOf = (message: LlhttpMessage | undefined) => message?.start.substring(methodOf(message).length + 1) ?? '';
const isChunked = (message: LlhttpMessage | undefined) => valuesOf(message, 'transfer-encoding').length > 0;

/** Independent of the parser's own tables on purpose. */
const PLAIN_HOST = /^(\[[0-9a-fA-F:.]{2,}\]|([A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(:[0-9]{1,5})?$/;
const validHost = (host: string) => PLAIN_HOST.test(host) && Number(/:([0-9]+)$/.exec(host)?.[1] ?? 0) <= 65535;

const HEAD_BYTES = 60 * 1024;

/** A 204 with a length or a coding. */
export function namesBody({
  start,
  headers,
}: {
  readonly start: string;
  readonly headers: readonly string[];
}): boolean {
  return (
    start === '204' &&
    headers.some(
      (name, i) => i % 2 === 0 && /^(transfer-encoding|content-length)$/i.test(name) && headers[i + 1] !== '0',
    )
  );
}

export const OURS_STRICTER: readonly StricterRule[] = [
  rule(
    'a 1.1 request has a Host (RFC 9112 section 3.2)',
    'bad_host',
    /no Host/,
    (m) => m?.minorVersion === 1 && valuesOf(m, 'host').length === 0,
  ),
  rule('one Host only (RFC 9112 section 3.2)', 'bad_host', /more than one/, (m) => valuesOf(m, 'host').length > 1),
  rule('Host is a host and port (RFC 9112 section 3.2)', 'bad_host', /not a valid/, (m) =>
    valuesOf(m, 'host').some((host) => !validHost(host)),
  ),
  rule('no fragment in a target (RFC 9112 section 3.2: not in the grammar)', 'bad_target', /fragment/, (m) =>
    targetOf(m).includes('#'),
  ),
  rule(
    '"*" is for OPTIONS (RFC 9112 section 3.2.4)',
    'bad_target',
    /"\*"/,
    (m) => targetOf(m) === '*' && methodOf(m) !== 'OPTIONS',
  ),
  rule('CONNECT names host:port (RFC 9112 section 3.2.3)', 'bad_target', /CONNECT/, (m) => methodOf(m) === 'CONNECT'),
  rule(
    'an absolute target is an http or https URL (RFC 9112 section 3.2.2; no other scheme is served)',
    'bad_target',
    /neither a path/,
    (m) => !/^(\/|https?:\/\/)/i.test(targetOf(m)) || /^https?:\/\/$/i.test(targetOf(m)),
  ),
  rule(
    'a target URL names a host and port, no user (RFC 9110 section 4.2.4: userinfo is an error)',
    'bad_target',
    /no valid host/,
    (m) => !validHost(/^https?:\/\/([^/?]*)/i.exec(targetOf(m))?.[1] ?? ''),
  ),
  rule(
    'one space between method, target and version (RFC 9112 section 3)',
    'bad_request_line',
    /no target/,
    (_, text) => / {2}/.test(text),
  ),
  rule(
    'a request line has a version (RFC 9112 section 3; HTTP/0.9 is not served)',
    'bad_request_line',
    /HTTP\/0\.9|ends in a bare LF/,
    (m, text) => m?.minorVersion === 9 || /^[^ \r\n]+ [^ \r\n]*\r?\n/m.test(text),
  ),
  rule(
    'at most 8 empty lines before a request (RFC 9112 section 2.2 asks for one; a bound)',
    'bad_request_line',
    /Too many empty/,
    (_, text) => text.includes('\r\n'.repeat(9)),
  ),
  rule(
    'an empty line before a request is CRLF (RFC 9112 section 2.2)',
    'bad_request_line',
    /A CR before the request/,
    (_, text) => /\r[^\n]/.test(text),
  ),
  rule(
    'an empty line before a request is CRLF (RFC 9112 section 2.2)',
    'bad_request_line',
    /The method holds 0x0a/,
    (_, text) => /(^|\n|\r|[^\r])\n/.test(text),
  ),
  rule(
    'HTTP/1.0 and 1.1 only (RFC 9110 section 15.6.6)',
    'unsupported_version',
    /./,
    (m, text) => (m !== undefined && m.minorVersion > 1) || /HTTP\/(0\.9|2\.0)/.test(text),
  ),
  rule('HTTP only, no RTSP or ICE (RFC 9112 section 2.3)', 'bad_request_line', /no version HTTP/, (_, text) =>
    /(RTSP|ICE)\/[0-9]\.[0-9]/.test(text),
  ),
  rule(
    'one space between method, target and version (RFC 9112 section 3)',
    'bad_request_line',
    /no version HTTP/,
    (_, text) => / {2}HTTP/.test(text),
  ),
  rule(
    'no tab beside a framing value (parsers differ on what it is: llhttp keeps it, RFC 9110 section 5.6.3 trims it)',
    'bad_transfer_encoding',
    /A tab/,
    (m) => isChunked(m),
  ),
  rule(
    'no tab beside a framing value (parsers differ on what it is: llhttp keeps it, RFC 9110 section 5.6.3 trims it)',
    'bad_content_length',
    /A tab/,
    (m) => valuesOf(m, 'content-length').length > 0,
  ),
  rule('a 1xx alone is no response (RFC 9110 section 15.2)', 'truncated', /final/, (m) => m === undefined),
  rule(
    'a status line ends in CRLF (RFC 9112 section 4; llhttp 8 of node 20 takes CR)',
    'bad_status_line',
    /not followed by LF/,
    (_, text) => /\r[^\n]/.test(text),
  ),
  rule('HTTP only, no RTSP or ICE (RFC 9112 section 2.3)', 'bad_status_line', /./, (_, text) =>
    /(RTSP|ICE)\/[0-9]\.[0-9]/.test(text),
  ),
  rule('PRI is no method (RFC 9113 section 3.4: reserved for the preface)', 'bad_method', /PRI/, (_, text) =>
    text.includes('PRI'),
  ),
  rule(
    'a method has at most 32 octets (RFC 9112 section 3 allows a bound, with 501)',
    'bad_method',
    /too long/,
    () => true,
  ),
  rule(
    'at most 10 fields nominated by Connection (Envoy’s bound)',
    'bad_header',
    /nominates more/,
    (m) => valuesOf(m, 'connection').join().split(',').length > 10,
  ),
  rule(
    'at most 100 header lines (Envoy’s bound, max_headers_count; RFC 9110 section 5.4)',
    'too_many_headers',
    /./,
    (m) => (m?.headers.length ?? 0) > 200,
  ),
  rule(
    'at most 100 trailer lines (Envoy’s bound, max_headers_count; RFC 9110 section 5.4)',
    'too_many_headers',
    /./,
    (_, text) => text.split('\r\n').length > 101,
  ),
  rule(
    'a head, and a trailer section, has at most 60 KiB (Envoy’s bound, max_request_headers_kb; RFC 9110 section 5.4)',
    'header_too_large',
    /./,
    (_, text) => text.length > HEAD_BYTES,
  ),
  rule(
    'the chunk extensions of a body have at most 16 KiB (RFC 9112 section 7.1.1: a server limits them)',
    'chunk_extensions_too_large',
    /./,
    (m, text) => isChunked(m) && text.length > 16 * 1024,
  ),
  rule(
    'CONNECT has no body (RFC 9110 section 9.3.6)',
    'conflicting_framing',
    /CONNECT/,
    (m) => methodOf(m) === 'CONNECT',
  ),
  rule(
    'never both Transfer-Encoding and Content-Length (RFC 9112 section 6.1)',
    'conflicting_framing',
    /both/,
    (m) => isChunked(m) && valuesOf(m, 'content-length').length > 0,
  ),
  rule(
    'Transfer-Encoding is "chunked" alone (RFC 9112 sections 6.1 and 7: no other coding is implemented)',
    'bad_transfer_encoding',
    /something other/,
    (m) => valuesOf(m, 'transfer-encoding').some((value) => value.toLowerCase() !== 'chunked'),
  ),
  rule(
    'one Transfer-Encoding only (RFC 9112 section 6.1: chunked is applied once)',
    'bad_transfer_encoding',
    /more than one/,
    (m) => valuesOf(m, 'transfer-encoding').length > 1,
  ),
  rule(
    'no Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)',
    'bad_transfer_encoding',
    /HTTP\/1\.0/,
    (m) => m?.minorVersion === 0 && isChunked(m),
  ),
  rule(
    'a Content-Length of a request has no leading zero (servers that read octal exist)',
    'bad_content_length',
    /leading zero/,
    (m, _text, test) => test.type === 'request' && valuesOf(m, 'content-length').some((value) => /^0[0-9]/.test(value)),
  ),
  rule('one Content-Length only, in digits (RFC 9112 section 6.3, rule 5)', 'bad_content_length', /./, (m) => {
    const lengths = valuesOf(m, 'content-length');
    return lengths.length > 1 || lengths.some((value) => !/^[0-9]+$/.test(value) || Number(value) > 2 ** 53 - 1);
  }),
  rule(
    'a chunk size has at most 16 digits and stays below 2^53 (RFC 9112 section 7.1: a recipient prevents overflow)',
    'bad_chunk',
    /too large/,
    (m, text) => isChunked(m) && /[0-9a-f]{14}/i.test(text),
  ),
  rule(
    'a chunk extension has a name (RFC 9112 section 7.1.1)',
    'bad_chunk',
    /no name/,
    (m, text) => isChunked(m) && text.includes(';'),
  ),
  rule(
    'a chunk extension after "=" has a value (RFC 9112 section 7.1.1)',
    'bad_chunk',
    /no value/,
    (m, text) => isChunked(m) && text.includes('='),
  ),
  rule(
    'a chunk extension is as the grammar says (RFC 9112 section 7.1.1)',
    'bad_chunk',
    /extension holds/,
    (m, text) => isChunked(m) && text.includes(';'),
  ),
  rule(
    'a status is 100 to 999 (RFC 9110 section 15)',
    'bad_status_line',
    /three digits/,
    (m) => Number(m?.start) < 100,
  ),
  rule(
    'no control character in a reason phrase (RFC 9112 section 4)',
    'bad_status_line',
    /reason phrase holds/,
    (_, text) =>
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what the rule is about
      /[\x00-\x08\x0b-\x1f\x7f]/.test(text.replaceAll('\r\n', '')),
  ),
  rule(
    'a status is followed by a space or CRLF (RFC 9112 section 4)',
    'bad_status_line',
    /followed by a space/,
    (_, text) => /HTTP\/1\.[01] [0-9]{3}[^ ]/.test(text),
  ),
  rule(
    'no bytes before the status line (RFC 9112 section 2.2 has empty lines before requests only)',
    'bad_status_line',
    /does not begin|no version|too short/,
    (_, text) => /(^|\n)\r?\n\r?\n?/.test(text) || /^[\r\n]/.test(text),
  ),
  rule(
    'a response answers a request (RFC 9112 section 9.2)',
    'unexpected_response',
    /./,
    (_m, _text, test) => test.type === 'response',
  ),
  rule(
    'a response answers a request (empty lines between; RFC 9112 section 9.2)',
    'no_response',
    /./,
    (m) => m === undefined,
  ),
  rule('101 only to a request that asked (RFC 9110 section 7.8)', 'unexpected_upgrade', /./, (m) => m?.start === '101'),
  rule(
    'a 1xx has no body (RFC 9112 section 6.3, rule 1)',
    'conflicting_framing',
    /informational/,
    (m) => Number(m?.start) < 200 && (isChunked(m) || valuesOf(m, 'content-length').length > 0),
  ),
  {
    name: 'Upgrade in HTTP/1.0 is ignored (RFC 9110 section 7.8): what follows is read as HTTP',
    explains: (_error, _test, _offending, theirs) => {
      const last = theirs.messages.at(-1);
      return last?.upgrade === true && last.minorVersion === 0;
    },
  },
  {
    name: 'node hides errors of llhttp in a message that asks for an upgrade',
    explains: (_error, _test, offending) => offending?.upgrade === true,
  },
];

export interface LaxerRule {
  readonly name: string;
  explains(test: FuzzCase, ours: Recorder, theirs: LlhttpPeer): boolean;
}

export const THEIRS_STRICTER: readonly LaxerRule[] = [
  {
    name: 'Upgrade in HTTP/1.0 is ignored (RFC 9110 section 7.8): what follows is read as HTTP',
    explains: (test, ours, theirs) => {
      const last = theirs.messages.at(-1);
      const same = ours.messages[theirs.messages.length - 1];
      return test.type === 'request' && last?.upgrade === true && last.minorVersion === 0 && same?.upgrade === false;
    },
  },
  {
    name: 'after a 1xx with Connection: close the final response is still read (RFC 9112 section 9.6: close follows the response)',
    explains: (_test, ours, theirs) =>
      theirs.error === 'HPE_CLOSED_CONNECTION' &&
      Number(theirs.messages.at(-1)?.start) < 200 &&
      ours.messages[theirs.messages.length - 1]?.keepAlive === false,
  },
  {
    name: 'Connection among trailers says nothing (RFC 9110 section 6.5.1); llhttp closes by it',
    explains: (_test, ours, theirs) => {
      const trailers = theirs.messages.at(-1)?.trailers ?? [];
      return (
        theirs.error === 'HPE_CLOSED_CONNECTION' &&
        trailers.some((name, i) => i % 2 === 0 && /^(proxy-)?connection$/i.test(name)) &&
        ours.messages[theirs.messages.length - 1]?.complete === true
      );
    },
  },
  {
    name: 'node counts the octets of names and values of a head or trailer section together, and begins anew elsewhere',
    explains: (test, _ours, theirs) => theirs.error === 'HPE_HEADER_OVERFLOW' && test.bytes.length > HEAD_BYTES - 8,
  },
  {
    name: 'Transfer-Encoding among trailers says nothing (RFC 9110 section 6.5.1); llhttp frames the next message by it',
    explains: (_test, ours, theirs) => {
      const trailers = theirs.messages.at(-1)?.trailers ?? [];
      return (
        theirs.error === 'HPE_CLOSED_CONNECTION' &&
        trailers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'transfer-encoding') &&
        ours.messages[theirs.messages.length - 1]?.complete === true
      );
    },
  },
  {
    name: 'a 204 that names a body is the last message of its connection (RFC 9112 section 6.3: it has none, but may come)',
    explains: (_test, ours, theirs) => {
      const last = ours.messages.at(-1);
      return last !== undefined && namesBody(last) && theirs.messages.length >= ours.messages.length;
    },
  },
  {
    name: 'a framing field among trailers is dropped unread (RFC 9110 section 6.5.1)',
    explains: (_test, ours, theirs) =>
      /^HPE_(INVALID_CONTENT_LENGTH|UNEXPECTED_CONTENT_LENGTH|INVALID_TRANSFER_ENCODING)$/.test(theirs.error) &&
      theirs.messages.at(-1)?.complete === false &&
      ours.messages[theirs.messages.length - 1]?.complete === true &&
      theirs.messages.at(-1)!.body === ours.messages[theirs.messages.length - 1]!.body,
  },
  {
    name: 'any token is a method (RFC 9110 section 9.1); llhttp has a list',
    explains: (test, ours, theirs) => {
      if (test.type !== 'request' || theirs.error !== 'HPE_INVALID_METHOD') return false;
      const message = ours.messages[theirs.messages.length];
      return message !== undefined && !LLHTTP_METHODS.includes(message.start.split(' ')[0]!);
    },
  },
  {
    name: 'bytes after the last message of a connection are dropped, not an error (RFC 9112 section 9.6)',
    explains: (_test, ours, theirs) =>
      theirs.error === 'HPE_CLOSED_CONNECTION' && ours.messages.at(-1)?.keepAlive === false,
  },
  {
    name: 'Proxy-Connection: close, and close beside keep-alive, end the connection: what follows is dropped (RFC 9112 section 9.3: close wins)',
    explains: (_test, ours, theirs) => {
      const last = ours.messages.at(-1);
      const same = theirs.messages[ours.messages.length - 1];
      if (last?.keepAlive !== false || !last.complete || same?.complete !== true) return false;
      // For a response to HEAD llhttp does not know yet whether it stays open when it tells us, but it goes on reading.
      const options = valuesOf(same, 'connection').join().toLowerCase();
      return same.keepAlive || (options.includes('close') && options.includes('keep-alive'));
    },
  },
];
