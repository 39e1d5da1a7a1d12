import { describe, expect, test } from 'vitest';
import { encode, pack, typeUrl } from '../../../../src/xds/proto/codec.ts';
import { Cluster } from '../../../../src/xds/proto/gen/envoy/config/cluster/v3.ts';
import { Listener } from '../../../../src/xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration } from '../../../../src/xds/proto/gen/envoy/config/route/v3.ts';
import { HTTPFault } from '../../../../src/xds/proto/gen/envoy/extensions/filters/http/fault/v3.ts';
import { Router } from '../../../../src/xds/proto/gen/envoy/extensions/filters/http/router/v3.ts';
import { HttpConnectionManager } from '../../../../src/xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { Secret } from '../../../../src/xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { CLUSTER, LISTENER, ROUTE, SECRET, standardResourceTypes } from '../../../../src/xds/resources/standard.ts';
import { anyOf, testContext } from './support.ts';

const context = testContext();

/** As it comes off the wire: bytes, with bytes inside them. */
function wire<T>(of: Parameters<typeof encode<T>>[0], message: T): { type_url: string; value: Uint8Array } {
  return { type_url: typeUrl(of), value: encode(of, message) };
}

function listener(manager: HttpConnectionManager): Listener {
  return {
    name: 'inbound',
    address: { socket_address: { address: '0.0.0.0', port_value: 80 } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: pack(HttpConnectionManager, manager) }] }],
  };
}

const ROUTER = { name: 'router', typed_config: pack(Router, {}) };

describe('standard resource types', () => {
  test('have the type URLs of discovery', () => {
    expect(standardResourceTypes.map((type) => type.typeUrl.replace('type.googleapis.com/envoy.', ''))).toEqual([
      'config.listener.v3.Listener',
      'config.route.v3.RouteConfiguration',
      'config.route.v3.VirtualHost',
      'config.cluster.v3.Cluster',
      'config.endpoint.v3.ClusterLoadAssignment',
      'extensions.transport_sockets.tls.v3.Secret',
    ]);
  });

  test('decode binary, and say what else is needed', () => {
    const message = listener({
      stat_prefix: 'http',
      rds: { route_config_name: 'outbound', config_source: { ads: {} } },
      http_filters: [{ name: 'fault', typed_config: pack(HTTPFault, { max_active_faults: 2 }) }, ROUTER],
    });
    const decoded = LISTENER.decode(wire(Listener, message), context);
    expect(decoded).toMatchObject({
      ok: true,
      name: 'inbound',
      warnings: [],
      dependencies: { clusters: [], routes: ['outbound'], endpoints: [] },
      resource: {
        filterChains: [
          {
            filter: {
              http: { routes: { kind: 'rds', name: 'outbound' }, filters: [{ name: 'fault', kind: 'fault' }] },
            },
          },
        ],
      },
    });
  });

  test('an inline table asks for its clusters, a table of its own only names them', () => {
    const hosts = [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'a' } }] }];
    const inline = LISTENER.decode(
      wire(Listener, listener({ stat_prefix: 'http', route_config: { virtual_hosts: hosts }, http_filters: [ROUTER] })),
      context,
    );
    expect(inline.ok && inline.dependencies.clusters).toMatchObject([{ name: 'a', required: true }]);
    const own = ROUTE.decode(wire(RouteConfiguration, { name: 'r', virtual_hosts: hosts }), context);
    expect(own.ok && own.dependencies.clusters).toMatchObject([{ name: 'a', required: false }]);
    const strict = ROUTE.decode(
      wire(RouteConfiguration, { name: 'r', virtual_hosts: hosts, validate_clusters: true }),
      context,
    );
    expect(strict.ok && strict.dependencies.clusters).toMatchObject([{ name: 'a', required: true }]);
  });

  test('an EDS cluster asks for its endpoints', () => {
    const decoded = CLUSTER.decode(
      wire(Cluster, { name: 'c', type: 'EDS', eds_cluster_config: { eds_config: { ads: {} } } }),
      context,
    );
    expect(decoded.ok && decoded.dependencies.endpoints).toEqual(['c']);
  });

  test('a refused resource keeps its name, for the NACK', () => {
    const decoded = CLUSTER.decode(wire(Cluster, { name: 'c', type: 'EDS' }), context);
    expect(decoded).toMatchObject({ ok: false, name: 'c', errors: [{ path: 'eds_cluster_config' }] });
  });

  test('a resource of another type is refused', () => {
    expect(CLUSTER.decode(wire(Listener, { name: 'l' }), context)).toEqual({
      ok: false,
      errors: [{ path: '', reason: 'is a envoy.config.listener.v3.Listener, not a envoy.config.cluster.v3.Cluster' }],
      warnings: [],
    });
  });

  test('bytes that are no message are a problem, not an exception', () => {
    const any = { type_url: typeUrl(Cluster), value: new Uint8Array([0xff, 0xff, 0xff]) };
    expect(CLUSTER.decode(any, context).ok).toBe(false);
  });

  test('a fault within an Any is found when it is opened', () => {
    const filter = {
      name: 'x',
      typed_config: { type_url: 'type.googleapis.com/example.Unheard', value: new Uint8Array() },
    };
    const decoded = LISTENER.decode(
      wire(Listener, listener({ stat_prefix: 'http', route_config: {}, http_filters: [filter, ROUTER] })),
      context,
    );
    expect(decoded).toMatchObject({
      ok: false,
      errors: [
        {
          path: 'filter_chains[0].filters[0].typed_config.http_filters[0].typed_config',
          reason: 'unknown extension type "type.googleapis.com/example.Unheard"',
        },
      ],
    });
  });

  test('an unknown type that is optional is skipped', () => {
    const typed_config = { type_url: 'type.googleapis.com/example.Unheard', value: new Uint8Array() };
    const manager = {
      stat_prefix: 'http',
      route_config: {},
      http_filters: [{ name: 'x', is_optional: true, typed_config }, ROUTER],
    };
    const decoded = LISTENER.decode(wire(Listener, listener(manager)), context);
    expect(decoded).toMatchObject({
      ok: true,
      warnings: [{ path: 'filter_chains[0].filters[0].typed_config.http_filters[0]' }],
    });
  });

  test('an enum value of a newer Envoy is a problem', () => {
    const message = { name: 'c', lb_policy: 'RANDOM' as const };
    const value = encode(Cluster, message);
    const tag = value.lastIndexOf(3);
    value[tag] = 99;
    expect(CLUSTER.decode({ type_url: typeUrl(Cluster), value }, context).ok).toBe(false);
  });

  test('a secret is of one kind', () => {
    const decoded = SECRET.decode(anyOf(Secret, { name: 's', validation_context: {} }), context);
    expect(decoded).toMatchObject({
      ok: true,
      name: 's',
      resource: { kind: 'validation_context' },
      warnings: [],
    });
  });
});

