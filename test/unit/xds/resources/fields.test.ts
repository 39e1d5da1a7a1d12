import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Problems } from '../../../../src/xds/proto/codec.ts';
import { resolve } from '../../../../src/xds/proto/descriptor.ts';
import { allTables, checkFields, gapsInTables, tableOf } from '../../../../src/xds/resources/fields.ts';

test('every field of every message we read has a row, and every message it leads to a table', () => {
  expect(gapsInTables()).toEqual([]);
});

/** Fields that are walked into, or handed on whole, without any decoder that names them. */
const UNNAMED = new Set([
  'envoy.type.matcher.v3.RegexMatcher.google_re2',
  'envoy.config.core.v3.GrpcService.GoogleGrpc.channel_credentials',
  'envoy.config.accesslog.v3.AccessLogFilter.and_filter',
  'envoy.config.accesslog.v3.AccessLogFilter.or_filter',
  'envoy.config.cluster.v3.Cluster.LeastRequestLbConfig.choice_count',
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig.minimum_ring_size',
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig.hash_function',
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig.maximum_ring_size',
  'envoy.config.cluster.v3.Cluster.MaglevLbConfig.table_size',
]);

test('a field that is called effective is read by a decoder', () => {
  const folders = ['resources', 'bootstrap'].map((name) => new URL(`../../../../src/xds/${name}/`, import.meta.url));
  const source = folders
    .flatMap((folder) => readdirSync(folder).map((name) => new URL(name, folder)))
    .filter((file) => file.pathname.endsWith('.ts'))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const words = new Set(source.match(/\w+/g));
  const unread = allTables().flatMap(({ typeName, rows }) =>
    Object.entries(rows)
      .filter(
        ([field, state]) =>
          (state === 'effective' || (typeof state === 'object' && 'as' in state)) && !words.has(field),
      )
      .map(([field]) => `${typeName}.${field}`),
  );
  expect(new Set(unread)).toEqual(UNNAMED);
});

const ENVOY = 'envoy.config.';
const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3.';

test.each([
  `${ENVOY}bootstrap.v3.Bootstrap`,
  `${ENVOY}listener.v3.Listener`,
  `${ENVOY}listener.v3.FilterChain`,
  `${ENVOY}listener.v3.FilterChainMatch`,
  `${ENVOY}listener.v3.ListenerFilter`,
  `${ENVOY}listener.v3.ListenerFilterChainMatchPredicate`,
  'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
  `${HCM}HttpConnectionManager`,
  `${HCM}HttpFilter`,
  `${HCM}LocalReplyConfig`,
  `${HCM}ResponseMapper`,
  `${ENVOY}route.v3.RouteConfiguration`,
  `${ENVOY}route.v3.VirtualHost`,
  `${ENVOY}route.v3.Route`,
  `${ENVOY}route.v3.RouteMatch`,
  `${ENVOY}route.v3.RouteAction`,
  `${ENVOY}route.v3.RetryPolicy`,
  `${ENVOY}route.v3.RedirectAction`,
  `${ENVOY}route.v3.HeaderMatcher`,
  `${ENVOY}route.v3.WeightedCluster`,
  `${ENVOY}route.v3.WeightedCluster.ClusterWeight`,
  `${ENVOY}cluster.v3.Cluster`,
  `${ENVOY}cluster.v3.CircuitBreakers.Thresholds`,
  `${ENVOY}cluster.v3.OutlierDetection`,
  `${ENVOY}core.v3.HttpProtocolOptions`,
  `${ENVOY}core.v3.Http1ProtocolOptions`,
  `${ENVOY}endpoint.v3.ClusterLoadAssignment`,
  `${ENVOY}endpoint.v3.LocalityLbEndpoints`,
  `${ENVOY}endpoint.v3.LbEndpoint`,
  `${ENVOY}endpoint.v3.Endpoint`,
  `${ENVOY}accesslog.v3.AccessLogFilter`,
])('%s has a table', (name) => {
  expect(Object.keys(tableOf(name)?.rows ?? {}).sort()).toEqual(
    resolve(name)!
      .message!.fields.map((field) => field.name)
      .sort(),
  );
});

test('each reason says something, and none promises a step of our plan to the user', () => {
  for (const { typeName, rows } of allTables()) {
    for (const [field, state] of Object.entries(rows)) {
      const states = typeof state === 'object' && 'values' in state ? Object.values(state.values) : [state];
      for (const one of states) {
        if (typeof one !== 'object' || 'values' in one || 'as' in one) continue;
        const [reason = ''] = Object.values(one) as string[];
        expect(reason.length, `${typeName}.${field}`).toBeGreaterThan(5);
        expect(reason, `${typeName}.${field}`).not.toMatch(/\bstep \d/);
      }
    }
  }
});

describe('the walk', () => {
  function check(typeName: string, message: object, variant = ''): { errors: string[]; warnings: string[] } {
    const problems = new Problems();
    const warnings = new Problems();
    checkFields(typeName, message, 'x', problems, warnings, variant);
    return { errors: problems.list.map((one) => one.path), warnings: warnings.list.map((one) => one.path) };
  }

  test('a field at its default is not set', () => {
    const listener = { metadata: undefined, drain_type: 'DEFAULT', socket_options: [], transparent: false };
    expect(check(`${ENVOY}listener.v3.Listener`, listener)).toEqual({ errors: [], warnings: [] });
  });

  test('a wrapper that is given counts, whatever its value', () => {
    expect(check(`${ENVOY}listener.v3.Listener`, { enable_reuse_port: false }).warnings).toEqual([
      'x.enable_reuse_port',
    ]);
  });

  test('goes into lists', () => {
    const chains = [{}, { filter_chain_match: { address_suffix: 'a' }, on_demand_configuration: {} }];
    expect(check(`${ENVOY}listener.v3.Listener`, { filter_chains: chains })).toEqual({
      errors: ['x.filter_chains[1].filter_chain_match.address_suffix'],
      warnings: ['x.filter_chains[1].on_demand_configuration'],
    });
  });

  test('tells the uses of a message apart', () => {
    const options = { send_fully_qualified_url: true };
    const http1 = `${ENVOY}core.v3.Http1ProtocolOptions`;
    expect(check(http1, options).warnings).toEqual(['x.send_fully_qualified_url']);
    expect(check(http1, options, 'upstream').errors).toEqual(['x.send_fully_qualified_url']);
  });

  test('says so when a message has no table', () => {
    expect(() => check('envoy.config.core.v3.Pipe', {})).toThrow('no field table envoy.config.core.v3.Pipe');
  });
});
