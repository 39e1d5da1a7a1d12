import {
  type AccessLog,
  type AccessLogFilter,
  type AccessLogSink,
  type Comparison,
  DEFAULT_ACCESS_LOG_FORMAT,
  type LogFormat,
  type LogJson,
} from '../../model/access-log.ts';
import { GRPC_CODES } from '../../protocol/grpc/status.ts';
import type { JsonObject, JsonValue } from '../proto/codec.ts';
import type * as accesslog from '../proto/gen/envoy/config/accesslog/v3.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import { FileAccessLog } from '../proto/gen/envoy/extensions/access_loggers/file/v3.ts';
import { StderrAccessLog, StdoutAccessLog } from '../proto/gen/envoy/extensions/access_loggers/stream/v3.ts';
import { decodeData } from './data-source.ts';
import type { Decoding } from './decoding.ts';
import { decodeHeaderMatcher, partsPerMillion } from './matcher.ts';

const DEFAULT_FORMAT: LogFormat = { kind: 'text', text: DEFAULT_ACCESS_LOG_FORMAT, omitEmptyValues: false };

export function decodeAccessLogs(
  logs: readonly accesslog.AccessLog[] | undefined,
  path: string,
  s: Decoding,
): AccessLog[] {
  return (logs ?? []).flatMap((log, i) => decodeAccessLog(log, `${path}[${i}]`, s) ?? []);
}

function decodeAccessLog(log: accesslog.AccessLog, path: string, s: Decoding): AccessLog | undefined {
  const filter = log.filter === undefined ? null : decodeLogFilter(log.filter, `${path}.filter`, s);
  const at = `${path}.typed_config`;
  if (log.typed_config === undefined) {
    s.error(at, 'is needed: it says where the log goes');
    return undefined;
  }
  const opened = s.open(log.typed_config, at);
  if (opened === undefined) return undefined;
  switch (opened.typeName) {
    case FileAccessLog.typeName: {
      s.check(FileAccessLog, opened.message, at);
      const file = opened.message as FileAccessLog;
      return { filter, sink: sinkOf(file.path ?? ''), format: decodeFileFormat(file, at, s) };
    }
    case StdoutAccessLog.typeName:
      s.check(StdoutAccessLog, opened.message, at);
      return {
        filter,
        sink: { kind: 'stdout' },
        format: decodeLogFormat((opened.message as StdoutAccessLog).log_format, `${at}.log_format`, s),
      };
    case StderrAccessLog.typeName:
      s.check(StderrAccessLog, opened.message, at);
      return {
        filter,
        sink: { kind: 'stderr' },
        format: decodeLogFormat((opened.message as StderrAccessLog).log_format, `${at}.log_format`, s),
      };
    default:
      s.error(
        at,
        `access logger ${opened.typeName} is not supported (gRPC and OpenTelemetry come later): log to a file, stdout or stderr`,
      );
      return undefined;
  }
}

function sinkOf(path: string): AccessLogSink {
  if (path === '/dev/stdout') return { kind: 'stdout' };
  return path === '/dev/stderr' ? { kind: 'stderr' } : { kind: 'file', path };
}

function decodeFileFormat(file: FileAccessLog, path: string, s: Decoding): LogFormat {
  if (file.format !== undefined && file.format !== '') {
    return { kind: 'text', text: s.format(file.format, `${path}.format`), omitEmptyValues: false };
  }
  for (const name of ['json_format', 'typed_json_format'] as const) {
    const json = file[name];
    if (json !== undefined)
      return { kind: 'json', fields: decodeJson(json, `${path}.${name}`, s), omitEmptyValues: false };
  }
  return decodeLogFormat(file.log_format, `${path}.log_format`, s);
}

