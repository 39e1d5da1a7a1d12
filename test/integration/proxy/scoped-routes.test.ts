import { expect, test } from 'vitest';
import type { Listener } from '../../../src/model/listener.ts';
import { type Json, proxy } from '../../support/proxy.ts';

const answer = (body: string, more: Json = {}): Json => ({
  name: body,
  virtual_hosts: [
    {
      name: 'all',
      domains: ['*'],
      routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: body } } }],
    },
  ],
  ...more,
});
const scope = (tenant: string, routes: Json): Json => ({
  name: tenant,
  key: { fragments: [{ string_key: tenant }] },
  ...routes,
});
const scoped = (...scopes: Json[]): Json => ({
  route_config: undefined,
  scoped_routes: {
    name: 'tenants',
    scope_key_builder: { fragments: [{ header_value_extractor: { name: 'x-tenant', index: 0 } }] },
    rds_config_source: { ads: {}, resource_api_version: 'V3' },
    scoped_route_configurations_list: { scoped_route_configurations: scopes },
  },
});
const managerWith = (blue: string): Json =>
  scoped(
    scope('red', { route_configuration: answer('red routes', { internal_only_headers: ['x-inner'] }) }),
    scope('blue', { route_configuration: answer(blue) }),
    scope('late', { route_configuration: answer('to be replaced') }),
  );

test('each tenant has a table of its own; a request in no scope finds no route, and is told why', async () => {
  const p = await proxy().explain().manager(managerWith('blue routes')).start();
  const client = await p.client();
  expect((await client.get('/', 'X-Tenant: red').response()).body).toBe('red routes');
  expect((await client.get('/', 'X-Tenant: blue').response()).body).toBe('blue routes');
  const lost = await client.get('/', 'X-Tenant: green').response();
  expect(lost.status).toBe(404);
  expect(lost.body).toContain('in no scope of "tenants" (its key is made of x-tenant)');
  expect(await p.log(2)).toMatchObject({ flags: 'NR', details: 'route_not_found' });
});

/** The listener of a config, its scope `late` by name: that would need a control server. */
function listenersWith(blue: string): ReadonlyMap<string, Listener> {
  const [listener] = proxy().manager(managerWith(blue)).bootstrap().listeners;
  const [chain] = listener!.filterChains;
  if (chain!.filter.kind !== 'http' || chain!.filter.http.routes.kind !== 'scoped') throw new Error('not scoped');
  const { http } = chain!.filter;
  const { routes } = chain!.filter.http;
  const scopes = routes.scopes.map((one) =>
    one.name === 'late' ? { ...one, routes: { kind: 'rds', name: 'late' } as const } : one,
  );
  const filter = { kind: 'http', http: { ...http, routes: { ...routes, scopes } } } as const;
  return new Map([['main', { ...listener!, filterChains: [{ ...chain!, filter }] }]]);
}

test('a table in a scope is edited and one by name arrives while the connection goes on', async () => {
  const p = await proxy().manager(managerWith('blue routes')).start();
  const client = await p.client();
  const bodyOf = async (tenant: string) => (await client.get('/', `X-Tenant: ${tenant}`).response()).body;
  await p.proxy.applier.apply(p.snapshot({ listeners: listenersWith('blue routes') }));
  expect((await client.get('/', 'X-Tenant: late').response()).status).toBe(404);
  const [manager] = p.proxy.applier.managers();
  const { filter } = proxy()
    .manager({ route_config: answer('late routes') })
    .bootstrap().listeners[0]!.filterChains[0]!;
  if (filter.kind !== 'http' || filter.http.routes.kind !== 'inline') throw new Error('not inline');
  const routes = new Map([['late', filter.http.routes.config]]);
  await p.proxy.applier.apply(p.snapshot({ listeners: listenersWith('edited'), routes }));
  expect(await bodyOf('blue')).toBe('edited');
  expect(await bodyOf('late')).toBe('late routes');
  expect(await bodyOf('red')).toBe('red routes');
  // Only tables were replaced.
  expect(p.proxy.applier.managers()).toEqual([manager]);
});
