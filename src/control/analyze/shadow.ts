import type { RuleMatch, TextMatch } from '../mesh/route-rule.ts';
import type { Finding } from '../source/collection.ts';
import { findingAt } from '../source/finding.ts';
import type { Decoded } from '../translate/decoded.ts';
import { ruleMatch } from '../translate/istio/virtual-service.ts';

interface Earlier {
  readonly match: RuleMatch | null;
  readonly route: number;
}

/** Routes, and matches of routes, that no request can reach because earlier ones of the same object take all of theirs. */
export function shadowedRoutes({ object, value }: Decoded<'VirtualService'>): readonly Finding[] {
  const findings: Finding[] = [];
  const earlier: Earlier[] = [];
  for (const [i, route] of (value.http ?? []).entries()) {
    const matches = (route.match ?? []).map((match) => ruleMatch(match, object.namespace));
    const path = ['spec', 'http', i];
    const covering = (matches.length === 0 ? [null] : matches).map((match) =>
      earlier.find((one) => covers(one.match, match)),
    );
    const name = (index: number): string =>
      `spec.http[${index}] (line ${object.origin.lineOf(['spec', 'http', index])})`;
    if (covering.every((one) => one !== undefined)) {
      const [first] = covering;
      const message = `no request gets here: ${name(first?.route ?? 0)} comes first and matches the same or more; move this route before it`;
      findings.push(findingAt(object, 'warning', 'shadowed-route', path, message));
    } else {
      for (const [j, one] of covering.entries()) {
        if (one === undefined) continue;
        const message = `this match has no effect: ${name(one.route)} comes first and matches the same or more`;
        findings.push(findingAt(object, 'warning', 'shadowed-match', [...path, 'match', j], message));
      }
    }
    // What a delegate leaves unmatched goes on to the routes after it.
    if (route.delegate !== undefined) continue;
    if (matches.length === 0) earlier.push({ match: null, route: i });
    for (const match of matches) earlier.push({ match, route: i });
  }
  return findings;
}

/** Whether every request of `inner` is one of `outer`; null matches everything. Unsure means no. */
export function covers(outer: RuleMatch | null, inner: RuleMatch | null): boolean {
  if (outer === null) return true;
  if (inner === null) return isEverything(outer);
  return (
    coversPath(outer, inner) &&
    coversText(outer.scheme, inner.scheme) &&
    coversText(outer.method, inner.method) &&
    coversText(outer.authority, inner.authority) &&
    coversMap(outer.headers, inner.headers) &&
    // What must be absent: presence of less excluded is more matched, so only the same conditions are sure.
    [...outer.withoutHeaders].every(
      ([name, text]) => inner.withoutHeaders.has(name) && sameText(text, inner.withoutHeaders.get(name) ?? null),
    ) &&
    coversMap(outer.queryParams, inner.queryParams) &&
    (outer.port === 0 || outer.port === inner.port) &&
    Object.entries(outer.sourceLabels).every(([key, value]) => inner.sourceLabels[key] === value) &&
    (outer.sourceNamespace === '' || outer.sourceNamespace === inner.sourceNamespace) &&
    (outer.gateways.length === 0 ||
      (inner.gateways.length > 0 && inner.gateways.every((gateway) => outer.gateways.includes(gateway))))
  );
}

function isEverything(match: RuleMatch): boolean {
  return (
    (match.uri === null || (match.uri.kind === 'prefix' && match.uri.value.length <= 1)) &&
    match.scheme === null &&
    match.method === null &&
    match.authority === null &&
    match.headers.size + match.withoutHeaders.size + match.queryParams.size === 0 &&
    match.port === 0 &&
    Object.keys(match.sourceLabels).length === 0 &&
    match.sourceNamespace === '' &&
    match.gateways.length === 0
  );
}

function coversPath(outer: RuleMatch, inner: RuleMatch): boolean {
  if (outer.uri === null || (outer.uri.kind === 'prefix' && outer.uri.value.length <= 1)) return true;
  if (inner.uri === null || (inner.ignoreUriCase && !outer.ignoreUriCase)) return false;
  if (!outer.ignoreUriCase) return coversText(outer.uri, inner.uri);
  const lower = (text: TextMatch): TextMatch => ({
    kind: text.kind,
    value: text.kind === 'regex' ? text.value : text.value.toLowerCase(),
  });
  return coversText(lower(outer.uri), lower(inner.uri));
}

function coversText(outer: TextMatch | null, inner: TextMatch | null): boolean {
  if (outer === null) return true;
  if (inner === null) return false;
  if (outer.kind === 'prefix' && inner.kind !== 'regex') return inner.value.startsWith(outer.value);
  return sameText(outer, inner);
}

function coversMap(
  outer: ReadonlyMap<string, TextMatch | null>,
  inner: ReadonlyMap<string, TextMatch | null>,
): boolean {
  return [...outer].every(([name, text]) => inner.has(name) && coversText(text, inner.get(name) ?? null));
}

function sameText(a: TextMatch | null, b: TextMatch | null): boolean {
  return a === b || (a !== null && b !== null && a.kind === b.kind && a.value === b.value);
}
