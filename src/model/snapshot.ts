import type { Cluster } from './cluster.ts';
import type { LoadAssignment } from './endpoint.ts';
import type { Listener } from './listener.ts';
import type { RouteConfig } from './route.ts';

/**
 * Everything the data plane runs by, at one moment. Immutable; the xDS bridge publishes a new one,
 * warm and consistent, and the proxy swaps to it whole.
 */
export interface Snapshot {
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteConfig>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** By EDS service name. */
  readonly endpoints: ReadonlyMap<string, LoadAssignment>;
}

export const EMPTY_SNAPSHOT: Snapshot = {
  listeners: new Map(),
  routes: new Map(),
  clusters: new Map(),
  endpoints: new Map(),
};
