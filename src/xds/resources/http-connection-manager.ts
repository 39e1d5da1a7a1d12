import type {
  ClientCertForwarding,
  HeaderMutation,
  LocalReplyConfig,
  LocalReplyFormat,
  LocalReplyMapper,
  HttpConnectionManager as Manager,
  ManagerUpgrade,
  ProxyStatus,
} from '../../model/http-connection-manager.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type * as hcm from '../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { HeaderMutation as EarlyMutation } from '../proto/gen/envoy/extensions/http/early_header_mutation/header_mutation/v3.ts';
import { UuidRequestIdConfig } from '../proto/gen/envoy/extensions/request_id/uuid/v3.ts';
import { decodeAccessLogs, decodeLogFilter, decodeLogFormat } from './access-log.ts';
import { decodeCidrs } from './address.ts';
import { checkConfigSource } from './config-source.ts';
import { decodeData } from './data-source.ts';
import type { Decoding } from './decoding.ts';
import { checkFormatter } from './header-format.ts';
import { decodeHeaderMutation, decodeHeadersToAdd } from './header-mutations.ts';
import { decodeHttpFilters } from './http-filters.ts';
import { decodeOriginalIp } from './original-ip.ts';
import { decodeRouteConfig } from './route.ts';
import { decodeUpgrade } from './route-action.ts';
import { decodeScopedRoutes } from './scoped-routes.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Defaults are Envoy's, as its protos document them. */
export function decodeManager(m: hcm.HttpConnectionManager, path: string, s: Decoding): Manager {
  const common = m.common_http_protocol_options ?? {};
  const http1 = m.http_protocol_options ?? {};
  if (m.strip_matching_host_port === true && m.strip_any_host_port === true) {
    s.error(`${path}.strip_any_host_port`, 'only one of strip_matching_host_port and strip_any_host_port may be set');
  }
  checkConflicts(m, path, s);
  if (m.request_id_extension?.typed_config !== undefined) {
    s.openAs(UuidRequestIdConfig, m.request_id_extension.typed_config, `${path}.request_id_extension.typed_config`);
  }
  if (http1.header_key_format?.stateful_formatter !== undefined) {
    checkFormatter(
      http1.header_key_format.stateful_formatter,
      `${path}.http_protocol_options.header_key_format.stateful_formatter`,
      s,
    );
  }
  return {
    codec: m.codec_type === 'HTTP1' ? 'HTTP1' : 'AUTO',
    statPrefix: m.stat_prefix ?? '',
    routes: decodeRoutes(m, path, s),
    ...decodeHttpFilters(m.http_filters, `${path}.http_filters`, s),

    requestTimeoutMs: m.request_timeout ?? 0,
    requestHeadersTimeoutMs: m.request_headers_timeout ?? 0,
    streamIdleTimeoutMs: m.stream_idle_timeout ?? 5 * MINUTE_MS,
    maxStreamDurationMs: common.max_stream_duration ?? 0,
    delayedCloseTimeoutMs: m.delayed_close_timeout ?? 1000,
    idleTimeoutMs: common.idle_timeout ?? HOUR_MS,
    maxConnectionDurationMs: common.max_connection_duration ?? 0,
    maxRequestsPerConnection: common.max_requests_per_connection ?? 0,

    maxRequestHeadersBytes: (m.max_request_headers_kb ?? 60) * 1024,
    maxHeadersCount: common.max_headers_count ?? 100,
    headersWithUnderscores: common.headers_with_underscores_action ?? 'ALLOW',
    acceptHttp10: http1.accept_http_10 ?? false,
    defaultHostForHttp10: http1.default_host_for_http_10 ?? '',
    allowAbsoluteUrl: http1.allow_absolute_url ?? true,
    enableTrailers: http1.enable_trailers ?? false,

    serverName: m.server_name || 'envoy',
    serverHeader: m.server_header_transformation ?? 'OVERWRITE',
    via: m.via ?? '',
    useRemoteAddress: m.use_remote_address ?? false,
    skipXffAppend: m.skip_xff_append ?? false,
    xffNumTrustedHops: m.xff_num_trusted_hops ?? 0,
    internalAddresses:
      m.internal_address_config?.cidr_ranges === undefined
        ? null
        : decodeCidrs(m.internal_address_config.cidr_ranges, `${path}.internal_address_config.cidr_ranges`, s),
    originalIp: decodeOriginalIp(m.original_ip_detection_extensions, `${path}.original_ip_detection_extensions`, s),
    earlyMutations: decodeEarly(m.early_header_mutation_extensions, `${path}.early_header_mutation_extensions`, s),
    addUserAgent: m.add_user_agent ?? false,
    schemeToSet: schemeOf(m),
    appendXForwardedPort: m.append_x_forwarded_port ?? false,
    ipv4AsMapped: m.represent_ipv4_remote_address_as_ipv4_mapped_ipv6 ?? false,
    generateRequestId: m.generate_request_id ?? true,
    preserveExternalRequestId: m.preserve_external_request_id ?? false,
    alwaysSetRequestIdInResponse: m.always_set_request_id_in_response ?? false,

    normalizePath: m.normalize_path ?? runtimeFlag(s, 'http_connection_manager.normalize_path'),
    mergeSlashes: m.merge_slashes ?? false,
    escapedSlashes: escapedSlashes(m),
    stripHostPort: m.strip_any_host_port === true ? 'ANY' : m.strip_matching_host_port === true ? 'MATCHING' : 'NONE',
    stripTrailingHostDot: m.strip_trailing_host_dot ?? false,

    ...decodeClientCert(m),
    upgrades: decodeUpgrades(m.upgrade_configs, `${path}.upgrade_configs`, s),
    proxyStatus: m.proxy_status_config === undefined ? null : decodeProxyStatus(m.proxy_status_config),
    localReply: decodeLocalReply(m.local_reply_config, `${path}.local_reply_config`, s),
    accessLog: decodeAccessLogs(m.access_log, `${path}.access_log`, s),
    accessLogFlush: {
      onNewRequest: m.access_log_options?.flush_access_log_on_new_request ?? m.flush_access_log_on_new_request ?? false,
      onTunnel: m.access_log_options?.flush_log_on_tunnel_successfully_established ?? false,
      intervalMs: m.access_log_options?.access_log_flush_interval ?? m.access_log_flush_interval ?? 0,
    },
  };
}

