import { ConfigError } from '../../base/errors.ts';
import type { RouteConfig, VirtualHost } from '../../model/route.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import { CompileProblems, compileRoute, type TableDeps, tlsRedirect } from './compile-route.ts';
import { compileConditions, compilePath, type MatchContext, MatchInput, type Predicate } from './match.ts';
import type { CompiledRoute } from './route.ts';
import { RouteIndex, type Rule } from './route-index.ts';
import { type Domain, HostIndex, parseDomain } from './virtual-hosts.ts';

export type { TableDeps } from './compile-route.ts';
export type { MatchContext } from './match.ts';
export type { CompiledAction, CompiledRoute } from './route.ts';

/** A virtual host, compiled. */
export interface CompiledHost {
  readonly virtualHost: VirtualHost;
  readonly domains: readonly Domain[];
  readonly rules: readonly Rule<CompiledRoute>[];
  readonly index: RouteIndex<CompiledRoute>;
  /** The answer to plaintext requests where TLS is required, else null. */
  readonly tlsRedirect: CompiledRoute | null;
  /** Whether it was chosen since somebody last looked; null where nobody looks. */
  readonly use: { seen: boolean } | null;
}

/** One route configuration, compiled. Immutable; a changed config makes a new table. */
export class RouteTable {
  readonly config: RouteConfig;
  /** In the order of the config; for explanations. */
  readonly hosts: readonly CompiledHost[];
  readonly hostIndex: HostIndex<CompiledHost>;
  readonly #input = new MatchInput();

  constructor(config: RouteConfig, hosts: readonly CompiledHost[], index: HostIndex<CompiledHost>) {
    this.config = config;
    this.hosts = hosts;
    this.hostIndex = index;
  }

  /** The route of a request, or null when none matches (404, NR). */
  match(head: RequestHead, context: MatchContext): CompiledRoute | null {
    const host = this.hostIndex.find(head.authority);
    if (host === null) return null;
    if (host.use !== null) host.use.seen = true;
    if (host.tlsRedirect !== null && needsTls(host.virtualHost, head, context)) return host.tlsRedirect;
    const input = this.#input;
    input.fill(head, context, this.config.ignorePathParameters);
    const rule = host.index.find(input);
    input.clear();
    return rule === null ? null : rule.value;
  }

  /** Hosts are discovered one by one, and none that is here is meant for this one in particular. */
  lacks(authority: string): boolean {
    if (this.config.discoversHosts !== true) return false;
    const host = this.hostIndex.find(authority);
    return host === null || host.virtualHost.fallback === true;
  }
}

/**
 * Compiles a route configuration. Throws ConfigError that lists everything wrong with it, each with its path:
 * regexes RE2 refuses, command operators that do not exist, headers that may not be changed, domains that
 * are there twice. `before`: the table in whose place it comes; hosts that did not change are taken over from it.
 */
export function compileRouteTable(config: RouteConfig, deps: TableDeps, before: RouteTable | null = null): RouteTable {
  const problems = new CompileProblems();
  const kept = keptHosts(config, before);
  const hosts = config.virtualHosts.map(
    (host, i) => kept.get(host) ?? compileHost(host, config, deps, problems, `virtual_hosts[${i}]`),
  );
  const domains = hosts.flatMap((host) => host.domains.map((domain) => [domain, host] as const));
  const index = problems.at('virtual_hosts', null, () => new HostIndex(domains, config.ignorePortInHostMatching));
  if (index === null || problems.problems.length > 0) {
    throw new ConfigError(`route configuration ${JSON.stringify(config.name)} is not valid`, problems.problems);
  }
  return new RouteTable(config, hosts, index);
}

/** Compiled hosts depend on nothing but themselves and the base of their table. */
function keptHosts(config: RouteConfig, before: RouteTable | null): ReadonlyMap<VirtualHost, CompiledHost> {
  if (before === null || config.base === undefined || config.base !== before.config.base) return NO_HOSTS;
  return new Map(before.hosts.map((host) => [host.virtualHost, host]));
}
const NO_HOSTS: ReadonlyMap<VirtualHost, CompiledHost> = new Map();

/** Whether a request must be sent to https before any route is looked at. */
export function needsTls(host: VirtualHost, head: RequestHead, context: MatchContext): boolean {
  // Not the scheme of an absolute-form target: that is the client's to say.
  if (host.requireTls === 'NONE' || head.headers.getJoined('x-forwarded-proto') === 'https') return false;
  return host.requireTls === 'ALL' || !context.internal;
}

function compileHost(
  virtualHost: VirtualHost,
  table: RouteConfig,
  deps: TableDeps,
  problems: CompileProblems,
  path: string,
): CompiledHost {
  const rules = virtualHost.routes.map((route, order): Rule<CompiledRoute> => {
    const at = `${path}.routes[${order}]`;
    return {
      order,
      match: route.match,
      path: problems.at(`${at}.match`, NEVER, () => compilePath(route.match)),
      conditions: problems.at(`${at}.match`, [], () => compileConditions(route.match, deps)),
      value: compileRoute(route, virtualHost, table, deps, problems, at),
    };
  });
  return {
    virtualHost,
    domains: virtualHost.domains.map(parseDomain),
    rules,
    index: new RouteIndex(rules),
    tlsRedirect: virtualHost.requireTls === 'NONE' ? null : tlsRedirect(virtualHost, table),
    use: table.discoversHosts === true ? { seen: false } : null,
  };
}

/** Stands in for a path that could not be compiled. */
const NEVER: Predicate = { test: () => false, describe: () => 'never', failure: () => '' };
