import { formatAddress, type SocketAddress } from '../../model/address.ts';
import type { Listener } from './listener.ts';

/** Which listener is for which address, bound or not; for those that hand connections on by original destination. */
export class ListenerIndex {
  #byAddress: ReadonlyMap<string, Listener> = new Map();

  /** Of several at an address the first counts. */
  update(listeners: Iterable<Listener>): void {
    const byAddress = new Map<string, Listener>();
    for (const listener of listeners) {
      for (const address of listener.config.addresses) {
        const key = formatAddress(address);
        if (!byAddress.has(key)) byAddress.set(key, listener);
      }
    }
    this.#byAddress = byAddress;
  }

  /** By the very address, else by the wildcard of its family with that port, as Envoy looks for them. */
  find({ host, port }: SocketAddress): Listener | null {
    const exact = this.#byAddress.get(formatAddress({ host, port }));
    if (exact !== undefined) return exact;
    const wildcard = host.includes(':') ? `[::]:${port}` : `0.0.0.0:${port}`;
    return this.#byAddress.get(wildcard) ?? null;
  }
}