/** What Envoy refuses to have together. */
function checkConflicts(m: hcm.HttpConnectionManager, path: string, s: Decoding): void {
  if ((m.original_ip_detection_extensions?.length ?? 0) > 0) {
    const at = `${path}.original_ip_detection_extensions`;
    if (m.use_remote_address === true) s.error(at, 'these and use_remote_address may not be mixed');
    if ((m.xff_num_trusted_hops ?? 0) > 0) s.error(at, 'these and xff_num_trusted_hops may not be mixed');
  }
  if (m.access_log_options !== undefined) {
    for (const field of ['access_log_flush_interval', 'flush_access_log_on_new_request'] as const) {
      if (m[field] !== undefined) s.error(`${path}.${field}`, 'is older than access_log_options: only one may be set');
    }
  }
}

function decodeEarly(extensions: readonly core.TypedExtensionConfig[] | undefined, path: string, s: Decoding) {
  return (extensions ?? []).flatMap(({ typed_config: any }, i): HeaderMutation[] => {
    const at = `${path}[${i}].typed_config`;
    const config = any === undefined ? undefined : s.openAs(EarlyMutation, any, at);
    return (config?.mutations ?? []).flatMap((one, j) => {
      const mutation = decodeHeaderMutation(one, `${at}.mutations[${j}]`, s);
      return mutation === null ? [] : [mutation];
    });
  });
}

/** Types are unique, as Envoy wants them. */
function decodeUpgrades(
  list: readonly hcm.HttpConnectionManager_UpgradeConfig[] | undefined,
  path: string,
  s: Decoding,
): ManagerUpgrade[] {
  const seen = new Set<string>();
  return (list ?? []).map((upgrade, i) => {
    const one = decodeUpgrade(upgrade);
    if (seen.has(one.type)) s.error(`${path}[${i}].upgrade_type`, `${JSON.stringify(one.type)} is there already`);
    seen.add(one.type);
    const at = `${path}[${i}].filters`;
    const own = upgrade.filters ?? [];
    if (own.length === 0) return { ...one, filters: null };
    const { filters, router } = decodeHttpFilters(own, at, s);
    if (router.suppressEnvoyHeaders || router.respectExpectedRqTimeout || router.strictCheckHeaders.length > 0) {
      s.noEffect(at, 'an upgrade has the router settings of http_filters');
    }
    return { ...one, filters };
  });
}

