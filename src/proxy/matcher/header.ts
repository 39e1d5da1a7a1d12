import type { HeaderMatcher } from '../../model/matcher.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import { compileStringMatcher, type StringTest } from './string.ts';

/** A compiled header matcher. */
export interface HeaderTest {
  test(head: RequestHead): boolean;
  /** What the header must be, in words. */
  readonly describe: string;
  /** The value the test saw, in words, for explanations. */
  seen(head: RequestHead): string;
}

/**
 * Compiles a header matcher. Of several lines of a header one is enough: joined they would be a value that no rule
 * knows, and whoever sends `x-role: a` and `x-role: admin` would pass a rule against `admin` (GHSA-ghc4-35x6-crw5).
 * A header that is absent fails every test of its value, an inverted one too, unless missing counts as empty (Envoy's rule).
 */
export function compileHeaderMatcher(matcher: HeaderMatcher): HeaderTest {
  const { name, test, invert, treatMissingAsEmpty } = matcher;
  const read = headerReader(name);
  const some = isOfHead(name)
    ? (head: RequestHead, test: (value: string) => boolean) => {
        const value = read(head);
        return value === undefined ? undefined : test(value);
      }
    : (head: RequestHead, test: (value: string) => boolean) => head.headers.someValue(name, test);
  const seen = (head: RequestHead): string => {
    const value = read(head);
    return value === undefined ? 'it is absent' : `it is ${JSON.stringify(value)}`;
  };
  if (test.kind === 'present') {
    const wanted = test.present !== invert;
    return {
      test: (head) => (read(head) !== undefined) === wanted,
      describe: `header ${name} is ${wanted ? 'present' : 'absent'}`,
      seen,
    };
  }
  const { test: valueTest, describe } = test.kind === 'string' ? compileStringMatcher(test.matcher) : rangeTest(test);
  return {
    test: (head) => {
      const passes = some(head, valueTest);
      if (passes !== undefined) return passes !== invert;
      return treatMissingAsEmpty && valueTest('') !== invert;
    },
    describe: `header ${name} ${invert ? 'is present and not: ' : ''}${describe}`,
    seen,
  };
}

/** Pseudo-headers and Host, which come from the head itself. */
function isOfHead(name: string): boolean {
  return name.startsWith(':') || name === 'host';
}

/** Reads a header's whole value; pseudo-headers and Host come from the head itself. */
export function headerReader(name: string): (head: RequestHead) => string | undefined {
  switch (name) {
    case ':method':
      return (head) => head.method;
    case ':path':
      return (head) => (head.path === '' ? undefined : head.path);
    case ':authority':
    case 'host':
      return (head) => head.authority;
    case ':scheme':
      return (head) => head.scheme;
    default:
      return (head) => head.headers.getJoined(name);
  }
}

function rangeTest(range: { start: number; end: number }): StringTest {
  return {
    test: (text) => {
      // As absl::SimpleAtoi: decimal digits with a sign, white space around them.
      if (!/^\s*[+-]?\d{1,19}\s*$/.test(text)) return false;
      const value = Number(text);
      return value >= range.start && value < range.end;
    },
    describe: `is a whole number from ${range.start} to below ${range.end}`,
  };
}
