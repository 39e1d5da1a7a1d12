import { expect, test } from 'vitest';
import { manualClock } from '../../support/clock.ts';
import { eventually, type Json, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

const IP = 'type.googleapis.com/envoy.extensions.http.original_ip_detection';
const EARLY = 'type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation';
const REMOTE = '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\n';

/** The headers that an upstream gets through a manager with these fields. */
async function headersThrough(manager: Json, ...lines: string[]): Promise<Record<string, string>> {
  const server = await upstream((request, response) => response.end(JSON.stringify(request.headers)));
  const p = await proxy().cluster('a', server.port).manager(manager).start();
  const client = await p.client();
  return JSON.parse((await client.get('/', ...lines).response()).body);
}

test('extensions find the client, or refuse a request that does not say', async () => {
  const p = await proxy()
    .logFormat(REMOTE)
    .route({ match: { prefix: '/' }, direct_response: { status: 204 } })
    .manager({
      original_ip_detection_extensions: [
        {
          name: 'xff',
          typed_config: { '@type': `${IP}.xff.v3.XffConfig`, xff_num_trusted_hops: 1 },
        },
        {
          name: 'header',
          typed_config: {
            '@type': `${IP}.custom_header.v3.CustomHeaderConfig`,
            header_name: 'x-real-ip',
            reject_with_status: { code: 'Unauthorized' },
          },
        },
      ],
    })
    .start();
  const client = await p.client();
  expect((await client.get('/', 'X-Forwarded-For: 6.6.6.6, 7.7.7.7, 127.0.0.9').response()).status).toBe(204);
  expect((await client.get('/', 'X-Real-IP: 8.8.8.8').response()).status).toBe(204);
  expect((await client.get('/').response()).status).toBe(401);
  expect((await client.get('/', 'X-Real-IP: 8.8.8.8').response()).status).toBe(204);
  await p.log(3);
  expect(p.logLines).toEqual([
    '7.7.7.7 204 direct_response',
    '8.8.8.8 204 direct_response',
    '127.0.0.1 401 rejecting_because_detection_failed',
    '8.8.8.8 204 direct_response',
  ]);
  expect(p.stat('http.main.downstream_rq_rejected_via_ip_detection')).toBe(1);
});

test('headers are changed before a route is chosen', async () => {
  const mutations = [{ append: { header: { key: 'x-tenant', value: 'red' } } }, { remove: 'x-secret' }];
  const p = await proxy()
    .route({
      match: {
        prefix: '/',
        headers: [
          { name: 'x-tenant', string_match: { exact: 'red' } },
          { name: 'x-secret', present_match: false },
        ],
      },
      direct_response: { status: 204 },
    })
    .manager({ early_header_mutation_extensions: [{ name: 'm', typed_config: { '@type': EARLY, mutations } }] })
    .start();
  expect((await (await p.client()).get('/', 'X-Secret: 1').response()).status).toBe(204);
});

test('port, scheme, caller and mapped addresses are told to the upstream', async () => {
  const headers = await headersThrough({
    use_remote_address: true,
    append_x_forwarded_port: true,
    scheme_header_transformation: { scheme_to_overwrite: 'https' },
    add_user_agent: true,
    represent_ipv4_remote_address_as_ipv4_mapped_ipv6: true,
  });
  expect(headers).toMatchObject({
    'x-forwarded-for': '::ffff:127.0.0.1',
    'x-forwarded-proto': 'https',
    'x-envoy-downstream-service-cluster': '',
  });
  expect(Number(headers['x-forwarded-port'])).toBeGreaterThan(0);
});

test('a redirect keeps the scheme that requests are taken to have', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, redirect: { path_redirect: '/there' } })
    .manager({ scheme_header_transformation: { scheme_to_overwrite: 'https' } })
    .start();
  expect((await (await p.client()).get('/').response()).header('location')).toBe('https://a/there');
});

