import type { SocketAddress } from '../../model/address.ts';
import { formatAddress } from '../../model/address.ts';
import type { FilterChain, FilterChainMatch, Listener, ListenerFilter, NetworkFilter } from '../../model/listener.ts';
import type { DownstreamTlsConfig } from '../../model/tls.ts';
import type * as wire from '../proto/gen/envoy/config/listener/v3.ts';
import { HttpConnectionManager } from '../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { TcpProxy } from '../proto/gen/envoy/extensions/filters/network/tcp_proxy/v3.ts';
import { decodeAccessLogs } from './access-log.ts';
import { decodeAddress, decodeCidrs } from './address.ts';
import type { Decoding } from './decoding.ts';
import { decodeManager } from './http-connection-manager.ts';
import {
  decodeAddressRoutes,
  decodeDeclared,
  decodeListenerFilters,
  decodeProtocolDetection,
} from './listener-filters.ts';
import { decodeKeepAlive } from './socket-options.ts';
import { decodeTcpProxy } from './tcp-proxy.ts';
import { decodeDownstreamSocket } from './transport-socket.ts';

const BUFFER_LIMIT_BYTES = 1024 * 1024;
const LISTENER_FILTERS_TIMEOUT_MS = 15_000;
/** The kernel cuts it down to net.core.somaxconn, which is what Envoy asks for. */
const BACKLOG = 65_535;

export function decodeListener(listener: wire.Listener, path: string, s: Decoding): Listener {
  const at = path === '' ? '' : `${path}.`;
  const addresses = decodeAddresses(listener, at, s);
  const first = addresses[0] ?? { host: '', port: 0 };
  const chains = (listener.filter_chains ?? []).map((chain, i) => decodeChain(chain, `${at}filter_chains[${i}]`, s));
  if (chains.length === 0 && listener.default_filter_chain === undefined) {
    s.error(`${at}filter_chains`, 'at least one filter chain is needed');
  }
  checkDistinct(chains, `${at}filter_chains`, s);
  const listenerFilters = decodeListenerFilters(listener, at, s);
  warnUndetected(chains, listenerFilters, `${at}filter_chains`, s);
  return {
    name: listener.name || formatAddress(first),
    addresses,
    statPrefix: listener.stat_prefix || formatAddress(first).replaceAll(':', '_'),
    bindToPort: listener.bind_to_port ?? listener.deprecated_v1?.bind_to_port ?? true,
    useOriginalDst: listener.use_original_dst ?? false,
    transparent: listener.transparent ?? false,
    trafficDirection: listener.traffic_direction ?? 'UNSPECIFIED',
    tcpBacklog: listener.tcp_backlog_size ?? BACKLOG,
    perConnectionBufferLimitBytes: listener.per_connection_buffer_limit_bytes ?? BUFFER_LIMIT_BYTES,
    ignoreGlobalConnLimit: listener.ignore_global_conn_limit ?? false,
    bypassOverloadManager: listener.bypass_overload_manager ?? false,
    listenerFilters,
    listenerFiltersTimeoutMs: listener.listener_filters_timeout ?? LISTENER_FILTERS_TIMEOUT_MS,
    continueOnListenerFiltersTimeout: listener.continue_on_listener_filters_timeout ?? false,
    protocolDetection: decodeProtocolDetection(listener.metadata, listenerFilters, `${at}metadata`, s),
    keepAlive: decodeKeepAlive(listener.socket_options, `${at}socket_options`, s),
    filterChains: chains,
    defaultFilterChain:
      listener.default_filter_chain === undefined
        ? null
        : decodeChain(listener.default_filter_chain, `${at}default_filter_chain`, s),
    accessLog: decodeAccessLogs(listener.access_log, `${at}access_log`, s),
  };
}

