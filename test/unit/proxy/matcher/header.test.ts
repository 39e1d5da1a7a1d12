import { describe, expect, it } from 'vitest';
import type { HeaderMatcher } from '../../../../src/model/matcher.ts';
import { RequestHead } from '../../../../src/protocol/http/message.ts';
import { compileHeaderMatcher } from '../../../../src/proxy/matcher/header.ts';

function head(...headers: [string, string][]): RequestHead {
  const made = new RequestHead();
  made.method = 'GET';
  made.path = '/a';
  made.authority = 'host:80';
  for (const [name, value] of headers) made.headers.add(name, value);
  return made;
}

const matcher = (of: Partial<HeaderMatcher>): HeaderMatcher => ({
  name: 'x-a',
  test: { kind: 'string', matcher: { kind: 'exact', value: 'v', ignoreCase: false } },
  invert: false,
  treatMissingAsEmpty: false,
  ...of,
});

const matches = (of: Partial<HeaderMatcher>, on: RequestHead): boolean => compileHeaderMatcher(matcher(of)).test(on);

describe('header matcher', () => {
  // CVE-2026-26308: joined, two lines hid each other from a rule against one of them.
  it('compares the value, of several lines each by itself', () => {
    expect(matches({}, head(['X-A', 'v']))).toBe(true);
    expect(matches({}, head(['x-a', 'w']))).toBe(false);
    for (const lines of [
      ['v', 'w'],
      ['w', 'v'],
      ['v', 'v'],
    ] as const) {
      const two = head(['x-a', lines[0]], ['X-A', lines[1]]);
      expect(matches({}, two)).toBe(true);
      expect(matches({ invert: true }, two)).toBe(false);
    }
    expect(matches({ invert: true }, head(['x-a', 'w'], ['x-a', 'x']))).toBe(true);
    const joined = { kind: 'string', matcher: { kind: 'exact', value: 'v,w', ignoreCase: false } } as const;
    expect(matches({ test: joined }, head(['x-a', 'v'], ['x-a', 'w']))).toBe(false);
    expect(matches({ test: joined }, head(['x-a', 'v,w']))).toBe(true);
    const range = { kind: 'range', start: 1, end: 5 } as const;
    expect(matches({ test: range }, head(['x-a', '9'], ['x-a', '3']))).toBe(true);
  });

  it('never matches the value of a header that is absent, inverted or not, unless missing is empty', () => {
    expect(matches({}, head())).toBe(false);
    expect(matches({ invert: true }, head())).toBe(false);
    expect(matches({ invert: true, treatMissingAsEmpty: true }, head())).toBe(true);
    expect(matches({ invert: true }, head(['x-a', 'w']))).toBe(true);
  });

  it('asks for presence or absence', () => {
    expect(matches({ test: { kind: 'present', present: true } }, head(['x-a', '']))).toBe(true);
    expect(matches({ test: { kind: 'present', present: true }, invert: true }, head())).toBe(true);
    expect(matches({ test: { kind: 'present', present: false } }, head())).toBe(true);
  });

  it('compares whole numbers, the end of the range left out', () => {
    const range = { kind: 'range', start: -5, end: 10 } as const;
    for (const [value, expected] of [
      ['-5', true],
      ['9', true],
      ['10', false],
      ['x', false],
      ['1.5', false],
    ] as const) {
      expect(matches({ test: range }, head(['x-a', value]))).toBe(expected);
    }
  });

  it('reads pseudo-headers from the head', () => {
    const exact = (value: string) =>
      ({ kind: 'string', matcher: { kind: 'exact', value, ignoreCase: false } }) as const;
    expect(matches({ name: ':method', test: exact('GET') }, head())).toBe(true);
    expect(matches({ name: ':path', test: exact('/a') }, head())).toBe(true);
    expect(matches({ name: ':authority', test: exact('host:80') }, head())).toBe(true);
  });
});
