import { ConfigError, messageOf } from '../../base/errors.ts';
import { interned } from '../../base/interned.ts';
import type { Random } from '../../base/random.ts';
import type {
  ClusterSpecifier,
  HeaderMutations,
  PerFilterConfig,
  Route,
  RouteAction,
  RouteConfig,
  VirtualHost,
  WeightedCluster,
} from '../../model/route.ts';
import type { RuntimeValues } from '../filters/filter.ts';
import type { FormatEnvironment } from '../telemetry/accesslog/format.ts';
import { compileHeaderMutations, type HeaderLevel, type HeaderMutator } from './header-ops.ts';
import { compileRedirect } from './redirect.ts';
import { compileHostRewrite, compilePathRewrite, type HostRewriter } from './rewrite.ts';
import type { CompiledAction, CompiledRoute } from './route.ts';
import {
  type ClusterTarget,
  runtimeWeightedTargets,
  singleTarget,
  type TargetPicker,
  weightedTargets,
} from './weighted.ts';

/** What a table needs besides its config. */
export interface TableDeps {
  readonly random: Random;
  readonly runtime: RuntimeValues;
  /** What command operators in header values may know beyond the stream. */
  readonly format?: FormatEnvironment;
}

/** Collects what is wrong with a table, so that all of it is said at once. */
export class CompileProblems {
  readonly problems: string[] = [];

  /** Runs a compile step; a ConfigError becomes a problem at `path` and the fallback stands in. */
  at<T>(path: string, fallback: T, compile: () => T): T {
    try {
      return compile();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.problems.push(`${path}: ${messageOf(error)}`);
      return fallback;
    }
  }
}

/** Compiles one route. What is wrong goes to `problems`, and the result is then not to be used. */
export function compileRoute(
  route: Route,
  virtualHost: VirtualHost,
  table: RouteConfig,
  deps: TableDeps,
  problems: CompileProblems,
  path: string,
): CompiledRoute {
  const levels = new Levels(route, virtualHost, table, deps.format ?? {});
  const mutations = (side: Side): HeaderMutator | null =>
    problems.at(`${path}.${side}_headers`, null, () => levels.mutations(null, side));
  const { action } = route;
  const hostRewrite =
    action.kind === 'forward'
      ? problems.at(`${path}.host_rewrite`, null, () => compileHostRewrite(action.hostRewrite))
      : null;
  const requestMutations = mutations('request');
  const responseMutations = mutations('response');
  const perFilterConfig = levels.perFilterConfig(null);
  const shared = { requestMutations, responseMutations, hostRewrite, perFilterConfig };
  return {
    info: { routeName: route.name, virtualHost: virtualHost.name, origin: route.origin },
    action: compileAction(route, shared, levels, deps.runtime, problems, path),
    requestMutations,
    responseMutations,
    perFilterConfig,
    retryPolicy: (action.kind === 'forward' ? action.retryPolicy : null) ?? virtualHost.retryPolicy,
    hostRewrite,
    bufferLimit: route.perRequestBufferLimitBytes ?? virtualHost.perRequestBufferLimitBytes,
    route,
    virtualHost,
  };
}

type Side = 'request' | 'response';
type Shared = Pick<ClusterTarget, 'requestMutations' | 'responseMutations' | 'hostRewrite' | 'perFilterConfig'>;

function compileAction(
  route: Route,
  shared: Shared,
  levels: Levels,
  runtime: RuntimeValues,
  problems: CompileProblems,
  path: string,
): CompiledAction {
  const { action } = route;
  switch (action.kind) {
    case 'forward':
      return {
        kind: 'forward',
        config: action,
        targets: compileTargets(action.cluster, shared, levels, runtime, problems, path),
        pathRewrite: problems.at(`${path}.rewrite`, null, () => compilePathRewrite(action.rewrite, route.match)),
        derived: null,
      };
    case 'redirect':
      return {
        kind: 'redirect',
        status: action.status,
        location: problems.at(
          `${path}.redirect`,
          () => '',
          () => compileRedirect(action, route.match),
        ),
      };
    case 'direct':
      return { kind: 'direct', config: action };
  }
}

