import {
  OVERLOAD_ACTIONS,
  type OverloadAction,
  type OverloadActionName,
  type OverloadConfig,
  type OverloadTrigger,
  type ResourceMonitor,
} from '../../model/overload.ts';
import type * as wire from '../proto/gen/envoy/config/overload/v3.ts';
import { DownstreamConnectionsConfig } from '../proto/gen/envoy/extensions/resource_monitors/downstream_connections/v3.ts';
import { FixedHeapConfig } from '../proto/gen/envoy/extensions/resource_monitors/fixed_heap/v3.ts';
import { InjectedResourceConfig } from '../proto/gen/envoy/extensions/resource_monitors/injected_resource/v3.ts';
import type { Decoding } from '../resources/decoding.ts';

const REFRESH_MS = 1000;
/** A monitor of ours; its config is the google.protobuf.Duration of a delay that counts as full pressure. */
export const EVENT_LOOP_DELAY = 'remora.resource_monitors.event_loop_delay';

/** Envoy's actions and points that do nothing here, and why. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'envoy.overload_actions.reduce_timeouts': 'timeouts stay as they are configured',
  'envoy.overload_actions.reset_high_memory_stream':
    'a stream never holds more than its buffers, which per_connection_buffer_limit_bytes bounds',
  'envoy.overload_actions.close_idle_http_connections': 'it is for HTTP/3, which is not spoken',
  'envoy.load_shed_points.http1_server_abort_dispatch':
    'requests are shed when their head is read: use http_connection_manager_decode_headers',
  'envoy.load_shed_points.http2_server_go_away_on_dispatch': 'this version speaks HTTP/1.1 only',
  'envoy.load_shed_points.http2_server_go_away_and_close_on_dispatch': 'this version speaks HTTP/1.1 only',
  'envoy.load_shed_points.hcm_ondata_creating_codec': 'connections are shed when accepted: use tcp_listener_accept',
  'envoy.load_shed_points.http_downstream_filter_check':
    'requests are shed when their head is read: use http_connection_manager_decode_headers',
  'envoy.load_shed_points.connection_pool_new_connection': 'upstream connections are bounded by circuit breakers',
};

/** null: nothing is configured. */
export function decodeOverload(
  message: wire.OverloadManager | undefined,
  path: string,
  s: Decoding,
): OverloadConfig | null {
  if (message === undefined) return null;
  const monitors = (message.resource_monitors ?? []).flatMap(
    (one, i) => decodeMonitor(one, `${path}.resource_monitors[${i}]`, s) ?? [],
  );
  const names = new Set((message.resource_monitors ?? []).map(({ name = '' }) => name));
  if (names.size < (message.resource_monitors ?? []).length)
    s.error(`${path}.resource_monitors`, 'a name is there twice');
  const actions: OverloadAction[] = [];
  const lists = [
    ['actions', message.actions ?? []],
    ['loadshed_points', message.loadshed_points ?? []],
  ] as const;
  for (const [field, list] of lists) {
    for (const [i, one] of list.entries()) {
      const action = decodeAction(one, `${path}.${field}[${i}]`, names, s);
      if (action === undefined) continue;
      if (actions.some(({ name }) => name === action.name)) s.error(`${path}.${field}[${i}].name`, 'is there twice');
      actions.push(action);
    }
  }
  return { refreshMs: message.refresh_interval || REFRESH_MS, monitors, actions };
}

function decodeMonitor(monitor: wire.ResourceMonitor, path: string, s: Decoding): ResourceMonitor | undefined {
  const { name = '', typed_config } = monitor;
  const at = `${path}.typed_config`;
  if (typed_config === undefined) {
    s.error(at, 'is needed: its "@type" says what is watched');
    return undefined;
  }
  const opened = s.open(typed_config, at);
  if (opened === undefined) return undefined;
  if (name === EVENT_LOOP_DELAY) {
    const maxMs: unknown = opened.message;
    if (opened.typeName === 'google.protobuf.Duration' && typeof maxMs === 'number' && maxMs > 0)
      return { name, kind: 'event-loop-delay', maxMs };
    s.error(at, 'must be a google.protobuf.Duration above 0: the delay that counts as full pressure');
    return undefined;
  }
  switch (opened.typeName) {
    case FixedHeapConfig.typeName:
      s.check(FixedHeapConfig, opened.message, at);
      return { name, kind: 'heap', maxBytes: (opened.message as FixedHeapConfig).max_heap_size_bytes ?? 0 };
    case DownstreamConnectionsConfig.typeName:
      s.check(DownstreamConnectionsConfig, opened.message, at);
      return {
        name,
        kind: 'connections',
        max: (opened.message as DownstreamConnectionsConfig).max_active_downstream_connections ?? 0,
      };
    case InjectedResourceConfig.typeName:
      s.check(InjectedResourceConfig, opened.message, at);
      return { name, kind: 'file', path: (opened.message as InjectedResourceConfig).filename ?? '' };
    default:
      s.error(
        at,
        `resource monitor ${opened.typeName} is not in this version: use fixed_heap, downstream_connections, injected_resource or ${EVENT_LOOP_DELAY}`,
      );
      return undefined;
  }
}

function decodeAction(
  action: wire.OverloadAction | wire.LoadShedPoint,
  path: string,
  monitors: ReadonlySet<string>,
  s: Decoding,
): OverloadAction | undefined {
  const { name = '' } = action;
  const triggers = (action.triggers ?? []).map((one, i) => decodeTrigger(one, `${path}.triggers[${i}]`, monitors, s));
  if (isKnown(name)) return { name, triggers };
  const why = WITHOUT_EFFECT[name];
  if (why === undefined) s.error(`${path}.name`, `${JSON.stringify(name)} is no overload action of Envoy’s`);
  else s.noEffect(`${path}.name`, why);
  return undefined;
}

function isKnown(name: string): name is OverloadActionName {
  return (OVERLOAD_ACTIONS as readonly string[]).includes(name);
}

function decodeTrigger(
  trigger: wire.Trigger,
  path: string,
  monitors: ReadonlySet<string>,
  s: Decoding,
): OverloadTrigger {
  const monitor = trigger.name ?? '';
  if (!monitors.has(monitor)) s.error(`${path}.name`, `there is no resource monitor ${JSON.stringify(monitor)}`);
  if (trigger.scaled === undefined) {
    const value = trigger.threshold?.value ?? 0;
    return { monitor, from: value, to: value };
  }
  const { scaling_threshold: from = 0, saturation_threshold: to = 0 } = trigger.scaled;
  if (from >= to) s.error(`${path}.scaled`, 'scaling_threshold must be below saturation_threshold');
  return { monitor, from, to };
}
