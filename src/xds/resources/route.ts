import type { Route, RouteConfig, RouteMatch, VirtualHost } from '../../model/route.ts';
import type * as route from '../proto/gen/envoy/config/route/v3.ts';
import type { RouteConfiguration } from '../proto/gen/envoy/config/route/v3.ts';
import { checkConfigSource } from './config-source.ts';
import { decodeData } from './data-source.ts';
import type { Decoding } from './decoding.ts';
import { decodeMutations } from './header-mutations.ts';
import { decodeFraction, decodeHeaderMatchers, decodeQueryMatcher, decodeRegex } from './matcher.ts';
import { originOf } from './origin.ts';
import { decodePathTemplate } from './path-template.ts';
import { decodePerFilterConfig } from './per-filter-config.ts';
import { decodeRetryPolicy } from './retry.ts';
import { decodeForward, decodeRedirect, type RouteScope } from './route-action.ts';

/** `inline`: the table is part of a listener, where Envoy checks by default that its clusters exist. */
export function decodeRouteConfig(config: RouteConfiguration, path: string, s: Decoding, inline: boolean): RouteConfig {
  const at = path === '' ? '' : `${path}.`;
  const scope: RouteScope = {
    validateClusters: config.validate_clusters ?? inline,
    maxDirectBodyBytes: config.max_direct_response_body_size_bytes ?? 4096,
  };
  const hosts = config.virtual_hosts ?? [];
  checkNames(hosts, `${at}virtual_hosts`, s);
  checkDomains(hosts, `${at}virtual_hosts`, s);
  return {
    name: config.name ?? '',
    virtualHosts: hosts.map((host, i) => decodeVirtualHost(host, `${at}virtual_hosts[${i}]`, s, scope)),
    internalOnlyHeaders: (config.internal_only_headers ?? []).map((name) => name.toLowerCase()),
    ignorePortInHostMatching: config.ignore_port_in_host_matching ?? false,
    ignorePathParameters: config.ignore_path_parameters_in_path_matching ?? false,
    mostSpecificHeaderMutationsWins: config.most_specific_header_mutations_wins ?? false,
    perFilterConfig: decodePerFilterConfig(config.typed_per_filter_config, `${at}typed_per_filter_config`, s),
    ...decodeMutations(config, path, s),
    ...(config.vhds === undefined ? {} : decodeVhds(config.vhds, `${at}vhds`, s)),
  };
}

function decodeVhds(vhds: route.Vhds, path: string, s: Decoding): Pick<RouteConfig, 'discoversHosts'> {
  checkConfigSource(vhds.config_source, `${path}.config_source`, s);
  return { discoversHosts: true };
}

/** A virtual host that comes by itself. What its table says of it is not known here. */
export function decodeDiscoveredHost(host: route.VirtualHost, path: string, s: Decoding): VirtualHost {
  checkDomains([host], path, s);
  return decodeVirtualHost(host, path, s, { validateClusters: false, maxDirectBodyBytes: Number.POSITIVE_INFINITY });
}

function checkNames(hosts: readonly route.VirtualHost[], path: string, s: Decoding): void {
  const seen = new Map<string, number>();
  for (const [i, host] of hosts.entries()) {
    const first = seen.get(host.name ?? '');
    if (first !== undefined)
      s.error(`${path}[${i}].name`, `${JSON.stringify(host.name)} is the name of ${path}[${first}] too`);
    else seen.set(host.name ?? '', i);
  }
}

/** Each domain may stand in one virtual host only, and a wildcard only at one end. */
function checkDomains(hosts: readonly route.VirtualHost[], path: string, s: Decoding): void {
  const seen = new Map<string, string>();
  for (const [i, host] of hosts.entries()) {
    for (const [j, domain] of (host.domains ?? []).entries()) {
      const at = path === '' ? `domains[${j}]` : `${path}[${i}].domains[${j}]`;
      const lower = domain.toLowerCase();
      const first = seen.get(lower);
      if (first !== undefined)
        s.error(at, `${JSON.stringify(domain)} is already a domain of virtual host ${JSON.stringify(first)}`);
      else seen.set(lower, host.name ?? '');
      if (domain === '') s.error(at, 'a domain is needed: a host name, *.example.com, example.* or *');
      const inner = domain.slice(1, -1);
      if (inner.includes('*') || (domain.length > 1 && domain.startsWith('*') && domain.endsWith('*'))) {
        s.error(at, `${JSON.stringify(domain)}: a wildcard stands at the start or at the end, once`);
      }
    }
  }
}

