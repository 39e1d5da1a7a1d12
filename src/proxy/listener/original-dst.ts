import { SocketAddress as NodeAddress, type Server, type Socket } from 'node:net';
import { endianness } from 'node:os';
import { type CLibrary, loadCLibrary } from '../../base/c-library.ts';
import { messageOf } from '../../base/errors.ts';
import type { SocketAddress } from '../../model/address.ts';

/** What listeners ask of the kernel about redirected connections, which Node has no call for. */
export interface OriginalDestinations {
  /** Where the client of an accepted connection wanted to go (SO_ORIGINAL_DST); null: it was not redirected. */
  of(socket: Socket): SocketAddress | null;
  /** Lets a bound server take connections to any address (IP_TRANSPARENT, for TPROXY); false: not permitted. */
  makeTransparent(server: Server): boolean;
}

/** Why there are none; a sentence with the remedy. */
export interface NoOriginalDestinations {
  readonly reason: string;
}

/** From Linux' headers: in.h, in6.h, netfilter_ipv4.h, netfilter_ipv6/ip6_tables.h. */
const SOL_IP = 0;
const SOL_IPV6 = 41;
const SO_ORIGINAL_DST = 80;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
/** struct sockaddr_in6; that of IPv4 has 16. */
const ADDRESS_BYTES = 28;
const OFFSET_OF_LENGTH = 32;

/**
 * getsockopt by `node:ffi`: 1.3 µs a connection, and 1.6 MB and 3 ms when it is first asked for. (koffi: 7 MB, 13 to
 * 90 ms, 1.6 µs.)
 */
export function loadOriginalDestinations(): OriginalDestinations | NoOriginalDestinations {
  if (process.platform !== 'linux') return { reason: `${process.platform} does not tell original destinations` };
  try {
    const c = loadCLibrary();
    if (c === null) {
      return { reason: 'this Node has no node:ffi: it takes 26.1 or later, and where that is old --experimental-ffi' };
    }
    return new LinuxSockets(c);
  } catch (error) {
    return { reason: `the C library cannot be called: ${messageOf(error)}` };
  }
}

/** Socket, level, option, value, and how long that is or where its length stands. */
type SystemCall = (fd: number, level: number, option: number, value: bigint, length: bigint) => number;

class LinuxSockets implements OriginalDestinations {
  readonly #getsockopt: SystemCall;
  readonly #setsockopt: SystemCall;
  /** What the kernel writes to: an address, and its length. Never moved or freed while this is there. */
  readonly #bytes = new Uint8Array(OFFSET_OF_LENGTH + 4);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #address: bigint;
  readonly #length: bigint;

  constructor({ library, pointerTo }: CLibrary) {
    this.#address = pointerTo(this.#bytes);
    this.#length = this.#address + BigInt(OFFSET_OF_LENGTH);
    const int = 'int32';
    this.#getsockopt = library.getFunction('getsockopt', {
      arguments: [int, int, int, 'uint64', 'uint64'],
      return: int,
    });
    this.#setsockopt = library.getFunction('setsockopt', {
      arguments: [int, int, int, 'uint64', 'uint64'],
      return: int,
    });
  }

  of(socket: Socket): SocketAddress | null {
    const fd = descriptor(socket);
    const local = socket.localAddress;
    if (fd < 0 || local === undefined) return null;
    // IPv4 that came to a socket of both families has an address of IPv6's form.
    const level = local.includes(':') && !local.startsWith('::ffff:') ? SOL_IPV6 : SOL_IP;
    this.#view.setUint32(OFFSET_OF_LENGTH, ADDRESS_BYTES, LITTLE);
    const result = this.#getsockopt(fd, level, SO_ORIGINAL_DST, this.#address, this.#length);
    return result === 0 ? readAddress(this.#view, level === SOL_IPV6) : null;
  }

  makeTransparent(server: Server): boolean {
    const fd = descriptor(server);
    this.#view.setUint32(0, 1, LITTLE);
    // A socket of IPv6 takes both; that of IPv4 refuses the second.
    const six = this.#setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, this.#address, 4n) === 0;
    return this.#setsockopt(fd, SOL_IP, IP_TRANSPARENT, this.#address, 4n) === 0 || six;
  }
}

const LITTLE = endianness() === 'LE';

/** sockaddr_in or sockaddr_in6: the family in the machine's order, then port and address in the network's. */
export function readAddress(view: DataView, six: boolean): SocketAddress {
  const port = view.getUint16(2);
  if (!six) return { host: `${view.getUint8(4)}.${view.getUint8(5)}.${view.getUint8(6)}.${view.getUint8(7)}`, port };
  const groups: string[] = [];
  for (let at = 8; at < 24; at += 2) groups.push(view.getUint16(at).toString(16));
  // In the shortest form, as Node gives addresses.
  return { host: new NodeAddress({ address: groups.join(':'), family: 'ipv6' }).address, port };
}

/** The file descriptor, which libuv's handle knows; -1 on a handle without. */
function descriptor(of: Socket | Server): number {
  return (of as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd ?? -1;
}
