/** Runs our parsers over pieces of bytes and records what they deliver, in the shape of `llhttp.ts`. */
import type { Headers } from '../../../src/protocol/http/headers.ts';
import { RequestHead, type ResponseHead } from '../../../src/protocol/http/message.ts';
import type { MessageEvents } from '../../../src/protocol/http1/events.ts';
import type { ParseError } from '../../../src/protocol/http1/framing.ts';
import { RequestParser, ResponseParser } from '../../../src/protocol/http1/parser.ts';

export interface OurMessage {
  /** `GET /path` as it stood on the wire, or a status code. */
  start: string;
  minorVersion: number;
  /** Every header line read, in order; without Host when an absolute-form target replaced it. */
  headers: string[];
  body: string;
  trailers: string[];
  complete: boolean;
  keepAlive: boolean;
  upgrade: boolean;
  absoluteForm: boolean;
}

export class Recorder implements MessageEvents<RequestHead | ResponseHead> {
  readonly messages: OurMessage[] = [];
  error: ParseError | null = null;
  tunnelled = false;
  readonly parser: RequestParser | ResponseParser;

  constructor(type: 'request' | 'response', methods: readonly string[] = []) {
    if (type === 'request') {
      this.parser = new RequestParser(this);
    } else {
      const parser = new ResponseParser(this);
      for (const method of methods) parser.expect(method, method === 'UPGRADE');
      this.parser = parser;
    }
  }

  onHead(head: RequestHead | ResponseHead): void {
    const isRequest = head instanceof RequestHead;
    const { raw } = head.headers;
    const line = raw.substring(0, raw.indexOf('\r\n'));
    this.messages.push({
      start: isRequest ? line.substring(0, line.lastIndexOf(' ')) : String(head.status),
      minorVersion: head.minorVersion,
      headers: wireLines(head.headers),
      body: '',
      trailers: [],
      complete: false,
      keepAlive: head.keepAlive,
      upgrade: head.upgrade !== '' || head.framing === 4,
      absoluteForm: isRequest && head.absoluteForm,
    });
    if (head.framing === 4) this.tunnelled = true;
  }

  onData(chunk: Buffer, start: number, end: number): void {
    this.messages.at(-1)!.body += chunk.toString('latin1', start, end);
  }

  onTrailers(trailers: Headers): void {
    this.messages.at(-1)!.trailers = wireLines(trailers);
  }

  onEnd(): void {
    const message = this.messages.at(-1)!;
    message.complete = true;
    if (!message.upgrade) return;
    this.tunnelled = true;
    this.parser.pause();
  }

  onError(error: ParseError): void {
    this.error = error;
  }
}

function wireLines(headers: Headers): string[] {
  const lines: string[] = [];
  for (let i = 0; i < headers.count; i++) {
    if (headers.offsets[i * 4 + 1]! >= 0) lines.push(headers.nameAt(i), headers.valueAt(i));
  }
  return lines;
}
