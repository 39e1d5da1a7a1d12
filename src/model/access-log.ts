import type { FractionalPercent, HeaderMatcher } from './matcher.ts';

/** One access logger. (envoy.config.accesslog.v3.AccessLog) */
export interface AccessLog {
  readonly filter: AccessLogFilter | null;
  readonly sink: AccessLogSink;
  readonly format: LogFormat;
}

export type AccessLogSink = { readonly kind: 'stdout' | 'stderr' } | { readonly kind: 'file'; readonly path: string };

/** Text or JSON with command operators such as `%REQ(:METHOD)%`; see proxy/telemetry/accesslog. */
export type LogFormat =
  | { readonly kind: 'text'; readonly text: string; readonly omitEmptyValues: boolean }
  | { readonly kind: 'json'; readonly fields: LogJson; readonly omitEmptyValues: boolean };

export type LogJson = string | number | boolean | null | readonly LogJson[] | { readonly [key: string]: LogJson };

export type Comparison = { readonly op: 'EQ' | 'GE' | 'LE' | 'NE'; readonly value: number };

export type AccessLogFilter =
  | { readonly kind: 'status'; readonly comparison: Comparison }
  | { readonly kind: 'duration'; readonly comparison: Comparison }
  | { readonly kind: 'not_health_check' }
  | { readonly kind: 'runtime'; readonly fraction: FractionalPercent }
  | { readonly kind: 'and' | 'or'; readonly filters: readonly AccessLogFilter[] }
  | { readonly kind: 'header'; readonly header: HeaderMatcher }
  | { readonly kind: 'response_flag'; readonly flags: readonly string[] }
  /** Statuses as numbers. */
  | { readonly kind: 'grpc_status'; readonly statuses: readonly number[]; readonly exclude: boolean }
  /** Envoy's names of the types (`TcpConnectionEnd`). */
  | { readonly kind: 'log_type'; readonly types: readonly string[]; readonly exclude: boolean };

/** Envoy's default format string. */
export const DEFAULT_ACCESS_LOG_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" ' +
  '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';
