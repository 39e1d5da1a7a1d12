import { type Random, seededRandom } from '../../../../src/base/random.ts';
import type { HeaderMatcher, StringMatcher } from '../../../../src/model/matcher.ts';
import type {
  ForwardAction,
  HeaderMutations,
  HeaderValueOption,
  RedirectAction,
  Route,
  RouteAction,
  RouteConfig,
  RouteMatch,
  VirtualHost,
} from '../../../../src/model/route.ts';
import { RequestHead } from '../../../../src/protocol/http/message.ts';
import type { RuntimeValues } from '../../../../src/proxy/filters/filter.ts';
import type { TableDeps } from '../../../../src/proxy/router/table.ts';

const NO_MUTATIONS: HeaderMutations = {
  requestHeadersToAdd: [],
  requestHeadersToRemove: [],
  responseHeadersToAdd: [],
  responseHeadersToRemove: [],
};

export function routeMatch(over: Partial<RouteMatch> = {}): RouteMatch {
  return {
    path: { kind: 'prefix', value: '/' },
    caseSensitive: true,
    headers: [],
    queryParameters: [],
    runtimeFraction: null,
    grpc: false,
    tls: null,
    ...over,
  };
}

export function forward(over: Partial<ForwardAction> = {}): RouteAction {
  return {
    kind: 'forward',
    cluster: { kind: 'cluster', name: 'c' },
    clusterNotFoundStatus: 503,
    rewrite: null,
    hostRewrite: null,
    appendXForwardedHost: false,
    timeoutMs: 15_000,
    idleTimeoutMs: null,
    retryPolicy: null,
    upgrades: [],
    maxStreamDurationMs: null,
    grpcTimeout: null,
    priority: 'DEFAULT',
    internalRedirects: null,
    ...over,
  };
}

export function redirectAction(over: Partial<RedirectAction> = {}): RedirectAction {
  return {
    scheme: '',
    httpsRedirect: false,
    host: '',
    port: 0,
    path: { kind: 'none', value: '' },
    status: 301,
    stripQuery: false,
    ...over,
  };
}

export function route(name: string, match: Partial<RouteMatch> = {}, over: Partial<Route> = {}): Route {
  return {
    ...NO_MUTATIONS,
    name,
    match: routeMatch(match),
    action: forward(),
    perFilterConfig: new Map(),
    statPrefix: '',
    perRequestBufferLimitBytes: null,
    origin: '',
    ...over,
  };
}

export function virtualHost(name: string, domains: readonly string[], over: Partial<VirtualHost> = {}): VirtualHost {
  return {
    ...NO_MUTATIONS,
    name,
    domains,
    routes: [route(`${name}-route`)],
    requireTls: 'NONE',
    retryPolicy: null,
    includeRequestAttemptCount: false,
    includeAttemptCountInResponse: false,
    includeIsTimeoutRetryHeader: false,
    perRequestBufferLimitBytes: null,
    perFilterConfig: new Map(),
    ...over,
  };
}

export function routeConfig(virtualHosts: readonly VirtualHost[], over: Partial<RouteConfig> = {}): RouteConfig {
  return {
    ...NO_MUTATIONS,
    name: 'table',
    virtualHosts,
    internalOnlyHeaders: [],
    ignorePortInHostMatching: false,
    ignorePathParameters: false,
    mostSpecificHeaderMutationsWins: false,
    perFilterConfig: new Map(),
    ...over,
  };
}

export function request(
  path = '/',
  headers: Record<string, string | readonly string[]> = {},
  over: Partial<Pick<RequestHead, 'method' | 'authority' | 'scheme'>> = {},
): RequestHead {
  const head = new RequestHead();
  head.method = over.method ?? 'GET';
  head.authority = over.authority ?? 'a.test';
  head.scheme = over.scheme ?? 'http';
  head.path = path;
  for (const [name, value] of Object.entries(headers)) {
    for (const one of typeof value === 'string' ? [value] : value) head.headers.add(name, one);
  }
  return head;
}

export const NO_RUNTIME: RuntimeValues = { number: (_, fallback) => fallback, boolean: (_, fallback) => fallback };

export function deps(over: Partial<TableDeps> = {}): TableDeps {
  return { random: seededRandom(1), runtime: NO_RUNTIME, ...over };
}

/** A generator that gives these values, of [0, 1), in turn. */
export function fixedRandom(...values: number[]): Random {
  let i = 0;
  const next = (): number => values[i++ % values.length]!;
  return { next, int: (bound) => Math.floor(next() * bound) };
}

export function string(kind: StringMatcher['kind'], value: string, ignoreCase = false): StringMatcher {
  return { kind, value, ignoreCase };
}

export function header(
  name: string,
  test: HeaderMatcher['test'] | StringMatcher,
  over: Partial<HeaderMatcher> = {},
): HeaderMatcher {
  const matcher = 'value' in test ? ({ kind: 'string', matcher: test } as const) : test;
  return { name, test: matcher, invert: false, treatMissingAsEmpty: false, ...over };
}

export function add(
  name: string,
  value: string,
  action: HeaderValueOption['action'] = 'APPEND_IF_EXISTS_OR_ADD',
  keepEmptyValue = false,
): HeaderValueOption {
  return { name, value, action, keepEmptyValue };
}
