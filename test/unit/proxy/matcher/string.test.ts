import { describe, expect, it } from 'vitest';
import type { StringMatcher } from '../../../../src/model/matcher.ts';
import { compileStringMatcher } from '../../../../src/proxy/matcher/string.ts';

const matches = (kind: StringMatcher['kind'], value: string, text: string, ignoreCase = false): boolean =>
  compileStringMatcher({ kind, value, ignoreCase }).test(text);

describe('string matcher', () => {
  it.each([
    ['exact', 'ab', 'ab', true],
    ['exact', 'ab', 'abc', false],
    ['prefix', 'ab', 'abc', true],
    ['prefix', 'ab', 'a', false],
    ['suffix', 'bc', 'abc', true],
    ['suffix', 'abcd', 'bcd', false],
    ['contains', 'b', 'abc', true],
    ['contains', 'd', 'abc', false],
    ['regex', 'a.c', 'abc', true],
    ['regex', 'a.c', 'xabc', false],
  ] as const)('%s %j on %j: %s', (kind, value, text, expected) => {
    expect(matches(kind, value, text)).toBe(expected);
  });

  it.each(['exact', 'prefix', 'suffix', 'contains'] as const)('%s can ignore the case of ASCII letters', (kind) => {
    expect(matches(kind, 'AbC', 'aBc', true)).toBe(true);
    expect(matches(kind, 'AbC', 'aBc')).toBe(false);
  });

  it('meets text beyond ASCII as octets', () => {
    expect(matches('exact', 'é', Buffer.from('é').toString('latin1'))).toBe(true);
  });

  it('refuses a regex that RE2 refuses', () => {
    expect(() => compileStringMatcher({ kind: 'regex', value: '(?=a)', ignoreCase: false })).toThrow(/regex/);
  });
});
