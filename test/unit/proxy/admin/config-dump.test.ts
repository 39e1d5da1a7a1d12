import { describe, expect, test } from 'vitest';
import { configDump } from '../../../../src/proxy/admin/config-dump.ts';
import { Query } from '../../../../src/proxy/admin/route.ts';
import type { ConfigDumpSource, DumpedResource, DumpKind } from '../../../../src/proxy/admin/view.ts';

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const STAMP = '2026-01-02T03:04:05.678Z';

function item(name: string, origin: DumpedResource['origin'], json: object, version = ''): DumpedResource {
  return { name, origin, version, lastUpdated: AT, json };
}

const PRIVATE = 'very-secret';
const RESOURCES: Partial<Record<DumpKind, readonly DumpedResource[]>> = {
  cluster: [
    item('xds', 'static', { name: 'xds' }),
    item('reviews', 'active', { name: 'reviews', connect_timeout: '1s' }, 'v7'),
    item('ratings', 'warming', { name: 'ratings' }, 'v8'),
  ],
  listener: [
    item('0.0.0.0_80', 'active', { name: '0.0.0.0_80' }, 'v1'),
    item('0.0.0.0_80', 'warming', { name: '0.0.0.0_80' }, 'v2'),
  ],
  route: [item('80', 'active', { name: '80', virtual_hosts: [{ name: 'a', domains: ['*'] }] }, 'v3')],
  endpoint: [item('reviews', 'active', { cluster_name: 'reviews' }, 'v4')],
  secret: [
    item(
      'default',
      'active',
      {
        name: 'default',
        tls_certificate: {
          certificate_chain: { inline_string: 'public' },
          private_key: { inline_string: PRIVATE },
          password: { filename: '/etc/password' },
        },
      },
      'v5',
    ),
    item('token', 'static', { name: 'token', generic_secret: { secret: { inline_bytes: PRIVATE } } }),
  ],
};

const SOURCE: ConfigDumpSource = {
  bootstrap: () => ({
    json: {
      node: { id: 'n' },
      static_resources: { secrets: [{ name: 's', session_ticket_keys: { keys: [{ inline_string: PRIVATE }] } }] },
      grpc: {
        initial_metadata: [
          { key: 'Authorization', value: PRIVATE },
          { key: 'x-tenant', value: 'shop' },
        ],
      },
      any: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth',
        users: { inline_string: PRIVATE },
      },
    },
    lastUpdated: AT,
  }),
  resources: (kind) => ({ version: kind === 'cluster' ? 'v8' : '', items: RESOURCES[kind] ?? [] }),
};

type Config = Record<string, unknown>;

function dump(query = ''): Config[] {
  const { status, body } = configDump(SOURCE, new Query(query));
  expect(status).toBe(200);
  return (JSON.parse(body) as { configs?: Config[] }).configs ?? [];
}
const named = (type: string, query = ''): Config | undefined =>
  dump(query).find((config) => config['@type'] === `type.googleapis.com/envoy.admin.v3.${type}`);

