/** Clients of the soak. Each scenario knows the one right outcome, octet for octet, and says what was wrong with it. */
import { Agent, request as ask, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Random } from '../../src/base/random.ts';
import { OCTETS } from './soak-upstream.ts';

const SIZES = [0, 0, 1, 17, 100, 1000, 4096, 16_384, 16_385, 65_536, 65_537, 200_000, 1_000_000];
const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** Longer than anything that is in order. */
const PATIENCE_MS = 45_000;

export interface Tally {
  /** Scenario → how often. */
  readonly done: Map<string, number>;
  /** Status class, `1xx` to `5xx`, of whole answers to whole requests. */
  readonly answers: Map<string, number>;
  /** Requests of which it is not known whether the proxy saw them, or what it counted them as. */
  aborted: number;
  /** Requests that met a connection which the proxy was just closing, and were sent again. */
  repeated: number;
  readonly faults: string[];
}

export function newTally(): Tally {
  return { done: new Map(), answers: new Map(), aborted: 0, repeated: 0, faults: [] };
}

interface Slice {
  readonly at: number;
  readonly length: number;
}

function slice(random: Random): Slice {
  const length = SIZES[random.int(SIZES.length)]!;
  return { at: random.int(OCTETS.length - length), length };
}
const octets = ({ at, length }: Slice): Buffer => OCTETS.subarray(at, at + length);

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly trailers: NodeJS.Dict<string>;
  readonly body: Buffer;
  readonly interim: readonly number[];
  /** The connection broke inside the body. */
  readonly cut: boolean;
}

interface Ask {
  readonly method: string;
  readonly path: string;
  readonly headers?: Record<string, string | number>;
  readonly body?: Buffer;
  readonly chunked?: boolean;
}

/** Where a body is not what was sent. */
function bodyFault({ body, cut, headers }: Answer, wanted: Buffer): string {
  const length = Math.min(body.length, wanted.length);
  let same = 0;
  while (same < length && body[same] === wanted[same]) same++;
  if (!cut && same === length && body.length === wanted.length) return '';
  return `${body.length} of ${wanted.length} octets, the first ${same} as sent${cut ? ', cut' : ''}, ${JSON.stringify(headers)}`;
}

export class SoakClient {
  readonly #port: number;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #keeping: Agent;
  readonly #closing = new Agent({ keepAlive: false });
  #id = 0;

  constructor(port: number, random: Random, tally: Tally) {
    this.#port = port;
    this.#random = random;
    this.#tally = tally;
    this.#keeping = new Agent({ keepAlive: true, maxSockets: 1 });
  }

