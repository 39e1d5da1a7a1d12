/**
 * The third part of the corpus, the classes of 2024 to 2026: how the lines of chunks end (TERM.EXT, EXT.TERM, SPILL; Jeppe
 * Bonde Weikop, "Funky Chunks"), 0.CL, Expect and double desync (James Kettle, "HTTP/1.1 must die"), TE.0 (Bugcrowd,
 * 2024), hop-by-hop abuse, trailers that become headers, paths that two parsers read in two ways, and the pauses and
 * early answers that are needed to use them.
 */
import { CHUNKED, Corpus, EMPTY_CHUNKED, post, request, SMUGGLED, type SmugglingCase } from './smuggling-case.ts';

const corpus = new Corpus();

function get(lines: string, body = ''): string {
  return `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`;
}
function path(target: string): string {
  return `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;
}

corpus.group('funky chunks');
for (const [name, body] of [
  ['TERM.EXT: LF in an extension ends its line', `2;\nxx\r\n45\r\n0\r\n\r\n${SMUGGLED}`],
  ['TERM.EXT: LF in an extension, a size behind it', `2;\nxy\r\n71\r\n${SMUGGLED}0\r\n\r\n`],
  ['TERM.EXT: CR in an extension ends its line', `2;\rxx\r\n45\r\n0\r\n\r\n${SMUGGLED}`],
  ['TERM.EXT: LF in the value of an extension', `2;a=\nxx\r\n0\r\n\r\n${SMUGGLED}`],
  ['EXT.TERM: LF behind the size of an extension', `39;\nx\r\n0\r\n\r\n${SMUGGLED}`],
  ['EXT.TERM: LF behind the name', `5;a\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['EXT.TERM: LF LF behind the name', `5;a\n\nabc\r\n0\r\n\r\n${SMUGGLED}`],
  ['TERM.SPILL: data ends by LF', `5\r\nAAAAA\n2\r\nXX\r\n0\r\n\r\n`],
  ['TERM.SPILL: data ends by CR', `5\r\nAAAAA\r2\r\nXX\r\n0\r\n\r\n`],
  ['TERM.SPILL: data ends by nothing', `5\r\nAAAAA2\r\nXX\r\n0\r\n\r\n`],
  ['SPILL.TERM: more data than the size', `5\r\nAAAAAXX2\r\n45\r\n0\r\n\r\n${SMUGGLED}`],
  ['SPILL.TERM: two octets more, then CRLF', `5\r\nAAAAAXX\r\n0\r\n\r\n`],
  ['ONE.TWO: data ends by LF, the size behind it counts', `5\r\nAAAAA\nX2\r\n45\r\n0\r\n\r\n`],
  ['TWO.ONE: LF is one octet of two', `5\r\nAAAAA\nX0\r\n\r\n${SMUGGLED}`],
  ['ZERO.TWO: nothing ends the data', `5\r\nAAAAA0\r\n\r\n\r\n${SMUGGLED}`],
  ['LF CR ends the data', `5\r\nAAAAA\n\r0\r\n\r\n`],
  ['the last chunk ends by LF LF', `0\n\n${SMUGGLED}`],
  ['the last chunk ends by CR CR', `0\r\r${SMUGGLED}`],
  ['the last chunk has an extension that holds a request', `0;\r${SMUGGLED}\r\n\r\n`],
  ['the last chunk of zeros ends by LF', `000\n\r\n${SMUGGLED}`],
  ['an extension of spaces', `2; \r\nxx\r\n0\r\n\r\n`],
  ['an extension in a line of its own', `2\r\n;a\r\nxx\r\n0\r\n\r\n`],
  ['a form feed ends the size', `2\x0c\r\nxx\r\n0\r\n\r\n`],
  ['NEL ends the line', `2\x85xx\r\n0\r\n\r\n`],
  ['a size in braces', `{2}\r\nxx\r\n0\r\n\r\n`],
  ['a size with an octal prefix', `0o2\r\nxx\r\n0\r\n\r\n`],
  ['a size with a suffix', `2h\r\nxx\r\n0\r\n\r\n`],
  ['a size in quotes', `"2"\r\nxx\r\n0\r\n\r\n`],
  ['a size and a comment', `2 (two)\r\nxx\r\n0\r\n\r\n`],
] as const) {
  corpus.refuse(name, post(CHUNKED, body));
}
corpus.forward(
  'a quoted extension that holds an escaped quote and a semicolon',
  post(CHUNKED, `2;a="\\";";b\r\nxx\r\n${EMPTY_CHUNKED}${SMUGGLED}`),
  request('POST', '/', 'xx'),
  request('GET', '/admin'),
);
corpus.forward(
  'trailers without a Trailer field, and a request behind',
  post(CHUNKED, `2\r\nxx\r\n0\r\nX-User: admin\r\n\r\n${SMUGGLED}`),
  request('POST', '/', 'xx'),
  request('GET', '/admin'),
);

