import type { LookupAddress } from 'node:dns';
import type { NetConnectOpts, Socket } from 'node:net';
import { isIPv6 } from '../../base/ip.ts';
import { formatAddress, type SocketAddress } from '../../model/address.ts';

/** Between the begin of an attempt and that of the next one, Envoy's (RFC 8305, 5: Connection Attempt Delay). */
const ATTEMPT_MS = 300;

/**
 * The addresses of an endpoint that has several (`additional_addresses`): tried in turn, families by turns, until one
 * answers (RFC 8305). The one that answered last is tried first, so that a family that leads nowhere costs its delay
 * once. Unlike Envoy's, an attempt that is late ends when the next one begins; the last has all of the connect timeout.
 */
export class HappyEyeballs {
  #order: readonly LookupAddress[];
  readonly #port: number;
  /** What the order was made of. */
  readonly addresses: readonly SocketAddress[];

  constructor(addresses: readonly SocketAddress[]) {
    this.addresses = addresses;
    this.#port = addresses[0]?.port ?? 0;
    this.#order = addresses.map(({ host }) => ({ address: host, family: isIPv6(host) ? 6 : 4 }));
  }

  /** How to connect; instead of `host`. */
  get options(): NetConnectOpts {
    const order = [...this.#order];
    return {
      // Not an address, else it would not be looked up.
      host: 'endpoint',
      port: this.#port,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ATTEMPT_MS,
      lookup: (_name, _options, callback) => callback(null, order),
    };
  }

  /** The address of that family, else the first. */
  of(six: boolean): string {
    const first = this.#order[0]!;
    return (this.#order.find(({ family }) => (family === 6) === six) ?? first).address;
  }

  /** Learns from how a connection that was made by {@link options} goes. */
  follow(socket: Socket): void {
    let made = false;
    socket.once('connect', () => {
      made = true;
      this.#prefer(socket.remoteFamily === 'IPv6' ? 6 : 4);
    });
    // The first one may only have been late: another time it has all of the connect timeout.
    socket.once('close', () => {
      if (!made) this.#order = [...this.#order.slice(1), ...this.#order.slice(0, 1)];
    });
  }

  #prefer(family: number): void {
    if (this.#order[0]?.family === family) return;
    this.#order = this.#order.toSorted((a, b) => Number(b.family === family) - Number(a.family === family));
  }
}

/** Where a connection leads that had several addresses to choose from; undefined: it has gone. */
export function remoteAddressOf({ remoteAddress, remotePort }: Socket): string | undefined {
  return remoteAddress === undefined ? undefined : formatAddress({ host: remoteAddress, port: remotePort ?? 0 });
}
