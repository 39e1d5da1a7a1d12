import type { FractionalPercent, HeaderMatcher, QueryParameterMatcher, StringMatcher } from '../../model/matcher.ts';
import type * as core from '../proto/gen/envoy/config/core/v3.ts';
import type * as route from '../proto/gen/envoy/config/route/v3.ts';
import type * as matcher from '../proto/gen/envoy/type/matcher/v3.ts';
import type * as type from '../proto/gen/envoy/type/v3.ts';
import type { Decoding } from './decoding.ts';

export function decodeStringMatcher(m: matcher.StringMatcher, path: string, s: Decoding): StringMatcher {
  if (m.safe_regex !== undefined) {
    if (m.ignore_case === true)
      s.noEffect(`${path}.ignore_case`, 'a regex says itself that case does not matter: (?i)');
    return { kind: 'regex', value: decodeRegex(m.safe_regex, `${path}.safe_regex`, s), ignoreCase: false };
  }
  const ignoreCase = m.ignore_case ?? false;
  const make = (kind: StringMatcher['kind'], value: string): StringMatcher => ({
    kind,
    value: ignoreCase ? value.toLowerCase() : value,
    ignoreCase,
  });
  if (m.prefix !== undefined) return make('prefix', m.prefix);
  if (m.suffix !== undefined) return make('suffix', m.suffix);
  if (m.contains !== undefined) return make('contains', m.contains);
  return make('exact', m.exact ?? '');
}

export function decodeRegex(m: matcher.RegexMatcher, path: string, s: Decoding): string {
  const pattern = m.regex ?? '';
  s.regex(pattern, `${path}.regex`);
  return pattern;
}

export interface RegexRewrite {
  readonly pattern: string;
  readonly substitution: string;
}

export function decodeRegexRewrite(m: matcher.RegexMatchAndSubstitute, path: string, s: Decoding): RegexRewrite {
  const pattern = m.pattern?.regex ?? '';
  const substitution = m.substitution ?? '';
  const wrong = s.regex(pattern, `${path}.pattern.regex`)?.checkSubstitution(substitution) ?? null;
  if (wrong !== null) s.error(`${path}.substitution`, wrong);
  return { pattern, substitution };
}

/** Lower case, and `host` under the name it is kept by. */
function matchedName(name: string): string {
  const lower = name.toLowerCase();
  return lower === 'host' ? ':authority' : lower;
}

export function decodeHeaderMatcher(m: route.HeaderMatcher, path: string, s: Decoding): HeaderMatcher {
  return {
    name: matchedName(m.name ?? ''),
    test: decodeHeaderTest(m, path, s),
    invert: m.invert_match ?? false,
    treatMissingAsEmpty: m.treat_missing_header_as_empty ?? false,
  };
}

function decodeHeaderTest(m: route.HeaderMatcher, path: string, s: Decoding): HeaderMatcher['test'] {
  if (m.string_match !== undefined) {
    return { kind: 'string', matcher: decodeStringMatcher(m.string_match, `${path}.string_match`, s) };
  }
  if (m.safe_regex_match !== undefined) {
    const value = decodeRegex(m.safe_regex_match, `${path}.safe_regex_match`, s);
    return { kind: 'string', matcher: { kind: 'regex', value, ignoreCase: false } };
  }
  if (m.range_match !== undefined) {
    const { start = 0, end = 0 } = m.range_match;
    if (end <= start) s.error(`${path}.range_match`, `[${start}, ${end}) holds no number: end must be above start`);
    return { kind: 'range', start, end };
  }
  const plain = (kind: StringMatcher['kind'], value: string): HeaderMatcher['test'] => ({
    kind: 'string',
    matcher: { kind, value, ignoreCase: false },
  });
  if (m.exact_match !== undefined) return plain('exact', m.exact_match);
  if (m.prefix_match !== undefined) return plain('prefix', m.prefix_match);
  if (m.suffix_match !== undefined) return plain('suffix', m.suffix_match);
  if (m.contains_match !== undefined) return plain('contains', m.contains_match);
  return { kind: 'present', present: m.present_match ?? true };
}

export function decodeHeaderMatchers(
  list: readonly route.HeaderMatcher[] | undefined,
  path: string,
  s: Decoding,
): HeaderMatcher[] {
  return (list ?? []).map((m, i) => decodeHeaderMatcher(m, `${path}[${i}]`, s));
}

export function decodeQueryMatcher(m: route.QueryParameterMatcher, path: string, s: Decoding): QueryParameterMatcher {
  const matcher = m.string_match === undefined ? null : decodeStringMatcher(m.string_match, `${path}.string_match`, s);
  return { name: m.name ?? '', matcher, present: m.present_match ?? true };
}

const PARTS = { HUNDRED: 10_000, TEN_THOUSAND: 100, MILLION: 1 } as const;

export function partsPerMillion(percent: type.FractionalPercent | undefined): number {
  return Math.min((percent?.numerator ?? 0) * PARTS[percent?.denominator ?? 'HUNDRED'], 1_000_000);
}

export function decodeFraction(fraction: core.RuntimeFractionalPercent): FractionalPercent {
  return { partsPerMillion: partsPerMillion(fraction.default_value), runtimeKey: fraction.runtime_key ?? '' };
}
