/** What is captured, and how; decoded from flags. */
export interface InterceptionOptions {
  readonly outboundPort: number;
  readonly inboundPort: number;
  readonly inboundMode: 'REDIRECT' | 'TPROXY';
  /** Users and groups whose traffic is the proxy's own. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly includeInboundPorts: '*' | readonly number[];
  readonly excludeInboundPorts: readonly number[];
  readonly includeOutboundPorts: readonly number[];
  readonly excludeOutboundPorts: readonly number[];
  /** CIDRs of both families. */
  readonly includeOutboundRanges: '*' | readonly string[];
  readonly excludeOutboundRanges: readonly string[];
  readonly excludeInterfaces: readonly string[];
  readonly rerouteInterfaces: readonly string[];
  /** Null: DNS is not captured. Servers as CIDRs, or all. */
  readonly dns: { readonly port: number; readonly servers: '*' | readonly string[] } | null;
  readonly dropInvalid: boolean;
}
