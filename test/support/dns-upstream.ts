import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { framed, TcpMessages } from '../../src/protocol/dns/tcp-messages.ts';

/** A query as the server got it. */
export interface SeenQuery {
  readonly transport: 'udp' | 'tcp';
  readonly bytes: Uint8Array;
  readonly port: number;
  answer(message: Uint8Array): void;
}

/** A DNS server of a test on UDP and TCP of loopback; it says nothing that the test does not let it say. */
export class DnsUpstream {
  readonly port: number;
  readonly seen: SeenQuery[] = [];
  /** Answers at once what it is given; null: the test answers. */
  onQuery: ((query: SeenQuery) => void) | null = null;
  readonly #close: () => void;
  readonly #wakers: (() => void)[] = [];

  constructor(port: number, close: () => void) {
    this.port = port;
    this.#close = close;
  }

  /** The query number `index` (from 0), once it is there. */
  async query(index: number): Promise<SeenQuery> {
    while (this.seen.length <= index) await new Promise<void>((resolve) => this.#wakers.push(resolve));
    return this.seen[index]!;
  }
  take(query: SeenQuery): void {
    this.seen.push(query);
    this.onQuery?.(query);
    for (const wake of this.#wakers.splice(0)) wake();
  }
  close(): void {
    this.#close();
  }
}

/** Listens on `host` at `port`, or at one that is free for both. */
export async function dnsUpstream(host = '127.0.0.1', port = 0): Promise<DnsUpstream> {
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    const messages = new TcpMessages();
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      for (const bytes of messages.push(chunk) ?? []) {
        const answer = (message: Uint8Array): void => void socket.write(framed(message));
        upstream.take({ transport: 'tcp', bytes: Uint8Array.from(bytes), port: socket.remotePort ?? 0, answer });
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    tcp.once('error', reject);
    tcp.listen({ host, port }, resolve);
  });
  const chosen = (tcp.address() as { port: number }).port;
  const udp = createSocket('udp4');
  const upstream = new DnsUpstream(chosen, () => {
    udp.close();
    tcp.close();
    for (const socket of sockets) socket.destroy();
  });
  udp.on('message', (bytes, { port: from, address }) => {
    const answer = (message: Uint8Array): void => udp.send(message, from, address);
    upstream.take({ transport: 'udp', bytes, port: from, answer });
  });
  await new Promise<void>((resolve, reject) => {
    udp.once('error', reject);
    udp.bind({ address: host, port: chosen }, resolve);
  });
  return upstream;
}
