/**
 * llhttp, reached through the HTTPParser of node's private `_http_common`: the same C parser and glue
 * that node:http runs, without sockets.
 */
import { createRequire } from 'node:module';

interface NodeParser {
  initialize(type: number, resource: object, maxHeaderSize?: number, lenient?: number): void;
  execute(bytes: Buffer): number | Error;
  finish(): undefined | Error;
  close(): void;
  [hook: number]: unknown;
}
interface NodeParserClass {
  new (): NodeParser;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
}

const common = createRequire(import.meta.url)('_http_common') as {
  HTTPParser: NodeParserClass;
  methods: readonly string[];
};
const { HTTPParser } = common;

/** The methods llhttp knows; every other token is an error to it. */
export const LLHTTP_METHODS: readonly string[] = common.methods;

export interface LlhttpMessage {
  /** `GET /path` or a status code. */
  start: string;
  minorVersion: number;
  headers: string[];
  body: string;
  trailers: string[];
  complete: boolean;
  keepAlive: boolean;
  upgrade: boolean;
}

/** Parsers that finished, for the next case: `initialize` makes them as new, as node:http's own free list relies on. */
const free: NodeParser[] = [];

/** One llhttp parser; collects messages when `record` is set. */
export class LlhttpPeer {
  readonly messages: LlhttpMessage[] = [];
  error = '';
  /** llhttp stopped for a tunnel and left the rest. */
  tunnelled = false;
  #parser: NodeParser;
  #current: LlhttpMessage | null = null;
  #lines: string[] = [];
  #url = '';
  readonly #isResponse: boolean;
  /** What the awaited responses' requests were: 'HEAD' has no body. */
  readonly #methods: string[];
  #answered = 0;

  constructor(type: 'request' | 'response', record: boolean, methods: string[] = []) {
    this.#methods = methods;
    this.#isResponse = type === 'response';
    this.#parser = free.pop() ?? new HTTPParser();
    this.#parser.initialize(type === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 60 * 1024);
    const parser = this.#parser;
    if (!record) {
      parser[HTTPParser.kOnHeadersComplete] = () => 0;
      return;
    }
    parser[HTTPParser.kOnHeaders] = (headers: string[], url: string) => {
      // After the first trailers the glue hands lines over in pieces, and the URL with them.
      this.#lines.push(...headers);
      this.#url += url;
    };
    parser[HTTPParser.kOnHeadersComplete] = (
      _major: number,
      minorVersion: number,
      headers: string[] | undefined,
      method: number | undefined,
      url: string | undefined,
      status: number | undefined,
      _reason: string,
      upgrade: boolean,
      keepAlive: boolean,
    ) => this.#head(minorVersion, headers, method, url, status, upgrade, keepAlive);
    parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
      this.#current!.body += bytes.toString('latin1');
    };
    parser[HTTPParser.kOnMessageComplete] = () => {
      const current = this.#current!;
      current.trailers = this.#lines;
      this.#lines = [];
      current.complete = true;
      this.#url = '';
    };
  }

  #head(
    minorVersion: number,
    headers: string[] | undefined,
    method: number | undefined,
    url: string | undefined,
    status: number | undefined,
    upgrade: boolean,
    keepAlive: boolean,
  ): number {
    const all = headers ?? this.#lines;
    const target = url ?? this.#url;
    this.#lines = [];
    this.#url = '';
    this.#current = {
      start: this.#isResponse ? String(status) : `${LLHTTP_METHODS[method!]!} ${target}`,
      minorVersion,
      headers: all,
      body: '',
      trailers: [],
      complete: false,
      keepAlive,
      upgrade,
    };
    this.messages.push(this.#current);
    if (!this.#isResponse || status === undefined) return 0;
    const asked = this.#methods[this.#answered];
    if (status >= 200) this.#answered++;
    // As node:http's client answers: 2 for CONNECT and a wanted upgrade, 1 for no body.
    if ((asked === 'CONNECT' && status >= 200 && status < 300) || (status === 101 && asked === 'UPGRADE')) {
      this.#current.upgrade = true;
      return 2;
    }
    return asked === 'HEAD' ? 1 : 0;
  }

  execute(bytes: Buffer): void {
    if (this.error !== '' || this.tunnelled) return;
    const result = this.#parser.execute(bytes);
    if (typeof result !== 'number') this.error = (result as Error & { code: string }).code;
    else if (result < bytes.length || this.#current?.upgrade === true) this.tunnelled = this.#current?.upgrade === true;
  }

  finish(): void {
    if (this.error !== '' || this.tunnelled) return;
    const result = this.#parser.finish();
    if (result !== undefined) this.error = (result as Error & { code: string }).code;
  }

  /** Gives the native parser back. */
  close(): void {
    free.push(this.#parser);
  }
}
