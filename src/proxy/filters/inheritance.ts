import type { PerFilterConfig, Route, RouteConfig, VirtualHost } from '../../model/route.ts';
import type { FilterChain } from './chain.ts';
import type { Heir } from './filter.ts';

/** Filters of a chain take over what the filters they replace must not lose: pairs are of one name, in their order. */
export function inheritFilters(next: FilterChain, previous: FilterChain): void {
  const left = [...previous.filters];
  for (const { name, filter } of next.filters) {
    if (filter.inherit === undefined) continue;
    const at = left.findIndex((one) => one.name === name);
    if (at >= 0) filter.inherit(left.splice(at, 1)[0]!.filter);
  }
}

/** The same for the configs that a route table has for filters. */
export function inheritRoutes(next: RouteConfig, previous: RouteConfig): void {
  inheritConfigs(next.perFilterConfig, previous.perFilterConfig);
  const hosts = new Map(previous.virtualHosts.map((host) => [host.name, host]));
  for (const host of next.virtualHosts) {
    const before = hosts.get(host.name);
    if (before !== undefined && host !== before) inheritHost(host, before);
  }
}

function inheritHost(next: VirtualHost, previous: VirtualHost): void {
  inheritConfigs(next.perFilterConfig, previous.perFilterConfig);
  const left = previous.routes.filter(hasConfigs);
  if (left.length === 0) return;
  const take = (test: (route: Route) => boolean): Route | undefined => {
    const at = left.findIndex(test);
    return at < 0 ? undefined : left.splice(at, 1)[0];
  };
  // Names may be missing or shared, and matches edited: what matches the same is the same, of the rest order decides.
  const unpaired: Route[] = [];
  for (const route of next.routes.filter(hasConfigs)) {
    const match = JSON.stringify(route.match);
    const before = take(({ name, match: its }) => name === route.name && JSON.stringify(its) === match);
    if (before === undefined) unpaired.push(route);
    else inheritRoute(route, before);
  }
  for (const route of unpaired) {
    const before = take(({ name }) => name === route.name);
    if (before !== undefined) inheritRoute(route, before);
  }
}

function inheritRoute(next: Route, previous: Route): void {
  inheritConfigs(next.perFilterConfig, previous.perFilterConfig);
  const left = [...weightedOf(previous)];
  for (const cluster of weightedOf(next)) {
    const at = left.findIndex(({ name }) => name === cluster.name);
    if (at >= 0) inheritConfigs(cluster.perFilterConfig, left.splice(at, 1)[0]!.perFilterConfig);
  }
}

function inheritConfigs(next: PerFilterConfig, previous: PerFilterConfig): void {
  for (const [name, { config }] of next) {
    const before = previous.get(name)?.config;
    if (before !== undefined && before !== config && isHeir(config)) config.inherit(before);
  }
}

function hasConfigs(route: Route): boolean {
  return route.perFilterConfig.size > 0 || weightedOf(route).some(({ perFilterConfig }) => perFilterConfig.size > 0);
}

function weightedOf({ action }: Route) {
  return action.kind === 'forward' && action.cluster.kind === 'weighted' ? action.cluster.clusters : [];
}

function isHeir(config: unknown): config is Heir {
  return typeof (config as Heir | null)?.inherit === 'function';
}
