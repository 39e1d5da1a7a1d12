/**
 * Request smuggling, case by case: what a client may send, and the one thing that may come of it.
 * `refuse`: answered with this status and closed, nothing of it reaches an upstream.
 * `forward`: exactly these requests reach an upstream, each with this body, and nothing else does.
 * The parser's unit test runs them all; the integration test sends them through the whole proxy.
 */

import { CHUNKED, Corpus, EMPTY_CHUNKED, post, request, SMUGGLED, type SmugglingCase } from './smuggling-case.ts';
import { DESYNC_CASES } from './smuggling-desync.ts';
import { GADGET_CASES } from './smuggling-gadgets.ts';

const corpus = new Corpus();

corpus.group('CL.TE and TE.CL');
corpus.refuse('CL.TE', post(`Content-Length: 6\r\n${CHUNKED}`, '0\r\n\r\nG'));
corpus.refuse('TE.CL', post(`${CHUNKED}\r\nContent-Length: 4`, '5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n'));
corpus.refuse('CL.TE that agrees', post(`Content-Length: 5\r\n${CHUNKED}`, EMPTY_CHUNKED));
corpus.refuse('Content-Length: 0 beside chunked', post(`Content-Length: 0\r\n${CHUNKED}`, EMPTY_CHUNKED));
corpus.refuse(
  'CL.TE with a whole request behind',
  post(`Content-Length: 5\r\n${CHUNKED}`, `${EMPTY_CHUNKED}${SMUGGLED}`),
);
corpus.refuse('CL.TE on GET', `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${CHUNKED}\r\n\r\n${EMPTY_CHUNKED}`);
corpus.refuse(
  'CL.TE where Connection nominates Content-Length',
  post(`Connection: content-length\r\nContent-Length: 5\r\n${CHUNKED}`, EMPTY_CHUNKED),
);
corpus.refuse(
  'CL.TE where Connection nominates Transfer-Encoding',
  post(`Connection: transfer-encoding\r\nContent-Length: 5\r\n${CHUNKED}`, EMPTY_CHUNKED),
);
corpus.refuse('chunked in HTTP/1.0', `POST / HTTP/1.0\r\nHost: a\r\n${CHUNKED}\r\n\r\n${EMPTY_CHUNKED}`);
corpus.refuse(
  'chunked and a length in HTTP/1.0',
  `POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n${CHUNKED}\r\n\r\n${EMPTY_CHUNKED}`,
);
corpus.forward('chunked alone', post(CHUNKED, '3\r\nabc\r\n0\r\n\r\n'), request('POST', '/', 'abc'));
corpus.forward(
  'chunked, then another request',
  post(CHUNKED, `3\r\nabc\r\n0\r\n\r\n${SMUGGLED}`),
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.forward(
  'a length, then another request',
  post('Content-Length: 3', `abc${SMUGGLED}`),
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.forward(
  'a body that looks like a request',
  post(`Content-Length: ${SMUGGLED.length}`, SMUGGLED),
  request('POST', '/', SMUGGLED),
);
corpus.forward(
  'a chunk that looks like a request',
  post(CHUNKED, `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`),
  request('POST', '/', SMUGGLED),
);
corpus.forward(
  'GET with a body',
  `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  request('GET', '/', SMUGGLED),
);

corpus.group('TE.TE obfuscations');
for (const [name, line, status] of [
  ['unknown coding xchunked', 'Transfer-Encoding: xchunked', 501],
  ['space before the colon', 'Transfer-Encoding : chunked', 400],
  ['tab before the colon', 'Transfer-Encoding\t: chunked', 400],
  ['tab before the value', 'Transfer-Encoding:\tchunked', 400],
  ['tab behind the value', 'Transfer-Encoding: chunked\t', 400],
  ['vertical tab before the value', 'Transfer-Encoding:\x0bchunked', 400],
  ['form feed behind the value', 'Transfer-Encoding: chunked\x0c', 400],
  ['NUL behind the value', 'Transfer-Encoding: chunked\x00', 400],
  ['NUL in the name', 'Transfer-\x00Encoding: chunked', 400],
  ['0xa0 before the value', 'Transfer-Encoding: \xa0chunked', 400],
  ['0x85 behind the value', 'Transfer-Encoding: chunked\x85', 400],
  ['0xff before the name', '\xffTransfer-Encoding: chunked', 400],
  ['leading space', ' Transfer-Encoding: chunked', 400],
  ['folded onto the next line', 'Transfer-Encoding:\r\n chunked', 400],
  ['folded by a tab', 'Transfer-Encoding:\r\n\tchunked', 400],
  ['behind a bare LF', 'X: y\nTransfer-Encoding: chunked', 400],
  ['behind a bare CR', 'X: y\rTransfer-Encoding: chunked', 400],
  ['behind CR CR LF', 'X: y\r\r\nTransfer-Encoding: chunked', 400],
  ['quoted', 'Transfer-Encoding: "chunked"', 400],
  ['single-quoted', "Transfer-Encoding: 'chunked'", 501],
  ['with a parameter', 'Transfer-Encoding: chunked;q=1', 400],
  ['with a trailing comma', 'Transfer-Encoding: chunked,', 400],
  ['with a leading comma', 'Transfer-Encoding: , chunked', 400],
  ['chunked twice in a list', 'Transfer-Encoding: chunked, chunked', 400],
  ['chunked twice in lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 400],
  ['chunked, then identity', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', 400],
  ['identity, then chunked', 'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', 400],
  ['identity alone', 'Transfer-Encoding: identity', 400],
  ['identity, chunked', 'Transfer-Encoding: identity, chunked', 400],
  ['chunked, identity', 'Transfer-Encoding: chunked, identity', 400],
  ['cow, chunked in lines', 'Transfer-Encoding: cow\r\nTransfer-Encoding: chunked', 501],
  ['chunked, cow in lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: cow', 400],
  ['gzip, chunked', 'Transfer-Encoding: gzip, chunked', 501],
  ['chunked, gzip', 'Transfer-Encoding: chunked, gzip', 501],
  ['empty', 'Transfer-Encoding:', 400],
  ['only a space', 'Transfer-Encoding: ', 400],
  ['two words', 'Transfer-Encoding: x chunked', 400],
  ['an escape of the name', 'Transfer%2dEncoding : chunked', 400],
  ['missing colon', 'Transfer-Encoding chunked', 400],
] as const) {
  corpus.refuse(`Transfer-Encoding ${name}`, post(line, EMPTY_CHUNKED), status);
}
corpus.refuse('TE.TE with a length', post(`Content-Length: 4\r\n${CHUNKED}\r\nTransfer-encoding: cow`, EMPTY_CHUNKED));
corpus.forward(
  'chunked in capitals',
  post('TRANSFER-ENCODING: CHUNKED', '1\r\nx\r\n0\r\n\r\n'),
  request('POST', '/', 'x'),
);
corpus.forward(
  'Transfer_Encoding is another header',
  post('Transfer_Encoding: chunked\r\nContent-Length: 5', EMPTY_CHUNKED),
  request('POST', '/', EMPTY_CHUNKED),
);
corpus.forward(
  'Transfer-Encoding-X is another header',
  post('Transfer-Encoding-X: chunked\r\nContent-Length: 1', 'x'),
  request('POST', '/', 'x'),
);

corpus.group('Content-Length');
for (const [name, line] of [
  ['twice, differing', 'Content-Length: 5\r\nContent-Length: 6'],
  ['twice, the same', 'Content-Length: 5\r\nContent-Length: 5'],
  ['twice in other cases', 'Content-Length: 5\r\ncontent-length: 0'],
  ['as a list of the same', 'Content-Length: 5, 5'],
  ['as a list', 'Content-Length: 5,6'],
  ['with a plus', 'Content-Length: +5'],
  ['with a minus', 'Content-Length: -5'],
  ['minus zero', 'Content-Length: -0'],
  ['in hex', 'Content-Length: 0x5'],
  ['with an underscore', 'Content-Length: 1_0'],
  ['with a fraction', 'Content-Length: 5.0'],
  ['with an exponent', 'Content-Length: 5e0'],
  ['with a space inside', 'Content-Length: 1 0'],
  ['quoted', 'Content-Length: "5"'],
  ['empty', 'Content-Length:'],
  ['not a number', 'Content-Length: five'],
  ['followed by a semicolon', 'Content-Length: 5;'],
  ['beyond 2^53', 'Content-Length: 9007199254740993'],
  ['beyond 2^64', 'Content-Length: 18446744073709551621'],
  ['of thirty digits', 'Content-Length: 100000000000000000000000000000'],
  ['with a tab before', 'Content-Length:\t5'],
  ['with a tab behind', 'Content-Length: 5\t'],
  ['with a NUL behind', 'Content-Length: 5\x00'],
  ['with a vertical tab before', 'Content-Length: \x0b5'],
  ['in full-width digits', 'Content-Length: \xef\xbc\x95'],
  ['with a space before the colon', 'Content-Length : 5'],
  ['folded', 'Content-Length:\r\n 5'],
  ['behind a bare CR', 'X: y\rContent-Length: 5'],
  ['behind a bare LF', 'X: y\nContent-Length: 5'],
] as const) {
  corpus.refuse(`Content-Length ${name}`, post(line, 'hello'));
}
corpus.forward(
  'Content-Length with spaces around',
  post('Content-Length:   5  ', 'hello'),
  request('POST', '/', 'hello'),
);
corpus.forward(
  'POST without a length has no body',
  `POST / HTTP/1.1\r\nHost: a\r\n\r\n${SMUGGLED}`,
  request('POST', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'Content_Length is another header',
  post('Content_Length: 5\r\nContent-Length: 1', 'x'),
  request('POST', '/', 'x'),
);

corpus.group('chunks');
for (const [name, body] of [
  ['size with 0x', '0x3\r\nabc\r\n0\r\n\r\n'],
  ['size with a plus', '+3\r\nabc\r\n0\r\n\r\n'],
  ['size with a minus', '-3\r\nabc\r\n0\r\n\r\n'],
  ['size with an underscore', '0_3\r\nabc\r\n0\r\n\r\n'],
  ['size with a space before', ' 3\r\nabc\r\n0\r\n\r\n'],
  ['size with a space behind', '3 \r\nabc\r\n0\r\n\r\n'],
  ['size with a tab behind', '3\t\r\nabc\r\n0\r\n\r\n'],
  ['size that overflows 64 bits', '10000000000000003\r\nabc\r\n0\r\n\r\n'],
  ['size of 17 digits', '00000000000000003\r\nabc\r\n0\r\n\r\n'],
  ['no size', '\r\nabc\r\n0\r\n\r\n'],
  ['size that is no hex', 'g\r\nabc\r\n0\r\n\r\n'],
  ['bare LF behind the size', '3\nabc\r\n0\r\n\r\n'],
  ['bare CR behind the size', '3\rabc\r\n0\r\n\r\n'],
  ['CR CR LF behind the size', '3\r\r\nabc\r\n0\r\n\r\n'],
  ['bare LF behind the data', '3\r\nabc\n0\r\n\r\n'],
  ['bare CR behind the data', '3\r\nabc\r0\r\n\r\n'],
  ['nothing behind the data', '3\r\nabc0\r\n\r\n'],
  ['data longer than its size', '2\r\nabc\r\n0\r\n\r\n'],
  ['data shorter than its size', '4\r\nabc\r\n0\r\n\r\n'],
  ['bare LF behind the last chunk', '3\r\nabc\r\n0\n\r\n'],
  ['bare LF as the blank line', '3\r\nabc\r\n0\r\n\n'],
  ['bare CR as the blank line', '3\r\nabc\r\n0\r\n\rX: y\r\n\r\n'],
  ['extension without a name', '3;\r\nabc\r\n0\r\n\r\n'],
  ['extension with white space', '3 ;a=b\r\nabc\r\n0\r\n\r\n'],
  ['extension that ends in a bare LF', '3;a=b\nabc\r\n0\r\n\r\n'],
  ['extension with LF inside', '3;a\nb=c\r\nabc\r\n0\r\n\r\n'],
  ['extension with CR inside', '3;a\rb\r\nabc\r\n0\r\n\r\n'],
  ['extension with NUL', '3;a\x00\r\nabc\r\n0\r\n\r\n'],
  ['extension with CRLF in quotes', '3;a="\r\n"\r\nabc\r\n0\r\n\r\n'],
  ['extension with an escaped LF in quotes', '3;a="\\\n"\r\nabc\r\n0\r\n\r\n'],
  ['extension without a value', '3;a=\r\nabc\r\n0\r\n\r\n'],
  ['extension with an open quote', `3;a="b\r\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['folded trailer', '0\r\nX: a\r\n b\r\n\r\n'],
  ['trailer with a space before its colon', '0\r\nX : a\r\n\r\n'],
  ['trailer with a bare LF', '0\r\nX: a\n\r\n'],
  ['trailer with NUL', '0\r\nX: \x00\r\n\r\n'],
] as const) {
  corpus.refuse(`chunk: ${name}`, post(CHUNKED, body));
}
corpus.forward(
  'chunk: extension',
  post(CHUNKED, '3;a=b;c="d;\\"e"\r\nabc\r\n0;x\r\n\r\n'),
  request('POST', '/', 'abc'),
);
corpus.forward(
  'chunk: leading zeros and capitals',
  post(CHUNKED, '00A\r\n0123456789\r\n000\r\n\r\n'),
  request('POST', '/', '0123456789'),
);
corpus.forward(
  'chunk: trailers that would change framing or routing are dropped',
  post(
    CHUNKED,
    `3\r\nabc\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nX: y\r\n\r\n${SMUGGLED}`,
  ),
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.refuse('chunk: more behind the end than a request', post(CHUNKED, '3\r\nabc\r\n0\r\n\r\nabc\r\n'), 400, 1);
corpus.refuse('chunk: too many extension bytes', post(CHUNKED, `3;a=${'b'.repeat(17_000)}\r\nabc\r\n0\r\n\r\n`), 413);

corpus.group('lines and octets');
for (const [name, bytes] of [
  ['bare LF behind the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n'],
  ['bare LF everywhere', 'GET / HTTP/1.1\nHost: a\n\n'],
  ['bare LF as the blank line', `GET / HTTP/1.1\r\nHost: a\r\n\n${SMUGGLED}`],
  ['bare LF behind a header', `GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n`],
  ['bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n'],
  ['bare CR as the blank line', `GET / HTTP/1.1\r\nHost: a\r\n\r${SMUGGLED}`],
  ['CR CR LF', 'GET / HTTP/1.1\r\nHost: a\r\r\n\r\n'],
  ['LF CR', 'GET / HTTP/1.1\r\nHost: a\n\r\n\r'],
  ['NUL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n'],
  ['NUL in a name', 'GET / HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n'],
  ['control character in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n'],
  ['DEL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n'],
  ['non-ASCII in a name', 'GET / HTTP/1.1\r\nHost: a\r\nX\xe9: y\r\n\r\n'],
  ['empty name', 'GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n'],
  ['no colon', 'GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n'],
  ['space in a name', 'GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n'],
  ['space before a colon', 'GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n'],
  ['folded line', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n'],
  ['folded first line', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'],
  ['line of white space before the end', 'GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n'],
  ['parenthesis in a name', 'GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n'],
  ['a request line as a header', 'GET / HTTP/1.1\r\nHost: a\r\nGET /admin HTTP/1.1\r\n\r\n'],
] as const) {
  corpus.refuse(name, bytes);
}
corpus.forward(
  'tab and obs-text inside a value',
  'GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\xe9\r\n\r\n',
  request('GET', '/'),
);

corpus.group('request line');
for (const [name, bytes, status] of [
  ['two spaces behind the method', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['two spaces behind the target', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['tab behind the method', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['tab behind the target', 'GET /\tHTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['space behind the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400],
  ['space before the method', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a request in the target', 'GET / HTTP/1.1\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a version in the target', 'GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['control character in the target', 'GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['NUL in the target', 'GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['non-ASCII in the target', 'GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['fragment', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['no leading slash', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['asterisk for GET', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['no version (HTTP/0.9)', 'GET /\r\n\r\n', 400],
  ['HTTP/0.9 by name', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n', 505],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505],
  ['HTTP/1.10', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 400],
  ['HTTP/01.1', 'GET / HTTP/01.1\r\nHost: a\r\n\r\n', 400],
  ['http in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400],
  ['preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['no method', ' / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['method with a parenthesis', 'GE(T / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['method of forty letters', `${'A'.repeat(40)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 501],
  ['bare LF before the method', '\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['bare CR before the method', '\rGET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['nine empty lines before', `${'\r\n'.repeat(9)}GET / HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
] as const) {
  corpus.refuse(`request line: ${name}`, bytes, status);
}
corpus.forward('request line: an empty line before', `\r\n${SMUGGLED}`, request('GET', '/admin'));
corpus.forward('request line: a method of ours', 'REPORT /x HTTP/1.1\r\nHost: a\r\n\r\n', request('REPORT', '/x'));

corpus.group('Host');
for (const [name, bytes] of [
  ['none', 'GET / HTTP/1.1\r\n\r\n'],
  ['two that differ', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['two that are the same', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'],
  ['two in other cases', 'GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n'],
  ['two in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['two with an absolute target', 'GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['none with an absolute target', 'GET http://a/ HTTP/1.1\r\n\r\n'],
  ['empty', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  ['a list', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n'],
  ['a list without a space', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n'],
  ['with user', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
  ['with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['with a query', 'GET / HTTP/1.1\r\nHost: a?b\r\n\r\n'],
  ['with a fragment', 'GET / HTTP/1.1\r\nHost: a#b\r\n\r\n'],
  ['with a backslash', 'GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n'],
  ['with a port that is no number', 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n'],
  ['with a port beyond 65535', 'GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n'],
  ['with an empty port', 'GET / HTTP/1.1\r\nHost: a:\r\n\r\n'],
  ['with two ports', 'GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n'],
  ['with a space inside', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n'],
  ['with a tab inside', 'GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n'],
  ['non-ASCII', 'GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n'],
  ['a broken escape', 'GET / HTTP/1.1\r\nHost: a%2\r\n\r\n'],
  ['an open bracket', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n'],
  ['letters in brackets', 'GET / HTTP/1.1\r\nHost: [xyz]\r\n\r\n'],
  ['a URL', 'GET / HTTP/1.1\r\nHost: http://a\r\n\r\n'],
  ['space before its colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
  ['folded', 'GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n'],
] as const) {
  corpus.refuse(`Host: ${name}`, bytes);
}
corpus.forward('Host: with a port', 'GET / HTTP/1.1\r\nHost: a:80\r\n\r\n', request('GET', '/', '', 'a:80'));
corpus.forward('Host: IPv6', 'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', request('GET', '/', '', '[::1]:80'));
corpus.forward(
  'Host: never removed by Connection',
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n',
  request('GET', '/'),
);
corpus.forward(
  'Content-Length: never removed by Connection',
  post('Connection: content-length\r\nContent-Length: 3', 'abc'),
  request('POST', '/', 'abc'),
);

corpus.group('absolute form');
corpus.forward(
  'absolute target wins over Host',
  'GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n',
  request('GET', '/x', '', 'b'),
);
corpus.forward('absolute target without a path', 'GET http://a HTTP/1.1\r\nHost: a\r\n\r\n', request('GET', '/'));
corpus.forward(
  'absolute target with a query only',
  'GET http://a?x=1 HTTP/1.1\r\nHost: a\r\n\r\n',
  request('GET', '/?x=1'),
);
corpus.forward('absolute target in capitals', 'GET HTTP://a/x HTTP/1.1\r\nHost: a\r\n\r\n', request('GET', '/x'));
for (const [name, target] of [
  ['user', 'http://u@b/'],
  ['user and password', 'http://u:p@b/'],
  ['no host', 'http:///x'],
  ['nothing', 'http://'],
  ['another scheme', 'ftp://a/'],
  ['file', 'file:///etc/passwd'],
  ['no slashes', 'http:a'],
  ['a bad port', 'http://a:x/'],
  ['a backslash', 'http://a\\@b/'],
  ['a list of hosts', 'http://a,b/'],
  ['a fragment', 'http://a/#b'],
  ['authority form for GET', 'a:80'],
  ['a target behind two slashes of no scheme', '://a/'],
] as const) {
  corpus.refuse(`absolute target: ${name}`, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
}

corpus.group('CONNECT');
for (const [name, bytes] of [
  ['without a port', 'CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['with a path', 'CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['with a URL', 'CONNECT http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['with a body', `CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
  ['with chunks', `CONNECT a:443 HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n\r\n${EMPTY_CHUNKED}`],
] as const) {
  corpus.refuse(`CONNECT ${name}`, bytes);
}

corpus.group('pipelines');
corpus.refuse('a bad request behind a good one', `${SMUGGLED}GET / HTTP/1.1\r\n\r\n`, 400, 1);
corpus.refuse('garbage behind a body', post('Content-Length: 3', 'abc\x00\x01\x02'), 400, 1);
corpus.forward(
  'nothing is read behind Connection: close',
  `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n${SMUGGLED}`,
  request('GET', '/'),
);
corpus.forward('nothing is read behind HTTP/1.0', `GET / HTTP/1.0\r\nHost: a\r\n\r\n${SMUGGLED}`, request('GET', '/'));
corpus.forward(
  'Connection: Keep-Alive, Close closes',
  `GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive, Close\r\n\r\n${SMUGGLED}`,
  request('GET', '/'),
);
corpus.refuse('Connection nominates too much', `GET / HTTP/1.1\r\nHost: a\r\nConnection: ${'x,'.repeat(50)}\r\n\r\n`);
corpus.refuse('a head beyond 60 KiB', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(61 * 1024)}\r\n\r\n`, 431);
corpus.refuse('more than 100 headers', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(100)}\r\n`, 431);

export const SMUGGLING_CASES: readonly SmugglingCase[] = [...corpus.cases, ...DESYNC_CASES, ...GADGET_CASES];
