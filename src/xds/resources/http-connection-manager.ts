import type {
  ClientCertForwarding,
  LocalReplyConfig,
  LocalReplyFormat,
  LocalReplyMapper,
  HttpConnectionManager as Manager,
} from '../../model/http-connection-manager.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type * as hcm from '../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { decodeAccessLogs, decodeLogFilter, decodeLogFormat } from './access-log.ts';
import { decodeCidrs } from './address.ts';
import { checkConfigSource } from './config-source.ts';
import { decodeData } from './data-source.ts';
import type { Decoding } from './decoding.ts';
import { checkFormatter } from './header-format.ts';
import { decodeHeadersToAdd } from './header-mutations.ts';
import { decodeHttpFilters } from './http-filters.ts';
import { decodeRouteConfig } from './route.ts';
import { decodeUpgrade } from './route-action.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Defaults are Envoy's, as its protos document them. */
export function decodeManager(m: hcm.HttpConnectionManager, path: string, s: Decoding): Manager {
  const common = m.common_http_protocol_options ?? {};
  const http1 = m.http_protocol_options ?? {};
  if (m.strip_matching_host_port === true && m.strip_any_host_port === true) {
    s.error(`${path}.strip_any_host_port`, 'only one of strip_matching_host_port and strip_any_host_port may be set');
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
    generateRequestId: m.generate_request_id ?? true,
    preserveExternalRequestId: m.preserve_external_request_id ?? false,
    alwaysSetRequestIdInResponse: m.always_set_request_id_in_response ?? false,

    normalizePath: m.normalize_path ?? runtimeFlag(s, 'http_connection_manager.normalize_path'),
    mergeSlashes: m.merge_slashes ?? false,
    escapedSlashes: escapedSlashes(m),
    stripHostPort: m.strip_any_host_port === true ? 'ANY' : m.strip_matching_host_port === true ? 'MATCHING' : 'NONE',
    stripTrailingHostDot: m.strip_trailing_host_dot ?? false,

    ...decodeClientCert(m),

    upgrades: (m.upgrade_configs ?? []).map(decodeUpgrade),
    localReply: decodeLocalReply(m.local_reply_config, `${path}.local_reply_config`, s),
    accessLog: decodeAccessLogs(m.access_log, `${path}.access_log`, s),
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
