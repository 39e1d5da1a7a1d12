import { describe, expect, it } from 'vitest';
import type { RequestHead, ResponseHead } from '../../../../src/protocol/http/message.ts';
import type { MessageEvents } from '../../../../src/protocol/http1/events.ts';
import type { ParseError, ParserLimits } from '../../../../src/protocol/http1/framing.ts';
import { RequestParser, ResponseParser } from '../../../../src/protocol/http1/parser.ts';

class Log implements MessageEvents<RequestHead | ResponseHead> {
  readonly lines: string[] = [];
  error: ParseError | null = null;
  /** Called with each line as it is written. */
  react: (line: string) => void = () => {};
  onHead(head: RequestHead | ResponseHead): void {
    this.#write('path' in head ? `head ${head.method} ${head.path}` : `head ${head.status}`);
  }
  onData(chunk: Buffer, start: number, end: number): void {
    this.#write(`data ${chunk.toString('latin1', start, end)}`);
  }
  onTrailers(): void {
    this.#write('trailers');
  }
  onEnd(): void {
    this.#write('end');
  }
  onError(error: ParseError): void {
    this.error = error;
    this.#write(`error ${error.code} ${error.status}`);
  }
  #write(line: string): void {
    this.lines.push(line);
    this.react(line);
  }
}

const GET = 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n';

describe('pausing', () => {
  it('stops between pipelined requests and goes on with the kept bytes', () => {
    const log = new Log();
    const parser = new RequestParser(log);
    log.react = (line) => {
      if (line === 'end') parser.pause();
    };
    parser.execute(Buffer.from(GET + GET.replace('1', '2') + GET.replace('1', '3')));
    expect(log.lines).toEqual(['head GET /1', 'end']);
    parser.resume();
    expect(log.lines.slice(2)).toEqual(['head GET /2', 'end']);
    parser.execute(Buffer.from(GET.replace('1', '4')));
    expect(log.lines.length).toBe(4);
    parser.resume();
    parser.resume();
    expect(log.lines.slice(4)).toEqual(['head GET /3', 'end', 'head GET /4', 'end']);
  });

  it('stops behind the head, before its body and its end', () => {
    const log = new Log();
    const parser = new RequestParser(log);
    log.react = (line) => {
      if (line.startsWith('head')) parser.pause();
    };
    parser.execute(Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc${GET}`));
    expect(log.lines).toEqual(['head POST /']);
    parser.resume();
    expect(log.lines).toEqual(['head POST /', 'data abc', 'end', 'head GET /1']);
    parser.resume();
    expect(log.lines.at(-1)).toBe('end');
  });

  it('resumed from inside the callback that paused, it just goes on', () => {
    const log = new Log();
    const parser = new RequestParser(log);
    log.react = () => {
      parser.pause();
      parser.resume();
    };
    parser.execute(Buffer.from(GET + GET));
    expect(log.lines.length).toBe(4);
  });

  it('keeps EOF until the bytes before it are read', () => {
    const log = new Log();
    const parser = new RequestParser(log);
    parser.pause();
    parser.execute(Buffer.from(`${GET}GET /2 HT`));
    parser.finish();
    expect(log.lines).toEqual([]);
    parser.resume();
    expect(log.lines).toEqual(['head GET /1', 'end', 'error truncated 400']);
  });

  it('an exception of the owner is not taken for a parse error', () => {
    const log = new Log();
    const parser = new RequestParser(log);
    log.react = () => {
      throw new TypeError('owner');
    };
    expect(() => parser.execute(Buffer.from(GET))).toThrow('owner');
    expect(log.error).toBeNull();
  });
});

describe('tunnels', () => {
  it('gathers what follows CONNECT for takeRest', () => {
    const log = new Log();
    const parser = new RequestParser(log);
    parser.execute(Buffer.from(`CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n${GET}`));
    parser.execute(Buffer.from('more'));
    expect(log.lines).toEqual(['head CONNECT ']);
    expect(parser.takeRest()?.toString()).toBe(`${GET}more`);
    expect(parser.takeRest()).toBeNull();
  });

  it('hands over what follows an upgrade request, or reads it as HTTP when the upgrade is refused', () => {
    for (const accepted of [true, false]) {
      const log = new Log();
      const parser = new RequestParser(log);
      log.react = (line) => {
        if (line === 'end') parser.pause();
      };
      parser.execute(
        Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n${GET}`),
      );
      expect(parser.head.upgrade).toBe('websocket');
      if (accepted) expect(parser.takeRest()?.toString()).toBe(GET);
      else parser.resume();
      expect(log.lines.length).toBe(accepted ? 2 : 4);
    }
  });

  it('101 to a request that asked, and 2xx to CONNECT, begin one', () => {
    for (const [method, upgrade, status] of [
      ['GET', true, '101 Switching Protocols'],
      ['CONNECT', false, '200 OK'],
    ] as const) {
      const log = new Log();
      const parser = new ResponseParser(log);
      parser.expect(method, upgrade);
      parser.execute(Buffer.from(`HTTP/1.1 ${status}\r\nUpgrade: websocket\r\n\r\n\x81\x00`, 'latin1'));
      expect(log.lines).toEqual([`head ${status.substring(0, 3)}`]);
      expect(parser.takeRest()).toEqual(Buffer.from([0x81, 0]));
    }
  });
});

