import type {
  ConnectionRateLimit,
  DeclaredProtocol,
  ListenerFilter,
  PortPredicate,
  ProtocolDetection,
  ProxyProtocol,
} from '../../model/listener.ts';
import type { Metadata } from '../proto/gen/envoy/config/core/v3.ts';
import type * as wire from '../proto/gen/envoy/config/listener/v3.ts';
import { HttpInspector } from '../proto/gen/envoy/extensions/filters/listener/http_inspector/v3.ts';
import { LocalRateLimit } from '../proto/gen/envoy/extensions/filters/listener/local_ratelimit/v3.ts';
import { OriginalDst } from '../proto/gen/envoy/extensions/filters/listener/original_dst/v3.ts';
import { OriginalSrc } from '../proto/gen/envoy/extensions/filters/listener/original_src/v3.ts';
import { ProxyProtocol as WireProxyProtocol } from '../proto/gen/envoy/extensions/filters/listener/proxy_protocol/v3.ts';
import { TlsInspector } from '../proto/gen/envoy/extensions/filters/listener/tls_inspector/v3.ts';
import type { Decoding } from './decoding.ts';

/** What a listener runs before it chooses a chain; `at`: the listener's path with a dot behind it, or ''. */
export function decodeListenerFilters(listener: wire.Listener, at: string, s: Decoding): ListenerFilter[] {
  const filters: ListenerFilter[] = [];
  for (const [i, filter] of (listener.listener_filters ?? []).entries()) {
    const decoded = decodeListenerFilter(filter, `${at}listener_filters[${i}]`, s);
    if (decoded !== null) filters.push(decoded);
  }
  if (listener.use_original_dst === true && !filters.some(({ kind }) => kind === 'original-dst')) {
    filters.push({ kind: 'original-dst', disabled: null });
  }
  if (usesProxyProtocol(listener.filter_chains ?? [], at, s)) {
    if (!filters.some(({ kind }) => kind === 'proxy-protocol')) {
      // The header stands before all that the other filters look at.
      filters.unshift({ kind: 'proxy-protocol', proxyProtocol: decodeProxyProtocol({}), disabled: null });
    }
  }
  return filters;
}

/** `use_proxy_proto`: the header comes before the chain is chosen, so Envoy asks the first chain alone. */
function usesProxyProtocol(chains: readonly wire.FilterChain[], at: string, s: Decoding): boolean {
  const first = chains[0]?.use_proxy_proto ?? false;
  for (const [i, chain] of chains.entries()) {
    if (chain.use_proxy_proto === true && !first) {
      const path = `${at}filter_chains[${i}].use_proxy_proto`;
      s.error(path, 'only that of the first chain counts: use the proxy_protocol listener filter');
    }
  }
  return first;
}

function decodeListenerFilter(filter: wire.ListenerFilter, path: string, s: Decoding): ListenerFilter | null {
  const at = `${path}.typed_config`;
  const disabled = decodePredicate(filter.filter_disabled, `${path}.filter_disabled`, s);
  if (filter.typed_config === undefined) {
    if (filter.config_discovery === undefined) s.error(at, 'is needed: its "@type" says which filter it is');
    return null;
  }
  const opened = s.open(filter.typed_config, at);
  if (opened === undefined) return null;
  const { typeName, message } = opened;
  const known = KNOWN.find((type) => type.typeName === typeName);
  if (known === undefined) {
    s.error(
      at,
      `listener filter ${typeName} is not in this version: use proxy_protocol, tls_inspector, http_inspector, original_dst or local_ratelimit`,
    );
    return null;
  }
  s.check(known, message, at);
  switch (known) {
    case WireProxyProtocol: {
      const proxyProtocol = decodeProxyProtocol(message as WireProxyProtocol);
      if (proxyProtocol.versions.length === 0) s.error(`${at}.disallowed_versions`, 'leaves no version to be read');
      return { kind: 'proxy-protocol', proxyProtocol, disabled };
    }
    case TlsInspector:
      return { kind: 'tls-inspector', disabled };
    case HttpInspector:
      return { kind: 'http-inspector', disabled };
    case OriginalDst:
      return { kind: 'original-dst', disabled };
    case LocalRateLimit:
      return { kind: 'local-rate-limit', limit: decodeLimit(message as LocalRateLimit, at, s), disabled };
    default:
      s.noEffect(at, 'the upstream sees the address of the proxy');
      return null;
  }
}

const KNOWN = [WireProxyProtocol, TlsInspector, HttpInspector, OriginalDst, LocalRateLimit, OriginalSrc];

/** Envoy refuses shorter intervals. */
const MIN_FILL_INTERVAL_MS = 50;

function decodeLimit(config: LocalRateLimit, path: string, s: Decoding): ConnectionRateLimit {
  const { max_tokens = 0, tokens_per_fill = 1, fill_interval = 0 } = config.token_bucket ?? {};
  if (fill_interval < MIN_FILL_INTERVAL_MS) {
    s.error(`${path}.token_bucket.fill_interval`, `must be at least ${MIN_FILL_INTERVAL_MS} ms`);
  }
  const { default_value = true, runtime_key = '' } = config.runtime_enabled ?? {};
  return {
    statPrefix: config.stat_prefix ?? '',
    maxTokens: max_tokens,
    tokensPerFill: tokens_per_fill,
    fillIntervalMs: fill_interval,
    enabled: { byDefault: default_value, runtimeKey: runtime_key },
  };
}

