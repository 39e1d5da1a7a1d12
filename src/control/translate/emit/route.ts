import type { Any } from '../../../xds/proto/codec.ts';
import type {
  RedirectAction,
  Route,
  RouteAction,
  RouteMatch,
  WeightedCluster_ClusterWeight,
} from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import type { RouteRule, RouteTableRule, RuleMatch, RuleRedirect } from '../../mesh/route-rule.ts';
import type { MeshService, ServicePort } from '../../mesh/service.ts';
import { type Destination, effectiveWeights, resolveDestination } from './destination.ts';
import { CORS, FAULT, LOCAL_RATE_LIMIT } from './filter-order.ts';
import { authorityOf, headerFields, withoutMeshHeaders } from './header-ops.ts';
import { corsConfig, faultConfig, rateLimitConfig } from './http-filters.ts';
import { istioConfig, originMetadata, originText } from './metadata.ts';
import { outboundCluster } from './names.ts';
import { INBOUND_RETRY, retryPolicy } from './retry.ts';
import { isCatchAll, routeMatch } from './route-match.ts';
import { type Scope, selects } from './scope.ts';

/** For whom routes are built. */
export interface RouteContext {
  readonly scope: Scope;
  /** `mesh`, or the Gateway that the requests come through. */
  readonly gateway: string;
  /** The port that requests are for: the service's, or the gateway server's. */
  readonly port: number;
}

/** Routes of a table, in its order, without those that no request of this proxy can match. */
export function tableRoutes(table: RouteTableRule, context: RouteContext): Route[] {
  const parts = rulePlaces(table);
  const routes: Route[] = [];
  for (const rule of table.rules) {
    const matches = rule.matches.length === 0 ? [null] : rule.matches.filter((match) => applies(match, context));
    for (const match of matches) {
      const route = ruleRoute(rule, match, parts.get(rule) ?? '', context);
      routes.push(route);
      if (route.match !== undefined && isCatchAll(route.match)) return routes;
    }
  }
  return routes;
}

/** The route of a host without rules. */
export function serviceRoute(service: MeshService, port: ServicePort, { settings }: Pick<Scope, 'settings'>): Route {
  const route: Route = {
    name: 'default',
    match: { prefix: '/' },
    route: {
      cluster: outboundCluster(port.number, '', service.host),
      ...timeouts(0, [port.protocol]),
      retry_policy: retryPolicy(settings.retries),
    },
    metadata: originMetadata(originText(service.written), {}),
  };
  return service.external ? withoutMeshHeaders(route) : route;
}

/** The one route of an inbound port. */
export function inboundRoute(cluster: string, origin: string): Route {
  return {
    name: 'default',
    match: { prefix: '/' },
    route: { cluster, timeout: 0, retry_policy: INBOUND_RETRY },
    metadata: originMetadata(origin, {}),
  };
}

function applies(match: RuleMatch, { scope, gateway, port }: RouteContext): boolean {
  if (match.port !== 0 && match.port !== port) return false;
  if (match.gateways.length > 0 && !match.gateways.includes(gateway)) return false;
  if (match.sourceNamespace !== '' && match.sourceNamespace !== scope.namespace) return false;
  return selects(match.sourceLabels, scope.labels);
}

/**
 * Where each rule stands in its object, as `http[1]`. Rules of several objects are merged and one with several matches
 * may be split, but line numbers still tell the order in which each object has them.
 */
function rulePlaces(table: RouteTableRule): ReadonlyMap<RouteRule, string> {
  const places = new Map<string, Set<string>>();
  for (const { written } of table.rules) {
    const ofObject = places.get(written.object);
    if (ofObject === undefined) places.set(written.object, new Set([written.place]));
    else ofObject.add(written.place);
  }
  const lineOf = (place: string): number => Number(/:(\d+)$/.exec(place)?.[1] ?? 0);
  const sorted = new Map([...places].map(([object, set]) => [object, [...set].sort((a, b) => lineOf(a) - lineOf(b))]));
  return new Map(
    table.rules.map((rule, i) => {
      const ofObject = sorted.get(rule.written.object) ?? [];
      // Without lines all the places are the same, and the order in the table is all there is to go by.
      const known = lineOf(rule.written.place) > 0;
      return [rule, `http[${known ? ofObject.indexOf(rule.written.place) : i}]`];
    }),
  );
}

function ruleRoute(rule: RouteRule, match: RuleMatch | null, part: string, context: RouteContext): Route {
  const name = [rule.name, match?.name ?? ''].filter((text) => text !== '').join('.');
  const filters = filterConfigs(rule, context.scope);
  const { destinations, ...action } = ruleAction(rule, context);
  const single = destinations.length === 1 ? (destinations[0] ?? null) : null;
  const route: Route = {
    ...(name === '' ? {} : { name }),
    match: routeMatch(match),
    ...action,
    ...headerFields(rule.headers, single?.headers ?? null),
    metadata: originMetadata(originText(rule.written, part), istioConfig(rule.written.object)),
    ...(Object.keys(filters).length === 0 ? {} : { typed_per_filter_config: filters }),
    ...(match === null || match.statPrefix === '' ? {} : { stat_prefix: match.statPrefix }),
  };
  return single?.external === true ? withoutMeshHeaders(route) : route;
}

type Action = Pick<Route, 'route' | 'redirect' | 'direct_response'> & { destinations: readonly Destination[] };

