import type { Written } from '../../mesh/mesh.ts';
import type {
  HeaderOperation,
  HeaderOperations,
  RouteRule,
  RuleCors,
  RuleDestination,
  RuleFault,
  RuleMatch,
  RuleRedirect,
  RuleRetries,
  RuleRewrite,
  TextMatch,
} from '../../mesh/route-rule.ts';
import { type ConfigObject, type Finding, objectName } from '../../source/collection.ts';
import { findingAt, placeOf } from '../../source/finding.ts';
import { didYouMean } from '../../source/schema/suggest.ts';
import type { Path } from '../../source/schema/type.ts';
import { fullHost, gatewayName } from '../names.ts';
import type {
  HeadersSpec,
  HttpDestinationSpec,
  HttpMatchSpec,
  HttpRouteSpec,
  StringMatchSpec,
} from './fields/virtual-service.ts';
import { textMatch } from './string-match.ts';
import { isAuthority } from './virtual-service-check.ts';
import { effectiveDestinations } from './weights.ts';

/** Where a piece of a VirtualService is written: delegates' routes are in another object than the hosts. */
export function writtenAt(object: ConfigObject, path: Path): Written {
  return { object: objectName(object), place: placeOf(object, path) };
}

/** What a route is translated against. */
export interface RouteContext {
  /** Whether a DestinationRule that applies to the host, seen from the namespace, defines the subset. */
  hasSubset(host: string, subset: string, namespace: string): boolean;
  /** The subsets there are, to say what may have been meant. */
  subsetsOf(host: string, namespace: string): readonly string[];
  readonly findings: Finding[];
}

/** One HTTP route. Names are resolved in the object's namespace. */
export function routeRule(route: HttpRouteSpec, object: ConfigObject, path: Path, context: RouteContext): RouteRule {
  const authority = route.rewrite?.authority || headerAuthority(route.headers);
  return {
    name: route.name ?? '',
    matches: (route.match ?? []).map((match) => ruleMatch(match, object.namespace)),
    action: ruleAction(route, authority, object, path, context),
    rewrite: ruleRewrite(route, authority),
    timeoutMs: route.timeout ?? 0,
    retries: ruleRetries(route),
    fault: ruleFault(route),
    cors: ruleCors(route),
    headers: headerOperations(route.headers, ''),
    written: writtenAt(object, path),
  };
}

export function ruleMatch(match: HttpMatchSpec, namespace: string): RuleMatch {
  return {
    name: match.name ?? '',
    uri: match.uri === undefined ? null : textMatch(match.uri),
    ignoreUriCase: match.ignoreUriCase ?? false,
    scheme: match.scheme === undefined ? null : textMatch(match.scheme),
    method: match.method === undefined ? null : textMatch(match.method),
    authority: match.authority === undefined ? null : textMatch(match.authority),
    headers: textMatches(match.headers, true),
    withoutHeaders: textMatches(match.withoutHeaders, true),
    queryParams: textMatches(match.queryParams, false),
    port: match.port ?? 0,
    sourceLabels: match.sourceLabels ?? {},
    sourceNamespace: match.sourceNamespace ?? '',
    gateways: (match.gateways ?? []).map((gateway) => gatewayName(gateway, namespace)),
    statPrefix: match.statPrefix ?? '',
  };
}

function textMatches(
  specs: Readonly<Record<string, StringMatchSpec>> | undefined,
  lower: boolean,
): ReadonlyMap<string, TextMatch | null> {
  return new Map(
    Object.entries(specs ?? {}).map(([name, spec]) => [lower ? name.toLowerCase() : name, textMatch(spec)]),
  );
}

function ruleAction(
  route: HttpRouteSpec,
  authority: string,
  object: ConfigObject,
  path: Path,
  context: RouteContext,
): RouteRule['action'] {
  if (route.redirect !== undefined) return { kind: 'redirect', redirect: ruleRedirect(route.redirect) };
  if (route.directResponse !== undefined) {
    const { status, body } = route.directResponse;
    return { kind: 'direct', status, body: body?.bytes ?? new TextEncoder().encode(body?.string ?? '') };
  }
  const single = route.route?.length === 1;
  const written = (route.route ?? []).map((spec) => ruleDestination(spec, object.namespace, single, authority));
  const hasSubset = (host: string, subset: string): boolean => context.hasSubset(host, subset, object.namespace);
  const { destinations, problems } = effectiveDestinations(written, hasSubset);
  if (problems.sumIsZero) {
    const message = 'all weights are 0: requests are split evenly; give at least one destination a weight';
    context.findings.push(findingAt(object, 'warning', 'weight-sum-zero', [...path, 'route'], message));
  }
  for (const index of problems.missing) {
    const at = [...path, 'route', index, 'destination', 'subset'];
    const message = missingSubset(written[index], problems.missing.length < written.length, object, context);
    context.findings.push(findingAt(object, 'error', 'missing-subset', at, message));
  }
  return { kind: 'forward', destinations };
}

function missingSubset(
  to: RuleDestination | undefined,
  others: boolean,
  object: ConfigObject,
  context: RouteContext,
): string {
  const { host = '', subset = '' } = to ?? {};
  const hint = didYouMean(subset, context.subsetsOf(host, object.namespace));
  const effect = others ? 'its share goes to the other destinations' : 'requests on this route fail with 503';
  return `no DestinationRule defines subset ${JSON.stringify(subset)} of ${host}${hint} (${effect})`;
}

