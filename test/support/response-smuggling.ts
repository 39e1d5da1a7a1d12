/**
 * The other direction: what a server may answer, and the one thing that a client may get of it.
 * `pass`: exactly this answer. `fail`: 502, nothing of it. `cut`: the head and perhaps a part of the body, then the
 * connection breaks before the message looks whole. After `pass` and `fail` the next request of the same client gets
 * its own answer, never bytes that the first server left behind.
 */

export interface ResponseCase {
  readonly name: string;
  readonly method: string;
  /** Octets as latin1 characters. The server ends its side behind them when `ends`. */
  readonly bytes: string;
  readonly ends: boolean;
  readonly verdict:
    | { readonly kind: 'pass'; readonly status: number; readonly body: string }
    | { readonly kind: 'fail'; readonly status: number }
    | { readonly kind: 'cut' };
}

const cases: ResponseCase[] = [];
type Verdict = ResponseCase['verdict'];

function add(name: string, bytes: string, verdict: Verdict, method = 'GET', ends = false): void {
  cases.push({ name, method, bytes, ends, verdict });
}

const FAIL: Verdict = { kind: 'fail', status: 502 };
const CUT: Verdict = { kind: 'cut' };
const pass = (status: number, body = ''): Verdict => ({ kind: 'pass', status, body });

/** A 200 with these header lines. */
const ok = (lines: string, body = '') => `HTTP/1.1 200 OK\r\n${lines}\r\n\r\n${body}`;
const SMUGGLED = 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled';
const CHUNKED = 'Transfer-Encoding: chunked';

