import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { errorCode, messageOf, RemoraError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';
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
  listen(address: SocketAddress): Promise<SocketAddress> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    server.maxConnections = MAX_CONNECTIONS;
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        // `::` is every address of both families, and a machine without IPv6 has only the other.
        const v4 = address.host === '::' && ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(errorCode(error) ?? '');
        if (v4) this.listen({ ...address, host: '0.0.0.0' }).then(resolve, reject);
        else reject(bindError(this.#options.name, address, error));
      });
      server.listen({ host: address.host, port: address.port }, () => {
        server.removeAllListeners('error');
        server.on('error', (error) => this.#options.log.error(`${this.#options.name}: ${messageOf(error)}`));
        const bound = server.address();
        resolve({ host: address.host, port: bound !== null && typeof bound === 'object' ? bound.port : address.port });
      });
    });
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

function bindError(name: string, address: SocketAddress, error: Error): RemoraError {
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
