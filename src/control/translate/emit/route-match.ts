import type { HeaderMatcher, QueryParameterMatcher, RouteMatch } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { StringMatcher } from '../../../xds/proto/gen/envoy/type/matcher/v3.ts';
import type { RuleMatch, TextMatch } from '../../mesh/route-rule.ts';
import { compareText } from '../names.ts';

export function routeMatch(match: RuleMatch | null): RouteMatch {
  if (match === null) return { prefix: '/' };
  const headers = [
    ...[...match.headers].map(([name, text]) => headerMatcher(name, text)),
    ...[...match.withoutHeaders].map(([name, text]) => withoutHeader(name, text)),
  ].sort((a, b) => compareText(a.name ?? '', b.name ?? ''));
  if (match.method !== null) headers.push(headerMatcher(':method', match.method));
  if (match.authority !== null) headers.push(headerMatcher(':authority', match.authority));
  if (match.scheme !== null) headers.push(headerMatcher(':scheme', match.scheme));
  const parameters = [...match.queryParams].map(([name, text]) => queryMatcher(name, text));
  return {
    ...pathMatch(match.uri),
    ...(match.ignoreUriCase ? { case_sensitive: false } : {}),
    ...(headers.length > 0 ? { headers } : {}),
    ...(parameters.length > 0 ? { query_parameters: parameters } : {}),
  };
}

/** Whether every request matches: what comes behind is never reached. */
export function isCatchAll(match: RouteMatch): boolean {
  const everyPath = match.prefix === '/' || match.safe_regex?.regex === '.*';
  return everyPath && match.headers === undefined && match.query_parameters === undefined;
}

export function stringMatcher(text: TextMatch): StringMatcher {
  if (text.kind === 'exact') return { exact: text.value };
  if (text.kind === 'prefix') return { prefix: text.value };
  return { safe_regex: { regex: text.value } };
}

/** A prefix is one of the text, not of path segments: `/foo` matches `/foobar`, as Istio documents. */
function pathMatch(uri: TextMatch | null): RouteMatch {
  if (uri === null) return { prefix: '/' };
  if (uri.kind === 'exact') return { path: uri.value };
  if (uri.kind === 'prefix') return { prefix: uri.value };
  return { safe_regex: { regex: uri.value } };
}

function headerMatcher(name: string, text: TextMatch | null): HeaderMatcher {
  return text === null ? { name, present_match: true } : { name, string_match: stringMatcher(text) };
}

/** A header that is not there does not have the value either. */
function withoutHeader(name: string, text: TextMatch | null): HeaderMatcher {
  const matcher = { ...headerMatcher(name, text), invert_match: true };
  return text === null ? matcher : { ...matcher, treat_missing_header_as_empty: true };
}

function queryMatcher(name: string, text: TextMatch | null): QueryParameterMatcher {
  return text === null ? { name, present_match: true } : { name, string_match: stringMatcher(text) };
}
