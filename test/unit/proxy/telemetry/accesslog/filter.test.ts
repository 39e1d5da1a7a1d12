import { expect, test } from 'vitest';
import type { AccessLogFilter } from '../../../../../src/model/access-log.ts';
import { compileLogFilter } from '../../../../../src/proxy/telemetry/accesslog/filter.ts';
import { finishedStream } from './stream.ts';

function passes(filter: AccessLogFilter, draw = 0, runtimeValue?: number): boolean {
  const compiled = compileLogFilter(filter, {
    random: { next: () => draw, int: (bound) => Math.floor(draw * bound) },
    runtime: { number: (_, fallback) => runtimeValue ?? fallback },
    headerMatcher: (matcher) => ({ test: (head) => head.headers.has(matcher.name) }),
  });
  return compiled(finishedStream());
}

const status = (op: 'EQ' | 'GE' | 'LE' | 'NE', value: number): AccessLogFilter => ({
  kind: 'status',
  comparison: { op, value },
});
const header = (name: string): AccessLogFilter => ({
  kind: 'header',
  header: { name, test: { kind: 'present', present: true }, invert: false, treatMissingAsEmpty: false },
});
const fraction = (partsPerMillion: number, runtimeKey = ''): AccessLogFilter => ({
  kind: 'runtime',
  fraction: { partsPerMillion, runtimeKey },
});

test.each([
  [status('EQ', 503), true],
  [status('NE', 503), false],
  [status('GE', 500), true],
  [status('LE', 500), false],
  [{ kind: 'duration', comparison: { op: 'GE', value: 11 } }, true],
  [{ kind: 'duration', comparison: { op: 'GE', value: 12 } }, false],
  [{ kind: 'not_health_check' }, true],
  [{ kind: 'and', filters: [status('GE', 500), status('LE', 502)] }, false],
  [{ kind: 'or', filters: [status('GE', 500), status('LE', 502)] }, true],
  [header('user-agent'), true],
  [header('none'), false],
  [{ kind: 'response_flag', flags: [] }, true],
  [{ kind: 'response_flag', flags: ['UH', 'UF'] }, true],
  [{ kind: 'response_flag', flags: ['UH'] }, false],
  // 503 stands for UNAVAILABLE where no gRPC status came.
  [{ kind: 'grpc_status', statuses: [14], exclude: false }, true],
  [{ kind: 'grpc_status', statuses: [14], exclude: true }, false],
  [{ kind: 'grpc_status', statuses: [0, 2], exclude: false }, false],
  [{ kind: 'log_type', types: ['DownstreamEnd'], exclude: false }, true],
  [{ kind: 'log_type', types: ['TcpPeriodic'], exclude: false }, false],
  [{ kind: 'log_type', types: ['TcpPeriodic'], exclude: true }, true],
] as [AccessLogFilter, boolean][])('%j: %s', (filter, expected) => {
  expect(passes(filter)).toBe(expected);
});

test('a runtime filter takes its share, which a runtime value in percent may override', () => {
  expect(passes(fraction(500_000), 0.49)).toBe(true);
  expect(passes(fraction(500_000), 0.51)).toBe(false);
  expect(passes(fraction(0, 'k'), 0.49, 50)).toBe(true);
});

test('a flag that does not exist is a config error', () => {
  expect(() => passes({ kind: 'response_flag', flags: ['XX'] })).toThrow(/"XX"/);
});
