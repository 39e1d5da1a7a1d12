import { expect, test } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { FaultLog } from '../../../../src/proxy/http/fault-log.ts';
import { manualClock } from '../../../support/clock.ts';

test('five faults are logged with their stacks, then one a second, which says how many were not', () => {
  const clock = manualClock();
  const lines: string[] = [];
  const faults = new FaultLog(new LogRoot(clock, (line) => lines.push(line)).logger(), clock);
  for (let i = 0; i < 20; i++) faults.report(new TypeError(`number ${i}`), 'GET', 'id-1');
  expect(lines).toHaveLength(5);
  expect(lines[0]).toContain('method=GET request_id=id-1');
  expect(lines[0]).toContain('TypeError: number 0');
  expect(lines[0]).toContain('fault-log.test.ts');
  expect(lines[0]!.trimEnd()).not.toContain('\n');
  clock.advance(1000);
  faults.report('not even an error', 'PUT', undefined);
  faults.report(new Error('again too many'), 'PUT', undefined);
  expect(lines).toHaveLength(6);
  expect(lines[5]).toContain('unlogged=15 stack="not even an error"');
});
