import net, { type Server } from 'node:net';
import { isIPv4 } from '../../base/ip.ts';

/**
 * Keeps listening sockets beyond this process, for one that takes over from it: as long as somebody has a socket open,
 * the connections in its queue wait. null in its place: nobody keeps them.
 */
export interface ListenSockets {
  /** What `Server.listen` takes in place of the address: a socket that was kept under this key; null: there is none. */
  take(key: string, address: ListenAddress): Promise<object | null>;
  /** A server listens on a socket that is to be kept. */
  keep(key: string, server: Server): void;
  /** The socket is not to be listened on any more: who connects is to be refused, not to wait for nobody. */
  release(key: string): void;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly backlog?: number;
  readonly ipv6Only?: boolean;
}

/** What a socket is kept under: its address, and for one that the system chose, who listens on it. */
export function socketKey(name: string, { host, port }: { readonly host: string; readonly port: number }): string {
  return port === 0 ? `${name}@${host}:0` : `${host}:${port}`;
}

/**
 * Listens on the socket that is kept for the address, or binds it and has it kept. `listening` as of the server. What is
 * bound first is spared Node's way through its resolver and a regular expression for IPv6, 8 ms of a start.
 */
export async function listenKept(
  server: Server,
  key: string,
  address: ListenAddress,
  sockets: ListenSockets | null,
): Promise<void> {
  const kept = sockets === null ? null : await sockets.take(key, address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const listening = (): void => {
      server.removeListener('error', reject);
      resolve();
    };
    if (kept === null && (net.BoundSocket === undefined || !isIPv4(address.host))) server.listen(address, listening);
    else server.listen(kept ?? new net.BoundSocket(address), address.backlog, listening);
  });
  if (kept === null) sockets?.keep(key, server);
}