function compileTargets(
  cluster: ClusterSpecifier,
  shared: Shared,
  levels: Levels,
  runtime: RuntimeValues,
  problems: CompileProblems,
  path: string,
): TargetPicker {
  if (cluster.kind === 'cluster')
    return singleTarget({ ...shared, cluster: interned(cluster.name), clusterHeader: '' });
  if (cluster.kind === 'header') return singleTarget({ ...shared, cluster: '', clusterHeader: cluster.name });
  const targets = cluster.clusters.map((weighted, i) => {
    const at = `${path}.weighted_clusters[${i}]`;
    // The route's own rewrite is applied after the weighted cluster's, and so wins.
    const hostRewrite: HostRewriter | null =
      shared.hostRewrite ??
      (weighted.hostRewrite === ''
        ? null
        : problems.at(at, null, () => compileHostRewrite({ kind: 'literal', value: weighted.hostRewrite })));
    const target: ClusterTarget = {
      cluster: interned(weighted.name),
      clusterHeader: weighted.clusterHeader,
      requestMutations: problems.at(at, null, () => levels.mutations(weighted, 'request')),
      responseMutations: problems.at(at, null, () => levels.mutations(weighted, 'response')),
      hostRewrite,
      perFilterConfig: levels.perFilterConfig(weighted),
    };
    return { target, weight: weighted.weight };
  });
  const { headerName, runtimeKeyPrefix } = cluster;
  return runtimeKeyPrefix === ''
    ? weightedTargets(targets, headerName)
    : runtimeWeightedTargets(targets, headerName, runtimeKeyPrefix, runtime);
}

/** The levels a route's settings come from. */
class Levels {
  readonly #route: Route;
  readonly #host: VirtualHost;
  readonly #table: RouteConfig;
  readonly #environment: FormatEnvironment;

  constructor(route: Route, host: VirtualHost, table: RouteConfig, environment: FormatEnvironment) {
    this.#route = route;
    this.#host = host;
    this.#table = table;
    this.#environment = environment;
  }

  /**
   * Header changes in the order they are applied: from the most to the least specific, or the other way
   * round with `most_specific_header_mutations_wins`. A weighted cluster's always come first, as in Envoy.
   */
  mutations(weighted: WeightedCluster | null, side: Side): HeaderMutator | null {
    const order: HeaderMutations[] = [this.#route, this.#host, this.#table];
    if (this.#table.mostSpecificHeaderMutationsWins) order.reverse();
    if (weighted !== null) order.unshift(weighted);
    return compileHeaderMutations(
      order.map((level) => headerLevel(level, side)),
      this.#environment,
    );
  }

  /** By filter name, the most specific level's entry. */
  perFilterConfig(weighted: WeightedCluster | null): PerFilterConfig {
    const specific = [weighted?.perFilterConfig, this.#route.perFilterConfig, this.#host.perFilterConfig].filter(
      (config) => config !== undefined && config.size > 0,
    ) as PerFilterConfig[];
    if (specific.length === 0) return this.#table.perFilterConfig;
    const merged = new Map(this.#table.perFilterConfig);
    for (const config of specific.reverse()) for (const [name, entry] of config) merged.set(name, entry);
    return merged;
  }
}

function headerLevel(level: HeaderMutations, side: Side): HeaderLevel {
  return side === 'request'
    ? { add: level.requestHeadersToAdd, remove: level.requestHeadersToRemove }
    : { add: level.responseHeadersToAdd, remove: level.responseHeadersToRemove };
}

/** The answer of a virtual host that requires TLS to a request that came without. */
export function tlsRedirect(virtualHost: VirtualHost, table: RouteConfig): CompiledRoute {
  const action: RouteAction = {
    kind: 'redirect',
    scheme: '',
    httpsRedirect: true,
    host: '',
    port: 0,
    path: { kind: 'none', value: '' },
    status: 301,
    stripQuery: false,
  };
  const route: Route = {
    name: '',
    match: {
      path: { kind: 'prefix', value: '/' },
      caseSensitive: true,
      headers: [],
      queryParameters: [],
      runtimeFraction: null,
      grpc: false,
      tls: null,
    },
    action,
    perFilterConfig: new Map(),
    statPrefix: '',
    perRequestBufferLimitBytes: null,
    origin: '',
    requestHeadersToAdd: [],
    requestHeadersToRemove: [],
    responseHeadersToAdd: [],
    responseHeadersToRemove: [],
  };
  return {
    info: { routeName: '', virtualHost: virtualHost.name, origin: '' },
    action: {
      kind: 'redirect',
      status: 301,
      // Envoy keeps host and path whole here.
      location: (head) => `https://${head.authority}${head.path}`,
    },
    requestMutations: null,
    responseMutations: null,
    perFilterConfig: table.perFilterConfig,
    retryPolicy: null,
    hostRewrite: null,
    bufferLimit: null,
    route,
    virtualHost,
  };
}