function schemeOf(m: hcm.HttpConnectionManager): Manager['schemeToSet'] {
  const scheme = m.scheme_header_transformation?.scheme_to_overwrite;
  return scheme === 'http' || scheme === 'https' ? scheme : '';
}

function decodeProxyStatus(config: hcm.HttpConnectionManager_ProxyStatusConfig): ProxyStatus {
  const literal = config.literal_proxy_name;
  return {
    details: config.remove_details !== true,
    flags: config.remove_response_flags !== true,
    recommendedStatus: config.set_recommended_response_code ?? false,
    name: config.use_node_id === true ? 'node' : literal === undefined ? 'server' : 'literal',
    literal: literal ?? '',
  };
}

function decodeClientCert(m: hcm.HttpConnectionManager): { clientCert?: ClientCertForwarding } {
  const mode = m.forward_client_cert_details ?? 'SANITIZE';
  if (mode === 'SANITIZE') return {};
  const {
    subject = false,
    cert = false,
    chain = false,
    dns = false,
    uri = false,
  } = m.set_current_client_cert_details ?? {};
  return { clientCert: { mode, details: { subject, cert, chain, dns, uri } } };
}

function runtimeFlag(s: Decoding, key: string): boolean {
  const value = s.context.runtime.get(key);
  return value === true || value === 100 || value === 'true';
}

function escapedSlashes(m: hcm.HttpConnectionManager): Manager['escapedSlashes'] {
  const action = m.path_with_escaped_slashes_action ?? 'KEEP_UNCHANGED';
  return action === 'IMPLEMENTATION_SPECIFIC_DEFAULT' ? 'KEEP_UNCHANGED' : action;
}

function decodeRoutes(m: hcm.HttpConnectionManager, path: string, s: Decoding): Manager['routes'] {
  if (m.scoped_routes !== undefined) return decodeScopedRoutes(m.scoped_routes, `${path}.scoped_routes`, s);
  if (m.rds === undefined) {
    return { kind: 'inline', config: decodeRouteConfig(m.route_config ?? {}, `${path}.route_config`, s, true) };
  }
  const name = m.rds.route_config_name ?? '';
  if (name === '') s.error(`${path}.rds.route_config_name`, 'is needed');
  checkConfigSource(m.rds.config_source, `${path}.rds.config_source`, s);
  s.routes.set(name, `${path}.rds`);
  return { kind: 'rds', name };
}

function decodeLocalReply(config: hcm.LocalReplyConfig | undefined, path: string, s: Decoding): LocalReplyConfig {
  return {
    mappers: (config?.mappers ?? []).map((mapper, i) => decodeMapper(mapper, `${path}.mappers[${i}]`, s)),
    bodyFormat: decodeBodyFormat(config?.body_format, `${path}.body_format`, s),
  };
}

function decodeMapper(mapper: hcm.ResponseMapper, path: string, s: Decoding): LocalReplyMapper {
  return {
    filter: mapper.filter === undefined ? null : decodeLogFilter(mapper.filter, `${path}.filter`, s),
    status: mapper.status_code ?? null,
    body: mapper.body === undefined ? null : decodeData(mapper.body, `${path}.body`, s).toString('utf8'),
    bodyFormat: decodeBodyFormat(mapper.body_format_override, `${path}.body_format_override`, s),
    headersToAdd: decodeHeadersToAdd(mapper.headers_to_add, `${path}.headers_to_add`, s),
  };
}

function decodeBodyFormat(
  format: core.SubstitutionFormatString | undefined,
  path: string,
  s: Decoding,
): LocalReplyFormat | null {
  if (format === undefined) return null;
  const decoded = decodeLogFormat(format, path, s);
  return {
    format: decoded,
    contentType: format.content_type || (decoded.kind === 'json' ? 'application/json' : 'text/plain'),
  };
}
