import { describe, expect, it } from 'vitest';
import { proxyDecodeContext } from '../../../../src/proxy/runtime/extensions.ts';
import { readBootstrap } from '../../../../src/xds/bootstrap/bootstrap.ts';

function read(overload: string) {
  const result = readBootstrap(`overload_manager:\n${overload}`, proxyDecodeContext());
  const places = result.ok ? [] : result.problems.map(({ path, reason }) => `${path}: ${reason}`);
  return {
    overload: result.ok ? result.bootstrap.overload : undefined,
    problems: places,
    warnings: result.warnings.map(({ path, reason }) => `${path}: ${reason}`),
  };
}

const MONITORS = `
  resource_monitors:
    - name: envoy.resource_monitors.fixed_heap
      typed_config: { "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1000 }
    - name: envoy.resource_monitors.global_downstream_max_connections
      typed_config: { "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 10 }
    - name: envoy.resource_monitors.injected_resource
      typed_config: { "@type": type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig, filename: /tmp/p }
    - name: remora.resource_monitors.event_loop_delay
      typed_config: { "@type": type.googleapis.com/google.protobuf.Duration, value: 0.2s }
`;

describe('overload_manager', () => {
  it('is what it says', () => {
    const { overload, problems, warnings } = read(`${MONITORS}
  refresh_interval: 0.25s
  actions:
    - name: envoy.overload_actions.stop_accepting_requests
      triggers:
        - { name: envoy.resource_monitors.fixed_heap, threshold: { value: 0.95 } }
        - { name: remora.resource_monitors.event_loop_delay, scaled: { scaling_threshold: 0.5, saturation_threshold: 1 } }
  loadshed_points:
    - name: envoy.load_shed_points.tcp_listener_accept
      triggers: [{ name: envoy.resource_monitors.injected_resource, threshold: { value: 0.9 } }]
`);
    expect([problems, warnings]).toEqual([[], []]);
    expect(overload).toEqual({
      refreshMs: 250,
      monitors: [
        { name: 'envoy.resource_monitors.fixed_heap', kind: 'heap', maxBytes: 1000 },
        { name: 'envoy.resource_monitors.global_downstream_max_connections', kind: 'connections', max: 10 },
        { name: 'envoy.resource_monitors.injected_resource', kind: 'file', path: '/tmp/p' },
        { name: 'remora.resource_monitors.event_loop_delay', kind: 'event-loop-delay', maxMs: 200 },
      ],
      actions: [
        {
          name: 'envoy.overload_actions.stop_accepting_requests',
          triggers: [
            { monitor: 'envoy.resource_monitors.fixed_heap', from: 0.95, to: 0.95 },
            { monitor: 'remora.resource_monitors.event_loop_delay', from: 0.5, to: 1 },
          ],
        },
        {
          name: 'envoy.load_shed_points.tcp_listener_accept',
          triggers: [{ monitor: 'envoy.resource_monitors.injected_resource', from: 0.9, to: 0.9 }],
        },
      ],
    });
  });

  it('looks every second, as Envoy', () => {
    expect(read(MONITORS).overload?.refreshMs).toBe(1000);
  });

  it('names actions that have no effect here', () => {
    const { problems, warnings } = read(`${MONITORS}
  actions:
    - name: envoy.overload_actions.reset_high_memory_stream
      triggers: [{ name: envoy.resource_monitors.fixed_heap, threshold: { value: 0.95 } }]
`);
    expect(problems).toEqual([]);
    expect(warnings).toEqual([
      expect.stringMatching(
        /^overload_manager\.actions\[0\]\.name: accepted, no effect in this version: a stream never/,
      ),
    ]);
  });

  it.each([
    [
      'an action that is none',
      '  actions: [{ name: envoy.overload_actions.panic, triggers: [{ name: envoy.resource_monitors.fixed_heap, threshold: { value: 1 } }] }]',
      'overload_manager.actions[0].name: "envoy.overload_actions.panic" is no overload action',
    ],
    [
      'a trigger of a monitor that is not there',
      '  actions: [{ name: envoy.overload_actions.shrink_heap, triggers: [{ name: heap, threshold: { value: 1 } }] }]',
      'overload_manager.actions[0].triggers[0].name: there is no resource monitor "heap"',
    ],
    [
      'thresholds in the wrong order',
      '  actions: [{ name: envoy.overload_actions.shrink_heap, triggers: [{ name: envoy.resource_monitors.fixed_heap, scaled: { scaling_threshold: 0.9, saturation_threshold: 0.9 } }] }]',
      'overload_manager.actions[0].triggers[0].scaled: scaling_threshold must be below saturation_threshold',
    ],
    [
      'an action twice',
      '  actions: [{ name: envoy.overload_actions.shrink_heap, triggers: [{ name: envoy.resource_monitors.fixed_heap, threshold: { value: 1 } }] }, { name: envoy.overload_actions.shrink_heap, triggers: [{ name: envoy.resource_monitors.fixed_heap, threshold: { value: 1 } }] }]',
      'overload_manager.actions[1].name: is there twice',
    ],
  ])('%s is refused with its place', (_what, yaml, problem) => {
    expect(read(MONITORS + yaml).problems.join('\n')).toContain(problem);
  });

  it.each([
    ['{ name: x }', 'typed_config: is needed'],
    [
      '{ name: remora.resource_monitors.event_loop_delay, typed_config: { "@type": type.googleapis.com/google.protobuf.Duration, value: 0s } }',
      'must be a google.protobuf.Duration above 0',
    ],
    [
      '{ name: x, typed_config: { "@type": type.googleapis.com/google.protobuf.Duration, value: 1s } }',
      'is not in this version: use fixed_heap',
    ],
  ])('monitor %s is refused', (monitor, problem) => {
    expect(read(`  resource_monitors: [${monitor}]`).problems.join('\n')).toContain(problem);
  });
});