function ruleDestination(
  spec: HttpDestinationSpec,
  namespace: string,
  single: boolean,
  authority: string,
): RuleDestination {
  const weight = spec.weight ?? 0;
  // The route's own authority comes first; that of a single destination has become the route's.
  const own = single || authority !== '' ? '' : headerAuthority(spec.headers);
  return {
    host: fullHost(spec.destination.host, namespace),
    subset: spec.destination.subset ?? '',
    port: spec.destination.port?.number ?? 0,
    // Alone it gets everything, whatever its weight says.
    weight: single && weight === 0 ? 100 : weight,
    headers: headerOperations(spec.headers, own),
  };
}

function ruleRedirect(redirect: NonNullable<HttpRouteSpec['redirect']>): RuleRedirect {
  return {
    uri: redirect.uri ?? '',
    prefixRewrite: redirect.prefixRewrite ?? '',
    authority: redirect.authority ?? '',
    port: redirect.port ?? redirect.derivePort ?? null,
    scheme: redirect.scheme ?? '',
    status: redirect.redirectCode || 301,
  };
}

/** The Host that a route sets by its headers; '' none. */
function headerAuthority(headers: HeadersSpec | undefined): string {
  const operations = headers?.request;
  for (const [name, value] of [...Object.entries(operations?.set ?? {}), ...Object.entries(operations?.add ?? {})]) {
    if (isAuthority(name)) return value;
  }
  return '';
}

function ruleRewrite(route: HttpRouteSpec, routeAuthority: string): RuleRewrite | null {
  const { rewrite } = route;
  let authority = routeAuthority;
  const only = route.route?.length === 1 ? route.route[0] : undefined;
  // With one destination its headers are the route's; the route's own come first.
  if (authority === '' && only !== undefined) authority = headerAuthority(only.headers);
  if (rewrite === undefined && authority === '') return null;
  return { uri: rewrite?.uri ?? '', authority, regex: rewrite?.uriRegexRewrite ?? null };
}

/**
 * Host and :authority are no headers to set but the rewrite of the authority. Where one of several destinations has
 * its own, it stays among its headers as `:authority`.
 */
function headerOperations(spec: HeadersSpec | undefined, authority: string): HeaderOperations | null {
  if (spec === undefined) return null;
  const request = operation(spec.request, authority);
  const response = operation(spec.response, '');
  const empty = [request, response].every(
    (part) => Object.keys(part.set).length + Object.keys(part.add).length + part.remove.length === 0,
  );
  return empty ? null : { request, response };
}

function operation(spec: HeadersSpec['request'], authority: string): HeaderOperation {
  const plain = ([name]: readonly [string, string]): boolean => !isAuthority(name);
  const set = Object.entries(spec?.set ?? {}).filter(plain);
  if (authority !== '') set.push([':authority', authority]);
  return {
    set: Object.fromEntries(set),
    add: Object.fromEntries(Object.entries(spec?.add ?? {}).filter(plain)),
    remove: spec?.remove ?? [],
  };
}

export function ruleRetries({ retries }: Pick<HttpRouteSpec, 'retries'>): RuleRetries | null {
  if (retries === undefined) return null;
  return {
    attempts: retries.attempts ?? 0,
    perTryTimeoutMs: retries.perTryTimeout ?? 0,
    retryOn: (retries.retryOn ?? '')
      .split(',')
      .map((token) => token.trim())
      .filter(Boolean)
      .join(','),
    backoffMs: retries.backoff ?? 0,
    ignorePreviousHosts: retries.retryIgnorePreviousHosts ?? true,
  };
}

function ruleFault({ fault }: HttpRouteSpec): RuleFault | null {
  if (fault === undefined) return null;
  const { delay, abort } = fault;
  const named = abort?.httpStatus !== undefined || abort?.grpcStatus !== undefined;
  return {
    delay:
      delay === undefined
        ? null
        : {
            fixedMs: delay.fixedDelay ?? 0,
            percent: delay.percentage === undefined ? (delay.percent ?? 0) : (delay.percentage.value ?? 0),
          },
    abort:
      abort === undefined || !named
        ? null
        : { status: abort.httpStatus ?? 0, grpcStatus: abort.grpcStatus ?? '', percent: abort.percentage?.value ?? 0 },
  };
}

function ruleCors({ corsPolicy }: HttpRouteSpec): RuleCors | null {
  if (corsPolicy === undefined) return null;
  const origins = corsPolicy.allowOrigins ?? [];
  return {
    allowOrigins:
      origins.length > 0
        ? origins.map(textMatch).filter((match) => match !== null)
        : (corsPolicy.allowOrigin ?? []).map((value) => ({ kind: 'exact', value })),
    allowMethods: corsPolicy.allowMethods ?? [],
    allowHeaders: corsPolicy.allowHeaders ?? [],
    exposeHeaders: corsPolicy.exposeHeaders ?? [],
    maxAgeMs: corsPolicy.maxAge ?? null,
    allowCredentials: corsPolicy.allowCredentials ?? null,
    unmatchedPreflights: corsPolicy.unmatchedPreflights === 'IGNORE' ? 'IGNORE' : 'FORWARD',
  };
}
