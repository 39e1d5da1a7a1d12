/** What is done when a resource runs short, resolved. (envoy.config.overload.v3.OverloadManager) */
export interface OverloadConfig {
  readonly refreshMs: number;
  readonly monitors: readonly ResourceMonitor[];
  readonly actions: readonly OverloadAction[];
}

/** Each tells a pressure: 0 is idle, 1 the limit. */
export type ResourceMonitor =
  | { readonly name: string; readonly kind: 'heap'; readonly maxBytes: number }
  | { readonly name: string; readonly kind: 'connections'; readonly max: number }
  | { readonly name: string; readonly kind: 'event-loop-delay'; readonly maxMs: number }
  /** The file holds the pressure itself. */
  | { readonly name: string; readonly kind: 'file'; readonly path: string };

/** Overload actions and load shed points that have an effect here. */
export const OVERLOAD_ACTIONS = [
  'envoy.overload_actions.stop_accepting_requests',
  'envoy.overload_actions.disable_http_keepalive',
  'envoy.overload_actions.stop_accepting_connections',
  'envoy.overload_actions.reject_incoming_connections',
  'envoy.overload_actions.shrink_heap',
  'envoy.load_shed_points.tcp_listener_accept',
  'envoy.load_shed_points.http_connection_manager_decode_headers',
] as const;
export type OverloadActionName = (typeof OVERLOAD_ACTIONS)[number];

export interface OverloadAction {
  readonly name: OverloadActionName;
  readonly triggers: readonly OverloadTrigger[];
}

/** The action is 0 up to `from`, 1 from `to` on, and in between grows evenly; a threshold has both the same. */
export interface OverloadTrigger {
  readonly monitor: string;
  readonly from: number;
  readonly to: number;
}
