import { type JsonObject, pack } from '../../../xds/proto/codec.ts';
import type { AccessLog } from '../../../xds/proto/gen/envoy/config/accesslog/v3.ts';
import { FileAccessLog } from '../../../xds/proto/gen/envoy/extensions/access_loggers/file/v3.ts';
import { StderrAccessLog, StdoutAccessLog } from '../../../xds/proto/gen/envoy/extensions/access_loggers/stream/v3.ts';
import { type AccessLogSettings, DEFAULT_SETTINGS } from '../../mesh/settings.ts';

/** What a connection manager or a TCP proxy writes of what it has served. */
export function accessLogs(settings: AccessLogSettings | null): AccessLog[] {
  if (settings === null) return [];
  const { path, format } = settings;
  const log_format =
    typeof format === 'string'
      ? { text_format_source: { inline_string: format } }
      : { json_format: (format ?? {}) as JsonObject };
  const written = format === null ? {} : { log_format };
  if (path === '/dev/stdout') {
    return [{ name: 'envoy.access_loggers.stdout', typed_config: pack(StdoutAccessLog, written) }];
  }
  if (path === '/dev/stderr') {
    return [{ name: 'envoy.access_loggers.stderr', typed_config: pack(StderrAccessLog, written) }];
  }
  return [{ name: 'envoy.access_loggers.file', typed_config: pack(FileAccessLog, { path, ...written }) }];
}

/** Where the mesh says nothing: standard output, in Envoy's default format. */
export const DEFAULT_LOGS: readonly AccessLog[] = accessLogs(DEFAULT_SETTINGS.accessLog);
