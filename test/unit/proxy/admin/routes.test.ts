import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { healthRoutes, prometheusRoutes } from '../../../../src/proxy/admin/health.ts';
import { adminRoutes } from '../../../../src/proxy/admin/routes.ts';
import { type Reply, type RunningProxy, request, type Served, serve, startProxy } from './support.ts';

const BOOTSTRAP = `
node: { id: n1, cluster: c1, metadata: { NAMESPACE: shop } }
layered_runtime:
  layers:
    - name: static
      static_layer: { a.b: 3, feature.on: true }
static_resources:
  listeners:
    - name: ingress
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - name: hcm
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: ingress
                route_config:
                  name: main
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: { path: /direct }
                          direct_response: { status: 204 }
                        - match: { prefix: / }
                          route: { cluster: web }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
    - name: web
      type: STATIC
      outlier_detection: {}
      load_assignment:
        cluster_name: web
        endpoints:
          - locality: { region: eu, zone: eu-1 }
            lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9001 } } }
                load_balancing_weight: 3
`;

let proxy: RunningProxy;
let served: Served;
let isReady = true;
beforeEach(async () => {
  isReady = true;
  proxy = await startProxy(BOOTSTRAP, { ready: () => isReady });
  served = await serve(adminRoutes(proxy.view));
});
afterEach(async () => {
  await served.close();
  await proxy.close();
});

const get = (path: string): Promise<Reply> => request(served.port, 'GET', path);
const post = (path: string): Promise<Reply> => request(served.port, 'POST', path);
const json = async (path: string): Promise<Record<string, unknown>> => JSON.parse((await get(path)).body);

describe('readiness', () => {
  test('LIVE, PRE_INITIALIZING, DRAINING', async () => {
    expect(await get('/ready')).toMatchObject({ status: 200, body: 'LIVE\n' });
    isReady = false;
    expect(await get('/ready')).toMatchObject({ status: 503, body: 'PRE_INITIALIZING\n' });
    isReady = true;
    expect(await post('/healthcheck/fail')).toMatchObject({ status: 200, body: 'OK\n' });
    expect(await get('/ready')).toMatchObject({ status: 503, body: 'DRAINING\n' });
    await post('/healthcheck/ok');
    expect((await get('/ready')).status).toBe(200);
  });

  test('the health port says why it is not ready, and nothing else', async () => {
    const health = await serve(healthRoutes(proxy.view), { kind: 'any' });
    const ask = (path: string): Promise<Reply> => request(health.port, 'GET', path, ['Host: kubelet.example']);
    expect(await ask('/healthz/ready')).toMatchObject({ status: 200, body: '' });
    isReady = false;
    expect(await ask('/healthz/ready')).toMatchObject({
      status: 503,
      body: 'The first configuration is not in force yet.\n',
    });
    expect((await ask('/config_dump')).status).toBe(404);
    await health.close();
  });
});

describe('stats', () => {
  test('text, json and Prometheus', async () => {
    expect((await get('/stats?filter=web.membership_total')).body).toBe('cluster.web.membership_total: 1\n');
    expect(await json('/stats?format=json&filter=web.membership_total')).toEqual({
      stats: [{ name: 'cluster.web.membership_total', value: 1 }],
    });
    for (const path of ['/stats/prometheus', '/metrics', '/stats?format=prometheus']) {
      const { headers, body } = await get(path);
      expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(body).toContain('\nenvoy_cluster_membership_total{envoy_cluster_name="web"} 1\n');
      expect(body).toContain('\nenvoy_server_live 1\n');
    }
  });

  test('the Prometheus port has the same', async () => {
    const scraped = await serve(prometheusRoutes(proxy.view), { kind: 'any' });
    const { body } = await request(scraped.port, 'GET', '/stats/prometheus?filter=server.state');
    expect(body).toContain('envoy_server_state 0');
    expect((await request(scraped.port, 'GET', '/stats')).status).toBe(404);
    await scraped.close();
  });

  test('gauges of the server are of now', async () => {
    const value = async (name: string): Promise<number> =>
      Number((await get(`/stats?filter=^${name}$`)).body.split(': ')[1]);
    expect(await value('server.memory_physical_size')).toBeGreaterThan(1e7);
    expect(await value('cluster_manager.active_clusters')).toBe(1);
    expect(await value('listener_manager.total_listeners_active')).toBe(1);
    await post('/healthcheck/fail');
    expect([await value('server.live'), await value('server.state')]).toEqual([0, 1]);
  });

  test.each(['format=html', 'type=Bogus', 'histogram_buckets=detailed', 'filter=%28'])('%s is 400', async (query) => {
    expect((await get(`/stats?${query}`)).status).toBe(400);
  });

  test('reset_counters leaves gauges', async () => {
    proxy.env.stats.add(proxy.env.stats.counter('c', {}, 'c'), 3);
    await post('/reset_counters');
    expect((await get('/stats?filter=^c$')).body).toBe('c: 0\n');
    expect((await get('/stats?filter=web.membership_total')).body).toBe('cluster.web.membership_total: 1\n');
  });
});

