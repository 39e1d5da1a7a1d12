import { ConfigError } from '../../base/errors.ts';
import { compileRegex, toOctets } from '../../base/regex.ts';
import type { StringMatcher } from '../../model/matcher.ts';

/** A compiled string matcher. */
export interface StringTest {
  test(text: string): boolean;
  /** What the text must be, in words: `is "v2"`, `begins with "/api"`. */
  readonly describe: string;
}

/** Compiles a string matcher (envoy.type.matcher.v3.StringMatcher). Throws ConfigError for a regex that RE2 refuses. */
export function compileStringMatcher(matcher: StringMatcher): StringTest {
  const { kind, ignoreCase } = matcher;
  const shown = `${JSON.stringify(matcher.value)}${ignoreCase && kind !== 'regex' ? ' (in any case)' : ''}`;
  if (kind === 'regex') {
    const { ok: regex, error } = compileRegex(matcher.value);
    if (regex === undefined) throw new ConfigError(`regex ${shown}: ${error}`);
    return { test: (text) => regex.matches(text), describe: `matches regex ${shown}` };
  }
  const value = ignoreCase ? lowerAscii(toOctets(matcher.value)) : toOctets(matcher.value);
  switch (kind) {
    case 'exact':
      return {
        test: ignoreCase
          ? (text) => text.length === value.length && lowerAscii(text) === value
          : (text) => text === value,
        describe: `is ${shown}`,
      };
    case 'prefix':
      return {
        test: ignoreCase
          ? (text) => lowerAscii(text.substring(0, value.length)) === value
          : (text) => text.startsWith(value),
        describe: `begins with ${shown}`,
      };
    case 'suffix':
      return {
        test: ignoreCase
          ? (text) => text.length >= value.length && lowerAscii(text.substring(text.length - value.length)) === value
          : (text) => text.endsWith(value),
        describe: `ends with ${shown}`,
      };
    case 'contains':
      return {
        test: ignoreCase ? (text) => lowerAscii(text).includes(value) : (text) => text.includes(value),
        describe: `contains ${shown}`,
      };
  }
}

/** ASCII lower case: header values are octets, whose upper half is no letter. */
export function lowerAscii(text: string): string {
  return /[\x80-\xff]/.test(text) ? text.replace(/[A-Z]+/g, (run) => run.toLowerCase()) : text.toLowerCase();
}
