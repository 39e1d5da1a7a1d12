import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { COLOURS, count, duration, outputFormat, PLAIN, paintFor, table } from '../../../src/cli/output.ts';

describe('output', () => {
  it('aligns columns by what is seen', () => {
    const rows = [
      ['A', 'B'],
      ['long', ''],
    ];
    expect(stripVTControlCharacters(table(rows, (_cell, text) => COLOURS.good(text)))).toBe('A     B\nlong\n');
  });
  it('says durations as people do', () => {
    expect([0, 25, 1500, 90_000, 300_000].map(duration)).toEqual(['none', '25 ms', '1.5 s', '90 s', '5 min']);
  });
  it('counts', () => {
    expect([count(1, 'proxy', 'proxies'), count(0, 'proxy', 'proxies'), count(2, 'route')]).toEqual([
      '1 proxy',
      '0 proxies',
      '2 routes',
    ]);
  });
  it('knows two formats', () => {
    expect(outputFormat('json')).toBe('json');
    expect(() => outputFormat('yaml')).toThrow('must be text or json');
  });
  it('paints for terminals alone', () => {
    expect(paintFor({})).toBe(PLAIN);
    expect(paintFor({ isTTY: false })).toBe(PLAIN);
  });
});
