import { ConfigError, messageOf } from '../../../base/errors.ts';
import type { AccessLog } from '../../../model/access-log.ts';
import type { StreamInfo } from '../stream-info.ts';
import { compileLogFilter, type LogFilterDeps } from './filter.ts';
import type { FormatEnvironment } from './format.ts';
import { compileLogFormat } from './json.ts';
import type { LogSinks } from './sink.ts';

export interface AccessLogDeps extends LogFilterDeps {
  readonly sinks: Pick<LogSinks, 'get'>;
  readonly format?: FormatEnvironment;
  /** Hears of operators that never have a value here. */
  readonly warn?: (warning: string) => void;
}

/** Logs one finished stream. */
export type AccessLogger = (info: StreamInfo) => void;

/**
 * Compiles the access logs of a connection manager or listener; null when there are none. Throws ConfigError
 * that lists everything wrong with them.
 */
export function compileAccessLogs(configs: readonly AccessLog[], deps: AccessLogDeps): AccessLogger | null {
  const problems: string[] = [];
  const loggers: AccessLogger[] = [];
  configs.forEach((config, i) => {
    try {
      loggers.push(compileOne(config, deps, `access_log[${i}]`));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(`access_log[${i}]: ${messageOf(error)}`);
    }
  });
  if (problems.length > 0) throw new ConfigError('access log is not valid', problems);
  const [only] = loggers;
  if (only === undefined) return null;
  if (loggers.length === 1) return only;
  return (info) => {
    for (const log of loggers) log(info);
  };
}

function compileOne(config: AccessLog, deps: AccessLogDeps, path: string): AccessLogger {
  const { ok: formatter, error } = compileLogFormat(config.format, deps.format ?? {});
  if (formatter === undefined) throw new ConfigError(error);
  for (const warning of formatter.warnings) deps.warn?.(`${path}: ${warning}`);
  const passes = config.filter === null ? null : compileLogFilter(config.filter, deps);
  // Last, so that a config that is refused opens no file.
  const sink = deps.sinks.get(config.sink);
  const { format } = formatter;
  if (passes === null) return (info) => sink.write(format(info));
  return (info) => {
    if (passes(info)) sink.write(format(info));
  };
}
