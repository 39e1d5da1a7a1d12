import { describe, expect, it } from 'vitest';
import { Framing, RequestHead } from '../../../../src/protocol/http/message.ts';
import type { MessageEvents } from '../../../../src/protocol/http1/events.ts';
import { type ParseError, stripHopByHop } from '../../../../src/protocol/http1/framing.ts';
import { RequestParser } from '../../../../src/protocol/http1/parser.ts';
import { ConnectionLine, requestHead } from '../../../../src/protocol/http1/serializer.ts';
import { SMUGGLING_CASES } from '../../../support/smuggling.ts';
import type { ForwardedRequest } from '../../../support/smuggling-case.ts';

/** Parses, strips and serializes, as the proxy does; collects what would go upstream. */
class Forwarder implements MessageEvents<RequestHead> {
  readonly parser = new RequestParser(this);
  readonly forwarded: ForwardedRequest[] = [];
  readonly heads: string[] = [];
  error: ParseError | null = null;
  #current: { method: string; path: string; authority: string; body: string } | null = null;

  onHead(head: RequestHead): void {
    this.#current = { method: head.method, path: head.path, authority: head.authority, body: '' };
    stripHopByHop(head.headers, this.parser.notes, false);
    this.heads.push(requestHead(head, head.framing, ConnectionLine.None));
    // A tunnel has no end.
    if (head.framing === Framing.Tunnel) this.forwarded.push(this.#current);
  }
  onData(chunk: Buffer, start: number, end: number): void {
    this.#current!.body += chunk.toString('latin1', start, end);
  }
  onTrailers(): void {}
  onEnd(): void {
    this.forwarded.push(this.#current!);
  }
  onError(error: ParseError): void {
    this.error = error;
  }
}

function send(bytes: string, pieces: 'whole' | 'octets'): Forwarder {
  const forwarder = new Forwarder();
  const buffer = Buffer.from(bytes, 'latin1');
  if (pieces === 'whole') forwarder.parser.execute(buffer);
  else for (let i = 0; i < buffer.length; i++) forwarder.parser.execute(buffer.subarray(i, i + 1));
  return forwarder;
}

describe('smuggling corpus', () => {
  it('has at least 300 cases, each with a name of its own', () => {
    expect(SMUGGLING_CASES.length).toBeGreaterThanOrEqual(300);
    expect(new Set(SMUGGLING_CASES.map((c) => `${c.group} ${c.name}`)).size).toBe(SMUGGLING_CASES.length);
  });

  for (const { name, group, bytes, verdict } of SMUGGLING_CASES) {
    for (const pieces of ['whole', 'octets'] as const) {
      it(`${group}: ${name} (${pieces})`, () => {
        const { error, forwarded, heads } = send(bytes, pieces);
        if (verdict.kind === 'refuse') {
          expect(error?.status).toBe(verdict.status);
          expect(forwarded.length).toBe(verdict.before);
          return;
        }
        expect(error).toBeNull();
        expect(forwarded).toEqual(verdict.requests);
        for (const [i, head] of heads.entries()) expectUnambiguous(head, verdict.requests[i]!);
      });
    }
  }
});

describe('every odd octet around Transfer-Encoding and Content-Length', () => {
  const places = [
    ['before the name', (octet: string, line: string) => octet + line],
    ['behind the name', (octet: string, line: string) => line.replace(':', `${octet}:`)],
    ['before the value', (octet: string, line: string) => line.replace(': ', `:${octet}`)],
    ['behind the value', (octet: string, line: string) => line + octet],
    ['inside the name', (octet: string, line: string) => line.replace('-', `${octet}-`)],
  ] as const;
  const odd = Array.from({ length: 256 }, (_, i) => i).filter((i) => i < 0x20 || i >= 0x7f);

  for (const line of ['Transfer-Encoding: chunked', 'Content-Length: 5']) {
    it.each(places)(`is refused %s: ${line}`, (_, put) => {
      for (const octet of odd) {
        const text = put(String.fromCharCode(octet), line);
        const bytes = `POST / HTTP/1.1\r\nHost: a\r\n${text}\r\n\r\n0\r\n\r\n`;
        const { error, heads } = send(bytes, 'whole');
        expect(error?.status, JSON.stringify(text)).toBe(400);
        expect(heads).toEqual([]);
      }
    });
  }
});

/** What goes upstream parses again as the same request, with one Host and one framing. */
function expectUnambiguous(head: string, request: ForwardedRequest): void {
  const hosts = head.match(/^host:.*$/gim) ?? [];
  const lengths = head.match(/^content-length:/gim) ?? [];
  const codings = head.match(/^transfer-encoding: chunked\r$/gim) ?? [];
  expect(hosts.length).toBe(1);
  expect(hosts[0]!.substring(5).trim()).toBe(request.authority);
  if (request.body !== '') expect(lengths.length + codings.length).toBe(1);
  let again = '';
  const parser = new RequestParser({
    onHead(parsed) {
      expect(parsed).toBeInstanceOf(RequestHead);
      again = `${parsed.method} ${parsed.path} ${parsed.authority}`;
    },
    onData() {},
    onTrailers() {},
    onEnd() {},
    onError(error) {
      throw error;
    },
  });
  parser.execute(Buffer.from(head, 'latin1'));
  expect(again).toBe(`${request.method} ${request.path} ${request.authority}`);
}