function decodeVirtualHost(host: route.VirtualHost, path: string, s: Decoding, scope: RouteScope): VirtualHost {
  const at = path === '' ? '' : `${path}.`;
  return {
    name: host.name ?? '',
    domains: (host.domains ?? []).map((domain) => domain.toLowerCase()),
    routes: (host.routes ?? []).map((one, i) => decodeRoute(one, `${at}routes[${i}]`, s, scope)),
    requireTls: host.require_tls ?? 'NONE',
    retryPolicy: host.retry_policy === undefined ? null : decodeRetryPolicy(host.retry_policy, `${at}retry_policy`, s),
    includeRequestAttemptCount: host.include_request_attempt_count ?? false,
    includeAttemptCountInResponse: host.include_attempt_count_in_response ?? false,
    includeIsTimeoutRetryHeader: host.include_is_timeout_retry_header ?? false,
    perRequestBufferLimitBytes: host.per_request_buffer_limit_bytes ?? null,
    perFilterConfig: decodePerFilterConfig(host.typed_per_filter_config, `${at}typed_per_filter_config`, s),
    ...decodeMutations(host, path, s),
    ...decodeOurs(host.metadata, `${at}metadata`, s),
  };
}

/** Ours: when the host is taken, and where what is no HTTP goes. */
function decodeOurs(
  metadata: route.VirtualHost['metadata'],
  path: string,
  s: Decoding,
): Pick<VirtualHost, 'fallback' | 'bytesTo'> {
  const { on_demand: onDemand, bytes_cluster: bytes } = metadata?.filter_metadata?.remora ?? {};
  if (bytes !== undefined && typeof bytes !== 'string') {
    s.error(`${path}.filter_metadata["remora"].bytes_cluster`, 'must be the name of a cluster');
  }
  return {
    ...(onDemand === 'fallback' ? { fallback: true } : {}),
    ...(typeof bytes === 'string' && bytes !== '' ? { bytesTo: bytes } : {}),
  };
}

function decodeRoute(one: route.Route, path: string, s: Decoding, scope: RouteScope): Route {
  return {
    name: one.name ?? '',
    match: decodeMatch(one.match ?? {}, `${path}.match`, s),
    action: decodeAction(one, path, s, scope),
    perFilterConfig: decodePerFilterConfig(one.typed_per_filter_config, `${path}.typed_per_filter_config`, s),
    statPrefix: one.stat_prefix ?? '',
    perRequestBufferLimitBytes: one.per_request_buffer_limit_bytes ?? null,
    origin: originOf(one.metadata),
    ...decodeMutations(one, path, s),
  };
}

function decodeAction(one: route.Route, path: string, s: Decoding, scope: RouteScope): Route['action'] {
  if (one.redirect !== undefined) return decodeRedirect(one.redirect, `${path}.redirect`, s);
  if (one.direct_response !== undefined) return decodeDirect(one.direct_response, `${path}.direct_response`, s, scope);
  return decodeForward(one.route ?? {}, one.match ?? {}, `${path}.route`, s, scope);
}

function decodeDirect(
  action: route.DirectResponseAction,
  path: string,
  s: Decoding,
  scope: RouteScope,
): Route['action'] {
  const body = action.body === undefined ? Buffer.alloc(0) : decodeData(action.body, `${path}.body`, s);
  if (body.length > scope.maxDirectBodyBytes) {
    s.error(
      `${path}.body`,
      `is ${body.length} bytes; max_direct_response_body_size_bytes of the route configuration allows ${scope.maxDirectBodyBytes}`,
    );
  }
  return { kind: 'direct', status: action.status ?? 0, body: body.toString('latin1') };
}

function decodeMatch(match: route.RouteMatch, path: string, s: Decoding): RouteMatch {
  const caseSensitive = match.case_sensitive ?? true;
  return {
    path: decodePath(match, path, s, caseSensitive),
    caseSensitive,
    headers: decodeHeaderMatchers(match.headers, `${path}.headers`, s),
    queryParameters: (match.query_parameters ?? []).map((m, i) =>
      decodeQueryMatcher(m, `${path}.query_parameters[${i}]`, s),
    ),
    runtimeFraction: match.runtime_fraction === undefined ? null : decodeFraction(match.runtime_fraction),
    grpc: match.grpc !== undefined,
    tls:
      match.tls_context === undefined
        ? null
        : { presented: match.tls_context.presented ?? null, validated: match.tls_context.validated ?? null },
  };
}

function decodePath(match: route.RouteMatch, path: string, s: Decoding, caseSensitive: boolean): RouteMatch['path'] {
  const fold = (value: string): string => (caseSensitive ? value : value.toLowerCase());
  if (match.safe_regex !== undefined) {
    return { kind: 'regex', value: decodeRegex(match.safe_regex, `${path}.safe_regex`, s) };
  }
  if (match.path_match_policy !== undefined) {
    return { kind: 'template', value: decodePathTemplate(match.path_match_policy, `${path}.path_match_policy`, s) };
  }
  if (match.connect_matcher !== undefined) return { kind: 'connect' };
  if (match.path !== undefined) return { kind: 'path', value: fold(match.path) };
  if (match.path_separated_prefix !== undefined) {
    return { kind: 'pathSeparatedPrefix', value: fold(match.path_separated_prefix) };
  }
  return { kind: 'prefix', value: fold(match.prefix ?? '') };
}
