import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock, TimerHandle } from '../../base/clock.ts';
import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import { framed, TcpMessages } from '../../protocol/dns/tcp-messages.ts';
import { type ListenSockets, listenKept, socketKey } from '../io/listen-sockets.ts';
import type { Responder } from './responder.ts';

/** A query is short; what is longer is none. */
const MAX_QUERY = 4096;
const MAX_CONNECTIONS = 256;
/** Queries of one connection that wait (RFC 7766 section 6.2.1.1); then it is not read any further. */
const MAX_PIPELINED = 64;
/** A client that does not read its answers is cut off. */
const MAX_UNREAD = 1 << 20;
/** RFC 7766 section 6.2.3: some seconds. */
const IDLE_MS = 10_000;

export interface DnsServerOptions {
  readonly responder: Pick<Responder, 'handle'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Who keeps the TCP socket for a process that takes over, beside which this one then answers for a while. */
  readonly sockets: ListenSockets | null;
}

/** Listens for DNS over UDP and TCP on one address. */
export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #connections = new Set<Connection>();
  #udp: UdpSocket | null = null;
  #tcp: Server | null = null;

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  /** Binds both; resolves with the address (port 0 resolved). Rejects with one line that says what to do. */
  async listen({ host, port }: SocketAddress, tries = 10): Promise<SocketAddress> {
    const { sockets, log } = this.#options;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    server.maxConnections = MAX_CONNECTIONS;
    this.#tcp = server;
    try {
      await listenKept(server, socketKey('dns', { host, port }), { host, port }, sockets);
      server.on('error', (error) => log.error(`dns: ${messageOf(error)}`));
      const bound = server.address();
      const at = { host, port: bound !== null && typeof bound === 'object' ? bound.port : port };
      await this.#listenUdp(at);
      return at;
    } catch (error) {
      await this.close();
      // The system chose a port that is free for TCP alone.
      if (port === 0 && tries > 1 && errorCode(error) === 'EADDRINUSE') return this.listen({ host, port }, tries - 1);
      throw bindError({ host, port }, error);
    }
  }

  /** Another process has the address too: this one answers what it has. */
  leave(): void {
    this.#udp?.close();
    this.#udp = null;
    this.#tcp?.close();
  }

  async close(): Promise<void> {
    this.#udp?.close();
    this.#udp = null;
    const server = this.#tcp;
    this.#tcp = null;
    for (const connection of [...this.#connections]) connection.destroy();
    if (server?.listening) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async #listenUdp({ host, port }: SocketAddress): Promise<void> {
    const six = host.includes(':');
    // Beside the process before, which has the port still.
    const reusePort = this.#options.sockets !== null;
    const socket = createSocket(six ? { type: 'udp6', ipv6Only: true, reusePort } : { type: 'udp4', reusePort });
    this.#udp = socket;
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address: host, port }, () => {
        socket.removeListener('error', reject);
        resolve();
      });
    });
    socket.on('error', (error) => this.#options.log.error(`dns: ${messageOf(error)}`));
    socket.on('message', (bytes, { address, port }) => {
      this.#options.responder.handle(bytes, 'udp', (answer) => {
        // A client that has gone is nobody's error.
        if (this.#udp === socket) socket.send(answer, port, address, () => {});
      });
    });
  }

  #accept(socket: Socket): void {
    const connection = new Connection(socket, this.#options, () => this.#connections.delete(connection));
    this.#connections.add(connection);
  }
}

/** One client over TCP: any number of queries, one after the other or at once; answers come as they are there. */
class Connection {
  readonly #socket: Socket;
  readonly #options: DnsServerOptions;
  readonly #messages = new TcpMessages(MAX_QUERY);
  #waiting = 0;
  #ended = false;
  #idle: TimerHandle | null = null;

  constructor(socket: Socket, options: DnsServerOptions, closed: () => void) {
    this.#socket = socket;
    this.#options = options;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => {
      this.#ended = true;
      this.#endAnswered();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#idle?.cancel();
      this.#idle = null;
      closed();
    });
    this.#armIdle();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Uint8Array): void {
    const messages = this.#messages.push(chunk);
    if (messages === null) {
      this.destroy();
      return;
    }
    for (const message of messages) {
      this.#waiting++;
      // Views over the chunk: what waits must not keep all of it.
      this.#options.responder.handle(Uint8Array.from(message), 'tcp', (answer) => this.#write(answer));
    }
    if (this.#waiting >= MAX_PIPELINED) this.#socket.pause();
    this.#armIdle();
  }

  #write(answer: Uint8Array): void {
    this.#waiting--;
    if (this.#socket.destroyed) return;
    this.#socket.write(framed(answer));
    if (this.#socket.writableLength > MAX_UNREAD) this.destroy();
    else if (this.#waiting < MAX_PIPELINED && this.#socket.isPaused()) this.#socket.resume();
    this.#endAnswered();
    this.#armIdle();
  }

  /** A client that says no more still gets what it asked for. */
  #endAnswered(): void {
    if (this.#ended && this.#waiting === 0) this.#socket.end();
  }

  #idled(): void {
    this.#idle = null;
    if (this.#waiting === 0 || this.#messages.pending > 0) this.destroy();
    else this.#armIdle();
  }

  /** From the last that was heard or said. A message that trickles in is no life. */
  #armIdle(): void {
    if (this.#messages.pending > 0 && this.#idle !== null) return;
    this.#idle?.cancel();
    this.#idle = this.#socket.destroyed ? null : this.#options.clock.after(IDLE_MS, () => this.#idled());
  }
}

function bindError(address: SocketAddress, error: unknown): RemoraError {
  const at = formatAddress(address);
  const code = errorCode(error);
  const why =
    code === 'EADDRINUSE'
      ? `${at} is in use: stop what listens there or choose another port`
      : `cannot listen on ${at}: ${messageOf(error)}`;
  return new RemoraError(code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT' ? 'no_address' : 'bind', `dns: ${why}`, {
    source: 'user',
    cause: error,
  });
}
