import { describe, expect, it } from 'vitest';
import { HTTP_FILTER_TYPES } from '../../../../src/proxy/filters/standard.ts';
import { fingerprint } from '../../../../src/proxy/upstream/fingerprint.ts';
import { Problems } from '../../../../src/xds/proto/codec.ts';
import { resolve } from '../../../../src/xds/proto/descriptor.ts';
import { context, FakeStream } from './support.ts';

/** What becomes of every field of every filter's config; a field that is new to the protos fails the test. */
const FIELDS: Record<string, Record<string, 'effective' | 'reported' | 'refused' | 'moot'>> = {
  'envoy.extensions.filters.http.fault.v3.HTTPFault': {
    delay: 'effective',
    abort: 'effective',
    upstream_cluster: 'refused',
    headers: 'effective',
    downstream_nodes: 'effective',
    max_active_faults: 'effective',
    response_rate_limit: 'reported',
    delay_percent_runtime: 'effective',
    abort_percent_runtime: 'effective',
    delay_duration_runtime: 'effective',
    abort_http_status_runtime: 'effective',
    max_active_faults_runtime: 'effective',
    response_rate_limit_percent_runtime: 'reported',
    abort_grpc_status_runtime: 'effective',
    // There are no stats by downstream cluster to turn off.
    disable_downstream_cluster_stats: 'moot',
    filter_metadata: 'reported',
  },
  'envoy.extensions.filters.http.cors.v3.Cors': {},
  'envoy.extensions.filters.http.cors.v3.CorsPolicy': {
    allow_origin_string_match: 'effective',
    allow_methods: 'effective',
    allow_headers: 'effective',
    expose_headers: 'effective',
    max_age: 'effective',
    allow_credentials: 'effective',
    filter_enabled: 'effective',
    shadow_enabled: 'effective',
    allow_private_network_access: 'effective',
    forward_not_matching_preflights: 'effective',
  },
  'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit': {
    stat_prefix: 'effective',
    status: 'effective',
    token_bucket: 'effective',
    filter_enabled: 'effective',
    filter_enforced: 'effective',
    request_headers_to_add_when_not_enforced: 'effective',
    response_headers_to_add: 'effective',
    descriptors: 'reported',
    stage: 'reported',
    local_rate_limit_per_downstream_connection: 'effective',
    local_cluster_rate_limit: 'reported',
    enable_x_ratelimit_headers: 'effective',
    vh_rate_limits: 'reported',
    // Says something only of requests that match a descriptor.
    always_consume_default_token_bucket: 'moot',
    rate_limited_as_resource_exhausted: 'effective',
  },
  'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig': {
    // The cluster does what it says.
    dns_cache_config: 'moot',
    sub_cluster_config: 'reported',
    save_upstream_address: 'reported',
  },
  'envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig': {
    host_rewrite_literal: 'refused',
    host_rewrite_header: 'refused',
  },
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation': {
    mutations: 'effective',
    most_specific_header_mutations_wins: 'reported',
  },
  'envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute': { mutations: 'effective' },
  // The messages below are in rbac/config.test.ts.
  'envoy.extensions.filters.http.rbac.v3.RBAC': {
    rules: 'effective',
    rules_stat_prefix: 'effective',
    matcher: 'refused',
    shadow_rules: 'effective',
    shadow_matcher: 'refused',
    shadow_rules_stat_prefix: 'effective',
    track_per_rule_stats: 'effective',
  },
  'envoy.extensions.filters.http.rbac.v3.RBACPerRoute': { rbac: 'effective' },
  'envoy.extensions.filters.http.on_demand.v3.OnDemand': { odcds: 'reported' },
  'envoy.extensions.filters.http.on_demand.v3.PerRouteConfig': { odcds: 'reported' },
  'envoy.extensions.filters.http.buffer.v3.Buffer': { max_request_bytes: 'effective' },
  'envoy.extensions.filters.http.buffer.v3.BufferPerRoute': { disabled: 'effective', buffer: 'effective' },
};

describe('the standard filters', () => {
  it('have kinds and config types of their own', () => {
    const kinds = HTTP_FILTER_TYPES.map((type) => type.kind);
    const types = HTTP_FILTER_TYPES.map((type) => type.configType);
    expect(new Set(kinds).size).toBe(kinds.length);
    expect(new Set(types).size).toBe(types.length);
  });

  it.each(HTTP_FILTER_TYPES.map((type) => [type.kind, type] as const))(
    '%s knows every field of its config',
    (_, type) => {
      for (const name of [type.configType, type.routeConfigType]) {
        const fields = resolve(name)!.message!.fields.map((field) => field.name);
        expect(Object.keys(FIELDS[name]!).sort()).toEqual(fields.sort());
      }
    },
  );

  it.each(HTTP_FILTER_TYPES.map((type) => [type.kind, type] as const))(
    '%s decodes an empty config to plain data',
    (_, type) => {
      const config = type.decode({}, new Problems(), new Problems(), '');
      // Connection managers are compared by what their configs print.
      expect(JSON.parse(fingerprint(config))).toEqual(JSON.parse(JSON.stringify(config)));
    },
  );

  it.each(HTTP_FILTER_TYPES.map((type) => [type.kind, type] as const))(
    '%s does nothing without being asked to',
    (_, type) => {
      const config = type.decode({}, new Problems(), new Problems(), '');
      const filter = type.create(config, context());
      const stream = new FakeStream({ origin: 'http://a', 'x-envoy-fault-abort-request': '500' });
      expect(filter.onRequestHead?.(stream, null) ?? 0).toBe(0);
      filter.onResponseHead?.(stream, null);
      filter.onEnd?.(stream);
      expect(stream.replies).toEqual([]);
      expect(stream.response.headers.size).toBe(0);
    },
  );

  it.each(HTTP_FILTER_TYPES.map((type) => [type.kind, type] as const))(
    '%s bears an end or a response without a request head',
    (_, type) => {
      const config = type.decode({}, new Problems(), new Problems(), '');
      const filter = type.create(config, context({ slot: 3 }));
      filter.onResponseHead?.(new FakeStream(), null);
      filter.onEnd?.(new FakeStream());
    },
  );
});
