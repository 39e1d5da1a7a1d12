import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
import { type ListenSockets, listenKept, socketKey } from '../io/listen-sockets.ts';
import { AdminConnection } from './connection.ts';
import type { HostPolicy } from './host.ts';
import { type AdminRoute, RouteList } from './route.ts';

/** More clients than anybody has at once; beyond it connections are refused. */
const MAX_CONNECTIONS = 128;

export interface AdminServerOptions {
  /** What errors call it: `admin`, `health`, … */
  readonly name: string;
  readonly routes: readonly AdminRoute[];
  readonly hosts: HostPolicy;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly log: Logger;
  /** Who keeps the socket for a process that takes over; null or absent: nobody. */
  readonly sockets?: ListenSockets | null;
}

/** What the connections of a server share. */
export interface ServerContext {
  readonly routes: RouteList;
  readonly hosts: HostPolicy;
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly log: Logger;
}

/**
 * A small HTTP/1.1 server for people, probes and scrapers, over the proxy's own parser: node:http would cost the
 * process as much memory as everything else in it. One answer at a time per connection, keep-alive, pipelining.
 */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #context: ServerContext;
  readonly #connections = new Set<AdminConnection>();
  #server: Server | null = null;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#context = { ...options, routes: new RouteList(options.routes) };
  }

  get name(): string {
    return this.#options.name;
  }
  get connections(): number {
    return this.#connections.size;
  }

  /** Binds, and resolves with the address (port 0 resolved). Rejects with one line that says what to do. */
  async listen(address: SocketAddress): Promise<SocketAddress> {
    const { name, log, sockets = null } = this.#options;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    server.maxConnections = MAX_CONNECTIONS;
    this.#server = server;
    try {
      await listenKept(server, socketKey(name, address), { host: address.host, port: address.port }, sockets);
    } catch (error) {
      throw bindError(name, address, error);
    }
    server.on('error', (error) => log.error(`${name}: ${messageOf(error)}`));
    const bound = server.address();
    return { host: address.host, port: bound !== null && typeof bound === 'object' ? bound.port : address.port };
  }

  /** Another process has the socket too: this one accepts no more, and ends who is connected after its answer. */
  leave(): void {
    this.#server?.close();
    for (const connection of [...this.#connections]) connection.end();
  }

  /** Stops accepting and cuts every connection; resolves when the port is free. */
  close(): Promise<void> {
    const server = this.#server;
    if (server === null) return Promise.resolve();
    this.#server = null;
    return new Promise((resolve) => {
      server.close(() => resolve());
      for (const connection of [...this.#connections]) connection.destroy();
    });
  }

  #accept(socket: Socket): void {
    const connection = new AdminConnection(socket, this.#context, () => this.#connections.delete(connection));
    this.#connections.add(connection);
  }
}

function bindError(name: string, address: SocketAddress, error: unknown): RemoraError {
  const at = formatAddress(address);
  const code = errorCode(error);
  const why =
    code === 'EADDRINUSE'
      ? `${at} is in use: stop what listens there or choose another port`
      : code === 'EACCES'
        ? `no permission to listen on ${at}: ports below 1024 need privileges`
        : `cannot listen on ${at}: ${messageOf(error)}`;
  return new RemoraError('bind', `${name}: ${why}`, { source: 'user', cause: error });
}