corpus.group('0.CL and hidden lengths');
for (const [name, lines] of [
  ['a space before the name', ` Content-Length: ${SMUGGLED.length}`],
  ['a line of LF before it', `X: y\n\nContent-Length: ${SMUGGLED.length}`],
  ['a name with a space', `Content Length: 5\r\nContent-Length : 5`],
  ['a line without a colon before it', `Foo\r\nContent-Length: 5`],
  ['CR before it', `X: y\rContent-Length: 5`],
  ['a folded Host before it', `X: y\r\n\tHost: b\r\nContent-Length: 5`],
  ['an empty name before it', `: y\r\nContent-Length: 5`],
  ['a number in another base', 'Content-Length: 0x5'],
  ['an exponent', 'Content-Length: 5e0'],
  ['a fraction', 'Content-Length: 5.0'],
  ['a semicolon', 'Content-Length: 5;5'],
  ['quotes', 'Content-Length: "5"'],
  ['a sign and a zero', 'Content-Length: -0'],
  ['a comma and a space', 'Content-Length: 5, 0'],
  ['two values by a tab', 'Content-Length: 5\t0'],
] as const) {
  corpus.refuse(`0.CL by ${name}`, get(lines, SMUGGLED));
}
corpus.forward(
  'CL.0 by OPTIONS, and a request behind',
  `OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}${SMUGGLED}`,
  request('OPTIONS', '/', SMUGGLED),
  request('GET', '/admin'),
);
corpus.forward(
  'double desync: a body that is a request with a body',
  post(`Content-Length: ${post('Content-Length: 7', '').length}`, `${post('Content-Length: 7', '')}${SMUGGLED}`),
  request('POST', '/', post('Content-Length: 7', '')),
  request('GET', '/admin'),
);
corpus.forward(
  'early-response gadget: a device name as path',
  `GET /con HTTP/1.1\r\nHost: a\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  request('GET', '/con', SMUGGLED),
);

corpus.group('TE.0');
corpus.forward(
  'TE.0: OPTIONS with chunks, one of them a request',
  `OPTIONS / HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n${EMPTY_CHUNKED}`,
  request('OPTIONS', '/', SMUGGLED),
);
corpus.forward(
  'TE.0: GET with chunks and a request behind',
  get(CHUNKED, `3\r\nabc\r\n${EMPTY_CHUNKED}${SMUGGLED}`),
  request('GET', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.refuse(
  'TE.0: DELETE with a coding and a length',
  `DELETE / HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\nContent-Length: 0\r\n\r\n`,
);
corpus.refuse('TE.0: chunked; q=0', get('Transfer-Encoding: chunked;q=0', EMPTY_CHUNKED), 400);

corpus.group('Expect, obfuscated');
for (const [name, line] of [
  ['a list', 'Expect: 100-continue, x'],
  ['twice', 'Expect: 100-continue\r\nExpect: 100-continue'],
  ['with a parameter', 'Expect: 100-continue;x=y'],
  ['with white space', 'Expect:   100-continue  '],
] as const) {
  corpus.forward(
    `Expect with a body and a request behind: ${name}`,
    post(`${line}\r\nContent-Length: 3`, `abc${SMUGGLED}`),
    request('POST', '/', 'abc'),
    request('GET', '/admin'),
  );
}
corpus.refuse('Expect with LF before its name', post('\nExpect: 100-continue\r\nContent-Length: 3', 'abc'));
corpus.refuse('Expect with NUL in its value', post('Expect: 100-\x00continue\r\nContent-Length: 3', 'abc'));
corpus.refuse(
  'Expect and both framings',
  post(`Expect: 100-continue\r\nContent-Length: 3\r\n${CHUNKED}`, EMPTY_CHUNKED),
);

corpus.group('hop by hop, abused');
for (const name of [
  'host',
  'content-length',
  'transfer-encoding',
  'x-forwarded-host',
  'x-real-ip',
  'x-request-id',
  'traceparent',
  'proxy-authorization',
  'expect',
  'via',
]) {
  corpus.forward(
    `Connection: ${name} takes nothing off`,
    post(`Connection: ${name}\r\nContent-Length: 3`, `abc${SMUGGLED}`),
    request('POST', '/', 'abc'),
    request('GET', '/admin'),
  );
}
corpus.forward(
  'Connection: close, content-length on a body that is a request',
  post(`Connection: close, content-length\r\nContent-Length: ${SMUGGLED.length}`, SMUGGLED),
  request('POST', '/', SMUGGLED),
);
corpus.refuse('Connection with a bare LF between options', get('Connection: x,\ny'));
corpus.refuse('Connection nominates eleven', get('Connection: a,b,c,d,e,f,g,h,i,j,k'));
corpus.forward('Connection nominates ten', get('Connection: a,b,c,d,e,f,g,h,i,j'), request('GET', '/'));

corpus.group('paths');
for (const target of [
  '/public/..;/admin',
  '/a%2f..%2fadmin',
  '/a%5c..%5cadmin',
  '/a/%2e%2e/admin',
  '/a/%252e%252e/admin',
  '/a%00/admin',
  '/a;x=y/admin',
  '//admin',
  '///admin',
  '/./admin',
  '/a/../admin',
  '/admin%20',
  '/admin%0a',
  '/admin?',
  '/a\\..\\admin',
  '/a?x=/../admin',
  '/%c0%ae%c0%ae/admin',
  '/a//..//admin',
  '/@b/admin',
  '/admin:80',
] as const) {
  corpus.forward(`${target} is forwarded as it is`, path(target), request('GET', target));
}
for (const [name, target] of [
  ['a fragment', '/a#/../admin'],
  ['a fragment in a URL', 'http://a/#@b/admin'],
  ['a space', '/a /admin'],
  ['a tab', '/a\t/admin'],
  ['a backslash instead of a slash', '\\admin'],
  ['a user in a URL', 'http://a@b/admin'],
  ['a backslash in the host of a URL', 'http://a\\@b/admin'],
  ['a space in the host of a URL', 'http://a%20b c/admin'],
  ['another scheme', 'gopher://a/admin'],
  ['no scheme', '//a:99999/ admin'],
  ['a scheme without slashes', 'http:admin'],
  ['three slashes in a URL', 'http:///admin'],
  ['a raw octet beyond ASCII', '/\xc0\xaf'],
] as const) {
  corpus.refuse(`a target with ${name}`, path(target));
}
corpus.forward(
  'a URL and Host that differ',
  'GET http://b/admin HTTP/1.1\r\nHost: a\r\n\r\n',
  request('GET', '/admin', '', 'b'),
);
corpus.forward(
  'a URL with a query alone',
  'GET http://b?x HTTP/1.1\r\nHost: b\r\n\r\n',
  request('GET', '/?x', '', 'b'),
);
corpus.forward(
  'underscores in names are names',
  get('Content_Length: 5\r\nTransfer_Encoding: chunked'),
  request('GET', '/'),
);

corpus.group('HTTP/0.9');
corpus.refuse('HTTP/0.9 behind a request', `${SMUGGLED}GET /x\r\n`, 400, 1);
corpus.refuse('HTTP/0.9 with a header', 'GET /x\r\nHost: a\r\n\r\n');
corpus.refuse('HTTP/0.9 that ends by LF', 'GET /x\n');
corpus.refuse('a version of HTTP/1', 'GET / HTTP/1\r\nHost: a\r\n\r\n');

export const GADGET_CASES: readonly SmugglingCase[] = corpus.cases;
