import { describe, expect, it } from 'vitest';
import { bookinfoInstances } from './bookinfo.ts';
import { bookinfoFiles, Mesh, type SimulatedProxy } from './traffic.ts';

const REVIEWS = 'outbound|9080|%|reviews.default.svc.cluster.local';
const reviews = (version: string): string => REVIEWS.replace('%', version);
const ROUTER = {
  kind: 'router',
  name: 'ingress',
  namespace: 'istio-system',
  labels: { istio: 'ingressgateway' },
} as const;

function mesh(...tries: readonly string[]): Mesh {
  return new Mesh({ ...bookinfoFiles(...tries), 'instances.yaml': bookinfoInstances() });
}

function callReviews(proxy: SimulatedProxy, headers: Record<string, string> = {}) {
  return proxy.call('http_proxy', { url: 'http://reviews:9080/reviews/0', headers });
}

/** Envoy must be told that the success rate ejects nobody; ours says that it could not anyway. */
const words = (proxy: SimulatedProxy): readonly string[] =>
  proxy.warnings.filter((warning) => !warning.includes('.enforcing_success_rate:'));

describe('bookinfo through an explicit proxy', () => {
  it('is whole and decodes without a word from the proxy, whatever is tried', () => {
    const tries = [
      'reviews-v1',
      'reviews-90-10',
      'reviews-50-v2-v3',
      'reviews-jason-v2',
      'ratings-delay',
      'ratings-abort',
    ];
    for (const one of [...tries, 'timeout-retry', 'breaker', 'rate-limit']) {
      const it = mesh(one);
      expect(it.findings, one).toEqual([]);
      const inbound = [
        {
          port: 9080,
          bind: '127.0.0.1:31001',
          app: '127.0.0.1:41001',
          service: 'productpage.default.svc.cluster.local',
        },
      ];
      expect(words(it.proxy({ remora: { inbound, httpProxy: '127.0.0.1:15001' } })), one).toEqual([]);
      expect(words(it.proxy(ROUTER)), one).toEqual([]);
      expect(it.notes).toEqual([]);
    }
  });

  it('sends calls to all versions without rules', () => {
    const outcome = callReviews(mesh().proxy());
    expect(outcome).toMatchObject({
      kind: 'forward',
      cluster: reviews(''),
      endpoints: ['127.0.0.1:31004', '127.0.0.1:31005', '127.0.0.1:31006'],
      timeoutMs: 0,
    });
  });

  it.each([
    'reviews',
    'reviews:9080',
    'reviews.default',
    'reviews.default.svc:9080',
    'reviews.default.svc.cluster.local',
    'reviews.default.svc.cluster.local.',
  ])('knows %s', (authority) => {
    const proxy = mesh('reviews-v1').proxy();
    const outcome = proxy.call('http_proxy', { url: `http://${authority}/reviews/0` });
    expect(outcome).toMatchObject({ kind: 'forward', cluster: reviews('v1'), endpoints: ['127.0.0.1:31004'] });
  });

  it('splits 90 to 10', () => {
    const split = mesh('reviews-90-10').proxy().split('http_proxy', { url: 'http://reviews:9080/reviews/0' });
    expect(Object.keys(split).sort()).toEqual([reviews('v1'), reviews('v3')]);
    expect(split[reviews('v1')]).toBeGreaterThan(86);
    expect(split[reviews('v1')]).toBeLessThan(94);
  });

  it('splits half and half between v2 and v3', () => {
    const split = mesh('reviews-50-v2-v3').proxy().split('http_proxy', { url: 'http://reviews:9080/reviews/0' });
    expect(Object.keys(split).sort()).toEqual([reviews('v2'), reviews('v3')]);
    expect(split[reviews('v2')]).toBeGreaterThan(44);
    expect(split[reviews('v2')]).toBeLessThan(56);
  });

  it('sends jason to v2 and everybody else to v1, and says which rule it was', () => {
    const proxy = mesh('reviews-jason-v2').proxy();
    expect(callReviews(proxy, { 'end-user': 'jason' })).toMatchObject({
      route: 'jason',
      cluster: reviews('v2'),
      origin: 'VirtualService default/reviews (try/reviews-jason-v2.yaml:13) http[0]',
    });
    expect(callReviews(proxy, { 'end-user': 'jasons' })).toMatchObject({
      route: 'everybody-else',
      cluster: reviews('v1'),
    });
    expect(callReviews(proxy)).toMatchObject({ route: 'everybody-else', cluster: reviews('v1') });
  });

  it('gives jason a fault, and nobody else', () => {
    const proxy = mesh('ratings-delay').proxy();
    const call = { url: 'http://ratings:9080/ratings/0' };
    expect(proxy.call('http_proxy', { ...call, headers: { 'end-user': 'jason' } })).toMatchObject({
      filters: ['envoy.filters.http.fault'],
    });
    expect(proxy.call('http_proxy', call)).toMatchObject({ filters: [] });
  });

  it('bounds the time of a route that says so', () => {
    expect(callReviews(mesh('timeout-retry').proxy())).toMatchObject({
      kind: 'forward',
      route: 'bounded',
      timeoutMs: 500,
    });
  });

  it("answers 404 NR for a host that could only be one of the mesh's", () => {
    const proxy = mesh().proxy();
    for (const url of ['http://reviews:9081/', 'http://rewievs/', 'http://reviews.other.svc.cluster.local/']) {
      expect(proxy.call('http_proxy', { url })).toEqual({ kind: 'error', flag: 'NR', status: 404 });
    }
  });

  it('lets calls to hosts outside the mesh go there', () => {
    const proxy = mesh().proxy();
    for (const url of [
      'http://example.com/',
      'http://example.com:8080/',
      'http://10.1.2.3:9080/',
      'http://[::2]:80/',
    ]) {
      expect(proxy.call('http_proxy', { url }), url).toMatchObject({ kind: 'forward', cluster: 'PassthroughCluster' });
    }
  });
});

