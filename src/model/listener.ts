import type { AccessLog } from './access-log.ts';
import type { CidrRange, SocketAddress } from './address.ts';
import type { HttpConnectionManager } from './http-connection-manager.ts';

/** A listener, resolved. Durations are milliseconds throughout the model. (envoy.config.listener.v3.Listener) */
export interface Listener {
  readonly name: string;
  readonly addresses: readonly SocketAddress[];
  readonly statPrefix: string;
  /** False: the listener only receives connections handed over by an original-destination listener. */
  readonly bindToPort: boolean;
  readonly trafficDirection: TrafficDirection;
  readonly tcpBacklog: number;
  readonly perConnectionBufferLimitBytes: number;
  /** Connections are taken although the process has as many as it may; they count. */
  readonly ignoreGlobalConnLimit: boolean;
  /** Nothing is shed here. */
  readonly bypassOverloadManager: boolean;
  readonly filterChains: readonly FilterChain[];
  readonly defaultFilterChain: FilterChain | null;
  /** Of connections, one entry each at its end. */
  readonly accessLog: readonly AccessLog[];
}

export type TrafficDirection = 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND';

export interface FilterChain {
  readonly name: string;
  readonly match: FilterChainMatch;
  readonly filter: NetworkFilter;
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
}
