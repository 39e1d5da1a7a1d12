import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { errorCode, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import { type Query, RCODE, readResponse, withId } from '../../protocol/dns/message.ts';
import { framed, TcpMessages } from '../../protocol/dns/tcp-messages.ts';
import type { DnsStats } from './stats.ts';

export type DnsTransport = 'udp' | 'tcp';

export interface ForwarderOptions {
  /** In the order in which they are asked; none: nothing can be passed on. */
  readonly servers: readonly SocketAddress[];
  /** How long a server may take. */
  readonly attemptMs: number;
  /** How often each is asked. */
  readonly attempts: number;
  /** Queries that may wait at once. */
  readonly maxInFlight: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: DnsStats;
  /** Ids that nobody can guess, 0 to 65535. */
  readonly nextId: () => number;
}

/** Datagrams that are no answer to the question, before a server is given up: somebody guesses. */
const MAX_STRAYS = 16;
/** Warnings are this far apart. */
const WARN_EVERY_MS = 10_000;

/**
 * Passes queries on to the pod's own resolvers, octet for octet but for the id, each from a port and with an id of its
 * own (RFC 5452). The next server is asked when one is silent, away, or says that it failed; the answer comes by the
 * transport that the client chose, so one that was cut brings the client back over TCP.
 */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #running = new Set<Exchange>();
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  get inFlight(): number {
    return this.#running.size;
  }

  /** Calls `done` once, with the answer under the client's id, or null when nobody gave one. */
  forward(query: Query, transport: DnsTransport, done: (answer: Uint8Array | null, rcode: number) => void): void {
    const { stats, servers, maxInFlight, clock } = this.#options;
    stats.upstreamRequest();
    if (servers.length === 0) {
      this.#fail('/etc/resolv.conf names no server', query);
      done(null, RCODE.SERVFAIL);
      return;
    }
    if (this.#running.size >= maxInFlight) {
      this.#fail(`${maxInFlight} queries wait already`, query);
      done(null, RCODE.SERVFAIL);
      return;
    }
    const start = clock.now();
    const exchange = new Exchange(query, transport, this.#options, (answer, rcode, reason) => {
      this.#running.delete(exchange);
      stats.upstreamTook(clock.now() - start);
      if (answer === null) this.#fail(reason, query);
      done(answer, rcode);
    });
    this.#running.add(exchange);
    exchange.next();
  }

  /** Nobody is waited for any more. */
  close(): void {
    for (const exchange of [...this.#running]) exchange.cancel();
    this.#running.clear();
  }

  #fail(reason: string, { name }: Query): void {
    const { stats, clock, log } = this.#options;
    stats.upstreamFailure();
    const now = clock.now();
    if (now - this.#warnedAt < WARN_EVERY_MS) return;
    this.#warnedAt = now;
    log.warn('a name could not be resolved', { name, reason });
  }
}

/** One query on its way from server to server. */
class Exchange {
  readonly #query: Query;
  readonly #transport: DnsTransport;
  readonly #options: ForwarderOptions;
  readonly #done: (answer: Uint8Array | null, rcode: number, reason: string) => void;
  #asked = 0;
  #timer: TimerHandle | null = null;
  #closeSocket: (() => void) | null = null;
  /** The best that was answered so far: a server's own failure. */
  #fallback: { readonly answer: Uint8Array; readonly rcode: number } | null = null;

  constructor(
    query: Query,
    transport: DnsTransport,
    options: ForwarderOptions,
    done: (answer: Uint8Array | null, rcode: number, reason: string) => void,
  ) {
    this.#query = query;
    this.#transport = transport;
    this.#options = options;
    this.#done = done;
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#closeSocket?.();
    this.#closeSocket = null;
  }

  /** Asks the next server; `why` the one before gave nothing. */
  next(why = ''): void {
    this.cancel();
    const { servers, attempts, attemptMs, clock } = this.#options;
    const server = this.#asked < servers.length * attempts ? servers[this.#asked % servers.length] : undefined;
    this.#asked++;
    if (server === undefined) {
      this.#done(this.#fallback?.answer ?? null, this.#fallback?.rcode ?? RCODE.SERVFAIL, why);
      return;
    }
    this.#timer = clock.after(attemptMs, () => this.next(`${formatAddress(server)} did not answer in ${attemptMs} ms`));
    const id = this.#options.nextId();
    const message = withId(this.#query.bytes, id);
    const failed = (error: unknown): void =>
      this.next(`${formatAddress(server)}: ${errorCode(error) ?? messageOf(error)}`);
    const answered = (bytes: Uint8Array): boolean => this.#answered(bytes, id, server);
    if (this.#transport === 'udp') this.#closeSocket = askByUdp(server, message, answered, failed);
    else this.#closeSocket = askByTcp(server, message, answered, failed);
  }

  /** False when this is not the answer. */
  #answered(bytes: Uint8Array, id: number, server: SocketAddress): boolean {
    const response = readResponse(bytes, this.#query, id);
    if (response === null) return false;
    const { rcode } = response;
    const answer = withId(bytes, this.#query.id);
    // As the C library does: another server may know better.
    if (rcode === RCODE.SERVFAIL || rcode === RCODE.NOTIMP || rcode === RCODE.REFUSED) {
      this.#fallback = { answer, rcode };
      this.next(`${formatAddress(server)} answers with code ${rcode}`);
      return true;
    }
    this.cancel();
    this.#done(answer, rcode, '');
    return true;
  }
}

type Ask = (
  server: SocketAddress,
  message: Uint8Array,
  answered: (bytes: Uint8Array) => boolean,
  failed: (error: unknown) => void,
) => () => void;

/** From a new socket: the system gives it a port by chance. Connected, it hears of nobody but the server. */
const askByUdp: Ask = ({ host, port }, message, answered, failed) => {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  let closed = false;
  let strays = 0;
  const close = (): void => {
    if (closed) return;
    closed = true;
    socket.close();
  };
  const fail = (error: unknown): void => {
    if (!closed) failed(error);
  };
  socket.on('error', fail);
  socket.on('message', (bytes) => {
    if (closed || answered(bytes)) return;
    if (++strays === MAX_STRAYS) failed(new Error('answers that nobody asked for'));
  });
  socket.connect(port, host, (error?: Error) => {
    if (closed) return;
    if (error) fail(error);
    else socket.send(message);
  });
  return close;
};

const askByTcp: Ask = ({ host, port }, message, answered, failed) => {
  const socket = connect({ host, port });
  const messages = new TcpMessages();
  let closed = false;
  const fail = (error: unknown): void => {
    if (!closed) failed(error);
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('closed the connection')));
  socket.on('data', (chunk: Buffer) => {
    for (const bytes of messages.push(chunk) ?? []) if (closed || answered(bytes)) return;
  });
  socket.write(framed(message));
  return () => {
    closed = true;
    socket.destroy();
  };
};
