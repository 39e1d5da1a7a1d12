import { expect, test } from 'vitest';
import type { ConfigError } from '../../../../../src/base/errors.ts';
import { seededRandom } from '../../../../../src/base/random.ts';
import type { AccessLog } from '../../../../../src/model/access-log.ts';
import { type AccessLogDeps, compileAccessLogs } from '../../../../../src/proxy/telemetry/accesslog/logger.ts';
import { finishedStream } from './stream.ts';

function harness() {
  const lines: string[] = [];
  const warnings: string[] = [];
  const deps: AccessLogDeps = {
    random: seededRandom(1),
    runtime: { number: (_, fallback) => fallback },
    headerMatcher: () => ({ test: () => true }),
    sinks: { get: (sink) => ({ write: (line: string) => lines.push(`${sink.kind}: ${line}`) }) as never },
    warn: (warning) => warnings.push(warning),
  };
  return { lines, warnings, deps };
}

function log(text: string, over: Partial<AccessLog> = {}): AccessLog {
  return { filter: null, sink: { kind: 'stdout' }, format: { kind: 'text', text, omitEmptyValues: false }, ...over };
}

test('no access log costs nothing', () => {
  expect(compileAccessLogs([], harness().deps)).toBeNull();
});

test('each log has its filter, format and sink', () => {
  const { deps, lines } = harness();
  const logger = compileAccessLogs(
    [
      log('all %RESPONSE_CODE%\n'),
      log('bad\n', { sink: { kind: 'stderr' }, filter: { kind: 'response_flag', flags: ['UF'] } }),
      log('good\n', { filter: { kind: 'status', comparison: { op: 'LE', value: 399 } } }),
    ],
    deps,
  );
  logger?.(finishedStream());
  expect(lines).toEqual(['stdout: all 503\n', 'stderr: bad\n']);
});

test('all problems are said with their place; operators without a value are warned of', () => {
  const { deps, warnings } = harness();
  try {
    compileAccessLogs(
      [log('%FILTER_STATE(x)%'), log('%NOPE%'), log('', { filter: { kind: 'response_flag', flags: ['?'] } })],
      deps,
    );
    expect.unreachable();
  } catch (error) {
    expect((error as ConfigError).problems).toEqual([
      'access_log[1]: command operator %NOPE% at position 0 does not exist',
      'access_log[2]: response flag "?" does not exist',
    ]);
  }
  expect(warnings).toEqual(['access_log[0]: %FILTER_STATE(x)% never has a value here and prints "-"']);
});