  /** One scenario, by chance. */
  async one(): Promise<void> {
    const [name, run] = this.#pick();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('nothing for too long'), PATIENCE_MS);
    });
    const fault = await Promise.race([run().catch((error: unknown) => String(error)), late]);
    clearTimeout(timer);
    this.#tally.done.set(name, (this.#tally.done.get(name) ?? 0) + 1);
    if (fault !== '' && this.#tally.faults.length < 50) this.#tally.faults.push(`${name}: ${fault}`);
  }

  close(): void {
    this.#keeping.destroy();
    this.#closing.destroy();
  }

  #pick(): [string, () => Promise<string>] {
    const dice = this.#random.int(100);
    if (dice < 34) return ['request', () => this.#plain()];
    if (dice < 44) return ['echo', () => this.#echo()];
    if (dice < 52) return ['no body', () => this.#bodyless()];
    if (dice < 58) return ['100-continue', () => this.#expect()];
    if (dice < 68) return ['pipeline', () => this.#pipeline()];
    if (dice < 74) return ['websocket', () => this.#tunnel()];
    if (dice < 80) return ['client abort', () => this.#abort()];
    if (dice < 84) return ['local reply', () => this.#local()];
    if (dice < 88) return ['upstream reset', () => this.#reset()];
    if (dice < 91) return ['upstream cut', () => this.#cut()];
    if (dice < 93) return ['upstream timeout', () => this.#hang()];
    if (dice < 96) return ['flaky upstream', () => this.#flaky()];
    return ['malformed', () => this.#malformed()];
  }

  #nextId(): string {
    return `${this.#random.int(1e9)}-${++this.#id}`;
  }
  #maybe(percent: number): boolean {
    return this.#random.int(100) < percent;
  }

  // === scenarios ===

  async #plain(): Promise<string> {
    const method = METHODS[this.#random.int(METHODS.length)]!;
    const down = slice(this.#random);
    const sends = method === 'POST' || method === 'PUT' || method === 'PATCH' || this.#maybe(5);
    const up = sends ? slice(this.#random) : { at: 0, length: 0 };
    const options = (['chunked', 'hints', 'close'] as const).filter(() => this.#maybe(25));
    const withTrailers = options.includes('chunked') && this.#maybe(30);
    const query = `o=${down.at}&n=${down.length}&uo=${up.at}&un=${up.length}${options.map((one) => `&${one}`).join('')}${withTrailers ? '&trailers' : ''}`;
    const id = this.#nextId();
    const answer = await this.#ask({
      method,
      path: `/bytes?${query}`,
      headers: { 'x-id': id },
      body: sends ? octets(up) : undefined!,
      chunked: this.#maybe(50),
    });
    if (answer.status !== 200) return `status ${answer.status}, ${answer.body.toString('latin1').slice(0, 100)}`;
    if (answer.headers['x-id'] !== id) return `the answer is to ${answer.headers['x-id']}, not to ${id}`;
    if (options.includes('hints') !== answer.interim.includes(103)) return `interim ${answer.interim}`;
    const fault = bodyFault(answer, octets(down));
    if (fault !== '') return `${fault}, ${query}`;
    if (withTrailers && answer.trailers['x-sum'] !== String(down.length))
      return `trailers ${JSON.stringify(answer.trailers)}`;
    return '';
  }

  async #echo(): Promise<string> {
    const body = octets(slice(this.#random));
    const id = this.#nextId();
    const answer = await this.#ask({
      method: 'POST',
      path: `/bytes?act=echo${this.#maybe(50) ? '&length' : ''}`,
      headers: { 'x-id': id },
      body,
      chunked: this.#maybe(50),
    });
    if (answer.status !== 200) return `status ${answer.status}`;
    if (answer.headers['x-id'] !== id) return 'the answer is to another request';
    return bodyFault(answer, body);
  }

  async #bodyless(): Promise<string> {
    const { at, length } = slice(this.#random);
    const kind = this.#random.int(3);
    const method = kind === 0 ? 'HEAD' : 'GET';
    const status = [200, 204, 304][kind]!;
    const id = this.#nextId();
    const answer = await this.#ask({
      method,
      path: `/bytes?o=${at}&n=${length}&status=${status}`,
      headers: { 'x-id': id },
    });
    if (answer.status !== status) return `status ${answer.status} to ${method} ${status}`;
    if (answer.headers['x-id'] !== id) return 'the answer is to another request';
    if (answer.body.length > 0) return `a body of ${answer.body.length} octets`;
    if (kind === 0 && answer.headers['content-length'] !== String(length)) return 'HEAD lost its content-length';
    return '';
  }

  async #expect(): Promise<string> {
    const up = slice(this.#random);
    const id = this.#nextId();
    const answer = await this.#ask({
      method: 'POST',
      path: `/bytes?o=1&n=10&uo=${up.at}&un=${up.length}`,
      headers: { 'x-id': id, expect: '100-continue' },
      body: octets(up),
    });
    if (answer.status !== 200) return `status ${answer.status}`;
    if (!answer.interim.includes(100)) return 'no 100';
    return answer.body.equals(OCTETS.subarray(1, 11)) ? '' : 'the body is not what was sent';
  }

  async #local(): Promise<string> {
    const [path, status] = (
      [
        ['/direct', 418],
        ['/redirect', 301],
        ['/refused', 503],
        ['/empty', 503],
        ['/unknown', 404],
      ] as const
    )[this.#random.int(5)]!;
    const body = this.#maybe(30) ? octets(slice(this.#random)) : undefined;
    const answer = await this.#ask({ method: body === undefined ? 'GET' : 'POST', path, ...(body && { body }) });
    return answer.status === status ? '' : `${path} is ${answer.status}`;
  }

  async #reset(): Promise<string> {
    const answer = await this.#ask({ method: 'GET', path: '/bytes?act=reset' });
    return answer.status === 503 ? '' : `status ${answer.status}`;
  }

  async #cut(): Promise<string> {
    const n = 1000 + this.#random.int(100_000);
    const answer = await this.#ask({ method: 'GET', path: `/bytes?act=cut&o=5&n=${n}` }, this.#closing);
    // The proxy may learn of the reset before it has sent anything on.
    if (answer.status === 503) return '';
    if (!answer.cut) return 'an answer that was cut looks whole';
    return OCTETS.subarray(5, 5 + answer.body.length).equals(answer.body) ? '' : 'what came of the body is not of it';
  }

  async #hang(): Promise<string> {
    const answer = await this.#ask({ method: 'GET', path: '/hang?act=hang' });
    return answer.status === 504 ? '' : `status ${answer.status}`;
  }

  /** The server may be away, or go away before, inside or after the answer. */
  async #flaky(): Promise<string> {
    const { at, length } = slice(this.#random);
    const id = this.#nextId();
    const answer = await this.#ask(
      { method: 'GET', path: `/flaky?o=${at}&n=${length}`, headers: { 'x-id': id } },
      this.#closing,
    );
    if (answer.status === 503) return '';
    if (answer.status !== 200) return `status ${answer.status}`;
    if (answer.headers['x-id'] !== id) return 'the answer is to another request';
    const wanted = OCTETS.subarray(at, at + (answer.cut ? answer.body.length : length));
    return answer.body.equals(wanted) ? '' : 'the body is not what was sent';
  }

  /** Several at once on one connection, answered in order. */
  async #pipeline(): Promise<string> {
    const socket = await this.#connect();
    const reader = new Reader(socket);
    const wanted = Array.from({ length: 2 + this.#random.int(7) }, () => {
      const { at, length } = slice(this.#random);
      const down = { at, length: Math.min(length, 70_000) };
      const sends = this.#maybe(40);
      const up = sends ? { at, length: Math.min(length, 5000) } : { at: 0, length: 0 };
      return { id: this.#nextId(), down, up, sends, head: !sends && this.#maybe(10), chunked: this.#maybe(50) };
    });
    const texts = wanted.map(({ id, down, up, sends, head, chunked }) => {
      const query = `o=${down.at}&n=${down.length}&uo=${up.at}&un=${up.length}${chunked ? '&chunked' : ''}`;
      const start = `${sends ? 'POST' : head ? 'HEAD' : 'GET'} /bytes?${query} HTTP/1.1\r\nHost: soak\r\nx-id: ${id}\r\n`;
      const body = octets(up).toString('latin1');
      if (!sends) return `${start}\r\n`;
      return chunked && body !== ''
        ? `${start}Transfer-Encoding: chunked\r\n\r\n${up.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
        : `${start}Content-Length: ${up.length}\r\n\r\n${body}`;
    });
    const all = Buffer.from(texts.join(''), 'latin1');
    const cut = this.#maybe(50) ? this.#random.int(all.length) : all.length;
    socket.write(all.subarray(0, cut));
    if (cut < all.length) setImmediate(() => socket.write(all.subarray(cut)));
    let answered = 0;
    try {
      for (const { id, down, head } of wanted) {
        const answer = await reader.answer(head);
        this.#count(answer.status);
        answered++;
        if (answer.status !== 200) return `status ${answer.status} of ${answered} in ${wanted.length}`;
        if (!answer.head.includes(`x-id: ${id}\r\n`)) return `answers in another order: ${answered}`;
        if (!answer.body.equals(head ? Buffer.alloc(0) : octets(down)))
          return `body of answer ${answered} of ${wanted.length}`;
        if (/^connection: close\r$/im.test(answer.head)) break;
      }
      // Those behind an announced close are never seen.
      return '';
    } finally {
      socket.destroy();
      await reader.closed;
    }
  }

  async #tunnel(): Promise<string> {
    const socket = await this.#connect();
    const reader = new Reader(socket);
    const id = this.#nextId();
    socket.write(
      `GET /bytes HTTP/1.1\r\nHost: soak\r\nx-id: ${id}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );
    try {
      const head = await reader.head();
      if (!head.startsWith('HTTP/1.1 101 ')) return `not a tunnel: ${head.slice(0, 60)}`;
      if (!head.includes(`x-id: ${id}\r\n`)) return 'a tunnel to another request';
      this.#count(101);
      for (let i = this.#random.int(6); i >= 0; i--) {
        const sent = octets(slice(this.#random));
        socket.write(sent);
        if (!(await reader.bytes(sent.length)).equals(sent)) return 'the tunnel changed its octets';
      }
      if (this.#maybe(70)) {
        socket.end();
        await reader.ended();
      } else if (this.#maybe(50)) socket.resetAndDestroy();
      return '';
    } finally {
      socket.destroy();
      await reader.closed;
    }
  }

  /** Goes away inside the request, while it waits, or inside the answer. */
  async #abort(): Promise<string> {
    const socket = await this.#connect();
    const kind = this.#random.int(4);
    const n = 100_000 + this.#random.int(900_000);
    if (kind === 0) {
      socket.write(`POST /bytes?act=echo HTTP/1.1\r\nHost: soak\r\nx-id: 1\r\nContent-Length: ${n}\r\n\r\n`);
      socket.write(OCTETS.subarray(0, n >> 1));
    } else if (kind === 1) socket.write('GET /hang?act=hang HTTP/1.1\r\nHost: soak\r\n\r\n');
    else if (kind === 2) socket.write(`GET /bytes?o=0&n=${n}&chunked HTTP/1.1\r\nHost: soak\r\nx-id: 1\r\n\r\n`);
    else socket.write('GET /bytes?o=0&n=5 HTTP/1.1\r\nHost: so');
    this.#tally.aborted++;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await new Promise((resolve) => setTimeout(resolve, this.#random.int(30)));
    if (this.#maybe(50)) socket.resetAndDestroy();
    else socket.destroy();
    await closed;
    return '';
  }

  async #malformed(): Promise<string> {
    const socket = await this.#connect();
    const reader = new Reader(socket);
    const bad = [
      'GET / HTTP/1.1\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n',
      'POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx',
    ][this.#random.int(4)]!;
    socket.write(bad);
    try {
      const answer = await reader.answer(false);
      this.#count(answer.status);
      return answer.status === 400 ? '' : `status ${answer.status}`;
    } finally {
      socket.destroy();
      await reader.closed;
    }
  }

  // === means ===

  #count(status: number): void {
    const name = `${Math.floor(status / 100)}xx`;
    this.#tally.answers.set(name, (this.#tally.answers.get(name) ?? 0) + 1);
  }

  #connect(): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true, allowHalfOpen: true });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        socket.on('error', () => {});
        resolve(socket);
      });
    });
  }

  /** Whole exchange by node:http; again when a kept connection was closed under it, as every client does. */
  async #ask(what: Ask, agent = this.#maybe(75) ? this.#keeping : this.#closing): Promise<Answer> {
    for (let tries = 0; ; tries++) {
      const outcome = await this.#try(what, agent);
      if (!('repeat' in outcome)) {
        this.#count(outcome.status);
        return outcome;
      }
      if (!outcome.repeat || tries > 3) throw new Error(`${what.method} ${what.path}: ${outcome.why}`);
      this.#tally.repeated++;
    }
  }

  #try(
    { method, path, headers = {}, body, chunked }: Ask,
    agent: Agent,
  ): Promise<Answer | { repeat: boolean; why: string }> {
    return new Promise((resolve) => {
      const interim: number[] = [];
      const sent: ClientRequest = ask({
        host: '127.0.0.1',
        port: this.#port,
        method,
        path,
        agent,
        headers: {
          host: 'soak',
          ...headers,
          ...(body === undefined
            ? {}
            : chunked
              ? { 'transfer-encoding': 'chunked' }
              : { 'content-length': body.length }),
        },
      });
      sent.on('information', ({ statusCode }) => interim.push(statusCode));
      sent.on('continue', () => {
        interim.push(100);
        sent.end(body);
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        const closed = error.code === 'ECONNRESET' || error.code === 'EPIPE';
        resolve({ repeat: sent.reusedSocket && closed, why: `${error.code} ${error.message}` });
      });
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        const done = (cut: boolean): void =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            trailers: response.trailers,
            body: Buffer.concat(chunks),
            interim,
            cut,
          });
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', () => done(true));
        response.on('end', () => done(!response.complete));
      });
      if (headers['expect'] === undefined) sent.end(body);
      else sent.flushHeaders();
    });
  }
}

