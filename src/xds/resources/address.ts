import { isIP } from '../../base/ip.ts';
import type { CidrRange, SocketAddress } from '../../model/address.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type { Decoding } from './decoding.ts';

const NOWHERE: SocketAddress = { host: '0.0.0.0', port: 0 };

/** An address of an IP and a port, or with `names` of a DNS name and a port. */
export function decodeAddress(
  address: core.Address | undefined,
  path: string,
  s: Decoding,
  names: 'ip' | 'names' = 'ip',
): SocketAddress {
  const socket = address?.socket_address;
  if (socket === undefined) {
    // A pipe or an internal address has been refused by the field table.
    if (address?.pipe === undefined && address?.envoy_internal_address === undefined) {
      s.error(path === '' ? 'address' : path, 'an address is needed: socket_address with address and port_value');
    }
    return NOWHERE;
  }
  return decodeSocketAddress(socket, `${path}.socket_address`, s, names);
}

export function decodeSocketAddress(
  socket: core.SocketAddress,
  path: string,
  s: Decoding,
  names: 'ip' | 'names' = 'ip',
): SocketAddress {
  const host = socket.address ?? '';
  if (names === 'ip' && isIP(host) === 0) {
    s.error(
      `${path}.address`,
      `${JSON.stringify(host)} is not an IP address${host === 'localhost' ? ': use 127.0.0.1' : ''}`,
    );
  }
  return { host, port: socket.port_value ?? 0 };
}

export function decodeCidr(range: core.CidrRange, path: string, s: Decoding): CidrRange {
  const address = range.address_prefix ?? '';
  const version = isIP(address);
  const prefixLength = range.prefix_len ?? 0;
  if (version === 0) s.error(`${path}.address_prefix`, `${JSON.stringify(address)} is not an IP address`);
  else if (prefixLength > (version === 4 ? 32 : 128)) {
    s.error(
      `${path}.prefix_len`,
      `${prefixLength} is more than the ${version === 4 ? 32 : 128} bits of an IPv${version} address`,
    );
  }
  return { address, prefixLength };
}

export function decodeCidrs(ranges: readonly core.CidrRange[] | undefined, path: string, s: Decoding): CidrRange[] {
  return (ranges ?? []).map((range, i) => decodeCidr(range, `${path}[${i}]`, s));
}