describe('clusters', () => {
  test("in Envoy's text", async () => {
    const lines = (await get('/clusters')).body.split('\n');
    expect(lines.slice(0, 14)).toEqual([
      'web::observability_name::web',
      'web::outlier::success_rate_average::-1',
      'web::outlier::success_rate_ejection_threshold::-1',
      'web::outlier::local_origin_success_rate_average::-1',
      'web::outlier::local_origin_success_rate_ejection_threshold::-1',
      'web::default_priority::max_connections::1024',
      'web::default_priority::max_pending_requests::1024',
      'web::default_priority::max_requests::1024',
      'web::default_priority::max_retries::3',
      'web::high_priority::max_connections::1024',
      'web::high_priority::max_pending_requests::1024',
      'web::high_priority::max_requests::1024',
      'web::high_priority::max_retries::3',
      'web::added_via_api::false',
    ]);
    expect(lines).toContain('web::127.0.0.1:9001::health_flags::healthy');
    expect(lines).toContain('web::127.0.0.1:9001::zone::eu-1');
    expect(lines).toContain('web::127.0.0.1:9001::weight::3');
  });

  test('an ejected endpoint is told in both forms', async () => {
    const [endpoint] = [...proxy.env.clusters.get('web')!.endpoints()];
    endpoint!.outlier.ejected = true;
    endpoint!.errors = 5;
    expect((await get('/clusters')).body).toContain('web::127.0.0.1:9001::health_flags::/failed_outlier_check\n');
    const {
      cluster_statuses: [status],
    } = (await json('/clusters?format=json')) as { cluster_statuses: Record<string, unknown>[] };
    expect(status).toMatchObject({ name: 'web', observability_name: 'web' });
    expect(status).not.toHaveProperty('added_via_api');
    const [host] = status!.host_statuses as Record<string, unknown>[];
    expect(host).toMatchObject({
      address: { socket_address: { address: '127.0.0.1', port_value: 9001 } },
      health_status: { failed_outlier_check: true, eds_health_status: 'HEALTHY' },
      weight: 3,
      locality: { region: 'eu', zone: 'eu-1' },
    });
    expect(host!.stats).toContainEqual({ value: '5', name: 'rq_error' });
    expect(host!.stats).toContainEqual({ type: 'GAUGE', name: 'cx_active' });
  });
});

test('listeners, with the port that was really bound', async () => {
  const { port } = proxy.applier.listeners.get('ingress')!.addresses[0]!;
  expect((await get('/listeners')).body).toBe(`ingress::127.0.0.1:${port}\n`);
  expect(await json('/listeners?format=json')).toEqual({
    listener_statuses: [
      { name: 'ingress', local_address: { socket_address: { address: '127.0.0.1', port_value: port } } },
    ],
  });
});

test('server_info, memory, runtime, certs', async () => {
  const info = await json('/server_info');
  expect(info).toMatchObject({
    version: expect.stringMatching(/^remora\/1\.2\.3\/Clean\/RELEASE\/Node-\d/),
    state: 'LIVE',
    uptime_current_epoch: '0s',
    command_line_options: { service_cluster: 'c1', service_node: 'n1', drain_time: '600s' },
    node: { id: 'n1', metadata: { NAMESPACE: 'shop' }, user_agent_name: 'remora' },
  });
  expect(Number((await json('/memory')).total_physical_bytes)).toBeGreaterThan(1e7);
  expect(await json('/runtime')).toEqual({
    entries: {
      'a.b': { final_value: '3', layer_values: ['3'] },
      'feature.on': { final_value: 'true', layer_values: ['true'] },
    },
    layers: ['bootstrap'],
  });
  expect(await json('/certs')).toEqual({ certificates: [] });
});