/** Answers off a socket, octet by octet. */
class Reader {
  readonly closed: Promise<void>;
  #chunks: Buffer[] = [];
  #held = 0;
  #over = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#held += chunk.length;
      this.#wake();
    });
    socket.on('end', () => {
      this.#over = true;
      this.#wake();
    });
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        this.#over = true;
        this.#wake();
        resolve();
      }),
    );
  }

  async ended(): Promise<void> {
    while (!this.#over) await this.#more();
  }

  async bytes(count: number): Promise<Buffer> {
    while (this.#held < count) {
      if (this.#over) throw new Error(`the connection ended, ${count - this.#held} octets short`);
      await this.#more();
    }
    const all = this.#all();
    this.#keep(all.subarray(count));
    return all.subarray(0, count);
  }

  /** A head, or a line of `end`. */
  async head(end = '\r\n\r\n'): Promise<string> {
    for (;;) {
      const all = this.#all();
      const at = all.indexOf(end, 0, 'latin1');
      if (at >= 0) {
        this.#keep(all.subarray(at + end.length));
        return all.toString('latin1', 0, at + end.length);
      }
      if (this.#over) throw new Error(`the connection ended: ${JSON.stringify(all.toString('latin1', 0, 100))}`);
      await this.#more();
    }
  }

  /** A final answer; interim ones are passed over. */
  async answer(isHead: boolean): Promise<{ status: number; head: string; body: Buffer }> {
    let head = await this.head();
    while (/^HTTP\/1\.1 1/.test(head)) head = await this.head();
    const status = Number(head.slice(9, 12));
    const length = /^content-length: (\d+)\r$/im.exec(head)?.[1];
    if (isHead || status === 204 || status === 304) return { status, head, body: Buffer.alloc(0) };
    if (length !== undefined) return { status, head, body: await this.bytes(Number(length)) };
    const parts: Buffer[] = [];
    for (;;) {
      const size = Number.parseInt(await this.head('\r\n'), 16);
      if (Number.isNaN(size)) throw new Error('not a chunk');
      if (size === 0) break;
      parts.push(await this.bytes(size));
      if ((await this.head('\r\n')) !== '\r\n') throw new Error('a chunk is longer than its size');
    }
    while ((await this.head('\r\n')) !== '\r\n');
    return { status, head, body: Buffer.concat(parts) };
  }

  #all(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }
  #keep(rest: Buffer): void {
    this.#chunks = [rest];
    this.#held = rest.length;
  }
  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