/** Envoy takes such listeners too; their chains are merely never chosen. */
function warnUndetected(
  chains: readonly FilterChain[],
  filters: readonly ListenerFilter[],
  path: string,
  s: Decoding,
): void {
  const tls = filters.some(({ kind }) => kind === 'tls-inspector');
  const http = filters.some(({ kind }) => kind === 'http-inspector');
  for (const [i, { match }] of chains.entries()) {
    const at = `${path}[${i}].filter_chain_match`;
    const never = (field: string, remedy: string): void =>
      s.warnings.add(`${at}.${field}`, `never matches: nothing finds it out; add ${remedy} to listener_filters`);
    if (match.serverNames.length > 0 && !tls) never('server_names', 'tls_inspector');
    if (match.transportProtocol === 'tls' && !tls) never('transport_protocol', 'tls_inspector');
    if (match.applicationProtocols.length > 0 && !tls && !http) {
      never('application_protocols', 'tls_inspector or http_inspector');
    }
  }
}

function decodeAddresses(listener: wire.Listener, at: string, s: Decoding): SocketAddress[] {
  const more = (listener.additional_addresses ?? []).map((one, i) =>
    decodeAddress(one.address, `${at}additional_addresses[${i}].address`, s),
  );
  return [decodeAddress(listener.address, `${at}address`, s), ...more];
}

function decodeChain(chain: wire.FilterChain, path: string, s: Decoding): FilterChain {
  const tls = decodeDownstreamSocket(
    chain.transport_socket,
    `${path}.transport_socket`,
    chain.transport_socket_connect_timeout,
    s,
  );
  const declared = decodeDeclared(chain.metadata, `${path}.metadata`, s);
  const filter = byAddress(
    decodeNetworkFilters(chain.filters ?? [], `${path}.filters`, s),
    decodeAddressRoutes(chain.metadata, `${path}.metadata`, s),
  );
  return {
    name: chain.name ?? '',
    ...(declared === null ? {} : { declared }),
    match: decodeMatch(chain.filter_chain_match ?? {}, `${path}.filter_chain_match`, s),
    filter,
    ...(tls === null ? {} : { tls: filter.kind === 'http' ? withoutHttp2(tls, path, s) : tls }),
  };
}

/** What HTTP/2 has no codec for is not agreed on: clients that offer HTTP/1.1 besides, as all do, use that. */
function withoutHttp2(tls: DownstreamTlsConfig, path: string, s: Decoding): DownstreamTlsConfig {
  const alpn = tls.common.alpn.filter((protocol) => protocol !== 'h2');
  if (alpn.length === tls.common.alpn.length) return tls;
  s.noEffect(
    `${path}.transport_socket.typed_config.common_tls_context.alpn_protocols`,
    'h2 is not offered, since HTTP/2 is not spoken yet: clients use HTTP/1.1',
  );
  return { ...tls, common: { ...tls.common, alpn } };
}

function byAddress(filter: NetworkFilter, addressRoutes: string): NetworkFilter {
  return filter.kind === 'tcp' && addressRoutes !== '' ? { ...filter, tcp: { ...filter.tcp, addressRoutes } } : filter;
}

function decodeMatch(match: wire.FilterChainMatch, path: string, s: Decoding): FilterChainMatch {
  return {
    destinationPort: match.destination_port ?? null,
    prefixRanges: decodeCidrs(match.prefix_ranges, `${path}.prefix_ranges`, s),
    serverNames: (match.server_names ?? []).map((name, i) => decodeServerName(name, `${path}.server_names[${i}]`, s)),
    transportProtocol: match.transport_protocol ?? '',
    applicationProtocols: match.application_protocols ?? [],
    directSourcePrefixRanges: decodeCidrs(match.direct_source_prefix_ranges, `${path}.direct_source_prefix_ranges`, s),
    sourceType: match.source_type ?? 'ANY',
    sourcePrefixRanges: decodeCidrs(match.source_prefix_ranges, `${path}.source_prefix_ranges`, s),
    sourcePorts: match.source_ports ?? [],
  };
}

