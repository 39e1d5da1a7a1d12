/**
 * test/golden/http1/*.md in the style of llhttp's own tests: under each heading a block of input and a block of
 * the events it causes. In the input line breaks are CRLF and not written out; `\r \n \t \0 \xHH` are those octets, and a
 * backslash at the end of a line joins it to the next. Every case runs whole and split at every octet. `UPDATE_GOLDEN=1` rewrites the logs.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import type { Headers } from '../../../../src/protocol/http/headers.ts';
import { RequestHead, type ResponseHead } from '../../../../src/protocol/http/message.ts';
import type { MessageEvents } from '../../../../src/protocol/http1/events.ts';
import type { ParseError } from '../../../../src/protocol/http1/framing.ts';
import { RequestParser, ResponseParser } from '../../../../src/protocol/http1/parser.ts';

const FOLDER = new URL('../../../golden/http1/', import.meta.url);
const UPDATE = process.env.UPDATE_GOLDEN === '1';
const FRAMINGS = ['none', 'length', 'chunked', 'until-close', 'tunnel'];

class EventLog implements MessageEvents<RequestHead | ResponseHead> {
  readonly lines: string[] = [];
  #body = '';

  onHead(head: RequestHead | ResponseHead): void {
    const start =
      head instanceof RequestHead
        ? `request ${head.method} path=${show(head.path)} authority=${show(head.authority)} scheme=${head.scheme}`
        : `response ${head.status} reason=${show(head.reason)}`;
    const length = head.contentLength >= 0 ? ` length=${head.contentLength}` : '';
    const upgrade = head.upgrade === '' ? '' : ` upgrade=${show(head.upgrade)}`;
    const more = head instanceof RequestHead && head.expectContinue ? ' expect-continue' : '';
    this.lines.push(
      `${start} version=1.${head.minorVersion} framing=${FRAMINGS[head.framing]}${length} keep-alive=${head.keepAlive}${upgrade}${more}`,
    );
    this.#headers('header', head.headers);
  }
  onData(chunk: Buffer, start: number, end: number): void {
    this.#body += chunk.toString('latin1', start, end);
  }
  onTrailers(trailers: Headers): void {
    this.#flush();
    this.#headers('trailer', trailers);
  }
  onEnd(): void {
    this.#flush();
    this.lines.push('end');
  }
  onError(error: ParseError): void {
    this.#flush();
    this.lines.push(`error ${error.code} ${error.status}: ${error.reason}`);
  }
  #headers(kind: string, headers: Headers): void {
    for (const [name, value] of headers.entries()) this.lines.push(`${kind} ${name}=${show(value)}`);
  }
  /** Body bytes are logged together: how they were cut is not the parser's to say. */
  #flush(): void {
    if (this.#body !== '') this.lines.push(`body ${show(this.#body)}`);
    this.#body = '';
  }
}

const show = (text: string) =>
  JSON.stringify(text).replaceAll(/[\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);

interface GoldenCase {
  name: string;
  /** `request`, or `response` and the methods it answers; `eof` when the peer closes behind the input. */
  options: string[];
  input: Buffer;
  log: string;
}

function decode(text: string): Buffer {
  const joined = text.replaceAll('\\\n', '').replaceAll('\n', '\r\n');
  const octets = joined.replaceAll(/\\(r|n|t|0|\\|x[0-9a-f]{2})/g, (_, code: string) => {
    if (code.startsWith('x')) return String.fromCharCode(Number.parseInt(code.substring(1), 16));
    return { r: '\r', n: '\n', t: '\t', 0: '\0', '\\': '\\' }[code]!;
  });
  return Buffer.from(octets, 'latin1');
}

const CASE = /^## (.+)\n\n```(\S+)( [^\n]*)?\n([\s\S]*?)\n?```\n\n```log\n([\s\S]*?)```$/gm;

function run(test: GoldenCase, cut: (bytes: Buffer) => Buffer[]): string {
  const log = new EventLog();
  let parser: RequestParser | ResponseParser;
  if (test.options[0] === 'request') {
    parser = new RequestParser(log);
  } else {
    parser = new ResponseParser(log);
    for (const asked of test.options.slice(1)) {
      if (asked !== 'eof') parser.expect(asked === 'UPGRADE' ? 'GET' : asked, asked === 'UPGRADE');
    }
  }
  for (const piece of cut(test.input)) parser.execute(piece);
  if (test.options.includes('eof')) parser.finish();
  const rest = parser.takeRest();
  if (rest !== null) log.lines.push(`rest ${show(rest.toString('latin1'))}`);
  return `${log.lines.join('\n')}\n`;
}

for (const file of readdirSync(FOLDER).sort()) {
  describe(file, () => {
    const url = new URL(file, FOLDER);
    let text = readFileSync(url, 'utf8');
    const cases: GoldenCase[] = [...text.matchAll(CASE)].map((match) => ({
      name: match[1]!,
      options: [match[2]!, ...(match[3] ?? '').trim().split(' ').filter(Boolean)],
      input: decode(match[4]!),
      log: match[5]!,
    }));

    it('holds nothing but cases, each with a name of its own', () => {
      expect(file.endsWith('.md')).toBe(true);
      expect(cases.length).toBe((text.match(/^## /gm) ?? []).length);
      expect(new Set(cases.map((c) => c.name)).size).toBe(cases.length);
    });

    for (const test of cases) {
      it(test.name, () => {
        const log = run(test, (bytes) => [bytes]);
        if (UPDATE) text = text.replace(CASE, (whole, name) => (name === test.name ? withLog(whole, log) : whole));
        else expect(log).toBe(test.log);
        for (let at = 1; at < test.input.length; at++) {
          expect(run(test, (bytes) => [bytes.subarray(0, at), bytes.subarray(at)])).toBe(log);
        }
        expect(run(test, (bytes) => [...bytes].map((octet) => Buffer.from([octet])))).toBe(log);
      });
    }

    afterAll(() => {
      if (UPDATE) writeFileSync(url, text);
    });
  });
}

function withLog(whole: string, log: string): string {
  return `${whole.substring(0, whole.lastIndexOf('```log\n') + 7)}${log}\`\`\``;
}
