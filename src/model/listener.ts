import type { AccessLog } from './access-log.ts';
import type { CidrRange, SocketAddress } from './address.ts';
import type { HttpConnectionManager } from './http-connection-manager.ts';
import type { DownstreamTlsConfig } from './tls.ts';

/** A listener, resolved. Durations are milliseconds throughout the model. (envoy.config.listener.v3.Listener) */
export interface Listener {
  readonly name: string;
  readonly addresses: readonly SocketAddress[];
  readonly statPrefix: string;
  /** False: the listener only receives connections handed over by an original-destination listener. */
  readonly bindToPort: boolean;
  /** Connections go on to the listener whose address they were meant for, if there is one. */
  readonly useOriginalDst: boolean;
  /** Takes connections to any address, which the kernel hands it by TPROXY. */
  readonly transparent: boolean;
  readonly trafficDirection: TrafficDirection;
  readonly tcpBacklog: number;
  readonly perConnectionBufferLimitBytes: number;
  /** Connections are taken although the process has as many as it may; they count. */
  readonly ignoreGlobalConnLimit: boolean;
  /** Nothing is shed here. */
  readonly bypassOverloadManager: boolean;
  /** In the order in which they run, before the filter chain is chosen. */
  readonly listenerFilters: readonly ListenerFilter[];
  /** How long the listener filters may wait for bytes; 0: for ever. */
  readonly listenerFiltersTimeoutMs: number;
  /** What happens then: the chain is chosen by what is known, or the connection is closed. */
  readonly continueOnListenerFiltersTimeout: boolean;
  /** See {@link ProtocolDetection}; null: the listener filters alone decide. */
  readonly protocolDetection: ProtocolDetection | null;
  /** Of accepted sockets; null: as the kernel has it. */
  readonly keepAlive: { readonly enabled: boolean; readonly idleMs: number } | null;
  readonly filterChains: readonly FilterChain[];
  readonly defaultFilterChain: FilterChain | null;
  /** Of connections, one entry each at its end. */
  readonly accessLog: readonly AccessLog[];
}

export type TrafficDirection = 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND';

/**
 * Detection without a time limit: while http_inspector waits for bytes, the TCP chain's upstream is dialled, and if
 * the server speaks first the connection is TCP at once. The value is what the configuration's author declared the
 * port to be, `auto` where nothing was said. (Ours: `remora.protocol_detection` in the listener's metadata.)
 */
export type ProtocolDetection = 'auto' | 'http' | 'tcp';

/** What looks at a connection before its filter chain is chosen. (envoy.config.listener.v3.ListenerFilter) */
export type ListenerFilter = {
  /** Destinations for which the filter is left out; null: none. (`filter_disabled`) */
  readonly disabled: PortPredicate | null;
} & (
  | { readonly kind: 'proxy-protocol'; readonly proxyProtocol: ProxyProtocol }
  | { readonly kind: 'tls-inspector' }
  | { readonly kind: 'http-inspector' }
  | { readonly kind: 'original-dst' }
  | { readonly kind: 'local-rate-limit'; readonly limit: ConnectionRateLimit }
);

/** envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit */
export interface ConnectionRateLimit {
  readonly statPrefix: string;
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
  /** Whether it limits at all, by a runtime key where one is named. */
  readonly enabled: { readonly byDefault: boolean; readonly runtimeKey: string };
}

/** envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol */
export interface ProxyProtocol {
  /** Connections without a header are let pass. */
  readonly optional: boolean;
  readonly versions: readonly (1 | 2)[];
  readonly statPrefix: string;
}

/** A test of the destination's port. (envoy.config.listener.v3.ListenerFilterChainMatchPredicate) */
export type PortPredicate =
  | { readonly kind: 'any' }
  | { readonly kind: 'or' | 'and'; readonly of: readonly PortPredicate[] }
  | { readonly kind: 'not'; readonly of: PortPredicate }
  /** `end` is not included. */
  | { readonly kind: 'ports'; readonly start: number; readonly end: number };

/**
 * What somebody said that the connections of a chain speak, which they turned out not to. (Ours: `remora.declared`,
 * `declared_by` and `holds_clients` in the chain's metadata.)
 */
export interface DeclaredProtocol {
  readonly protocol: 'http' | 'tcp';
  /** The object that says so, for the log: `Service default/db port 3306`. */
  readonly by: string;
  /** Only a server that speaks first proves otherwise: what a client sends must not lead around policies. */
  readonly holdsClients: boolean;
}

export interface FilterChain {
  readonly name: string;
  readonly match: FilterChainMatch;
  readonly filter: NetworkFilter;
  /** Absent: nobody said otherwise. */
  readonly declared?: DeclaredProtocol;
  /** Absent: plain TCP. */
  readonly tls?: DownstreamTlsConfig;
}

/** Criteria in Envoy's order of precedence; an empty list or null matches everything. */
export interface FilterChainMatch {
  readonly destinationPort: number | null;
  readonly prefixRanges: readonly CidrRange[];
  readonly serverNames: readonly string[];
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
  readonly directSourcePrefixRanges: readonly CidrRange[];
  readonly sourceType: 'ANY' | 'SAME_IP_OR_LOOPBACK' | 'EXTERNAL';
  readonly sourcePrefixRanges: readonly CidrRange[];
  readonly sourcePorts: readonly number[];
}

/** The terminal network filter of a chain. */
export type NetworkFilter =
  | { readonly kind: 'http'; readonly http: HttpConnectionManager }
  | { readonly kind: 'tcp'; readonly tcp: TcpProxy };

/** envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy */
export interface TcpProxy {
  readonly statPrefix: string;
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  /** 0: none. */
  readonly idleTimeoutMs: number;
  readonly maxConnectAttempts: number;
  /** How long a downstream connection may be open; 0: for ever. */
  readonly maxDurationMs: number;
  readonly accessLog: readonly AccessLog[];
  /** An entry is written this often while the connection is open; 0: only at its end. */
  readonly logIntervalMs: number;
  /** An entry is written when the upstream is connected. */
  readonly logOnConnected: boolean;
  /**
   * Route configuration whose virtual host of the very address that was called says where its bytes go (`bytesTo`);
   * `clusters` are for all other addresses. (Ours: `remora.address_routes` in the chain's metadata.)
   */
  readonly addressRoutes?: string;
  /** Filters that stand before it; absent: none. `config` is the own decoded type of a filter of that kind. */
  readonly admission?: readonly { readonly kind: string; readonly config: unknown }[];
}
