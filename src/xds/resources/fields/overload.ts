import * as overload from '../../proto/gen/envoy/config/overload/v3.ts';
import * as connections from '../../proto/gen/envoy/extensions/resource_monitors/downstream_connections/v3.ts';
import * as heap from '../../proto/gen/envoy/extensions/resource_monitors/fixed_heap/v3.ts';
import * as injected from '../../proto/gen/envoy/extensions/resource_monitors/injected_resource/v3.ts';
import { effective, perf, reported, table } from '../field-state.ts';

export const overloadTables = [
  table(overload.OverloadManager, {
    refresh_interval: effective,
    resource_monitors: effective,
    actions: effective,
    loadshed_points: effective,
    buffer_factory_config: perf,
  }),
  table(overload.ResourceMonitor, { name: effective, typed_config: effective }),
  table(overload.OverloadAction, {
    name: effective,
    triggers: effective,
    typed_config: reported('no action takes settings of its own'),
  }),
  table(overload.LoadShedPoint, { name: effective, triggers: effective }),
  table(overload.Trigger, { name: effective, threshold: effective, scaled: effective }),
  table(overload.ThresholdTrigger, { value: effective }),
  table(overload.ScaledTrigger, { scaling_threshold: effective, saturation_threshold: effective }),
  table(heap.FixedHeapConfig, { max_heap_size_bytes: effective }),
  table(connections.DownstreamConnectionsConfig, { max_active_downstream_connections: effective }),
  table(injected.InjectedResourceConfig, { filename: effective }),
];
