/** An IP address (or, for a cluster's DNS endpoint, a name) and a port. */
export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** An address range in prefix notation. */
export interface CidrRange {
  readonly address: string;
  readonly prefixLength: number;
}

/** `host:port`, with brackets around an IPv6 host, as Envoy prints addresses. */
export function formatAddress(address: SocketAddress): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
