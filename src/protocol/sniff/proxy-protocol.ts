import { formatIPv4, formatIPv6, parseIPv4, parseIPv6 } from './ip-text.ts';
import { MORE, malformed, NO, type Sniff } from './sniff.ts';

/** An end of the connection that a PROXY header speaks of. */
export interface ProxyEndpoint {
  readonly host: string;
  readonly port: number;
}

/** A type-length-value of a v2 header. */
export interface ProxyTlv {
  readonly type: number;
  readonly value: Uint8Array;
}

/** A PROXY header (haproxy.org/download/2.9/doc/proxy-protocol.txt). */
export interface ProxyHeader {
  readonly version: 1 | 2;
  /** Null: the connection is the sender's own (LOCAL, UNKNOWN), and its real addresses count. */
  readonly addresses: { readonly source: ProxyEndpoint; readonly destination: ProxyEndpoint } | null;
  /** Of a v2 header that speaks of another connection, in their order; views into the input. */
  readonly tlvs: readonly ProxyTlv[];
}

/** Longest v1 line, its CRLF included. */
export const MAX_V1_BYTES = 107;
/** A v2 header: 16 octets and what its length field can say. */
export const MAX_V2_BYTES = 16 + 0xffff;

const V1_SIGNATURE = Uint8Array.from('PROXY ', (c) => c.charCodeAt(0));
const V2_SIGNATURE = Uint8Array.from([0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const V2_HEADER = 16;

/** Reads a PROXY header of either version. */
export function sniffProxyHeader(bytes: Uint8Array): Sniff<ProxyHeader> {
  switch (versionOf(bytes)) {
    case 'more':
      return MORE;
    case 1:
      return readV1(bytes);
    case 2:
      return readV2(bytes);
    default:
      return NO;
  }
}

/** Which version's signature, of `versions`, the bytes begin with; null: none. */
export function versionOf(bytes: Uint8Array, versions: readonly (1 | 2)[] = BOTH): 1 | 2 | 'more' | null {
  if (bytes.length === 0) return 'more';
  for (const [version, signature] of SIGNATURES) {
    if (!versions.includes(version)) continue;
    const size = Math.min(bytes.length, signature.length);
    let i = 0;
    while (i < size && bytes[i] === signature[i]) i++;
    if (i === size) return size === signature.length ? version : 'more';
  }
  return null;
}

const BOTH = [1, 2] as const;
const SIGNATURES = [
  [1, V1_SIGNATURE],
  [2, V2_SIGNATURE],
] as const;

// === version 1: a line of text ===

function readV1(bytes: Uint8Array): Sniff<ProxyHeader> {
  const end = Math.min(bytes.length, MAX_V1_BYTES);
  let text = '';
  for (let i = 0; i < end; i++) {
    const byte = bytes[i]!;
    if (byte === 0x0a) {
      return bytes[i - 1] === 0x0d ? readLine(text.slice(0, -1), i + 1) : malformed('the line does not end in CRLF');
    }
    text += String.fromCharCode(byte);
  }
  return end < MAX_V1_BYTES ? MORE : malformed(`the line is longer than ${MAX_V1_BYTES} bytes`);
}

function readLine(line: string, length: number): Sniff<ProxyHeader> {
  const [, protocol, source = '', destination = '', sourcePort = '', destinationPort = '', ...rest] = line.split(' ');
  // Whatever stands behind UNKNOWN is to be ignored.
  if (protocol === 'UNKNOWN') return found(1, null, [], length);
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return malformed('the protocol is none of TCP4, TCP6 and UNKNOWN');
  if (rest.length > 0) return malformed('there are too many fields');
  const from = textEndpoint(protocol, source, sourcePort);
  const to = textEndpoint(protocol, destination, destinationPort);
  if (from === null || to === null) return malformed('an address or a port is not valid');
  return found(1, { source: from, destination: to }, [], length);
}

function textEndpoint(protocol: 'TCP4' | 'TCP6', host: string, port: string): ProxyEndpoint | null {
  if (!/^(0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) return null;
  const octets = protocol === 'TCP4' ? parseIPv4(host) : parseIPv6(host);
  return octets === null ? null : endpoint(octets, Number(port));
}

// === version 2: binary ===

const Command = { Local: 0, Proxy: 1 } as const;
const Family = { Inet: 1, Inet6: 2 } as const;
const Transport = { Stream: 1, Datagram: 2 } as const;

function readV2(bytes: Uint8Array): Sniff<ProxyHeader> {
  if (bytes.length < V2_HEADER) return MORE;
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 15;
  if (version !== 2) return malformed(`version ${version} is not known`);
  if (command > Command.Proxy) return malformed(`command ${command} is not known`);
  const size = (bytes[14]! << 8) | bytes[15]!;
  const length = V2_HEADER + size;
  if (command === Command.Local) return bytes.length < length ? MORE : found(2, null, [], length);
  const family = bytes[13]! >> 4;
  const transport = bytes[13]! & 15;
  // Envoy refuses what a proxy for TCP has no use for (UNSPEC, AF_UNIX).
  if (family !== Family.Inet && family !== Family.Inet6) return malformed('the address family is not IPv4 or IPv6');
  if (transport !== Transport.Stream && transport !== Transport.Datagram)
    return malformed('the transport is not known');
  const octets = family === Family.Inet ? 4 : 16;
  const addressSize = 2 * octets + 4;
  if (size < addressSize) return malformed('the header is too short for its addresses');
  if (bytes.length < length) return MORE;
  const ports = V2_HEADER + 2 * octets;
  const source = endpoint(bytes.subarray(V2_HEADER, V2_HEADER + octets), u16(bytes, ports));
  const destination = endpoint(bytes.subarray(V2_HEADER + octets, ports), u16(bytes, ports + 2));
  if (source === null || destination === null) return malformed('an address is not one of a single host');
  const tlvs = readTlvs(bytes.subarray(V2_HEADER + addressSize, length));
  return tlvs === null ? malformed('an extension is broken') : found(2, { source, destination }, tlvs, length);
}

function readTlvs(bytes: Uint8Array): ProxyTlv[] | null {
  const tlvs: ProxyTlv[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + 3 > bytes.length) return null;
    const size = u16(bytes, at + 1);
    if (at + 3 + size > bytes.length) return null;
    tlvs.push({ type: bytes[at]!, value: bytes.subarray(at + 3, at + 3 + size) });
    at += 3 + size;
  }
  return tlvs;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Null for what is no address of one host: the wildcard, broadcast and multicast. */
function endpoint(octets: Uint8Array, port: number): ProxyEndpoint | null {
  if (octets.every((octet) => octet === 0)) return null;
  if (octets.length === 4) {
    if (octets[0]! >> 4 === 14 || octets.every((octet) => octet === 255)) return null;
    return { host: formatIPv4(octets), port };
  }
  return octets[0] === 255 ? null : { host: formatIPv6(octets), port };
}

function found(
  version: 1 | 2,
  addresses: ProxyHeader['addresses'],
  tlvs: readonly ProxyTlv[],
  length: number,
): Sniff<ProxyHeader> {
  return { kind: 'found', value: { version, addresses, tlvs }, length };
}
