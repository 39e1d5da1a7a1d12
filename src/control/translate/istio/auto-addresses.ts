import type { MeshService } from '../../mesh/service.ts';

/** A ServiceEntry that gets none: Istio's label. */
export const AUTO_ALLOCATE_LABEL = 'networking.istio.io/enable-autoallocate-ip';

/** Istio's: 240.240.0.0/16 is reserved (class E), and 2001:2::/48 for benchmarks (RFC 5180): neither leaves the pod. */
export const AUTO_RANGES: readonly string[] = ['240.240.0.0/16', '2001:2::/48'];
const SLOTS = 256 * 254;
const PRIME = 65_011;
const OCTET = 255;

/**
 * Addresses for hosts that have none, so that a program which calls them tells by the address whom it means; sidecars
 * that answer DNS give them out. By a hash of namespace and host as istiod does, so that each control server allocates the
 * same; where two meet, the one that comes first keeps it.
 */
export class AutoAddresses {
  readonly #taken = new Set<number>();

  /** The IPv4 and the IPv6 address of the host; none when all are taken. */
  allocate(namespace: string, host: string): readonly string[] {
    const hash = fnv1a(`${namespace}/${host}`);
    let slot = hash % SLOTS;
    const step = PRIME - (hash % PRIME);
    for (let i = 1; this.#taken.has(slot) || (slot + 1) % OCTET === 0; i++) {
      if (i > SLOTS) return [];
      slot = ((hash + Math.imul(i, step)) >>> 0) % (SLOTS - 1);
    }
    this.#taken.add(slot);
    const third = Math.floor((slot + 1) / OCTET);
    const fourth = (slot + 1) % OCTET;
    return [`240.240.${third}.${fourth}`, `2001:2::f0f0:${((third << 8) | fourth).toString(16)}`];
  }
}

/** Whether it may be one of them. */
export function isAutoAddress(address: string): boolean {
  return address.startsWith('240.240.') || address.startsWith('2001:2::');
}

/** Whether a host can have one: a name, which is resolved by somebody, and has none yet. */
export function wantsAddress({ host, resolution, addresses }: MeshService): boolean {
  return addresses.length === 0 && resolution !== 'passthrough' && !host.startsWith('*');
}

/** FNV-1a, 32 bits. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const octet of Buffer.from(text)) hash = Math.imul(hash ^ octet, 0x01000193) >>> 0;
  return hash;
}
