import { describe, expect, it } from 'vitest';
import { Headers } from '../../../../src/protocol/http/headers.ts';
import { Framing, RequestHead, ResponseHead } from '../../../../src/protocol/http/message.ts';
import { stripContentLength, stripHopByHop } from '../../../../src/protocol/http1/framing.ts';
import { RequestParser, ResponseParser } from '../../../../src/protocol/http1/parser.ts';
import {
  ConnectionLine,
  chunkHeader,
  LAST_CHUNK,
  lastChunk,
  reasonPhrase,
  requestHead,
  responseHead,
} from '../../../../src/protocol/http1/serializer.ts';

const ignore = { onData() {}, onTrailers() {}, onEnd() {} };

/** What goes on when a request comes in. */
function forwarded(bytes: string, keepUpgrade = false): string {
  let out = '';
  const parser = new RequestParser({
    ...ignore,
    onHead(head) {
      stripHopByHop(head.headers, parser.notes, keepUpgrade);
      out = requestHead(head, head.framing, ConnectionLine.None);
    },
    onError(error) {
      throw error;
    },
  });
  parser.execute(Buffer.from(bytes, 'latin1'));
  return out;
}

describe('hop-by-hop headers', () => {
  it('keeps case and order of what it forwards', () => {
    expect(forwarded('GET /a HTTP/1.1\r\nhOST: a\r\nX-B:  1 \r\nConnection: keep-alive\r\nx-a: 2\r\n\r\n')).toBe(
      'GET /a HTTP/1.1\r\nhOST: a\r\nX-B:  1 \r\nx-a: 2\r\n\r\n',
    );
  });

  it('drops them however many there are', () => {
    const lines = Array.from(
      { length: 80 },
      (_, i) => `Keep-Alive: timeout=5\r\n${i % 9 === 0 ? `X-${i}: 1\r\n` : ''}`,
    );
    expect(forwarded(`GET / HTTP/1.1\r\nHost: a\r\n${lines.join('')}\r\n`)).toBe(
      `GET / HTTP/1.1\r\nHost: a\r\n${[0, 9, 18, 27, 36, 45, 54, 63, 72].map((i) => `X-${i}: 1\r\n`).join('')}\r\n`,
    );
  });

  it.each([
    ['Keep-Alive: timeout=5', ''],
    ['Proxy-Connection: keep-alive', ''],
    ['Connection: X-Y, close\r\nX-Y: 1\r\nx-y: 2', ''],
    ['X-Y: 1\r\nConnection: close\r\nConnection: x-y', ''],
    ['Connection: x-forwarded-for\r\nX-Forwarded-For: 1.2.3.4', 'X-Forwarded-For: 1.2.3.4\r\n'],
    ['Connection: cookie\r\nCookie: a=b', 'Cookie: a=b\r\n'],
    ['Upgrade: websocket', ''],
    ['Connection: Upgrade\r\nUpgrade: websocket', ''],
    ['TE: trailers', 'TE: trailers\r\n'],
    ['Connection: te\r\nTE: trailers', 'TE: trailers\r\n'],
    ['TE: gzip', ''],
    ['TE: gzip, Trailers', 'TE: trailers\r\n'],
    ['Proxy-Authorization: x', 'Proxy-Authorization: x\r\n'],
    ['Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x', ''],
  ])('%j leaves %j', (lines, left) => {
    expect(forwarded(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n`)).toBe(`GET / HTTP/1.1\r\nHost: a\r\n${left}\r\n`);
  });

  it('an upgrade that is forwarded keeps Upgrade and gets Connection: Upgrade', () => {
    expect(
      forwarded('GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n', true),
    ).toBe('GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  });

  it('a length that names no body can be taken out', () => {
    const parser = new ResponseParser({ ...ignore, onHead() {}, onError() {} });
    parser.expect('GET');
    parser.execute(Buffer.from('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nA: 1\r\n\r\n'));
    stripContentLength(parser.head.headers, parser.notes);
    expect(parser.head.headers.serialize()).toBe('A: 1\r\n');
  });
});

describe('heads', () => {
  it('chunked framing adds Transfer-Encoding and never leaves a Content-Length beside it', () => {
    const head = new ResponseHead();
    head.status = 200;
    head.reason = 'OK';
    head.headers.add('content-length', '5');
    expect(responseHead(head, Framing.Chunked, ConnectionLine.Close)).toBe(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n',
    );
  });

  it('keeps an unusual reason phrase and an unknown status', () => {
    const head = new ResponseHead();
    head.status = 299;
    head.reason = 'Fine';
    expect(responseHead(head, Framing.None, ConnectionLine.None)).toBe('HTTP/1.1 299 Fine\r\n\r\n');
    head.status = 200;
    head.reason = '';
    expect(responseHead(head, Framing.None, ConnectionLine.None)).toBe('HTTP/1.1 200 \r\n\r\n');
    expect(reasonPhrase(503)).toBe('Service Unavailable');
    expect(reasonPhrase(299)).toBe('');
  });

  it.each([
    ['X', 'a\r\nEvil: 1', 'X: a  Evil: 1\r\n'],
    ['X', 'a\nb\0c\x7f', 'X: a b c \r\n'],
    ['X\r\nEvil', '1', ''],
    ['X: y', '1', ''],
    ['', '1', ''],
    ['X', '\u010a\u010d', 'X: \xc4\x8a\xc4\x8d\r\n'],
    ['X', '€', 'X: \xe2\x82\xac\r\n'],
    ['X', '\xe9\tz', 'X: \xe9\tz\r\n'],
  ])('an added header %j: %j cannot break out of its line', (name, value, expected) => {
    const head = new RequestHead();
    head.method = 'GET';
    head.path = '/';
    head.headers.add(name, value);
    head.headers.add('Z', '1');
    const text = requestHead(head, Framing.None, ConnectionLine.None);
    expect(text).toBe(`GET / HTTP/1.1\r\n${expected}Z: 1\r\n\r\n`);
  });

  it('a rewritten target or reason cannot break out of its line', () => {
    const head = new RequestHead();
    head.method = 'GET';
    head.path = '/a b\r\nX: y';
    expect(requestHead(head, Framing.None, ConnectionLine.None)).toBe('GET /a%20b%0D%0AX:%20y HTTP/1.1\r\n\r\n');
    const response = new ResponseHead();
    response.status = 200;
    response.reason = 'a\r\nb';
    expect(responseHead(response, Framing.None, ConnectionLine.None)).toBe('HTTP/1.1 200 a  b\r\n\r\n');
  });

  it('CONNECT goes to its authority', () => {
    const head = new RequestHead();
    head.method = 'CONNECT';
    head.authority = 'a:443';
    expect(requestHead(head, Framing.Tunnel, ConnectionLine.None)).toBe('CONNECT a:443 HTTP/1.1\r\n\r\n');
  });
});

it('chunks', () => {
  expect(chunkHeader(255)).toBe('ff\r\n');
  expect(lastChunk(null)).toBe(LAST_CHUNK);
  expect(lastChunk(Headers.of([['X', 'y']]))).toBe('0\r\nX: y\r\n\r\n');
});
