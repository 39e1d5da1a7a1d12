import type { RouteRule, RuleMatch, TextMatch } from '../../mesh/route-rule.ts';
import { objectName } from '../../source/collection.ts';
import { findingAt } from '../../source/finding.ts';
import type { Decoded } from '../decoded.ts';
import { exportedTo, visibleTo } from '../names.ts';
import type { HttpRouteSpec } from './fields/virtual-service.ts';
import { type RouteContext, routeRule, ruleMatch } from './virtual-service.ts';

type VirtualService = Decoded<'VirtualService'>;

/** The delegate that a route names, by `namespace/name`; undefined where there is none it may use. */
export function delegateOf(
  root: VirtualService,
  route: HttpRouteSpec,
  delegates: ReadonlyMap<string, VirtualService>,
): VirtualService | undefined {
  if (route.delegate === undefined) return undefined;
  const found = delegates.get(`${route.delegate.namespace || root.object.namespace}/${route.delegate.name}`);
  if (found === undefined) return undefined;
  return visibleTo(exportedTo(found.value.exportTo, found.object.namespace), root.object.namespace) ? found : undefined;
}

/**
 * The routes of a delegate under a route of the root, as Istio merges them: the delegate's match must lie within one
 * of the root's, and what the delegate does not say is taken from the root. A delegate's route that no root match
 * covers is left out, with a finding on the root.
 */
export function delegatedRules(
  root: VirtualService,
  index: number,
  route: HttpRouteSpec,
  delegates: ReadonlyMap<string, VirtualService>,
  context: RouteContext,
): readonly RouteRule[] {
  const path = ['spec', 'http', index, 'delegate'];
  const target = delegateOf(root, route, delegates);
  if (target === undefined) {
    const name = `${route.delegate?.namespace || root.object.namespace}/${route.delegate?.name}`;
    const message = `the delegate ${name} is not there (a VirtualService without hosts, exported to ${root.object.namespace}): this route has no effect`;
    context.findings.push(findingAt(root.object, 'error', 'missing-delegate', path, message));
    return [];
  }
  const rules: RouteRule[] = [];
  const rootMatches = (route.match ?? []).map((match) => ruleMatch(match, root.object.namespace));
  const fromRoot = routeRule(route, root.object, ['spec', 'http', index], context);
  for (const [i, own] of (target.value.http ?? []).entries()) {
    const rule = routeRule(own, target.object, ['spec', 'http', i], context);
    const matches = mergeMatches(rootMatches, rule.matches);
    if (matches === null) {
      const message = `route ${own.name ?? i} of delegate ${objectName(target.object)} matches outside of this route and is left out`;
      context.findings.push(findingAt(root.object, 'warning', 'delegate-conflict', path, message));
      continue;
    }
    rules.push({
      ...rule,
      name: joinNames(fromRoot.name, rule.name),
      matches,
      action: own.directResponse === undefined && route.directResponse !== undefined ? fromRoot.action : rule.action,
      rewrite: own.rewrite === undefined && fromRoot.rewrite !== null ? mergeRewrite(rule, fromRoot) : rule.rewrite,
      timeoutMs: own.timeout === undefined ? fromRoot.timeoutMs : rule.timeoutMs,
      retries: rule.retries ?? fromRoot.retries,
      fault: rule.fault ?? fromRoot.fault,
      cors: rule.cors ?? fromRoot.cors,
      headers: own.headers === undefined ? fromRoot.headers : rule.headers,
    });
  }
  return rules;
}

/** A delegate's own Host header stays its own where the root only rewrites the path. */
function mergeRewrite(rule: RouteRule, root: RouteRule): RouteRule['rewrite'] {
  if (root.rewrite === null) return rule.rewrite;
  const authority = rule.rewrite?.authority || root.rewrite.authority;
  return { ...root.rewrite, authority };
}

function joinNames(root: string, own: string): string {
  return root === '' || own === '' ? root || own : `${root}-${own}`;
}

/** null: a match of the delegate lies in none of the root's. */
function mergeMatches(root: readonly RuleMatch[], own: readonly RuleMatch[]): readonly RuleMatch[] | null {
  if (root.length === 0) return own;
  if (own.length === 0) return root;
  const merged: RuleMatch[] = [];
  for (const match of own) {
    const within = root.filter((outer) => !conflicts(outer, match));
    if (within.length === 0) return null;
    merged.push(...within.map((outer) => mergeMatch(outer, match)));
  }
  return merged;
}

function mergeMatch(root: RuleMatch, own: RuleMatch): RuleMatch {
  return {
    name: joinNames(root.name, own.name),
    uri: own.uri ?? root.uri,
    ignoreUriCase: own.ignoreUriCase,
    scheme: own.scheme ?? root.scheme,
    method: own.method ?? root.method,
    authority: own.authority ?? root.authority,
    headers: new Map([...root.headers, ...own.headers]),
    withoutHeaders: new Map([...root.withoutHeaders, ...own.withoutHeaders]),
    queryParams: new Map([...root.queryParams, ...own.queryParams]),
    port: own.port || root.port,
    sourceLabels: { ...root.sourceLabels, ...own.sourceLabels },
    sourceNamespace: own.sourceNamespace || root.sourceNamespace,
    gateways: own.gateways.length > 0 ? own.gateways : root.gateways,
    statPrefix: own.statPrefix || root.statPrefix,
  };
}

function conflicts(root: RuleMatch, own: RuleMatch): boolean {
  const texts = [
    [root.uri, own.uri],
    [root.scheme, own.scheme],
    [root.method, own.method],
    [root.authority, own.authority],
    ...pairs(root.headers, own.headers),
    ...pairs(root.withoutHeaders, own.withoutHeaders),
    ...pairs(root.queryParams, own.queryParams),
  ] as const;
  if (texts.some(([outer, inner]) => textConflicts(outer ?? null, inner ?? null))) return true;
  if (root.ignoreUriCase !== own.ignoreUriCase) return true;
  if (root.port > 0 && own.port > 0 && root.port !== own.port) return true;
  if (root.sourceNamespace !== '' && own.sourceNamespace !== root.sourceNamespace) return true;
  for (const [key, value] of Object.entries(own.sourceLabels)) {
    if (Object.hasOwn(root.sourceLabels, key) && root.sourceLabels[key] !== value) return true;
  }
  return root.gateways.length > 0 && own.gateways.some((gateway) => !root.gateways.includes(gateway));
}

function pairs(
  root: ReadonlyMap<string, TextMatch | null>,
  own: ReadonlyMap<string, TextMatch | null>,
): (readonly [TextMatch | null | undefined, TextMatch | null])[] {
  return [...own].map(([key, match]) => [root.get(key), match] as const);
}

/** Whether the inner match reaches outside of the outer one. Regexes are compared with nothing. */
function textConflicts(outer: TextMatch | null, inner: TextMatch | null): boolean {
  if (outer === null || inner === null) return false;
  if (outer.kind === 'regex' || inner.kind === 'regex') return true;
  if (outer.kind === 'exact') return inner.kind !== 'exact' || inner.value !== outer.value;
  return !inner.value.startsWith(outer.value);
}