test('Proxy-Status says why, and sets the status it recommends', async () => {
  const p = await proxy()
    .cluster('a', [])
    .route({ match: { prefix: '/none' }, route: { cluster: 'a' } })
    .route({ match: { path: '/fine' }, direct_response: { status: 204 } })
    .manager({ proxy_status_config: { set_recommended_response_code: true } })
    .start();
  const client = await p.client();
  const none = await client.get('/none').response();
  expect(none.header('proxy-status')).toBe('envoy; error=destination_unavailable; details="no_healthy_upstream; UH"');
  const lost = await client.get('/lost').response();
  expect([lost.status, lost.header('proxy-status')]).toEqual([
    500,
    'envoy; error=destination_not_found; details="route_not_found; NR"',
  ]);
  expect((await client.get('/fine').response()).header('proxy-status')).toBeUndefined();
  expect((await p.log(1)).code).toBe(500);
});

test('a log entry when a request begins, others while it goes on, and one at its end', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .logFormat('%ROUTE_NAME% %RESPONSE_CODE% %UPSTREAM_CLUSTER% %DURATION%\n')
    .cluster('a', server.port)
    .route({ name: 'slow', match: { prefix: '/' }, route: { cluster: 'a', timeout: '0s' } })
    .manager({ access_log_options: { flush_access_log_on_new_request: true, access_log_flush_interval: '10s' } })
    .start();
  const client = await p.client();
  client.get('/');
  const connection = await server.accept();
  await connection.head();
  for (const _ of [1, 2]) {
    clock.advance(10_010);
    await turns();
  }
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  expect((await client.response()).status).toBe(204);
  clock.advance(60_000);
  await eventually(() => p.logLines.length >= 4);
  await turns();
  expect(p.logLines).toEqual([
    expect.stringMatching(/^slow 0 - 0$/),
    expect.stringMatching(/^slow 0 a 100\d\d$/),
    expect.stringMatching(/^slow 0 a 200\d\d$/),
    expect.stringMatching(/^slow 204 a 200\d\d$/),
  ]);
});

test('a log entry when a tunnel is there', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .manager({
      upgrade_configs: [{ upgrade_type: 'websocket' }],
      access_log_options: { flush_log_on_tunnel_successfully_established: true },
    })
    .start();
  const client = await p.client();
  client.get('/', 'Connection: Upgrade', 'Upgrade: websocket');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await eventually(() => p.stat('http.main.downstream_rq_active') === 1 && client.received.includes('101'));
  clock.advance(60_000);
  expect(await p.log(0)).toMatchObject({ code: 101 });
  client.reset();
  await eventually(() => p.stat('http.main.downstream_rq_active') === 0);
  clock.advance(60_000);
  expect(await p.log(1)).toMatchObject({ code: 101 });
});

test('an upgrade has filters of its own; other requests, and those that a route does not let upgrade, have the rest', async () => {
  const server = await scripted();
  const router = {
    name: 'router',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
  };
  const append = (value: string) => ({
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
    mutations: {
      request_mutations: [{ append: { header: { key: 'x-chain', value } } }],
      response_mutations: [{ append: { header: { key: 'x-chain', value } } }],
    },
  });
  const p = await proxy()
    .cluster('a', server.port)
    .filter('mark', append('main'))
    .route({
      match: { prefix: '/no' },
      route: { cluster: 'a', upgrade_configs: [{ upgrade_type: 'websocket', enabled: false }] },
    })
    .to('a')
    .manager({
      upgrade_configs: [
        { upgrade_type: 'websocket', filters: [{ name: 'mark', typed_config: append('upgrade') }, router] },
      ],
    })
    .start();
  const client = await p.client();
  const UPGRADE = ['Connection: Upgrade', 'Upgrade: websocket'] as const;
  const cases = [
    ['/', [], 'main'],
    ['/no', UPGRADE, 'main'],
    ['/', UPGRADE, 'upgrade'],
  ] as const;
  client.get(...([cases[0][0], ...cases[0][1]] as const));
  const connection = await server.accept();
  for (const [i, [path, lines, chain]] of cases.entries()) {
    if (i > 0) client.get(path, ...lines);
    expect(await connection.head()).toContain(`x-chain: ${chain}\r\n`);
    const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    connection.write(chain === 'main' ? 'HTTP/1.1 204 No Content\r\n\r\n' : switching);
    expect((await client.response()).header('x-chain')).toBe(chain);
  }
});