describe('responses', () => {
  function responses(methods: string[], bytes: string, eof = true): string[] {
    const log = new Log();
    const parser = new ResponseParser(log);
    for (const method of methods) parser.expect(method);
    parser.execute(Buffer.from(bytes, 'latin1'));
    if (eof) parser.finish();
    return log.lines;
  }

  it('HEAD, 204 and 304 have no body whatever their headers say', () => {
    expect(
      responses(
        ['HEAD', 'GET', 'GET', 'GET'],
        'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx',
      ),
    ).toEqual(['head 200', 'end', 'head 204', 'end', 'head 304', 'end', 'head 200', 'data x', 'end']);
  });

  it.each(['Content-Length: 5', 'Transfer-Encoding: chunked'])('a 204 with %s is the last message', (line) => {
    const next = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
    expect(responses(['GET', 'GET'], `HTTP/1.1 204 No Content\r\n${line}\r\n\r\n${next}`)).toEqual(['head 204', 'end']);
    expect(responses(['GET', 'GET'], `HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n${next}`)).toContain(
      'head 200',
    );
  });

  it('delivers each 1xx as a message of its own', () => {
    expect(
      responses(
        ['POST'],
        'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      ),
    ).toEqual(['head 100', 'end', 'head 103', 'end', 'head 200', 'end']);
  });

  it('reads until close when there is no length', () => {
    expect(responses(['GET'], 'HTTP/1.1 200 OK\r\n\r\nabc')).toEqual(['head 200', 'data abc', 'end']);
  });

  it.each([
    ['no byte', [''], 'error no_response 502'],
    ['half a head', ['HTTP/1.1 2'], 'error truncated 502'],
    ['half a body', ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab'], 'error truncated 502'],
    ['half a chunk', ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'], 'error truncated 502'],
    ['only 100', ['HTTP/1.1 100 Continue\r\n\r\n'], 'error truncated 502'],
  ])('EOF after %s is an error', (_name, [bytes], error) => {
    expect(responses(['GET'], bytes!).at(-1)).toBe(error);
  });

  it('EOF between responses is in order', () => {
    expect(responses(['GET'], 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')).toEqual(['head 200', 'end']);
    expect(responses([], '')).toEqual([]);
  });

  it.each([
    ['bytes nobody asked for', [], 'HTTP/1.1 200 OK\r\n\r\n', 'error unexpected_response 502'],
    ['a second response', ['GET'], 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP', 'error unexpected_response 502'],
    ['101 unasked', ['GET'], 'HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n', 'error unexpected_upgrade 502'],
    [
      'TE and CL',
      ['GET'],
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n',
      'error conflicting_framing 502',
    ],
    [
      'a coding we lack',
      ['GET'],
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
      'error bad_transfer_encoding 502',
    ],
    ['a 1xx with a body', ['GET'], 'HTTP/1.1 103 X\r\nContent-Length: 3\r\n\r\n', 'error conflicting_framing 502'],
  ])('refuses %s with 502', (_name, methods, bytes, error) => {
    expect(responses(methods as string[], bytes, false).at(-1)).toBe(error);
  });

  it('reads Keep-Alive: timeout', () => {
    const parser = new ResponseParser(new Log());
    parser.expect('GET');
    parser.execute(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=100, timeout=65\r\n\r\n'));
    expect(parser.head.keepAliveTimeoutMs).toBe(65_000);
  });
});

describe('limits', () => {
  function withLimits(limits: ParserLimits, pieces: string[]): string[] {
    const log = new Log();
    const parser = new RequestParser(log, limits);
    for (const piece of pieces) parser.execute(Buffer.from(piece));
    return log.lines;
  }

  it('a head of exactly the limit passes, one byte more is 431, whole and in pieces', () => {
    const head = 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n';
    for (const pieces of [[head], [...head], [head.substring(0, 10), head.substring(10)]]) {
      expect(withLimits({ maxHeadBytes: head.length, maxHeaders: 1 }, pieces)).toEqual(['head GET /1', 'end']);
      expect(withLimits({ maxHeadBytes: head.length - 1, maxHeaders: 1 }, pieces)).toEqual([
        'error header_too_large 431',
      ]);
      expect(withLimits({ maxHeadBytes: head.length, maxHeaders: 0 }, pieces)).toEqual(['error too_many_headers 431']);
    }
  });

  it('trailers have the same limits', () => {
    const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n';
    const limits = { maxHeadBytes: 100, maxHeaders: 3 };
    expect(withLimits(limits, [`${head}X: ${'y'.repeat(200)}\r\n\r\n`]).at(-1)).toBe('error header_too_large 431');
    expect(withLimits(limits, [`${head}${'X: y\r\n'.repeat(4)}\r\n`]).at(-1)).toBe('error too_many_headers 431');
  });

  it('after an error nothing is read any more', () => {
    expect(withLimits({ maxHeadBytes: 1000, maxHeaders: 10 }, ['GET\r\n', GET, GET])).toEqual([
      'error bad_request_line 400',
    ]);
  });
});

it('body bytes are ranges of the chunk that was given, not copies', () => {
  const seen: Buffer[] = [];
  const parser = new RequestParser({
    onHead() {},
    onData(chunk) {
      seen.push(chunk);
    },
    onTrailers() {},
    onEnd() {},
    onError() {},
  });
  const first = Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
  const second = Buffer.from('def');
  parser.execute(first);
  parser.execute(second);
  expect(seen[0]).toBe(first);
  expect(seen[1]).toBe(second);
});
