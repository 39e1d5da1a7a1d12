import { afterEach, describe, expect, test } from 'vitest';
import {
  type ExplainRequest,
  type Explanation,
  explainRequest,
  type ListenerExplanation,
} from '../../../../src/proxy/admin/explain.ts';
import { explainTargets } from '../../../../src/proxy/runtime/admin-view.ts';
import { type RunningProxy, startProxy } from './support.ts';

const HCM = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

function listener(name: string, prefix: string, routes: string, more = ''): string {
  return `
    - name: ${name}
      traffic_direction: OUTBOUND
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - name: ${name}-chain
          filters:
            - name: hcm
              typed_config:
                "@type": ${HCM}
                stat_prefix: ${prefix}
                use_remote_address: true
                internal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }
                ${more}
                route_config:
                  name: ${name}-routes
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: ${routes}
                http_filters:
                  - name: envoy.filters.http.fault
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault }
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }`;
}

const bootstrap = (listeners: string, endpoints = '9001'): string => `
static_resources:
  listeners:${listeners}
  clusters:
    - name: v1
      type: STATIC
      connect_timeout: 2s
      load_assignment:
        cluster_name: v1
        endpoints: [{ lb_endpoints: [${endpoints
          .split(',')
          .filter((port) => port !== '')
          .map((port) => `{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${port} } } } }`)
          .join(', ')}] }]
    - name: v2
      type: STATIC
      load_assignment: { cluster_name: v2 }
`;

let proxy: RunningProxy;
afterEach(() => proxy.close());

async function start(yaml: string): Promise<(request: Partial<ExplainRequest>) => Explanation> {
  proxy = await startProxy(yaml);
  return (request) =>
    explainRequest(explainTargets(proxy.applier), proxy.env.clusters, {
      method: 'GET',
      url: 'http://reviews:9080/reviews/1',
      headers: [],
      ...request,
    });
}

const first = (explanation: Explanation): ListenerExplanation => explanation.listeners[0]!;

describe('a forwarded request', () => {
  const routes = `
                        - match: { prefix: /reviews }
                          name: split
                          route:
                            timeout: 3s
                            prefix_rewrite: /v
                            internal_redirect_policy: { redirect_response_codes: [302, 307] }
                            retry_policy: { retry_on: "5xx,reset", num_retries: 4, per_try_timeout: 1s }
                            weighted_clusters: { clusters: [{ name: v1, weight: 90 }, { name: v2, weight: 10 }] }
                          typed_per_filter_config:
                            envoy.filters.http.fault:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault`;

  test('where it goes, what is sent, and how long it may take', async () => {
    const explain = await start(bootstrap(listener('out', 'out', routes)));
    const one = first(explain({}));
    expect(one).toMatchObject({
      listener: 'out',
      direction: 'OUTBOUND',
      filterChain: 'out-chain',
      statPrefix: 'out',
      routeTable: 'out-routes',
      internal: true,
      filters: [{ name: 'envoy.filters.http.fault', disabled: false, routeConfig: true }],
      route: { name: 'split', virtualHost: 'all', action: 'forward' },
    });
    const [v1, v2] = one.route!.targets;
    expect(v1).toMatchObject({
      cluster: 'v1',
      share: 90,
      upstream: { authority: 'reviews:9080', path: '/v/1' },
      timeouts: { routeMs: 3000, perTryMs: 1000, connectMs: 2000 },
      retries: { on: ['5xx', 'reset'], max: 4 },
      redirects: '302, 307 is followed here, up to once, within the scheme',
      refused: '',
      state: { membership: { total: 1, healthy: 1 }, endpoints: [{ address: '127.0.0.1:9001' }] },
      warnings: [],
    });
    expect(v2).toMatchObject({ cluster: 'v2', share: 10, warnings: ['Cluster "v2" has no endpoints: 503, UH.'] });
    expect(one.outcome).toContain('Cluster "v2" has no endpoints: 503, UH.');
  });

  test('headers of an internal caller steer, those of others do not', async () => {
    const explain = await start(bootstrap(listener('out', 'out', routes)));
    const headers = [['x-envoy-upstream-rq-timeout-ms', '700']] as const;
    expect(first(explain({ headers })).route!.targets[0]!.timeouts.routeMs).toBe(700);
    const outside = first(explain({ headers, from: '203.0.113.9' }));
    expect(outside.internal).toBe(false);
    expect(outside.route!.targets[0]!.timeouts.routeMs).toBe(3000);
  });

  test('nothing is sent and nothing is counted', async () => {
    const explain = await start(bootstrap(listener('out', 'out', routes)));
    explain({});
    const { stats } = proxy.env;
    for (const { kind, name, id } of stats.series())
      if (kind === 'counter' && name.includes('rq')) expect(stats.value(id)).toBe(0);
  });
});