function decodeServerName(name: string, path: string, s: Decoding): string {
  if (/\*/.test(name.startsWith('*.') ? name.slice(2) : name)) {
    const remedy =
      name === '*'
        ? 'for every name leave server_names out'
        : 'a wildcard is a whole label at the start, as in *.example.com';
    s.error(path, `${JSON.stringify(name)}: ${remedy}`);
  }
  return name.toLowerCase();
}

function checkDistinct(chains: readonly FilterChain[], path: string, s: Decoding): void {
  const seen = new Map<string, number>();
  for (const [i, chain] of chains.entries()) {
    const key = JSON.stringify(chain.match);
    const first = seen.get(key);
    if (first !== undefined)
      s.error(`${path}[${i}]`, `matches the same connections as ${path}[${first}], so it would never be used`);
    else seen.set(key, i);
  }
}

const NOTHING: NetworkFilter = {
  kind: 'tcp',
  tcp: {
    statPrefix: '',
    clusters: [],
    idleTimeoutMs: 0,
    maxConnectAttempts: 1,
    maxDurationMs: 0,
    accessLog: [],
    logIntervalMs: 0,
    logOnConnected: false,
  },
};

/** Filters that only watch what passes, so that a chain works without them. */
const WATCHERS = /\.filters\.network\.(mongo_proxy|mysql_proxy|postgres_proxy|zookeeper_proxy|kafka_broker)\./;

function decodeNetworkFilters(filters: readonly wire.Filter[], path: string, s: Decoding): NetworkFilter {
  let terminal: NetworkFilter | undefined;
  let failed = false;
  const admission: { readonly kind: string; readonly config: unknown }[] = [];
  for (const [i, filter] of filters.entries()) {
    const at = `${path}[${i}]`;
    if (terminal !== undefined) {
      s.error(at, 'stands behind the filter that ends the chain, so it would never run');
      break;
    }
    const decoded = decodeNetworkFilter(filter, at, s);
    if (decoded === 'failed') failed = true;
    else if (decoded !== 'skipped' && 'config' in decoded) admission.push(decoded);
    else if (decoded !== 'skipped') terminal = decoded;
  }
  if (terminal === undefined && !failed) {
    s.error(path, 'the chain must end in an HTTP connection manager or a TCP proxy');
  }
  if (admission.length === 0 || terminal === undefined) return terminal ?? NOTHING;
  if (terminal.kind === 'tcp') return { ...terminal, tcp: { ...terminal.tcp, admission } };
  s.error(
    path,
    `${admission[0]?.kind} before an HTTP connection manager is not supported: write it among its http_filters`,
  );
  return terminal;
}

function decodeNetworkFilter(
  filter: wire.Filter,
  path: string,
  s: Decoding,
): NetworkFilter | { readonly kind: string; readonly config: unknown } | 'skipped' | 'failed' {
  const at = `${path}.typed_config`;
  if (filter.typed_config === undefined) {
    if (filter.config_discovery === undefined) s.error(at, 'is needed: its "@type" says which filter it is');
    return 'failed';
  }
  const opened = s.open(filter.typed_config, at);
  if (opened === undefined) return 'failed';
  if (opened.typeName === HttpConnectionManager.typeName) {
    s.check(HttpConnectionManager, opened.message, at);
    return { kind: 'http', http: decodeManager(opened.message as HttpConnectionManager, at, s) };
  }
  if (opened.typeName === TcpProxy.typeName) {
    s.check(TcpProxy, opened.message, at);
    return { kind: 'tcp', tcp: decodeTcpProxy(opened.message as TcpProxy, at, s) };
  }
  const known = s.context.networkFilters.get(opened.typeName);
  if (known !== undefined) {
    return { kind: known.kind, config: known.decode(opened.message, s.problems, s.warnings, at) };
  }
  if (WATCHERS.test(opened.typeName)) {
    s.noEffect(at, `${opened.typeName} only keeps stats of what passes, and is skipped`);
    return 'skipped';
  }
  s.error(
    at,
    `network filter ${opened.typeName} is not in this version: a chain holds an HTTP connection manager or a TCP proxy`,
  );
  return 'failed';
}
