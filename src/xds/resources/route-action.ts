import type {
  ClusterSpecifier,
  ForwardAction,
  GrpcTimeout,
  HostRewrite,
  PathRewrite,
  RedirectAction,
  RouteAction,
  UpgradeConfig,
  WeightedCluster,
} from '../../model/route.ts';
import type * as route from '../proto/gen/envoy/config/route/v3.ts';
import type { Decoding } from './decoding.ts';
import { decodeMutations } from './header-mutations.ts';
import { decodeInternalRedirects } from './internal-redirect.ts';
import { decodeRegexRewrite } from './matcher.ts';
import { decodePathTemplateRewrite } from './path-template.ts';
import { decodePerFilterConfig } from './per-filter-config.ts';
import { decodeRetryPolicy } from './retry.ts';

/** What holds for every route of a table. */
export interface RouteScope {
  readonly validateClusters: boolean;
  readonly maxDirectBodyBytes: number;
}

const UINT32_MAX = 0xffff_ffff;
const DEFAULT_TIMEOUT_MS = 15_000;
const NOT_FOUND = { SERVICE_UNAVAILABLE: 503, NOT_FOUND: 404, INTERNAL_SERVER_ERROR: 500 } as const;

export function decodeForward(
  action: route.RouteAction,
  match: route.RouteMatch,
  path: string,
  s: Decoding,
  scope: RouteScope,
): RouteAction {
  return { kind: 'forward', ...decodeForwardAction(action, match, path, s, scope) };
}

function decodeForwardAction(
  action: route.RouteAction,
  match: route.RouteMatch,
  path: string,
  s: Decoding,
  scope: RouteScope,
): ForwardAction {
  const limits = action.max_stream_duration;
  return {
    cluster: decodeSpecifier(action, path, s, scope),
    clusterNotFoundStatus: NOT_FOUND[action.cluster_not_found_response_code ?? 'SERVICE_UNAVAILABLE'],
    rewrite: decodeRewrite(action, match, path, s),
    hostRewrite: decodeHostRewrite(action, path, s),
    appendXForwardedHost: action.append_x_forwarded_host ?? false,
    // In Envoy max_stream_duration takes the place of even a timeout that is set; here both hold.
    timeoutMs: action.timeout ?? (limits === undefined ? DEFAULT_TIMEOUT_MS : 0),
    idleTimeoutMs: action.idle_timeout ?? null,
    retryPolicy:
      action.retry_policy === undefined ? null : decodeRetryPolicy(action.retry_policy, `${path}.retry_policy`, s),
    upgrades: (action.upgrade_configs ?? []).map(decodeUpgrade),
    maxStreamDurationMs: limits?.max_stream_duration ?? null,
    grpcTimeout: decodeGrpcTimeout(action, limits),
    priority: action.priority ?? 'DEFAULT',
    internalRedirects: decodeInternalRedirects(action, path, s),
  };
}

/** `max_stream_duration`, when it is there, takes the place of the deprecated fields. */
function decodeGrpcTimeout(
  action: route.RouteAction,
  limits: route.RouteAction_MaxStreamDuration | undefined,
): GrpcTimeout | null {
  const maxMs = limits === undefined ? action.max_grpc_timeout : limits.grpc_timeout_header_max;
  if (maxMs === undefined) return null;
  const offsetMs = (limits === undefined ? action.grpc_timeout_offset : limits.grpc_timeout_header_offset) ?? 0;
  return { maxMs, offsetMs, legacy: limits === undefined };
}

export function decodeUpgrade(upgrade: {
  upgrade_type?: string | undefined;
  enabled?: boolean | undefined;
}): UpgradeConfig {
  return { type: (upgrade.upgrade_type ?? '').toLowerCase(), enabled: upgrade.enabled ?? true };
}

function decodeSpecifier(action: route.RouteAction, path: string, s: Decoding, scope: RouteScope): ClusterSpecifier {
  if (action.weighted_clusters !== undefined)
    return decodeWeighted(action.weighted_clusters, `${path}.weighted_clusters`, s, scope);
  if (action.cluster_header !== undefined) return { kind: 'header', name: headerName(action.cluster_header) };
  const name = action.cluster ?? '';
  if (action.cluster !== undefined)
    s.clusters.push({ name, path: `${path}.cluster`, required: scope.validateClusters });
  return { kind: 'cluster', name };
}

/** The lower-case name under which a request keeps the header; Envoy keeps `host` as `:authority`. */
function headerName(name: string): string {
  const lower = name.toLowerCase();
  return lower === 'host' ? ':authority' : lower;
}

