import { compileRegex } from '../../base/regex.ts';
import type { FractionalPercent, HeaderMatcher, StringMatcher } from '../../model/matcher.ts';
import type { HeaderValueOption } from '../../model/route.ts';
import type { Problems } from '../../xds/proto/codec.ts';
import { enumOf, resolve } from '../../xds/proto/descriptor.ts';
import type * as core from '../../xds/proto/gen/envoy/config/core/v3.ts';
import type * as route from '../../xds/proto/gen/envoy/config/route/v3.ts';
import type * as matcher from '../../xds/proto/gen/envoy/type/matcher/v3.ts';
import type * as type from '../../xds/proto/gen/envoy/type/v3.ts';
import { compileFormat } from '../telemetry/accesslog/format.ts';

/**
 * Decoders of the messages that several filters' configs contain. What cannot be used is a problem and is left out,
 * so that whatever comes back compiles.
 */

const PARTS = { HUNDRED: 10_000, TEN_THOUSAND: 100, MILLION: 1 } as const;

export function decodePercent(percent: type.FractionalPercent | undefined): number {
  return Math.min((percent?.numerator ?? 0) * PARTS[percent?.denominator ?? 'HUNDRED'], 1_000_000);
}

export function decodeFraction(fraction: core.RuntimeFractionalPercent): FractionalPercent {
  return { partsPerMillion: decodePercent(fraction.default_value), runtimeKey: fraction.runtime_key ?? '' };
}

export function decodeStringMatcher(m: matcher.StringMatcher, problems: Problems, path: string): StringMatcher | null {
  if (m.custom !== undefined) {
    problems.add(`${path}.custom`, 'refused: string matchers by extension are not supported');
    return null;
  }
  if (m.safe_regex !== undefined) return decodeRegex(m.safe_regex, problems, `${path}.safe_regex`);
  const ignoreCase = m.ignore_case ?? false;
  const make = (kind: StringMatcher['kind'], value: string): StringMatcher => ({ kind, value, ignoreCase });
  if (m.prefix !== undefined) return make('prefix', m.prefix);
  if (m.suffix !== undefined) return make('suffix', m.suffix);
  if (m.contains !== undefined) return make('contains', m.contains);
  return make('exact', m.exact ?? '');
}

export function decodeStringMatchers(
  list: readonly matcher.StringMatcher[] | undefined,
  problems: Problems,
  path: string,
): StringMatcher[] {
  return (list ?? [])
    .map((m, i) => decodeStringMatcher(m, problems, `${path}[${i}]`))
    .filter((m): m is StringMatcher => m !== null);
}

export function decodeHeaderMatchers(
  list: readonly route.HeaderMatcher[] | undefined,
  problems: Problems,
  path: string,
): HeaderMatcher[] {
  return (list ?? [])
    .map((m, i) => decodeHeaderMatcher(m, problems, `${path}[${i}]`))
    .filter((m): m is HeaderMatcher => m !== null);
}

export function decodeHeaderMatcher(m: route.HeaderMatcher, problems: Problems, path: string): HeaderMatcher | null {
  const test = decodeHeaderTest(m, problems, path);
  if (test === null) return null;
  const name = (m.name ?? '').toLowerCase();
  return {
    name: name === 'host' ? ':authority' : name,
    test,
    invert: m.invert_match ?? false,
    treatMissingAsEmpty: m.treat_missing_header_as_empty ?? false,
  };
}