describe('the context', () => {
  test('a type listed twice is a bug', () => {
    const { httpFilters } = testContext();
    const fault = httpFilters.get('envoy.extensions.filters.http.fault.v3.HTTPFault')!;
    expect(() => testContext({ httpFilters: [fault, fault] })).toThrow('registered twice');
  });

  test('what a filter finds wrong is among the errors, with its path', () => {
    const picky = {
      kind: 'fault',
      configType: 'envoy.extensions.filters.http.fault.v3.HTTPFault',
      routeConfigType: '',
      decode: (
        _: unknown,
        problems: { add(path: string, reason: string): void },
        warnings: { add(path: string, reason: string): void },
        path: string,
      ) => {
        problems.add(`${path}.abort`, 'no');
        warnings.add(`${path}.delay`, 'hm');
      },
      decodeRoute: () => null,
    };
    const manager = {
      stat_prefix: 'http',
      route_config: {},
      http_filters: [{ name: 'f', typed_config: pack(HTTPFault, {}) }, ROUTER],
    };
    const decoded = LISTENER.decode(wire(Listener, listener(manager)), testContext({ httpFilters: [picky] }));
    const path = 'filter_chains[0].filters[0].typed_config.http_filters[0].typed_config';
    expect(decoded).toMatchObject({
      ok: false,
      errors: [{ path: `${path}.abort`, reason: 'no' }],
      warnings: [{ path: `${path}.delay`, reason: 'hm' }],
    });
  });

  test('runtime settles what an access log compares with', () => {
    const log = {
      name: 'log',
      filter: { status_code_filter: { comparison: { op: 'GE', value: { default_value: 500, runtime_key: 'min' } } } },
      typed_config: { '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog' },
    };
    const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
    const manager = {
      '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: 'http',
      route_config: {},
      access_log: [log],
      http_filters: [{ name: 'r', typed_config: { '@type': type('http.router.v3.Router') } }],
    };
    const json = {
      name: 'l',
      address: { socket_address: { address: '0.0.0.0', port_value: 80 } },
      filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
    };
    const decoded = LISTENER.decode(anyOf(Listener, json), testContext({ runtime: new Map([['min', 400]]) }));
    const filter = decoded.ok ? decoded.resource.filterChains[0]?.filter : undefined;
    expect(filter?.kind === 'http' && filter.http.accessLog[0]?.filter).toEqual({
      kind: 'status',
      comparison: { op: 'GE', value: 400 },
    });
  });
});
