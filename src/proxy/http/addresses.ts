import { isIPv4 } from '../../base/ip.ts';
import type { CidrRange } from '../../model/address.ts';
import { type AddressTest, compileCidr } from '../matcher/cidr.ts';

/** Asks whether an address is inside a set of ranges; answers are kept for the last few addresses asked. */
export class AddressRanges {
  readonly #ranges: readonly AddressTest[];
  readonly #known = new Map<string, boolean>();

  constructor(ranges: readonly CidrRange[]) {
    this.#ranges = ranges.map(compileCidr);
  }

  contains(address: string): boolean {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    const plain = plainAddress(address);
    const inside = this.#ranges.some((holds) => holds(plain));
    // A set of remote addresses is open-ended: forget rather than grow.
    if (this.#known.size >= 1024) this.#known.clear();
    this.#known.set(address, inside);
    return inside;
  }
}

/**
 * The ranges a connection manager calls internal: none without `internal_address_config`, since whoever comes in by a
 * load balancer has a private address (Envoy since 1.33, GHSA-ffhv-fvxq-r6mf).
 */
export function internalAddresses(configured: readonly CidrRange[] | null): AddressRanges {
  return new AddressRanges(configured ?? []);
}

/** The address as logs and headers show it: without the IPv6 prefix of a mapped IPv4 address. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  if (!address.startsWith('::ffff:')) return address;
  const rest = address.slice(7);
  return isIPv4(rest) ? rest : address;
}