function decodeHeaderTest(m: route.HeaderMatcher, problems: Problems, path: string): HeaderMatcher['test'] | null {
  const string = (of: StringMatcher | null): HeaderMatcher['test'] | null =>
    of === null ? null : { kind: 'string', matcher: of };
  const plain = (kind: StringMatcher['kind'], value: string): HeaderMatcher['test'] | null =>
    string({ kind, value, ignoreCase: false });
  if (m.string_match !== undefined)
    return string(decodeStringMatcher(m.string_match, problems, `${path}.string_match`));
  if (m.safe_regex_match !== undefined) {
    return string(decodeRegex(m.safe_regex_match, problems, `${path}.safe_regex_match`));
  }
  if (m.range_match !== undefined) {
    const { start = 0, end = 0 } = m.range_match;
    if (end <= start)
      problems.add(`${path}.range_match`, `[${start}, ${end}) holds no number: end must be above start`);
    return { kind: 'range', start, end };
  }
  if (m.exact_match !== undefined) return plain('exact', m.exact_match);
  if (m.prefix_match !== undefined) return plain('prefix', m.prefix_match);
  if (m.suffix_match !== undefined) return plain('suffix', m.suffix_match);
  if (m.contains_match !== undefined) return plain('contains', m.contains_match);
  return { kind: 'present', present: m.present_match ?? true };
}

function decodeRegex(m: matcher.RegexMatcher, problems: Problems, path: string): StringMatcher | null {
  const value = m.regex ?? '';
  const { error } = compileRegex(value);
  if (error === undefined) return { kind: 'regex', value, ignoreCase: false };
  problems.add(`${path}.regex`, `not a valid RE2 expression: ${error}`);
  return null;
}

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Whether a filter may change the header; says so when not. */
export function checkHeaderName(name: string, problems: Problems, path: string): boolean {
  if (name.startsWith(':') || name.toLowerCase() === 'host') {
    problems.add(path, `${JSON.stringify(name)} cannot be changed here: use the route's host_rewrite or path rewrite`);
    return false;
  }
  if (!HEADER_NAME.test(name)) {
    problems.add(path, `${JSON.stringify(name)} is not a header name`);
    return false;
  }
  return true;
}

export function decodeHeaderOption(
  option: core.HeaderValueOption,
  problems: Problems,
  path: string,
): HeaderValueOption | null {
  const name = option.header?.key ?? '';
  const raw = option.header?.raw_value;
  const value = raw === undefined ? (option.header?.value ?? '') : Buffer.from(raw).toString('utf8');
  const { error } = compileFormat(value);
  if (error !== undefined) problems.add(`${path}.header.value`, error);
  if (!checkHeaderName(name, problems, `${path}.header.key`) || error !== undefined) return null;
  const action = option.append === false ? 'OVERWRITE_IF_EXISTS_OR_ADD' : option.append_action;
  return {
    name,
    value,
    action: action ?? 'APPEND_IF_EXISTS_OR_ADD',
    keepEmptyValue: option.keep_empty_value ?? false,
  };
}

export function decodeHeaderOptions(
  list: readonly core.HeaderValueOption[] | undefined,
  problems: Problems,
  path: string,
): HeaderValueOption[] {
  return (list ?? [])
    .map((option, i) => decodeHeaderOption(option, problems, `${path}[${i}]`))
    .filter((option): option is HeaderValueOption => option !== null);
}

/** The number of an `envoy.type.v3.HttpStatus`, which the wire names by an enum; 0 when absent. */
export function decodeStatus(status: type.HttpStatus | undefined): number {
  const code: unknown = status?.code;
  if (typeof code === 'number') return code;
  if (typeof code !== 'string') return 0;
  const field = resolve('envoy.type.v3.HttpStatus')?.message?.fields.find((f) => f.name === 'code');
  return field === undefined ? 0 : (enumOf(field).numbers.get(code) ?? 0);
}

/** Notes fields that are accepted without effect, where they are set to anything. */
export function reportUnused<T extends object>(
  message: T,
  reasons: { readonly [K in keyof T]?: string },
  warnings: Problems,
  path: string,
): void {
  for (const [field, reason] of Object.entries(reasons)) {
    const value = (message as Record<string, unknown>)[field];
    if (value === undefined || value === false || value === 0 || value === '') continue;
    if (Array.isArray(value) && value.length === 0) continue;
    warnings.add(`${path}.${field}`, `accepted, no effect in this version: ${reason}`);
  }
}