function decodeWeighted(
  weighted: route.WeightedCluster,
  path: string,
  s: Decoding,
  scope: RouteScope,
): ClusterSpecifier {
  const clusters = (weighted.clusters ?? []).map((one, i) => decodeWeight(one, `${path}.clusters[${i}]`, s, scope));
  // A sum of 0 is accepted, unlike in Envoy: a canary controller may pass through it (pains 37).
  const sum = clusters.reduce((total, one) => total + one.weight, 0);
  if (sum > UINT32_MAX) s.error(`${path}.clusters`, `the weights sum to ${sum}, which is more than ${UINT32_MAX}`);
  const total = weighted.total_weight ?? 0;
  if (total > 0 && total !== sum) {
    s.error(`${path}.total_weight`, `is ${total}, but the weights sum to ${sum}: leave total_weight out`);
  }
  return {
    kind: 'weighted',
    clusters,
    headerName: (weighted.header_name ?? '').toLowerCase(),
    runtimeKeyPrefix: weighted.runtime_key_prefix ?? '',
  };
}

function decodeWeight(
  one: route.WeightedCluster_ClusterWeight,
  path: string,
  s: Decoding,
  scope: RouteScope,
): WeightedCluster {
  const { name = '', cluster_header: header = '' } = one;
  if ((name === '') === (header === '')) s.error(path, 'one of name and cluster_header is needed, and only one');
  else if (name !== '') s.clusters.push({ name, path: `${path}.name`, required: scope.validateClusters });
  return {
    name,
    clusterHeader: headerName(header),
    weight: one.weight ?? 0,
    hostRewrite: one.host_rewrite_literal ?? '',
    perFilterConfig: decodePerFilterConfig(one.typed_per_filter_config, `${path}.typed_per_filter_config`, s),
    ...decodeMutations(one, path, s),
  };
}

function decodeRewrite(
  action: route.RouteAction,
  match: route.RouteMatch,
  path: string,
  s: Decoding,
): PathRewrite | null {
  const prefix = action.prefix_rewrite ?? '';
  if (action.path_rewrite_policy !== undefined) {
    const at = `${path}.path_rewrite_policy`;
    if (prefix !== '' || action.regex_rewrite !== undefined)
      s.error(at, 'only one of prefix_rewrite, regex_rewrite and path_rewrite_policy may be set');
    return { kind: 'template', value: decodePathTemplateRewrite(action.path_rewrite_policy, match, at, s) };
  }
  if (action.regex_rewrite === undefined) return prefix === '' ? null : { kind: 'prefix', value: prefix };
  if (prefix !== '') s.error(`${path}.regex_rewrite`, 'only one of prefix_rewrite and regex_rewrite may be set');
  return { kind: 'regex', ...decodeRegexRewrite(action.regex_rewrite, `${path}.regex_rewrite`, s) };
}

function decodeHostRewrite(action: route.RouteAction, path: string, s: Decoding): HostRewrite | null {
  if (action.host_rewrite_literal !== undefined) return { kind: 'literal', value: action.host_rewrite_literal };
  if (action.auto_host_rewrite === true) return { kind: 'auto' };
  if (action.host_rewrite_header !== undefined) return { kind: 'header', name: headerName(action.host_rewrite_header) };
  if (action.host_rewrite_path_regex === undefined) return null;
  return {
    kind: 'pathRegex',
    ...decodeRegexRewrite(action.host_rewrite_path_regex, `${path}.host_rewrite_path_regex`, s),
  };
}

const REDIRECTS = {
  MOVED_PERMANENTLY: 301,
  FOUND: 302,
  SEE_OTHER: 303,
  TEMPORARY_REDIRECT: 307,
  PERMANENT_REDIRECT: 308,
} as const;

export function decodeRedirect(action: route.RedirectAction, path: string, s: Decoding): RouteAction {
  return {
    kind: 'redirect',
    scheme: action.scheme_redirect ?? '',
    httpsRedirect: action.https_redirect ?? false,
    host: action.host_redirect ?? '',
    port: action.port_redirect ?? 0,
    path: decodeRedirectPath(action, path, s),
    status: REDIRECTS[action.response_code ?? 'MOVED_PERMANENTLY'],
    stripQuery: action.strip_query ?? false,
  };
}

function decodeRedirectPath(action: route.RedirectAction, path: string, s: Decoding): RedirectAction['path'] {
  if (action.regex_rewrite !== undefined) {
    return { kind: 'regex', ...decodeRegexRewrite(action.regex_rewrite, `${path}.regex_rewrite`, s) };
  }
  if (action.path_redirect !== undefined) return { kind: 'path', value: action.path_redirect };
  if (action.prefix_rewrite !== undefined) return { kind: 'prefix', value: action.prefix_rewrite };
  return { kind: 'none', value: '' };
}
