/**
 * The second part of the corpus: kinds from public lists, each said by its own case. The HTTP Garden's trophies
 * (github.com/narfindustries/http-garden), defparam/smuggler's mutations, PortSwigger's desync papers (0.CL, Expect,
 * chunk extensions, h2c, hidden headers), and sections 2.2, 3, 5, 6, 7 and 9 of RFC 9112.
 */
import { CHUNKED, Corpus, EMPTY_CHUNKED, post, request, SMUGGLED, type SmugglingCase } from './smuggling-case.ts';

const corpus = new Corpus();

/** A GET of `/` at host `a` with these header lines. */
function get(lines: string, body = ''): string {
  return `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`;
}

const LENGTH = `Content-Length: ${SMUGGLED.length}`;

corpus.group('start of a connection');
for (const [name, bytes] of [
  ['a response', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['PROXY protocol, version 1', `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${SMUGGLED}`],
  [
    'PROXY protocol, version 2',
    `\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x01\x00\x02${SMUGGLED}`,
  ],
  ['a TLS ClientHello', '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n'],
  ['a byte order mark', `\xef\xbb\xbf${SMUGGLED}`],
  ['SMTP', 'HELO a\r\n\r\n'],
  [
    'HTTP/2 with frames behind its preface',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00E\x01\x05',
  ],
  ['a NUL', `\x00${SMUGGLED}`],
  ['a line of white space', ` \r\n${SMUGGLED}`],
  ['a chunk of a body', `5\r\nhello\r\n0\r\n\r\n${SMUGGLED}`],
] as const) {
  corpus.refuse(`begins with ${name}`, bytes);
}

corpus.group('request line, more');
for (const [name, bytes, status = 400] of [
  ['method that ends in a delimiter', 'G=":<>(e),[T];?" /get HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['target of punctuation', 'GET ! HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['LF between target and version', 'GET /\nHTTP/1.1\r\nHost: a\r\n\r\n'],
  ['CR between target and version', 'GET /\rHTTP/1.1\r\nHost: a\r\n\r\n'],
  ['CR CR inside the version', 'GET / HTTP/\r\r1.1\r\nHost: a\r\n\r\n'],
  ['version that overflows eight bits', 'GET / HTTP/4294967295.255\r\nHost: a\r\n\r\n'],
  ['version with a longer minor', 'GET / HTTP/1.32\r\nHost: a\r\n\r\n', 505],
  ['version of dots and digits', 'GET / HTTP/............0596.7407.\r\nHost: a\r\n\r\n'],
  ['NUL behind the version', 'GET / HTTP/1.1\x00\r\nHost: a\r\n\r\n'],
  ['version with a comma', 'GET / HTTP/1,1\r\nHost: a\r\n\r\n'],
  ['version with a plus', 'GET / HTTP/1.+1\r\nHost: a\r\n\r\n'],
  ['HTTP/3.0', 'GET / HTTP/3.0\r\nHost: a\r\n\r\n', 505],
  ['tab instead of both spaces', 'GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n'],
  ['vertical tab behind the method', 'GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['form feed behind the target', 'GET /\x0cHTTP/1.1\r\nHost: a\r\n\r\n'],
  ['no-break space behind the method', 'GET\xa0/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a whole request in the method', 'GET /x HTTP/1.1\r\nHost: a\r\n\rGET / HTTP/1.1\r\n\r\n'],
  ['overlong UTF-8 of CRLF in the target', 'GET /\xc0\x8d\xc0\x8aX HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['DEL in the target', 'GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['empty target', 'GET  HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['query without a path', 'GET ?x=1 HTTP/1.1\r\nHost: a\r\n\r\n'],
] as const) {
  corpus.refuse(name, bytes, status);
}
corpus.forward(
  'encoded CRLF in the target stays encoded',
  'GET /a%0d%0aHost:%20b HTTP/1.1\r\nHost: a\r\n\r\n',
  request('GET', '/a%0d%0aHost:%20b'),
);
corpus.forward('encoded NUL stays encoded', 'GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n', request('GET', '/a%00b'));
corpus.forward('two slashes are no authority', 'GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n', request('GET', '//b/x'));
corpus.forward('a URL in a path stays one', 'GET /http://b/ HTTP/1.1\r\nHost: a\r\n\r\n', request('GET', '/http://b/'));
corpus.forward('a method in lower case is another method', 'get / HTTP/1.1\r\nHost: a\r\n\r\n', request('get', '/'));
corpus.forward('OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', request('OPTIONS', '*'));
corpus.forward('OPTIONS of a URL', 'OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n', request('OPTIONS', '*', '', 'b'));
corpus.forward(
  'IPv6 in a URL',
  'GET http://[::1]:80/ HTTP/1.1\r\nHost: a\r\n\r\n',
  request('GET', '/', '', '[::1]:80'),
);
corpus.forward('eight empty lines before a request', `${'\r\n'.repeat(8)}${SMUGGLED}`, request('GET', '/admin'));

corpus.group('names and values');
for (const [name, bytes] of [
  ['NUL and CR in a value', get('Header: v\x00\ralue')],
  ['first line begins with a tab', 'GET / HTTP/1.1\r\n\tContent-Length: 1\r\nHost: a\r\n\r\nX'],
  ['LF LF inside a value', get(`Useless:\n\n${SMUGGLED}`)],
  ['0x85 behind a name', get('Content-Length\x85: 10', '0123456789')],
  ['0xa0 behind a name', get('Content-Length\xa0: 10', '0123456789')],
  ['name and value both empty', 'GET / HTTP/1.1\r\n:\r\nI: am chopped off\r\nHost: a\r\n\r\n'],
  ['space instead of a colon', get('Content-Length 10', '0123456789')],
  ['equals sign instead of a colon', get('Content-Length=10', '0123456789')],
  ['blank line of CR and another octet', 'GET / HTTP/1.1\r\nHost: a\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['name continued on the next line', post('Transfer-\r\nEncoding: chunked\r\nContent-Length: 5', EMPTY_CHUNKED)],
  ['name with LF inside', get('Te\nst: x')],
  ['name with CR inside', get('Transfer\r-Encoding: chunked')],
  ['name with NUL behind and no colon', get('c\x00')],
  ['name with an accent', get('Transf\x82r-Encoding: chunked')],
  ['quoted name', get('"Content-Length": 5')],
  ['name in braces', get('{X}: 5')],
  ['name with a slash', get('X/Y: 5')],
  ['name with an at sign', get('X@Y: 5')],
  ['name with a backslash', get('X\\Y: 5')],
  ['name with a comma', get('Content-Length, X: 5')],
  ['name with a semicolon', get('Content-Length;: 5')],
  ['vertical tab before a name', get('\x0bContent-Length: 5')],
  ['NUL before a name', get('\x00Content-Length: 5')],
  ['soft hyphen in a name', get('Content\xad-Length: 5')],
  ['escape character in a value', get('X: \x1b[0m')],
  ['a folded line with only white space', get('X: y\r\n \r\nContent-Length: 5')],
  ['a hidden length in a folded line', get('X: y\r\n Content-Length: 5', 'hello')],
  ['a space before the second Host', get(' Host: b')],
  ['a Host with NUL in it', 'GET / HTTP/1.1\r\nHost: a\x00.b\r\n\r\n'],
  ['a Host with NUL behind its name', get('Host\x00: b')],
  ['a Host between obs-text', 'GET / HTTP/1.1\r\nHost: \xffa\xff\r\n\r\n'],
  ['a Host with an encoded CRLF', 'GET / HTTP/1.1\r\nHost: a\\r\\nX: y\r\n\r\n'],
  ['a Host with a zone', 'GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n'],
  ['a Host with something behind its bracket', 'GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n'],
  ['a Host in quotes', 'GET / HTTP/1.1\r\nHost: "a"\r\n\r\n'],
  ['a Host with a plus before its port', 'GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n'],
] as const) {
  corpus.refuse(name, bytes);
}
corpus.forward('0x85 inside a value is part of it', get('X: a\x85Content-Length: 5'), request('GET', '/'));
corpus.forward(
  'a UTF-8 character that ends in 0x0d when cut',
  get('X: \xe5\x98\x8d\xe5\x98\x8aY: z'),
  request('GET', '/'),
);
corpus.forward('an empty value', get('X:\r\nY: z'), request('GET', '/'));
corpus.forward('a colon in a value', get('X: : Content-Length: 5'), request('GET', '/'));
corpus.forward('Host behind other lines', 'GET / HTTP/1.1\r\nX: y\r\nHost:a\r\n\r\n', request('GET', '/'));
corpus.forward('X-Content-Length is another header', get('X-Content-Length: 5'), request('GET', '/'));
corpus.forward('Content-LengthX is another header', get('Content-LengthX: 5'), request('GET', '/'));

corpus.group('lengths, more');
for (const [name, line] of [
  ['with a leading zero, octal to some', 'Content-Length: 010'],
  ['with many leading zeros', 'Content-Length: 00000000000000000005'],
  ['with a letter behind', 'Content-Length: 5Z'],
  ['plus and underscore', 'Content-Length: +1_0'],
  ['empty, then a number', 'Content-Length:\r\nContent-Length: 5'],
  ['a number, then empty', 'Content-Length: 5\r\nContent-Length:'],
  ['zero, then a number', 'Content-Length: 0\r\nContent-Length: 5'],
  ['a list with a leading comma', 'Content-Length: ,5'],
  ['a list with a trailing comma', 'Content-Length: 5,'],
  ['a list in two lines and one', 'Content-Length: 5, 5\r\nContent-Length: 5'],
  ['between obs-text', 'Content-Length: \xa05\xa0'],
  ['in Arabic digits', 'Content-Length: \xd9\xa5'],
  ['as a superscript', 'Content-Length: \xb2'],
  ['of 2^64 and a bit, which wraps to 5', 'Content-Length: 18446744073709551621'],
  ['of 2^32 and a bit with a sign', 'Content-Length: +4294967301'],
  ['-48, an endless loop to some', 'Content-Length: -48'],
  ['with a comment', 'Content-Length: 5 (five)'],
  ['with a unit', 'Content-Length: 5 bytes'],
  ['beside a hidden coding', 'Content-Length: 5\r\nTransfer-Encoding: \xa0chunked'],
] as const) {
  corpus.refuse(`Content-Length ${name}`, post(line, 'hello'));
}
corpus.forward(
  'Content-Length: 0, then another request',
  post('Content-Length: 0', SMUGGLED),
  request('POST', '/'),
  request('GET', '/admin'),
);
for (const method of ['HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
  corpus.forward(
    `${method} with a length has that body`,
    `${method} / HTTP/1.1\r\nHost: a\r\n${LENGTH}\r\n\r\n${SMUGGLED}`,
    request(method, '/', SMUGGLED),
  );
}
corpus.forward(
  'HEAD with chunks has that body',
  `HEAD / HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n\r\n3\r\nabc\r\n${EMPTY_CHUNKED}`,
  request('HEAD', '/', 'abc'),
);
corpus.forward(
  'Content-Encoding: chunked is no transfer coding',
  post('Content-Encoding: chunked\r\nContent-Length: 5', EMPTY_CHUNKED),
  request('POST', '/', EMPTY_CHUNKED),
);
corpus.forward(
  'TE: chunked is no transfer coding',
  post('TE: chunked\r\nContent-Length: 5', EMPTY_CHUNKED),
  request('POST', '/', EMPTY_CHUNKED),
);

corpus.group('codings, more');
for (const [name, line, status] of [
  ['a prefix of chunked', 'Transfer-Encoding: chunk', 501],
  ['chunked with an accent', 'Transfer-Encoding: ch\x96nked', 400],
  ['chunked among words', 'Transfer-Encoding: cow chunked bar', 400],
  ['between 0xff', 'Transfer-Encoding: \xffchunked\xff', 400],
  ['between 0xa0', 'Transfer-Encoding: \xa0chunked\xa0', 400],
  ['an unknown coding', 'Transfer-Encoding: blegh', 501],
  ['no value, and a length', 'Transfer-Encoding:\r\nContent-Length: 5', 400],
  ['folded onto a line of its own with a length', 'Transfer-Encoding:\r\n chunked\r\nContent-Length: 5', 400],
  ['identity and a length', 'Transfer-Encoding: identity\r\nContent-Length: 5', 400],
  ['a space for the hyphen', 'Transfer Encoding: chunked', 400],
  ['chunked, empty, chunked', 'Transfer-Encoding: chunked,,chunked', 400],
  ['chunked beside a nomination of it', 'Connection: transfer-encoding\r\nTransfer-Encoding: xchunked', 501],
  [
    'Content-Length first, nominated, with chunked',
    'Connection: close, content-length\r\nContent-Length: 3\r\nTransfer-Encoding: chunked',
    400,
  ],
  ['chunked with an LF behind it', 'Transfer-Encoding: chunked\n', 400],
  ['deflate, then chunked in lines', 'Transfer-Encoding: deflate\r\nTransfer-Encoding: chunked', 501],
] as const) {
  corpus.refuse(`Transfer-Encoding ${name}`, post(line, EMPTY_CHUNKED), status);
}
corpus.forward(
  'Transfer-Encoding that Connection nominates still frames',
  post(`Connection: transfer-encoding\r\n${CHUNKED}`, `3\r\nabc\r\n${EMPTY_CHUNKED}${SMUGGLED}`),
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);

corpus.group('chunks, more');
for (const [name, body] of [
  ['CR CR, then an extension', '5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n'],
  ['CR before the semicolon', '2\r\r;a\r\n02\r\n41\r\n0\r\n\r\n'],
  ['CR in white space of an extension', '41;a=b\r\rX\r\n0\r\n\r\n'],
  ['garbage behind the digits', '1these-bytes-never-get-validated\r\nZ\r\n0\r\n\r\n'],
  ['letters that are no digits', 'Z\r\nZZ\r\nZZZ\r\n\r\n'],
  ['minus zero in hex', '-0x0\r\n\r\n'],
  ['many spaces before the size', '           0\r\n\r\n'],
  ['CR and zero behind the size', '1\r0\n\r\n'],
  ['any two octets behind the data', '3\r\nabcXX0\r\n\r\n'],
  ['LF CR behind the data', '3\r\nabc\n\r0\r\n\r\n'],
  ['an empty line between chunks', '3\r\nabc\r\n\r\n0\r\n\r\n'],
  ['size of all ones in 64 bits', 'ffffffffffffffff\r\nabc\r\n0\r\n\r\n'],
  ['size of 2^63', '8000000000000000\r\nabc\r\n0\r\n\r\n'],
  ['size just beyond 2^53', '20000000000000\r\nabc\r\n0\r\n\r\n'],
  ['size of 2^32 and a bit with a sign', '+100000003\r\nabc\r\n0\r\n\r\n'],
  ['size in full-width digits', '\xef\xbc\x93\r\nabc\r\n0\r\n\r\n'],
  ['size with a fraction', '3.0\r\nabc\r\n0\r\n\r\n'],
  ['size with a NUL behind', '3\x00\r\nabc\r\n0\r\n\r\n'],
  ['size as a list', '3,3\r\nabc\r\n0\r\n\r\n'],
  ['last chunk of minus zero', '3\r\nabc\r\n-0\r\n\r\n'],
  ['extension with white space behind the semicolon', '3; a=b\r\nabc\r\n0\r\n\r\n'],
  ['extension with white space before the equals sign', '3;a =b\r\nabc\r\n0\r\n\r\n'],
  ['extension with a tab', '3;a=b\t\r\nabc\r\n0\r\n\r\n'],
  ['extension behind a closed quote', '3;a="b"c\r\nabc\r\n0\r\n\r\n'],
  ['extension with an escaped CR', '3;a="\\\r\n"\r\nabc\r\n0\r\n\r\n'],
  ['extension with DEL', '3;a\x7f\r\nabc\r\n0\r\n\r\n'],
  ['extension of the last chunk ends in a bare LF', `0;a\n${SMUGGLED}`],
  ['extension of the last chunk with a bare CR', `0;a\rb\r\n\r\n`],
  ['trailer without a colon', '0\r\nGET / HTTP/1.1\r\n\r\n'],
  ['trailer with an empty name', '0\r\n: x\r\n\r\n'],
  ['trailer with a bare CR in its value', '0\r\nX: y\rContent-Length: 5\r\n\r\n'],
  ['trailer that begins with a space', `0\r\n X: y\r\n\r\n`],
  ['blank line of LF CR behind the trailers', '0\r\nX: y\r\n\n\r'],
  ['blank line of CR CR LF', '0\r\n\r\r\n'],
] as const) {
  corpus.refuse(`chunk: ${name}`, post(CHUNKED, body));
}
corpus.refuse('chunk: too many extension bytes in all', post(CHUNKED, `1;${'a'.repeat(500)}\r\nx\r\n`.repeat(40)), 413);
corpus.refuse('chunk: more than 100 trailers', post(CHUNKED, `0\r\n${'X: y\r\n'.repeat(101)}\r\n`), 431);
corpus.refuse('chunk: trailers beyond 60 KiB', post(CHUNKED, `0\r\nX: ${'y'.repeat(61 * 1024)}\r\n\r\n`), 431);
corpus.refuse('chunk: a NUL behind the end', post(CHUNKED, `${EMPTY_CHUNKED}\x00`), 400, 1);
corpus.forward(
  'chunk: a terminator and a request as data',
  post(CHUNKED, `17\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n${EMPTY_CHUNKED}`),
  request('POST', '/', '0\r\n\r\nGET / HTTP/1.1\r\n\r\n'),
);
corpus.forward(
  'chunk: a trailer that looks like a request',
  post(CHUNKED, '0\r\nX:POST / HTTP/1.1\r\n\r\n'),
  request('POST', '/'),
);
corpus.forward(
  'chunk: CR and LF as data',
  post(CHUNKED, `2\r\n\r\n\r\n4\r\n\r\n\r\n\r\n${EMPTY_CHUNKED}`),
  request('POST', '/', '\r\n\r\n\r\n'),
);
corpus.forward(
  'chunk: a trailer named in Trailer that may not be one',
  post(
    `Trailer: Content-Length, Host, Authorization\r\n${CHUNKED}`,
    `0\r\nAuthorization: x\r\nContent-Length: 9\r\n\r\n${SMUGGLED}`,
  ),
  request('POST', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'chunk: a trailer Connection: close closes nothing',
  post(CHUNKED, `0\r\nConnection: close\r\n\r\n${SMUGGLED}`),
  request('POST', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'chunk: an extension that looks like a line',
  post(CHUNKED, `3;a="0;\\r\\nGET / HTTP/1.1"\r\nabc\r\n${EMPTY_CHUNKED}`),
  request('POST', '/', 'abc'),
);

corpus.group('Expect');
corpus.forward(
  'Expect with a body that is there',
  post('Expect: 100-continue\r\nContent-Length: 3', 'abc'),
  request('POST', '/', 'abc'),
);
corpus.forward(
  'Expect on GET with a length (0.CL)',
  get(`Expect: 100-continue\r\n${LENGTH}`, `${SMUGGLED}${SMUGGLED}`),
  request('GET', '/', SMUGGLED),
  request('GET', '/admin'),
);
corpus.forward(
  'Expect without a body',
  get('Expect: 100-continue', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'Expect in capitals, chunked',
  post(`EXPECT: 100-CONTINUE\r\n${CHUNKED}`, `3\r\nabc\r\n${EMPTY_CHUNKED}${SMUGGLED}`),
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.forward(
  'an unknown Expect is not waited for',
  post('Expect: y 100-continue\r\nContent-Length: 3', `abc${SMUGGLED}`),
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.forward(
  'Expect in HTTP/1.0',
  'POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
  request('POST', '/', 'abc'),
);
corpus.refuse('Expect folded', post('Expect:\r\n 100-continue\r\nContent-Length: 3', 'abc'));
corpus.refuse('Expect with a space before its colon', post('Expect : 100-continue\r\nContent-Length: 3', 'abc'));

corpus.group('Upgrade and CONNECT');
corpus.forward(
  'h2c with a request behind',
  get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'h2c with a body that is a preface',
  post('Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 24', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  request('POST', '/', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
);
corpus.forward(
  'a websocket that the server does not want, then a request',
  get('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'a websocket with a body',
  post('Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3', `abc${SMUGGLED}`),
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.forward(
  'a websocket in HTTP/1.0 is an ordinary request',
  'GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n',
  request('GET', '/'),
);
corpus.forward(
  'Upgrade that Connection does not name',
  get('Upgrade: websocket', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'Connection: Upgrade to nothing',
  get('Connection: Upgrade', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'an Upgrade to TLS',
  get('Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.refuse(
  'a websocket with two framings',
  post(`Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n${CHUNKED}`, EMPTY_CHUNKED),
);
corpus.forward(
  'nothing is read behind a CONNECT that is refused',
  `CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n${SMUGGLED}`,
  request('CONNECT', '', '', 'a:443'),
);
corpus.forward(
  'the target of CONNECT wins over Host',
  'CONNECT b:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
  request('CONNECT', '', '', 'b:443'),
);
corpus.refuse('CONNECT with an empty port', 'CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n');
corpus.refuse('CONNECT with a port beyond 65535', 'CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n');
corpus.refuse('CONNECT with a user', 'CONNECT u@a:443 HTTP/1.1\r\nHost: a\r\n\r\n');

corpus.group('Connection and HTTP/1.0');
corpus.forward(
  'HTTP/1.0 that stays open has its next request read',
  `POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc${SMUGGLED}`,
  request('POST', '/', 'abc'),
  request('GET', '/admin'),
);
corpus.forward(
  'HTTP/1.0 without a length has no body',
  `POST / HTTP/1.0\r\nHost: a\r\n\r\n${SMUGGLED}`,
  request('POST', '/'),
);
corpus.forward(
  'bytes that are no request behind Connection: close',
  get('Connection: close', 'Invalid\r\n\r\n'),
  request('GET', '/'),
);
corpus.forward(
  'Connection nominates what identifies the client',
  get('Connection: x-forwarded-for, x-forwarded-proto, authorization, cookie\r\nCookie: a=b'),
  request('GET', '/'),
);
corpus.forward(
  'Connection: closed is not close',
  get('Connection: closed', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'Connection: close in a second line',
  get('Connection: x\r\nConnection: close', SMUGGLED),
  request('GET', '/'),
);
corpus.forward('Proxy-Connection: close closes', get('Proxy-Connection: close', SMUGGLED), request('GET', '/'));
corpus.forward(
  'Proxy-Connection with close in a list closes',
  get('Proxy-Connection:, close', SMUGGLED),
  request('GET', '/'),
);
corpus.forward(
  'Keep-Alive promises nothing',
  get('Keep-Alive: timeout=0, max=0', SMUGGLED),
  request('GET', '/'),
  request('GET', '/admin'),
);
corpus.forward(
  'an absolute target and a port in Host that differ',
  'GET http://b:81/x HTTP/1.1\r\nHost: a:80\r\nConnection: host\r\n\r\n',
  request('GET', '/x', '', 'b:81'),
);
corpus.refuse(
  'a second request that lacks its Host, behind an absolute one',
  `GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\nGET /admin HTTP/1.1\r\n\r\n`,
  400,
  1,
);
corpus.refuse(
  'a second request with two lengths',
  `${SMUGGLED}${post('Content-Length: 1\r\nContent-Length: 2', 'x')}`,
  400,
  1,
);
corpus.forward(
  'a body that takes the first octet of what follows',
  post('Content-Length: 4', `abc${SMUGGLED}`),
  request('POST', '/', 'abcG'),
  request('ET', '/admin'),
);

export const DESYNC_CASES: readonly SmugglingCase[] = corpus.cases;
