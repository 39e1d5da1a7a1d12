import type { PerFilterConfig } from '../../model/route.ts';
import type { FilterChain } from '../filters/chain.ts';

/** Per-route config of each filter of a chain by its index; null when no route config and no filter says anything. */
export type RouteFilterConfigs = readonly { readonly config: unknown; readonly disabled: boolean }[] | null;

/** A route, or the weighted cluster chosen from it. */
type Configured = { readonly perFilterConfig: PerFilterConfig };

const ENABLED = { config: null, disabled: false } as const;
const DISABLED = { config: null, disabled: true } as const;

const cache = new WeakMap<Configured, { readonly chain: FilterChain; readonly configs: RouteFilterConfigs }>();

/** What a route says about the filters of a chain; worked out once per route and chain. */
export function routeFilterConfigs(route: Configured, chain: FilterChain): RouteFilterConfigs {
  if (route.perFilterConfig.size === 0 && !chain.someDisabled) return null;
  const known = cache.get(route);
  if (known?.chain === chain) return known.configs;
  const configs = chain.filters.map(({ name, disabled }) => {
    const own = route.perFilterConfig.get(name);
    if (own === undefined) return disabled ? DISABLED : ENABLED;
    return { config: own.config, disabled: own.disabled };
  });
  cache.set(route, { chain, configs });
  return configs;
}
