import { describe, expect, it } from 'vitest';
import {
  decodeHeaderMatchers,
  decodeHeaderOption,
  decodePercent,
  decodeStatus,
  decodeStringMatchers,
} from '../../../../src/proxy/filters/wire.ts';
import { Problems } from '../../../../src/xds/proto/codec.ts';

const paths = (problems: Problems) => problems.list.map((problem) => problem.path);

describe('shared decoders', () => {
  it('turn percentages into parts per million', () => {
    expect(decodePercent({ numerator: 50 })).toBe(500_000);
    expect(decodePercent({ numerator: 50, denominator: 'TEN_THOUSAND' })).toBe(5000);
    expect(decodePercent({ numerator: 50, denominator: 'MILLION' })).toBe(50);
    expect(decodePercent({ numerator: 900 })).toBe(1_000_000);
    expect(decodePercent(undefined)).toBe(0);
  });

  it('find the number of a status by its name', () => {
    expect(decodeStatus({ code: 'TooManyRequests' })).toBe(429);
    expect(decodeStatus({ code: 418 as never })).toBe(418);
    expect(decodeStatus(undefined)).toBe(0);
  });

  it('leave out matchers that cannot be used, and say so', () => {
    const problems = new Problems();
    const list = [{ exact: 'a' }, { safe_regex: { regex: '(' } }, { custom: {} }, { prefix: 'b', ignore_case: true }];
    expect(decodeStringMatchers(list, problems, 'p')).toEqual([
      { kind: 'exact', value: 'a', ignoreCase: false },
      { kind: 'prefix', value: 'b', ignoreCase: true },
    ]);
    expect(paths(problems)).toEqual(['p[1].safe_regex.regex', 'p[2].custom']);
  });

  it('know all kinds of header matchers', () => {
    const problems = new Problems();
    const list = [
      { name: 'Host', exact_match: 'h' },
      { name: 'a', prefix_match: 'h', invert_match: true },
      { name: 'a', range_match: { start: 1, end: 3 } },
      { name: 'a', present_match: false },
      { name: 'a', treat_missing_header_as_empty: true },
      { name: 'a', range_match: { start: 3, end: 3 } },
    ];
    const decoded = decodeHeaderMatchers(list, problems, 'p');
    expect(decoded.map((m) => [m.name, m.test.kind, m.invert, m.treatMissingAsEmpty])).toEqual([
      [':authority', 'string', false, false],
      ['a', 'string', true, false],
      ['a', 'range', false, false],
      ['a', 'present', false, false],
      ['a', 'present', false, true],
      ['a', 'range', false, false],
    ]);
    expect(paths(problems)).toEqual(['p[5].range_match']);
  });

  it('read header options, the old append flag included', () => {
    const problems = new Problems();
    expect(decodeHeaderOption({ header: { key: 'X-A', value: '1' }, append: false }, problems, 'p')?.action).toBe(
      'OVERWRITE_IF_EXISTS_OR_ADD',
    );
    expect(decodeHeaderOption({ header: { key: 'X-A', raw_value: Buffer.from('1') } }, problems, 'p')?.value).toBe('1');
    expect(problems.ok).toBe(true);
    expect(decodeHeaderOption({ header: { key: 'bad name', value: '1' } }, problems, 'p')).toBeNull();
    expect(decodeHeaderOption({ header: { key: 'x', value: '%WHAT%' } }, problems, 'p')).toBeNull();
    expect(paths(problems)).toEqual(['p.header.key', 'p.header.value']);
  });
});
