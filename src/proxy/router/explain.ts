import type { InternalRedirectPolicy } from '../../model/route.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import { lowerAscii } from './header-match.ts';
import { type MatchContext, MatchInput } from './match.ts';
import type { CompiledRoute } from './route.ts';
import { type CompiledHost, needsTls, type RouteTable } from './table.ts';
import { type Domain, domainCovers } from './virtual-hosts.ts';

/** Why the table chose what it chose for one request. */
export interface RouteTrace {
  readonly table: string;
  readonly authority: string;
  /** Every virtual host, in the order of the config. */
  readonly virtualHosts: readonly HostTrace[];
  /** Routes of the chosen virtual host, in order, up to the one that matched. */
  readonly routes: readonly RuleTrace[];
  /** Routes behind the one that matched, which were not looked at. */
  readonly routesNotReached: number;
  readonly route: CompiledRoute | null;
  /** The outcome in one sentence. */
  readonly decision: string;
}

export interface HostTrace {
  readonly name: string;
  readonly domains: readonly string[];
  readonly chosen: boolean;
  /** Why it was chosen or not. */
  readonly why: string;
}

export interface RuleTrace {
  readonly index: number;
  readonly name: string;
  /** The user's object and line; '' unknown. */
  readonly origin: string;
  readonly matched: boolean;
  /** All conditions in words, in the order they are tested. */
  readonly conditions: readonly string[];
  /** The first condition that failed and what the request had instead; '' for the match. */
  readonly why: string;
}

/** Decides as {@link RouteTable.match} does, by the same predicates, and says why. */
export function explainRoute(table: RouteTable, head: RequestHead, context: MatchContext): RouteTrace {
  const { authority } = head;
  const host = table.hostIndex.find(authority);
  const text = lowerAscii(table.hostIndex.hostOf(authority));
  const chosenDomain = host === null ? null : bestDomain(host, text);
  const virtualHosts = table.hosts.map((candidate) => traceHost(candidate, candidate === host, chosenDomain, text));
  const base = { table: table.config.name, authority, virtualHosts };
  const unasked = table.lacks(authority) ? ASKS : '';
  if (host === null) {
    const decision = `${unasked}No virtual host covers ${JSON.stringify(authority)}: 404, NR.`;
    return { ...base, routes: [], routesNotReached: 0, route: null, decision };
  }
  const { name, requireTls } = host.virtualHost;
  if (host.tlsRedirect !== null && needsTls(host.virtualHost, head, context)) {
    const decision = `Virtual host ${name} requires TLS (${requireTls}) and the request's X-Forwarded-Proto is ${JSON.stringify(head.headers.getJoined('x-forwarded-proto') ?? '')}: 301 to https.`;
    return { ...base, routes: [], routesNotReached: host.rules.length, route: host.tlsRedirect, decision };
  }
  const input = new MatchInput();
  input.fill(head, context, table.config.ignorePathParameters);
  const routes: RuleTrace[] = [];
  for (const rule of host.rules) {
    const conditions = [rule.path, ...rule.conditions];
    const failed = conditions.find((condition) => !condition.test(input));
    const matched = failed === undefined;
    routes.push({
      index: rule.order,
      name: rule.value.info.routeName,
      origin: rule.value.info.origin,
      matched,
      conditions: conditions.map((condition) => condition.describe()),
      why: matched ? '' : `wants: ${failed.describe()}; but ${failed.failure(input)}`,
    });
    if (!matched) continue;
    const decision = `${unasked}Route ${describeRoute(rule.value, rule.order)} of virtual host ${name} matches: ${outcome(rule.value)}.`;
    const routesNotReached = host.rules.length - rule.order - 1;
    return { ...base, routes, routesNotReached, route: rule.value, decision };
  }
  const decision = `None of the ${routes.length} routes of virtual host ${name} matches: 404, NR.`;
  return { ...base, routes, routesNotReached: 0, route: null, decision };
}

/** What is not here yet may be there for the request itself. */
const ASKS =
  'This proxy discovers hosts on demand and does not have this one: its first request asks the control server. Until then: ';

function describeRoute(route: CompiledRoute, order: number): string {
  return route.info.routeName === '' ? `#${order}` : `#${order} (${route.info.routeName})`;
}

function outcome(route: CompiledRoute): string {
  const { action } = route;
  switch (action.kind) {
    case 'redirect':
      return `redirect with ${action.status}`;
    case 'direct':
      return `direct response with ${action.config.status}`;
    case 'forward': {
      const { targets } = action.targets;
      const names = targets.map(({ target, weight }) => {
        const cluster = target.clusterHeader === '' ? target.cluster : `the one in header ${target.clusterHeader}`;
        return targets.length === 1 ? cluster : `${cluster} (weight ${weight})`;
      });
      return `forward to cluster ${names.join(' or ')}`;
    }
  }
}

/** What a policy does with redirects of the upstream, in words; '' for none. */
export function describeRedirects(policy: InternalRedirectPolicy | null): string {
  if (policy === null || policy.maxRedirects === 0) return '';
  const { statuses, maxRedirects, allowedRoutes, allowCrossScheme, safeCrossScheme, previousRoutes } = policy;
  const parts = [
    `${statuses.join(', ')} is followed here, up to ${maxRedirects === 1 ? 'once' : `${maxRedirects} times`}`,
  ];
  if (allowedRoutes !== null)
    parts.push(`to ${allowedRoutes.map((name) => JSON.stringify(name)).join(', ') || 'no route'} only`);
  if (previousRoutes) parts.push('to each route once');
  if (!allowCrossScheme) parts.push('within the scheme');
  else if (safeCrossScheme) parts.push('not from http to https');
  return parts.join(', ');
}

const PRECEDENCE = ['exact', 'suffix', 'prefix', 'any'] as const;

/** The domain of a host by which it covers `text`: the most specific one. */
function bestDomain(host: CompiledHost, text: string): Domain | null {
  const covering = host.domains.filter((domain) => domainCovers(domain, text));
  covering.sort((a, b) => PRECEDENCE.indexOf(a.kind) - PRECEDENCE.indexOf(b.kind) || b.key.length - a.key.length);
  return covering[0] ?? null;
}

function traceHost(host: CompiledHost, chosen: boolean, winner: Domain | null, text: string): HostTrace {
  const { name, domains } = host.virtualHost;
  const own = bestDomain(host, text);
  let why: string;
  if (chosen) why = `domain ${own?.text} covers ${JSON.stringify(text)}`;
  else if (own === null) why = `none of its domains covers ${JSON.stringify(text)}`;
  else why = `domain ${own.text} covers it, but ${winner?.text} is more specific`;
  return { name, domains, chosen, why };
}