function ruleAction(rule: RouteRule, context: RouteContext): Action {
  const { action } = rule;
  if (action.kind === 'redirect') return { redirect: redirectAction(action.redirect, context.port), destinations: [] };
  if (action.kind === 'direct') {
    const body = action.body.length === 0 ? {} : { body: bodySource(action.body) };
    return { direct_response: { status: action.status, ...body }, destinations: [] };
  }
  const all = action.destinations.map((to) => resolveDestination(to, context.port, context.scope));
  const destinations = all.length > 1 ? effectiveWeights(all) : all;
  // One that is left of several keeps its headers at its own level, so that they do not depend on the weights.
  const plain = all.length === 1 || (destinations.length === 1 && destinations[0]?.headers === null);
  return { route: forwardAction(rule, destinations, plain, context), destinations: plain ? destinations : [] };
}

/** Text is easier to read in a dump. */
function bodySource(body: Uint8Array) {
  try {
    return { inline_string: new TextDecoder('utf-8', { fatal: true }).decode(body) };
  } catch {
    return { inline_bytes: body };
  }
}

function forwardAction(
  rule: RouteRule,
  destinations: readonly Destination[],
  plain: boolean,
  { scope }: RouteContext,
): RouteAction {
  const { rewrite } = rule;
  const protocols = destinations.map((to) => to.protocol);
  return {
    ...(plain
      ? { cluster: destinations[0]?.cluster ?? '' }
      : { weighted_clusters: { clusters: destinations.map((to) => clusterWeight(to)) } }),
    ...(rewrite === null ? {} : rewriteFields(rewrite)),
    ...timeouts(rule.timeoutMs, protocols),
    retry_policy: retryPolicy(rule.retries ?? scope.settings.retries),
  };
}

function clusterWeight(to: Destination): WeightedCluster_ClusterWeight {
  const authority = authorityOf(to.headers);
  const weight: WeightedCluster_ClusterWeight = {
    name: to.cluster,
    weight: to.weight,
    ...headerFields(to.headers),
    ...(authority === '' ? {} : { host_rewrite_literal: authority }),
  };
  return to.external ? withoutMeshHeaders(weight) : weight;
}

/** No limit of time unless one is given: Envoy's 15 s cut streams (pains row 14). gRPC's own deadline counts. */
function timeouts(
  timeout: number,
  protocols: readonly (string | null)[],
): Pick<RouteAction, 'timeout' | 'max_stream_duration'> {
  const grpc = protocols.some((protocol) => protocol === 'grpc' || protocol === 'http2');
  return { timeout, ...(grpc ? { max_stream_duration: { grpc_timeout_header_max: timeout } } : {}) };
}

function rewriteFields({ uri, authority, regex }: NonNullable<RouteRule['rewrite']>): RouteAction {
  return {
    ...(regex === null
      ? uri === ''
        ? {}
        : { prefix_rewrite: uri }
      : { regex_rewrite: { pattern: { regex: regex.match }, substitution: regex.rewrite } }),
    ...(authority === '' ? {} : { host_rewrite_literal: authority }),
  };
}

const REDIRECTS: Readonly<Record<number, NonNullable<RedirectAction['response_code']>>> = {
  301: 'MOVED_PERMANENTLY',
  302: 'FOUND',
  303: 'SEE_OTHER',
  307: 'TEMPORARY_REDIRECT',
  308: 'PERMANENT_REDIRECT',
};

function redirectAction(redirect: RuleRedirect, requestPort: number): RedirectAction {
  const port = redirectPort(redirect, requestPort);
  return {
    ...(redirect.authority === '' ? {} : { host_redirect: redirect.authority }),
    ...(redirect.prefixRewrite !== ''
      ? { prefix_rewrite: redirect.prefixRewrite }
      : redirect.uri !== ''
        ? { path_redirect: redirect.uri }
        : {}),
    ...(redirect.scheme === '' ? {} : { scheme_redirect: redirect.scheme }),
    ...(port === 0 ? {} : { port_redirect: port }),
    response_code: REDIRECTS[redirect.status] ?? 'MOVED_PERMANENTLY',
  };
}

/** 0: none is written. The scheme's own port is not. */
function redirectPort({ port, scheme }: RuleRedirect, requestPort: number): number {
  if (port === null || port === 'FROM_PROTOCOL_DEFAULT') return 0;
  const wanted = port === 'FROM_REQUEST_PORT' ? requestPort : port;
  return wanted === (scheme === 'https' ? 443 : 80) ? 0 : wanted;
}

function filterConfigs(rule: RouteRule, { mesh }: Scope): Record<string, Any> {
  const limit = mesh.rateLimits.find(
    ({ target }) =>
      target.kind === 'route' &&
      rule.written.object === `VirtualService ${target.virtualService}` &&
      (target.routeName === '' || target.routeName === rule.name),
  );
  return {
    ...(rule.fault === null ? {} : { [FAULT]: faultConfig(rule.fault) }),
    ...(rule.cors === null ? {} : { [CORS]: corsConfig(rule.cors) }),
    ...(limit === undefined ? {} : { [LOCAL_RATE_LIMIT]: rateLimitConfig(limit) }),
  };
}

/** Behind one that matches everything nothing is reached, so those come last; else the order stays. */
export function catchAllsLast(routes: readonly Route[]): Route[] {
  const last = (match: RouteMatch | undefined): boolean => match !== undefined && isCatchAll(match);
  return [...routes.filter(({ match }) => !last(match)), ...routes.filter(({ match }) => last(match))];
}
