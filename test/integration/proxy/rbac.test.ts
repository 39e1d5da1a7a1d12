import { expect, test } from 'vitest';
import { HTTP, httpChain, httpInspector, tcpChain } from '../../support/chains.ts';
import { proxy, scripted, upstream } from '../../support/proxy.ts';

const RBAC = 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC';
const ROUTE = 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute';
const ANY = { any: true };
const on = (prefix: string, principals: object[] = [ANY]) => ({
  permissions: [{ url_path: { path: { prefix } } }],
  principals,
});

test('a denied request never reaches the upstream, and the log names the policy', async () => {
  const server = await upstream((_, response) => response.end('yes'));
  const p = await proxy()
    .cluster('a', server.port)
    .filter('rbac', { '@type': RBAC, rules: { action: 'DENY', policies: { 'no admin': on('/admin') } } })
    .start();
  const client = await p.client();
  client.get('/admin/1').get('/other');
  const denied = await client.response();
  expect([denied.status, denied.body]).toEqual([403, 'RBAC: access denied']);
  expect((await client.response()).body).toBe('yes');
  expect(server.requests.map(({ url }) => url)).toEqual(['/other']);
  expect(await p.log(0)).toMatchObject({ flags: '-', details: 'rbac_access_denied_matched_policy[no_admin]' });
  expect([p.stat('http.main.rbac.denied'), p.stat('http.main.rbac.allowed')]).toEqual([1, 1]);
});

test('the body of a denied upload is read, and the connection goes on', async () => {
  const server = await upstream((request, response) => response.end(request.body));
  const p = await proxy()
    .cluster('a', server.port)
    .filter('rbac', { '@type': RBAC, rules: { policies: { up: on('/up') } } })
    .start();
  const client = await p.client();
  client.post('/no', 'x'.repeat(100)).post('/up', 'hello');
  expect((await client.response()).status).toBe(403);
  expect((await client.response()).body).toBe('hello');
});