function decodeProxyProtocol(config: WireProxyProtocol): ProxyProtocol {
  const disallowed = config.disallowed_versions ?? [];
  const versions: (1 | 2)[] = [];
  if (!disallowed.includes('V1')) versions.push(1);
  if (!disallowed.includes('V2')) versions.push(2);
  return {
    optional: config.allow_requests_without_proxy_protocol ?? false,
    versions,
    statPrefix: config.stat_prefix ?? '',
  };
}

function decodePredicate(
  predicate: wire.ListenerFilterChainMatchPredicate | undefined,
  path: string,
  s: Decoding,
): PortPredicate | null {
  if (predicate === undefined) return null;
  const { or_match, and_match, not_match, any_match, destination_port_range } = predicate;
  const all = (kind: 'or' | 'and', set: wire.ListenerFilterChainMatchPredicate_MatchSet): PortPredicate => {
    const field = `${path}.${kind}_match.rules`;
    const of = (set.rules ?? []).map((rule, i) => decodePredicate(rule, `${field}[${i}]`, s) ?? NEVER);
    return { kind, of };
  };
  if (or_match !== undefined) return all('or', or_match);
  if (and_match !== undefined) return all('and', and_match);
  if (not_match !== undefined) {
    return { kind: 'not', of: decodePredicate(not_match, `${path}.not_match`, s) ?? NEVER };
  }
  if (any_match !== undefined) return { kind: 'any' };
  if (destination_port_range === undefined) {
    s.error(path, 'a rule is needed: or_match, and_match, not_match, any_match or destination_port_range');
    return NEVER;
  }
  const { start = 0, end = 0 } = destination_port_range;
  if (start >= end) s.error(`${path}.destination_port_range`, 'is empty: end is not included, and must be above start');
  return { kind: 'ports', start, end };
}

const NEVER: PortPredicate = { kind: 'or', of: [] };

const DECLARED: Readonly<Record<string, ProtocolDetection>> = { auto: 'auto', http: 'http', tcp: 'tcp' };

/** Ours: `remora.declared` and what is beside it, of a filter chain for what speaks something else. */
export function decodeDeclared(metadata: Metadata | undefined, path: string, s: Decoding): DeclaredProtocol | null {
  const spaces = metadata?.filter_metadata ?? {};
  for (const name of Object.keys(spaces)) {
    if (name !== 'remora') s.noEffect(`${path}.filter_metadata["${name}"]`, 'no filter of this version reads it');
  }
  const { declared, declared_by: by, holds_clients: holds = false } = spaces['remora'] ?? {};
  if (declared === undefined) return null;
  const at = `${path}.filter_metadata["remora"]`;
  if (declared !== 'http' && declared !== 'tcp') {
    s.error(`${at}.declared`, `${JSON.stringify(declared)} is neither http nor tcp`);
    return null;
  }
  if (typeof by !== 'string' || by === '') {
    s.error(`${at}.declared_by`, 'must name the object that declares it');
    return null;
  }
  if (typeof holds !== 'boolean') s.error(`${at}.holds_clients`, 'must be true or false');
  return { protocol: declared, by, holdsClients: holds === true };
}

/** Ours: `remora.address_routes` of a filter chain of bytes. */
export function decodeAddressRoutes(metadata: Metadata | undefined, path: string, s: Decoding): string {
  const routes = metadata?.filter_metadata?.['remora']?.['address_routes'] ?? '';
  if (typeof routes === 'string') return routes;
  s.error(`${path}.filter_metadata["remora"].address_routes`, 'must be the name of a route configuration');
  return '';
}

/** Ours: `remora.protocol_detection`. Envoy ignores metadata, and waits for bytes. */
export function decodeProtocolDetection(
  metadata: Metadata | undefined,
  filters: readonly ListenerFilter[],
  path: string,
  s: Decoding,
): ProtocolDetection | null {
  const spaces = metadata?.filter_metadata ?? {};
  for (const name of Object.keys(spaces)) {
    if (name !== 'remora') s.noEffect(`${path}.filter_metadata["${name}"]`, 'no filter of this version reads it');
  }
  const declared = spaces['remora']?.['protocol_detection'];
  if (declared === undefined) return null;
  const at = `${path}.filter_metadata["remora"].protocol_detection`;
  const detection = typeof declared === 'string' ? DECLARED[declared] : undefined;
  if (detection === undefined) {
    s.error(at, `${JSON.stringify(declared)} is none of auto, http and tcp`);
    return null;
  }
  if (!filters.some(({ kind }) => kind === 'http-inspector')) {
    s.error(at, 'needs the http_inspector listener filter, which looks for HTTP');
  }
  return detection;
}
