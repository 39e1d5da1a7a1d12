import type { ManagerUpgrade } from '../../model/http-connection-manager.ts';
import type { RequestHead } from '../../protocol/http/message.ts';
import type { FilterChain } from '../filters/chain.ts';
import { inheritFilters } from '../filters/inheritance.ts';
import type { CompiledRoute } from '../router/route.ts';

/** Filter chains of upgrades that have their own (`upgrade_configs[].filters`), by type in lower case. */
export class UpgradeChains {
  readonly #chains = new Map<string, { readonly chain: FilterChain; readonly enabled: boolean }>();

  constructor(
    upgrades: readonly ManagerUpgrade[],
    compile: (filters: ManagerUpgrade['filters'] & {}, type: string) => FilterChain,
  ) {
    for (const { type, enabled, filters } of upgrades) {
      if (filters !== null) this.#chains.set(type, { chain: compile(filters, type), enabled });
    }
  }

  /** Any of them looks at bodies. */
  get readBodies(): boolean {
    return [...this.#chains.values()].some(({ chain }) => chain.requestData !== null);
  }

  /** Null for a request that is no such upgrade, or that may not be upgraded on its route. */
  choose(request: RequestHead, route: CompiledRoute | null): FilterChain | null {
    const type = request.method === 'CONNECT' ? 'connect' : request.upgrade.toLowerCase();
    const own = type === '' ? undefined : this.#chains.get(type);
    if (own === undefined) return null;
    const ofRoute = route?.action.kind === 'forward' ? route.action.config.upgrades : [];
    return (ofRoute.find((upgrade) => upgrade.type === type)?.enabled ?? own.enabled) ? own.chain : null;
  }

  /** The filters take over what those of the same upgrade must not lose. */
  inherit(previous: UpgradeChains): void {
    for (const [type, { chain }] of this.#chains) {
      const before = previous.#chains.get(type);
      if (before !== undefined) inheritFilters(chain, before.chain);
    }
  }
}
