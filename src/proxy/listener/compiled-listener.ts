import type { Socket } from 'node:net';
import type { DeclaredProtocol, FilterChain, Listener as ListenerConfig, NetworkFilter } from '../../model/listener.ts';
import type { ConnectionManager } from '../http/connection-manager.ts';
import type { TcpProxy } from '../tcp/tcp-proxy.ts';
import type { AccessLogger } from '../telemetry/accesslog/logger.ts';
import type { TlsInfo } from '../telemetry/tls-info.ts';
import { FilterChainTable } from './filter-chain.ts';
import type { ClientHelloFacts } from './tls.ts';

/**
 * Does the server's side of a TLS handshake on an accepted socket, whose first bytes may have been put back with
 * `unshift()`; null: it failed, why is said, and the socket is destroyed or will be. `hello`: what a TLS inspector has read of it.
 */
export type Secure = (
  socket: Socket,
  onDone: (secured: { readonly socket: Socket; readonly info: TlsInfo } | null, failure?: string) => void,
  hello?: ClientHelloFacts,
) => void;

/** A compiled filter chain: what serves its connections. `secure` is null where they are not encrypted. */
export type ChainHandler = { readonly secure: Secure | null; readonly declared: DeclaredProtocol | null } & (
  | { readonly kind: 'http'; readonly manager: ConnectionManager }
  | { readonly kind: 'tcp'; readonly proxy: TcpProxy }
);

export type TcpHandler = Extract<ChainHandler, { readonly kind: 'tcp' }>;

/** A listener's config with its chains compiled. */
export interface CompiledListener {
  readonly config: ListenerConfig;
  readonly chains: FilterChainTable<ChainHandler>;
  /** Logs every connection at its end. */
  readonly accessLog: AccessLogger | null;
}

/**
 * Compiles a listener: `handler` (chain null: the default chain) makes the chain's handler, or finds the one that serves an equal chain
 * already, so that an edit elsewhere in the listener resets nothing.
 */
export function compileListener(
  config: ListenerConfig,
  handler: (filter: NetworkFilter, chain: FilterChain | null) => ChainHandler,
  accessLog: AccessLogger | null = null,
): CompiledListener {
  const chains = config.filterChains.map((chain) => ({ chain, value: handler(chain.filter, chain) }));
  const fallback = config.defaultFilterChain;
  return {
    config,
    chains: new FilterChainTable(chains, fallback === null ? null : handler(fallback.filter, null)),
    accessLog,
  };
}