describe('the whole dump', () => {
  test("holds Envoy's messages in Envoy's order; endpoints only when asked for", () => {
    const types = (query: string): string[] => dump(query).map((config) => String(config['@type']).split('.').at(-1)!);
    expect(types('')).toEqual([
      'BootstrapConfigDump',
      'ClustersConfigDump',
      'ListenersConfigDump',
      'ScopedRoutesConfigDump',
      'RoutesConfigDump',
      'SecretsConfigDump',
    ]);
    expect(types('include_eds')[2]).toBe('EndpointsConfigDump');
  });

  test('clusters by where they stand', () => {
    expect(named('ClustersConfigDump')).toEqual({
      '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump',
      version_info: 'v8',
      static_clusters: [{ cluster: { name: 'xds' }, last_updated: STAMP }],
      dynamic_active_clusters: [
        { version_info: 'v7', cluster: { name: 'reviews', connect_timeout: '1s' }, last_updated: STAMP },
      ],
      dynamic_warming_clusters: [{ version_info: 'v8', cluster: { name: 'ratings' }, last_updated: STAMP }],
    });
  });

  test('a listener with the version in force and the one that warms', () => {
    expect(named('ListenersConfigDump')!.dynamic_listeners).toEqual([
      {
        name: '0.0.0.0_80',
        active_state: { version_info: 'v1', listener: { name: '0.0.0.0_80' }, last_updated: STAMP },
        warming_state: { version_info: 'v2', listener: { name: '0.0.0.0_80' }, last_updated: STAMP },
      },
    ]);
  });

  test('routes and endpoints', () => {
    expect(named('RoutesConfigDump')!.dynamic_route_configs).toMatchObject([
      { version_info: 'v3', route_config: { name: '80' } },
    ]);
    expect(named('EndpointsConfigDump', 'include_eds')!.dynamic_endpoint_configs).toMatchObject([
      { version_info: 'v4', endpoint_config: { cluster_name: 'reviews' } },
    ]);
  });
});

describe('secrets', () => {
  test('appear nowhere, in no form of the dump', () => {
    for (const query of [
      '',
      'include_eds',
      'resource=dynamic_active_secrets',
      'resource=static_secrets',
      'resource=bootstrap',
    ]) {
      const { body } = configDump(SOURCE, new Query(query));
      expect(body).not.toContain(PRIVATE);
      expect(body).toMatch(/\[redacted\]|W3JlZGFjdGVkXQ==/);
    }
  });

  test('what is no secret stays: certificates, file names, other headers', () => {
    expect(named('SecretsConfigDump')).toMatchObject({
      dynamic_active_secrets: [
        {
          name: 'default',
          version_info: 'v5',
          secret: {
            tls_certificate: {
              certificate_chain: { inline_string: 'public' },
              private_key: { inline_string: '[redacted]' },
              password: { filename: '/etc/password' },
            },
          },
        },
      ],
    });
    expect(named('BootstrapConfigDump')).toMatchObject({
      bootstrap: {
        grpc: {
          initial_metadata: [
            { key: 'Authorization', value: '[redacted]' },
            { key: 'x-tenant', value: 'shop' },
          ],
        },
      },
    });
  });
});

describe('a part of the dump', () => {
  test('by resource, each element typed', () => {
    expect(dump('resource=dynamic_active_clusters')).toEqual([
      {
        '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump.DynamicCluster',
        version_info: 'v7',
        cluster: { name: 'reviews', connect_timeout: '1s' },
        last_updated: STAMP,
      },
    ]);
    expect(dump('resource=static_listeners')).toEqual([]);
    expect(dump('resource=dynamic_endpoint_configs')).toHaveLength(1);
    expect(dump('resource=bootstrap')).toHaveLength(1);
  });

  test('by mask, through lists', () => {
    expect(dump('resource=dynamic_active_clusters&mask=cluster.name')[0]).toEqual({
      '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump.DynamicCluster',
      cluster: { name: 'reviews' },
    });
    expect(dump('resource=dynamic_route_configs&mask=version_info,route_config.virtual_hosts.name')[0]).toMatchObject({
      version_info: 'v3',
      route_config: { virtual_hosts: [{ name: 'a' }] },
    });
  });

  test('by name', () => {
    expect(named('ClustersConfigDump', 'name_regex=re.*')).not.toHaveProperty('static_clusters');
    expect(dump('resource=dynamic_active_clusters&name_regex=view')).toEqual([]);
  });

  test.each(['resource=nope', 'resource=__proto__', 'resource=constructor'])('%s is 404', (query) => {
    expect(configDump(SOURCE, new Query(query)).status).toBe(404);
  });

  test('a bad name_regex is 400', () => {
    expect(configDump(SOURCE, new Query('name_regex=%28')).status).toBe(400);
  });
});
