import { ConfigError } from '../../../base/errors.ts';
import type { Random } from '../../../base/random.ts';
import type { AccessLogFilter, Comparison } from '../../../model/access-log.ts';
import type { HeaderMatcher } from '../../../model/matcher.ts';
import type { RequestHead } from '../../../protocol/http/message.ts';
import { grpcStatusOrMapped } from '../grpc-status.ts';
import { responseFlagByName } from '../response-flags.ts';
import type { StreamInfo } from '../stream-info.ts';

/** Whether a finished stream is logged. */
export type LogFilter = (info: StreamInfo) => boolean;

/** What filters need besides their config. Telemetry imports nothing of the proxy, so the header matcher is handed in. */
export interface LogFilterDeps {
  readonly random: Random;
  readonly runtime: { number(key: string, fallback: number): number };
  /** `compileHeaderMatcher` of proxy/matcher. */
  readonly headerMatcher: (matcher: HeaderMatcher) => { test(head: RequestHead): boolean };
}

/** Compiles an access log filter (envoy.config.accesslog.v3.AccessLogFilter). Throws ConfigError for what is not valid. */
export function compileLogFilter(filter: AccessLogFilter, deps: LogFilterDeps): LogFilter {
  switch (filter.kind) {
    case 'status': {
      const compare = compileComparison(filter.comparison);
      return (info) => compare(info.responseCode);
    }
    case 'duration': {
      const compare = compileComparison(filter.comparison);
      return (info) => compare(info.end < 0 ? 0 : Math.floor(info.end - info.start));
    }
    // No filter here answers health checks itself, and only those streams would be marked as such.
    case 'not_health_check':
      return () => true;
    case 'runtime': {
      const { random, runtime } = deps;
      const { runtimeKey, partsPerMillion } = filter.fraction;
      if (runtimeKey === '') return () => random.int(1_000_000) < partsPerMillion;
      return () => random.int(1_000_000) < runtime.number(runtimeKey, partsPerMillion / 10_000) * 10_000;
    }
    case 'and': {
      const filters = filter.filters.map((inner) => compileLogFilter(inner, deps));
      return (info) => filters.every((inner) => inner(info));
    }
    case 'or': {
      const filters = filter.filters.map((inner) => compileLogFilter(inner, deps));
      return (info) => filters.some((inner) => inner(info));
    }
    case 'header': {
      const matcher = deps.headerMatcher(filter.header);
      return (info) => matcher.test(info.request);
    }
    case 'grpc_status': {
      const statuses = new Set(filter.statuses);
      return (info) => statuses.has(grpcStatusOrMapped(info)) !== filter.exclude;
    }
    case 'log_type': {
      const types = new Set(filter.types);
      return (info) => types.has(info.logType) !== filter.exclude;
    }
    case 'response_flag': {
      let mask = 0;
      for (const name of filter.flags) {
        const bit = responseFlagByName(name);
        if (bit === undefined) throw new ConfigError(`response flag ${JSON.stringify(name)} does not exist`);
        mask |= bit;
      }
      // An empty list asks for any flag.
      return mask === 0 ? (info) => info.flags !== 0 : (info) => (info.flags & mask) !== 0;
    }
  }
}

function compileComparison({ op, value }: Comparison): (actual: number) => boolean {
  switch (op) {
    case 'EQ':
      return (actual) => actual === value;
    case 'NE':
      return (actual) => actual !== value;
    case 'GE':
      return (actual) => actual >= value;
    case 'LE':
      return (actual) => actual <= value;
  }
}