test('a request that no route matches says what each route wanted', async () => {
  const explain = await start(bootstrap(listener('out', 'out', '[{ match: { path: /a }, route: { cluster: v1 } }]')));
  const one = first(explain({}));
  expect(one.route).toBeNull();
  expect(one.outcome).toBe('None of the 1 routes of virtual host all matches: 404, NR.');
  expect(one.trace!.routes[0]!.why).toContain('but the path is "/reviews/1"');
});

test('a cluster that is not there', async () => {
  const explain = await start(bootstrap(listener('out', 'out', '[{ match: { prefix: / }, route: { cluster: v1 } }]')));
  proxy.env.clusters.prune({ has: (name) => name !== 'v1' });
  const one = first(explain({}));
  expect(one.route!.targets[0]).toMatchObject({ state: null, warnings: ['There is no cluster "v1": 503, NC.'] });
});

test('ejected endpoints mean panic', async () => {
  const explain = await start(bootstrap(listener('out', 'out', '[{ match: { prefix: / }, route: { cluster: v1 } }]')));
  const cluster = proxy.env.clusters.get('v1')!;
  for (const endpoint of cluster.endpoints()) {
    endpoint.outlier.ejected = true;
    cluster.onHealthChange(endpoint);
  }
  expect(first(explain({})).outcome).toContain('All 1 endpoints of cluster "v1" are ejected: panic');
});

test('redirects and direct answers', async () => {
  const routes = `
                        - { match: { path: /r }, redirect: { path_redirect: /x, response_code: FOUND } }
                        - { match: { path: /d }, direct_response: { status: 418 } }`;
  const explain = await start(bootstrap(listener('out', 'out', routes)));
  expect(first(explain({ url: 'http://a/r' })).route).toMatchObject({ action: 'redirect', status: 302, targets: [] });
  expect(first(explain({ url: 'http://a/d' })).route).toMatchObject({ action: 'direct', status: 418 });
});

test('what is refused before routing says so', async () => {
  const explain = await start(
    bootstrap(listener('out', 'out', '[{ match: { prefix: / }, route: { cluster: v1 } }]', 'normalize_path: true')),
  );
  const one = first(explain({ url: 'http://a/%00' }));
  expect(one.trace).toBeNull();
  expect(one.outcome).toMatch(/^Refused with 400: /);
});

test('every listener answers by its own routes, also two that are alike', async () => {
  const explain = await start(
    bootstrap(
      listener('one', 'same', '[{ match: { prefix: / }, route: { cluster: v1 } }]') +
        listener('two', 'same', '[{ match: { prefix: / }, route: { cluster: v2 } }]'),
    ),
  );
  const answers = explain({}).listeners.map(({ listener: name, routeTable, route }) => [
    name,
    routeTable,
    route!.targets[0]!.cluster,
  ]);
  expect(answers).toEqual([
    ['one', 'one-routes', 'v1'],
    ['two', 'two-routes', 'v2'],
  ]);
});

test.each([
  ['http://reviews/a?b=c', 'reviews', '/a?b=c'],
  ['https://reviews:9080', 'reviews:9080', '/'],
  ['reviews:9080/a', 'reviews:9080', '/a'],
  ['http://reviews?q', 'reviews', '/?q'],
  ['http://reviews/a#fragment', '', ''],
])('reads the URL %s', async (url, authority, path) => {
  const explain = await start(bootstrap(listener('out', 'out', '[{ match: { prefix: / }, route: { cluster: v1 } }]')));
  if (authority === '') expect(() => explain({ url })).toThrow(RangeError);
  else expect(explain({ url }).request).toEqual({ method: 'GET', authority, path });
});

test('a path needs a host header, and a header may not break the line', async () => {
  const explain = await start(bootstrap(listener('out', 'out', '[{ match: { prefix: / }, route: { cluster: v1 } }]')));
  expect(explain({ url: '/a', headers: [['Host', 'h']] }).request).toMatchObject({ authority: 'h', path: '/a' });
  expect(() => explain({ url: '/a' })).toThrow('names no host');
  expect(() => explain({ headers: [['a', 'b\r\nc: d']] })).toThrow('line break');
  expect(() => explain({ method: 'GE T' })).toThrow(RangeError);
});

test('filters say what they do, with the numbers of the route', async () => {
  const routes = `
                        - match: { path: /late }
                          route: { cluster: v1 }
                          typed_per_filter_config:
                            envoy.filters.http.fault:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault
                              delay: { fixed_delay: 2s, percentage: { numerator: 50 } }
                        - match: { path: /off }
                          route: { cluster: v1 }
                          typed_per_filter_config:
                            envoy.filters.http.fault:
                              "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig
                              disabled: true`;
  const explain = await start(bootstrap(listener('out', 'out', routes)));
  const filterAt = (path: string) => first(explain({ url: `http://a${path}` })).filters[0];
  expect(filterAt('/late')).toMatchObject({
    says: 'delays 50 % of requests by 2 s',
    fault: { delayMs: 2000, delayPercent: 50, abort: '', abortPercent: 0 },
  });
  expect(filterAt('/off')).toMatchObject({ disabled: true, says: '', fault: null });
});
