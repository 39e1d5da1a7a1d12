import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { COLOURS, outputFormat, PLAIN, paintFor, table } from '../../../src/cli/output.ts';

describe('output', () => {
  it('aligns columns by what is seen', () => {
    const rows = [
      ['A', 'B'],
      ['long', ''],
    ];
    expect(stripVTControlCharacters(table(rows, (_cell, text) => COLOURS.good(text)))).toBe('A     B\nlong\n');
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