test('who the client is: the peer, or what X-Forwarded-For is trusted to say', async () => {
  const server = await upstream((_, response) => response.end('yes'));
  const range = (address_prefix: string) => ({ address_prefix, prefix_len: 32 });
  const p = await proxy()
    .cluster('a', server.port)
    .filter('rbac', {
      '@type': RBAC,
      rules: {
        policies: {
          peer: on('/peer', [{ direct_remote_ip: range('127.0.0.1') }]),
          client: on('/client', [{ remote_ip: range('203.0.113.7') }]),
          port: {
            permissions: [
              {
                and_rules: {
                  rules: [on('/port').permissions[0]!, { destination_port_range: { start: 1024, end: 65536 } }],
                },
              },
            ],
            principals: [ANY],
          },
          tls: on('/tls', [{ authenticated: {} }]),
        },
      },
    })
    .manager({ use_remote_address: true, xff_num_trusted_hops: 1 })
    .start();
  const client = await p.client();
  const status = async (path: string, headers: string[] = []): Promise<number> => {
    client.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`);
    return (await client.response()).status;
  };
  expect(await status('/peer')).toBe(200);
  expect(await status('/port')).toBe(200);
  expect(await status('/client')).toBe(403);
  expect(await status('/client', ['X-Forwarded-For: 203.0.113.7'])).toBe(200);
  expect(await status('/client', ['X-Forwarded-For: 203.0.113.7, 10.0.0.1'])).toBe(403);
  expect(await status('/tls')).toBe(403);
});

test('a route has rules of its own, or none', async () => {
  const server = await upstream((_, response) => response.end('yes'));
  const perRoute = (path: string, config: object) => ({
    match: { path },
    route: { cluster: 'a' },
    typed_per_filter_config: { rbac: { '@type': ROUTE, ...config } },
  });
  const p = await proxy()
    .cluster('a', server.port)
    .filter('rbac', { '@type': RBAC, rules: { policies: { own: on('/own') } } })
    .route(perRoute('/open', {}))
    .route(perRoute('/own/closed', { rbac: { rules: { action: 'DENY', policies: { r: on('/') } } } }))
    .to('a')
    .start();
  const client = await p.client();
  for (const [path, status] of [
    ['/open', 200],
    ['/own/closed', 403],
    ['/own', 200],
    ['/else', 403],
  ] as const) {
    expect([path, (await client.get(path).response()).status]).toEqual([path, status]);
  }
});

test('the access log says what was decided', async () => {
  const server = await upstream((_, response) => response.end('yes'));
  const p = await proxy()
    .cluster('a', server.port)
    .filter('deny', { '@type': RBAC, rules_stat_prefix: 'deny_', rules: { action: 'DENY', policies: {} } })
    .filter('allow', {
      '@type': RBAC,
      rules: { policies: { all: on('/') } },
      shadow_rules_stat_prefix: 'dry_',
      shadow_rules: { policies: { some: on('/some') } },
    })
    .logFormat('%REQ(:PATH)% %DYNAMIC_METADATA(envoy.filters.http.rbac)%\n')
    .start();
  const client = await p.client();
  await client.get('/a').response();
  await client.get('/some').response();
  const lines = [];
  for (let i = 0; i < 2; i++) {
    await p.log(i);
    const [path, metadata] = p.logLines[i]!.split(' ');
    lines.push([path, JSON.parse(metadata!)]);
  }
  const both = {
    deny_enforced_engine_result: 'allowed',
    enforced_effective_policy_id: 'all',
    enforced_engine_result: 'allowed',
  };
  expect(lines).toEqual([
    ['/a', { ...both, dry_shadow_engine_result: 'denied' }],
    ['/some', { ...both, dry_shadow_effective_policy_id: 'some', dry_shadow_engine_result: 'allowed' }],
  ]);
});

const STDOUT = 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog';
const NETWORK = 'type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC';
const from = (address_prefix: string) => ({
  permissions: [ANY],
  principals: [{ remote_ip: { address_prefix, prefix_len: 8 } }],
});

/** A chain of bytes behind the filter. */
function guarded(port: number, rules: object, listener: object = {}) {
  const filter = { name: 'rbac', typed_config: { '@type': NETWORK, stat_prefix: 'tcp.', ...rules } };
  const inline_string = 'tcp - 0 %RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS% 0 0 %UPSTREAM_CLUSTER%\n';
  const log = { '@type': STDOUT, log_format: { text_format_source: { inline_string } } };
  const chain = tcpChain('db', {}, { access_log: [{ name: 'log', typed_config: log }] });
  return proxy()
    .cluster('db', port)
    .listener({ filter_chains: [{ ...chain, filters: [filter, ...(chain['filters'] as object[])] }], ...listener });
}

test('a denied connection is ended before anything is dialled, whoever would speak first, and the log names the policy', async () => {
  const db = await scripted();
  const policies = { 'ns[shop]-policy[nobody]-rule[0]': from('127.0.0.0') };
  const p = await guarded(db.port, { rules: { action: 'DENY', policies } }).start();
  const client = await p.client();
  await client.untilEnded();
  const details = 'rbac_access_denied_matched_policy[ns[shop]-policy[nobody]-rule[0]]';
  expect(await p.log(0)).toMatchObject({ flags: '-', details, upstream: '-' });
  expect(db.connections).toHaveLength(0);
  expect([p.stat('tcp.rbac.denied'), p.stat('tcp.rbac.allowed')]).toEqual([1, 0]);
});

test('where none allows it, none is named; in shadow it is only counted', async () => {
  const db = await scripted();
  const policies = { other: from('10.0.0.0') };
  const p = await guarded(db.port, { rules: { policies } }).start();
  await (await p.client()).untilEnded();
  expect(await p.log(0)).toMatchObject({ details: 'rbac_access_denied_matched_policy[none]' });
  const shadowed = await guarded(db.port, { shadow_rules: { policies }, shadow_rules_stat_prefix: 'dry_' }).start();
  const client = await shadowed.client();
  (await db.accept()).write('220');
  await client.bytes(3);
  expect(shadowed.stat('tcp.rbac.dry_shadow_denied')).toBe(1);
});

test('what may pass passes, and conditions on requests never hold for bytes', async () => {
  const db = await scripted();
  const policies = { near: from('127.0.0.0') };
  const p = await guarded(db.port, { rules: { policies } }).start();
  const client = await p.client();
  client.write('hello');
  expect(await (await db.accept()).bytes(5)).toBe('hello');
  expect([p.stat('tcp.rbac.denied'), p.stat('tcp.rbac.allowed')]).toEqual([0, 1]);
  const http = await guarded(db.port, { rules: { policies: { path: on('/') } } }).start();
  await (await http.client()).untilEnded();
  expect(http.stat('tcp.rbac.denied')).toBe(1);
});

test('where HTTP and bytes may come, nothing is dialled for bytes that are denied, and HTTP has its own rules', async () => {
  const [web, db] = [await upstream((_, response) => response.end('yes')), await scripted()];
  const policies = { all: from('127.0.0.0') };
  const typed_config = { '@type': NETWORK, stat_prefix: 'tcp.', rules: { action: 'DENY', policies } };
  const bytes = tcpChain('db');
  const p = await proxy()
    .cluster('web', web.port)
    .cluster('db', db.port)
    .listener({
      metadata: { filter_metadata: { remora: { protocol_detection: 'auto' } } },
      listener_filters: [httpInspector],
      listener_filters_timeout: '0s',
      filter_chains: [
        httpChain('web', HTTP),
        { ...bytes, filters: [{ name: 'rbac', typed_config }, ...(bytes['filters'] as object[])] },
      ],
    })
    .start();
  const client = await p.client();
  client.get('/');
  expect((await client.response()).body).toBe('yes');
  const other = await p.client();
  other.write('\x00\x01');
  await other.untilEnded();
  expect(db.connections).toHaveLength(0);
});

test('before an HTTP connection manager it is refused: HTTP has a filter of its own', async () => {
  const typed_config = { '@type': NETWORK, stat_prefix: 'tcp.', rules: {} };
  const chain = httpChain('web');
  const filters = [{ name: 'rbac', typed_config }, ...(chain['filters'] as object[])];
  const p = proxy()
    .cluster('web', 1)
    .listener({ filter_chains: [{ ...chain, filters }] });
  await expect(p.start()).rejects.toThrow('rbac before an HTTP connection manager is not supported');
});