describe('bookinfo at the gateway', () => {
  const gateway = mesh().proxy(ROUTER);
  it.each(['/productpage', '/static/site.css', '/login', '/logout', '/api/v1/products/0', '/'])('lets %s in', (url) => {
    expect(gateway.call('127.0.0.1_8080', { url })).toMatchObject({
      kind: 'forward',
      cluster: 'outbound|9080||productpage.default.svc.cluster.local',
      endpoints: ['127.0.0.1:31001'],
    });
  });
  it.each(['/reviews/0', '/productpages', '/admin'])('answers 404 NR to %s', (url) => {
    expect(gateway.call('127.0.0.1_8080', { url })).toEqual({ kind: 'error', flag: 'NR', status: 404 });
  });
  it('gets the clusters that its routes name, and no others', () => {
    expect([
      ...(gateway.snapshot.resources.get('type.googleapis.com/envoy.config.cluster.v3.Cluster')?.keys() ?? []),
    ]).toEqual(['outbound|9080||productpage.default.svc.cluster.local']);
  });
});

describe('instances that are down (pains row 37)', () => {
  const down = (without: readonly string[], ...tries: readonly string[]) =>
    new Mesh({ ...bookinfoFiles(...tries), 'instances.yaml': bookinfoInstances(without) });

  it('gives the share of an empty subset to the others', () => {
    const split = down(['reviews-v3'], 'reviews-90-10')
      .proxy()
      .split('http_proxy', { url: 'http://reviews:9080/' }, 50);
    expect(split).toEqual({ [reviews('v1')]: 100 });
  });
  it('leaves a route as written when all of its subsets are empty: 503 UH', () => {
    const proxy = down(['reviews-v1', 'reviews-v3'], 'reviews-90-10').proxy();
    expect(callReviews(proxy)).toEqual({ kind: 'error', flag: 'UH', status: 503 });
  });
  it('does not send anything to a version that nobody asked for', () => {
    expect(callReviews(down(['reviews-v1'], 'reviews-v1').proxy())).toEqual({ kind: 'error', flag: 'UH', status: 503 });
  });
  it('comes back with the instance', () => {
    const it = down(['reviews-v1'], 'reviews-v1');
    it.write({ ...bookinfoFiles('reviews-v1'), 'instances.yaml': bookinfoInstances() });
    expect(callReviews(it.proxy())).toMatchObject({ kind: 'forward', endpoints: ['127.0.0.1:31004'] });
  });
});

describe('a subset that nobody defined', () => {
  it('is 503 UH with a whole snapshot, and a finding', () => {
    const { 'destination-rules.yaml': _rules, ...files } = bookinfoFiles('reviews-v1');
    const it = new Mesh({ ...files, 'instances.yaml': bookinfoInstances() });
    expect(it.findings.map(({ code }) => code)).toContain('missing-subset');
    expect(callReviews(it.proxy())).toEqual({ kind: 'error', flag: 'UH', status: 503 });
  });
});