for (const [name, lines] of [
  ['both framings', `Content-Length: 2\r\n${CHUNKED}`],
  ['two lengths', 'Content-Length: 2\r\nContent-Length: 3'],
  ['two equal lengths', 'Content-Length: 2\r\nContent-Length: 2'],
  ['a list of lengths', 'Content-Length: 2, 2'],
  ['a length with a sign', 'Content-Length: +2'],
  ['a negative length', 'Content-Length: -2'],
  ['a length in hex', 'Content-Length: 0x2'],
  ['an empty length', 'Content-Length:'],
  ['a length beyond 2^64', 'Content-Length: 18446744073709551618'],
  ['a tab before the length', 'Content-Length:\t2'],
  ['a space before the colon of the length', 'Content-Length : 2'],
  ['a folded length', 'Content-Length:\r\n 2'],
  ['gzip, chunked', 'Transfer-Encoding: gzip, chunked'],
  ['chunked twice', `${CHUNKED}\r\n${CHUNKED}`],
  ['identity', 'Transfer-Encoding: identity\r\nContent-Length: 2'],
  ['xchunked', 'Transfer-Encoding: xchunked'],
  ['a tab before chunked', 'Transfer-Encoding:\tchunked'],
  ['a vertical tab before chunked', 'Transfer-Encoding: \x0bchunked'],
  ['a space before the colon of the coding', 'Transfer-Encoding : chunked'],
  ['a bare CR in a value', 'X: y\rSet-Cookie: evil=1\r\nContent-Length: 2'],
  ['a bare LF in a value', 'X: y\nSet-Cookie: evil=1\r\nContent-Length: 2'],
  ['a NUL in a value', 'X: y\x00\r\nContent-Length: 2'],
  ['a NUL in a name', 'X\x00: y\r\nContent-Length: 2'],
  ['a folded line', 'X: y\r\n z\r\nContent-Length: 2'],
  ['a line without a colon', 'X\r\nContent-Length: 2'],
  ['an empty name', ': x\r\nContent-Length: 2'],
  ['an accent in a name', 'X\xe9: y\r\nContent-Length: 2'],
  ['a line of white space', ' \r\nContent-Length: 2'],
  ['CR CR LF', 'X: y\r\r\nContent-Length: 2'],
] as const) {
  add(`head with ${name}`, ok(lines, 'ok'), FAIL);
}
for (const [name, line] of [
  ['no version', '200 OK'],
  ['version of ICY', 'ICY 200 OK'],
  ['HTTP/2', 'HTTP/2 200 OK'],
  ['HTTP/2.0', 'HTTP/2.0 200 OK'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK'],
  ['lower case', 'http/1.1 200 OK'],
  ['two spaces', 'HTTP/1.1  200 OK'],
  ['a tab', 'HTTP/1.1\t200 OK'],
  ['a status of two digits', 'HTTP/1.1 20 OK'],
  ['a status of four digits', 'HTTP/1.1 2000 OK'],
  ['a status with a zero first', 'HTTP/1.1 099 OK'],
  ['a status with a sign', 'HTTP/1.1 +20 OK'],
  ['letters for a status', 'HTTP/1.1 OK'],
  ['a NUL in the reason', 'HTTP/1.1 200 O\x00K'],
  ['a bare CR in the reason', 'HTTP/1.1 200 OK\rX: y'],
  ['a bare LF behind the reason', 'HTTP/1.1 200 OK\nX: y'],
  ['a space before it', ' HTTP/1.1 200 OK'],
  ['an empty line before it', '\r\nHTTP/1.1 200 OK'],
] as const) {
  add(`status line with ${name}`, `${line}\r\nContent-Length: 2\r\n\r\nok`, FAIL);
}
add('status line without a reason', 'HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok', pass(200, 'ok'));
add('status line without a reason and its space', 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', pass(200, 'ok'));
add('a request in place of an answer', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', FAIL);
add('chunked in HTTP/1.0', `HTTP/1.0 200 OK\r\n${CHUNKED}\r\n\r\n2\r\nok\r\n0\r\n\r\n`, FAIL);

add('an answer behind the answer', ok('Content-Length: 2', `ok${SMUGGLED}`), pass(200, 'ok'));
add('garbage behind the answer', ok('Content-Length: 2', 'ok\x00\x01'), pass(200, 'ok'));
add('an empty line behind the answer', ok('Content-Length: 2', 'ok\r\n'), pass(200, 'ok'));
add('an answer behind the last chunk', ok(CHUNKED, `2\r\nok\r\n0\r\n\r\n${SMUGGLED}`), pass(200, 'ok'));
add(
  'an answer behind Connection: close',
  ok('Connection: close\r\nContent-Length: 2', `ok${SMUGGLED}`),
  pass(200, 'ok'),
);
add('an answer behind HTTP/1.0', `HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok${SMUGGLED}`, pass(200, 'ok'));
add('a body behind 204', `HTTP/1.1 204 No Content\r\n\r\n${SMUGGLED}`, pass(204));
add('204 with a length and that body', 'HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\nsmuggled', pass(204));
add('204 with chunks', `HTTP/1.1 204 No Content\r\n${CHUNKED}\r\n\r\n8\r\nsmuggled\r\n0\r\n\r\n`, pass(204));
add('304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\n', pass(304));
add('304 with a body', `HTTP/1.1 304 Not Modified\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, pass(304));
add('304 with chunks', `HTTP/1.1 304 Not Modified\r\n${CHUNKED}\r\n\r\n0\r\n\r\n`, pass(304));
add('HEAD with a length', ok('Content-Length: 8'), pass(200), 'HEAD');
add('HEAD with a body', ok(`Content-Length: ${SMUGGLED.length}`, SMUGGLED), pass(200), 'HEAD');
add('HEAD with chunks', ok(CHUNKED, '8\r\nsmuggled\r\n0\r\n\r\n'), pass(200), 'HEAD');
add('HEAD without any framing', ok('X: y'), pass(200), 'HEAD');
add('HEAD with both framings', ok(`Content-Length: 8\r\n${CHUNKED}`), FAIL, 'HEAD');
add('204 with two lengths', 'HTTP/1.1 204 No Content\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', FAIL);

add('100 with a body', `HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok${SMUGGLED}`, FAIL);
add('103 with chunks', `HTTP/1.1 103 Early Hints\r\n${CHUNKED}\r\n\r\n0\r\n\r\n${SMUGGLED}`, FAIL);
add(
  '101 that nobody asked for',
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n${SMUGGLED}`,
  FAIL,
);
add('100, then close', 'HTTP/1.1 100 Continue\r\n\r\n', { kind: 'fail', status: 503 }, 'GET', true);
add('100, then garbage', 'HTTP/1.1 100 Continue\r\n\r\ngarbage\r\n\r\n', FAIL);
add(
  'a hundred times 100',
  `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(100)}${ok('Content-Length: 2', 'ok')}`,
  pass(200, 'ok'),
);
add('close without an answer', '', { kind: 'fail', status: 503 }, 'GET', true);
add('half a head', 'HTTP/1.1 200 OK\r\nContent-Le', { kind: 'fail', status: 503 }, 'GET', true);

add('a body until close', ok('X: y', 'ok'), pass(200, 'ok'), 'GET', true);
add('less than its length', ok('Content-Length: 9', 'ok'), CUT, 'GET', true);
add('chunks that end early', ok(CHUNKED, '2\r\nok\r\n'), CUT, 'GET', true);
add('last chunk without its end', ok(CHUNKED, '2\r\nok\r\n0\r\n'), CUT, 'GET', true);
for (const [name, body] of [
  ['size in 0x', '0x2\r\nok\r\n0\r\n\r\n'],
  ['size with a space', '2 \r\nok\r\n0\r\n\r\n'],
  ['size with a sign', '+2\r\nok\r\n0\r\n\r\n'],
  ['size that overflows', '10000000000000002\r\nok\r\n0\r\n\r\n'],
  ['no size', '\r\nok\r\n0\r\n\r\n'],
  ['bare LF behind the size', '2\nok\r\n0\r\n\r\n'],
  ['bare LF behind the data', '2\r\nok\n0\r\n\r\n'],
  ['more data than its size', '1\r\nok\r\n0\r\n\r\n'],
  ['extension with LF', '2;a\nb\r\nok\r\n0\r\n\r\n'],
  ['trailer with a bare CR', '2\r\nok\r\n0\r\nX: y\rZ: a\r\n\r\n'],
  ['folded trailer', '2\r\nok\r\n0\r\nX: y\r\n z\r\n\r\n'],
] as const) {
  add(`chunk: ${name}`, ok(CHUNKED, body), CUT);
}
add(
  'trailers that would frame or set',
  ok(CHUNKED, '2\r\nok\r\n0\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n'),
  pass(200, 'ok'),
);
add('Connection nominates the length', ok('Connection: content-length\r\nContent-Length: 2', 'ok'), pass(200, 'ok'));
add(
  'Connection nominates the coding',
  ok(`Connection: transfer-encoding\r\n${CHUNKED}`, '2\r\nok\r\n0\r\n\r\n'),
  pass(200, 'ok'),
);
add(
  'encoded CRLF in Location stays encoded',
  'HTTP/1.1 302 Found\r\nLocation: /%0d%0aSet-Cookie:%20a\r\nContent-Length: 0\r\n\r\n',
  pass(302),
);
add('more than 200 headers', ok(`${'X: y\r\n'.repeat(201)}Content-Length: 2`, 'ok'), FAIL);
add('a head beyond 96 KiB', ok(`X: ${'y'.repeat(97 * 1024)}\r\nContent-Length: 2`, 'ok'), FAIL);

export const RESPONSE_CASES: readonly ResponseCase[] = cases;