test('help lists every path', async () => {
  const { body } = await get('/help');
  for (const { path } of adminRoutes(proxy.view)) expect(body).toContain(`  ${path}`);
  expect((await get('/')).body).toBe(body);
});

describe('actions', () => {
  test('logging asks and changes the level', async () => {
    expect((await post('/logging')).body).toBe('active loggers:\n  all: info\n');
    expect((await post('/logging?level=warn')).body).toBe('active loggers:\n  all: warning\n');
    expect((await post('/logging?level=loud')).status).toBe(400);
    expect((await post('/logging?paths=a:info')).status).toBe(400);
    expect(proxy.view.actions.logLevel()).toBe('warning');
  });

  test('reopen_logs', async () => {
    expect((await post('/reopen_logs')).status).toBe(200);
  });

  test('quitquitquit ends the process after its answer', async () => {
    expect((await post('/quitquitquit')).body).toBe('OK\n');
    expect(proxy.calls).toEqual(['quit']);
  });

  test('none of them can be had by GET', async () => {
    for (const { path, method } of adminRoutes(proxy.view)) {
      if (method === 'POST') expect((await get(path)).status).toBe(405);
    }
    expect(proxy.calls).toEqual([]);
  });

  test('drain_listeners stops accepting', async () => {
    const { port } = proxy.applier.listeners.get('ingress')!.addresses[0]!;
    expect((await post('/drain_listeners')).status).toBe(200);
    await expect(request(port, 'GET', '/direct')).rejects.toThrow();
    expect((await get('/ready')).body).toBe('DRAINING\n');
  });

  test('a graceful drain asks clients to leave and goes on accepting', async () => {
    await post('/drain_listeners?graceful');
    const { port } = proxy.applier.listeners.get('ingress')!.addresses[0]!;
    expect((await request(port, 'GET', '/direct')).status).toBe(204);
    expect((await get('/ready')).body).toBe('DRAINING\n');
    expect((await get('/remora/drain')).body).toMatch(
      /^DRAINING because of drain_listeners \(gradual\)\ningress: accepting, 0 connections, 0 % asked to leave, \d+\.\d s left\n$/,
    );
  });

  test('skip_exit goes on accepting, with graceful or without, as in Envoy', async () => {
    expect((await post('/drain_listeners?skip_exit')).status).toBe(200);
    const { port } = proxy.applier.listeners.get('ingress')!.addresses[0]!;
    expect((await request(port, 'GET', '/direct')).status).toBe(204);
    expect((await get('/ready')).body).toBe('DRAINING\n');
    expect((await get('/remora/drain')).body).toContain('ingress: accepting, 0 connections, 0 % asked to leave');
  });

  test('healthcheck/fail asks clients to leave, and healthcheck/ok lets them stay', async () => {
    await post('/healthcheck/fail');
    expect(await json('/remora/drain?format=json')).toMatchObject({
      state: 'DRAINING',
      causes: ['healthcheck/fail'],
      listeners: [{ name: 'ingress', accepting: true, progress: expect.any(Number), left_ms: expect.any(Number) }],
    });
    await post('/healthcheck/ok');
    expect(await json('/remora/drain?format=json')).toEqual({
      state: 'LIVE',
      causes: [],
      strategy: 'gradual',
      listeners: [{ name: 'ingress', removed: false, accepting: true, connections: [] }],
    });
  });

  test('only inbound listeners, where that is asked for', async () => {
    await post('/drain_listeners?inboundonly');
    expect((await get('/ready')).status).toBe(200);
    const { port } = proxy.applier.listeners.get('ingress')!.addresses[0]!;
    expect((await request(port, 'GET', '/direct')).status).toBe(204);
  });
});

describe('explain', () => {
  test('over HTTP', async () => {
    const answer = await json('/remora/explain?method=POST&url=http%3A%2F%2Freviews%2F1&header=x-a%3A%20b');
    expect(answer).toMatchObject({
      request: { method: 'POST', authority: 'reviews', path: '/1' },
      listeners: [{ listener: 'ingress', routeTable: 'main', route: { targets: [{ cluster: 'web', share: 100 }] } }],
    });
  });

  test.each([
    '',
    '?url=/only/a/path',
    '?url=http://a/&header=nonsense',
    '?url=http://a/&header=a:b%0d%0ac:d',
    '?url=http://a b/',
  ])('%s is 400', async (query) => {
    expect((await get(`/remora/explain${query.replaceAll(' ', '%20')}`)).status).toBe(400);
  });
});
