import type { CidrRange } from '../../model/address.ts';

/** A compiled address range: whether the text of an address lies in it. What is no address lies nowhere. */
export type AddressTest = (address: string) => boolean;

/** Compiles a range. The prefix must be an address and its length at most the address's bits. Asking makes no garbage. */
export function compileCidr({ address, prefixLength }: CidrRange): AddressTest {
  if (!address.includes(':')) {
    // Shifting by 32 would shift by nothing.
    const mask = prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) >>> 0;
    const wanted = (parseV4(address, 0) & mask) >>> 0;
    return (text) => {
      const value = parseV4(text, 0);
      return value >= 0 && (value & mask) >>> 0 === wanted;
    };
  }
  parseV6(address);
  const wanted = Uint16Array.from(groups);
  const whole = prefixLength >> 4;
  const rest = prefixLength & 15;
  const mask = rest === 0 ? 0 : (0xffff << (16 - rest)) & 0xffff;
  return (text) => {
    if (!parseV6(text)) return false;
    for (let i = 0; i < whole; i++) if (groups[i] !== wanted[i]) return false;
    return rest === 0 || (groups[whole]! & mask) === (wanted[whole]! & mask);
  };
}

/** Dotted decimal from `start` to the end of the text, as an unsigned number; -1 when it is something else. */
function parseV4(text: string, start: number): number {
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = start; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x2e) {
      if (octet < 0 || ++dots > 3) return -1;
      value = value * 256 + octet;
      octet = -1;
    } else if (c >= 0x30 && c <= 0x39) {
      // 010 is 8 to some and 10 to others.
      if (octet === 0) return -1;
      octet = (octet < 0 ? 0 : octet * 10) + (c - 0x30);
      if (octet > 255) return -1;
    } else return -1;
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1;
}

/** The address that `parseV6` read last; it is read at once. */
const groups = new Uint16Array(8);

/** Reads an IPv6 address (RFC 4291 section 2.2), without its zone, into {@link groups}; false when it is something else. */
function parseV6(text: string): boolean {
  let count = 0;
  let gap = -1;
  let value = -1;
  let groupStart = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = i < text.length ? text.charCodeAt(i) : 0x25;
    const digit = hexDigit(c);
    if (digit >= 0) {
      value = (value < 0 ? 0 : value * 16) + digit;
      if (i - groupStart >= 4) return false;
    } else if (c === 0x2e) {
      const v4 = count <= 6 ? parseV4(text, groupStart) : -1;
      if (v4 < 0) return false;
      groups[count++] = v4 >>> 16;
      groups[count++] = v4 & 0xffff;
      return spread(count, gap);
    } else {
      if (c !== 0x3a && c !== 0x25) return false;
      if (value >= 0) {
        if (count === 8) return false;
        groups[count++] = value;
        value = -1;
      } else if (c === 0x3a && (i === 0 ? text.charCodeAt(1) !== 0x3a : text.charCodeAt(i - 1) !== 0x3a)) return false;
      if (c === 0x25) return (text.charCodeAt(i - 1) !== 0x3a || gap === count) && spread(count, gap);
      if (text.charCodeAt(i + 1) === 0x3a) {
        if (gap >= 0) return false;
        gap = count;
      }
      groupStart = i + 1;
    }
  }
  return false;
}

/** Puts the zeros of `::` where it stood. */
function spread(count: number, gap: number): boolean {
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  groups.copyWithin(8 - (count - gap), gap, count);
  groups.fill(0, gap, 8 - (count - gap));
  return true;
}

function hexDigit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
