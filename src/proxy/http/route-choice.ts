import type { FilterChain } from '../filters/chain.ts';
import type { CompiledRoute } from '../router/route.ts';
import type { ClusterTarget } from '../router/weighted.ts';
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { ConnectionManager } from './connection-manager.ts';
import { type RouteFilterConfigs, routeFilterConfigs } from './route-filter-configs.ts';

/** The route of a stream's request, and what of it was chosen. One a stream, reused. */
export class RouteChoice {
  route: CompiledRoute | null = null;
  /** The cluster chosen among the route's, with what depends on it; null for redirects and direct answers. */
  target: ClusterTarget | null = null;
  filterConfigs: RouteFilterConfigs = null;
  readonly #context = { internal: false, tls: false, peerPresented: false, peerValidated: false };

  reset(): void {
    this.route = null;
    this.target = null;
    this.filterConfigs = null;
  }

  /** What the table in force says to the request as it is now; null when there is no table, or no route matches. */
  find({ request, connection }: StreamInfo, manager: ConnectionManager, trusted: boolean): CompiledRoute | null {
    const table = manager.tableFor(request);
    this.#context.internal = trusted;
    const { tls } = connection;
    if (tls !== undefined) {
      this.#context.tls = true;
      this.#context.peerPresented = tls.peer !== null;
      this.#context.peerValidated = tls.validated;
    }
    return table === null ? null : table.match(request, this.#context);
  }

  /** Takes a route, and one of its clusters; answers false when their weights sum to 0. */
  take(route: CompiledRoute, info: StreamInfo, manager: ConnectionManager, chain: FilterChain): boolean {
    this.route = route;
    info.route = route.info;
    // Chosen before the filters run: a weighted cluster has per-filter config of its own.
    if (route.action.kind === 'forward') {
      this.target = route.action.targets.pick(info.request, manager.env.random);
      if (this.target === null) return false;
    }
    this.filterConfigs = routeFilterConfigs(this.target ?? route, chain);
    return true;
  }
}