/** A SubstitutionFormatString; absent, it is Envoy's default access log format. */
export function decodeLogFormat(
  format: core.SubstitutionFormatString | undefined,
  path: string,
  s: Decoding,
): LogFormat {
  if (format === undefined) return DEFAULT_FORMAT;
  const omitEmptyValues = format.omit_empty_values ?? false;
  if (format.json_format !== undefined) {
    return { kind: 'json', fields: decodeJson(format.json_format, `${path}.json_format`, s), omitEmptyValues };
  }
  if (format.text_format_source !== undefined) {
    const at = `${path}.text_format_source`;
    return {
      kind: 'text',
      text: s.format(decodeData(format.text_format_source, at, s).toString('utf8'), at),
      omitEmptyValues,
    };
  }
  return { kind: 'text', text: s.format(format.text_format ?? '', `${path}.text_format`), omitEmptyValues };
}

function decodeJson(json: JsonObject, path: string, s: Decoding): LogJson {
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [key, decodeJsonValue(value, `${path}.${key}`, s)]),
  );
}

function decodeJsonValue(value: JsonValue, path: string, s: Decoding): LogJson {
  if (typeof value === 'string') return s.format(value, path);
  if (Array.isArray(value)) return value.map((item, i) => decodeJsonValue(item, `${path}[${i}]`, s));
  return typeof value === 'object' && value !== null ? decodeJson(value, path, s) : value;
}

/** Envoy writes one name otherwise than gRPC does. */
function codeNumber(name: accesslog.GrpcStatusFilter_Status): number {
  return GRPC_CODES.indexOf(name === 'CANCELED' ? 'CANCELLED' : name);
}

const NEVER: AccessLogFilter = { kind: 'or', filters: [] };

export function decodeLogFilter(filter: accesslog.AccessLogFilter, path: string, s: Decoding): AccessLogFilter {
  if (filter.status_code_filter !== undefined) {
    return { kind: 'status', comparison: decodeComparison(filter.status_code_filter.comparison, s) };
  }
  if (filter.duration_filter !== undefined) {
    return { kind: 'duration', comparison: decodeComparison(filter.duration_filter.comparison, s) };
  }
  if (filter.not_health_check_filter !== undefined) return { kind: 'not_health_check' };
  if (filter.runtime_filter !== undefined) {
    const { percent_sampled, runtime_key = '' } = filter.runtime_filter;
    return {
      kind: 'runtime',
      fraction: { partsPerMillion: partsPerMillion(percent_sampled), runtimeKey: runtime_key },
    };
  }
  for (const kind of ['and', 'or'] as const) {
    const list = filter[`${kind}_filter`]?.filters;
    if (list === undefined) continue;
    return { kind, filters: list.map((item, i) => decodeLogFilter(item, `${path}.${kind}_filter.filters[${i}]`, s)) };
  }
  if (filter.header_filter !== undefined) {
    return {
      kind: 'header',
      header: decodeHeaderMatcher(filter.header_filter.header ?? {}, `${path}.header_filter.header`, s),
    };
  }
  if (filter.response_flag_filter !== undefined) {
    return { kind: 'response_flag', flags: filter.response_flag_filter.flags ?? [] };
  }
  if (filter.grpc_status_filter !== undefined) {
    const { statuses = [], exclude = false } = filter.grpc_status_filter;
    return { kind: 'grpc_status', statuses: statuses.map(codeNumber), exclude };
  }
  if (filter.log_type_filter !== undefined) {
    const { types = [], exclude = false } = filter.log_type_filter;
    return { kind: 'log_type', types, exclude };
  }
  // Any other has been refused by the field table.
  return NEVER;
}

/** The runtime's static layers are known here, so the number that holds is settled at once. */
function decodeComparison(comparison: accesslog.ComparisonFilter | undefined, s: Decoding): Comparison {
  const { default_value = 0, runtime_key = '' } = comparison?.value ?? {};
  const override = s.context.runtime.get(runtime_key);
  return { op: comparison?.op ?? 'EQ', value: typeof override === 'number' ? override : default_value };
}
