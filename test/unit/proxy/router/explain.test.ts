import { expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { explainRoute } from '../../../../src/proxy/router/explain.ts';
import { PLAINTEXT } from '../../../../src/proxy/router/match.ts';
import { compileRouteTable } from '../../../../src/proxy/router/table.ts';
import { deps, forward, header, request, route, routeConfig, string, virtualHost } from './fixtures.ts';

const table = compileRouteTable(
  routeConfig([
    virtualHost('reviews', ['reviews', 'reviews:9080'], {
      routes: [
        route(
          'jason',
          { headers: [header('end-user', string('exact', 'jason'))] },
          {
            origin: 'VirtualService default/reviews, reviews.yaml:12, http[0]',
            action: forward({ cluster: { kind: 'cluster', name: 'v2' } }),
          },
        ),
        route('api', { path: { kind: 'pathSeparatedPrefix', value: '/api' } }),
        route('all'),
        route('behind'),
      ],
    }),
    virtualHost('wild', ['*.example', '*']),
    virtualHost('tls', ['tls.example'], { requireTls: 'ALL' }),
  ]),
  deps(),
);

test('says why each route before the match did not match', () => {
  const trace = explainRoute(table, request('/x?y', { 'end-user': 'amy' }, { authority: 'Reviews:9080' }), PLAINTEXT);
  expect(trace.virtualHosts).toEqual([
    {
      name: 'reviews',
      domains: ['reviews', 'reviews:9080'],
      chosen: true,
      why: 'domain reviews:9080 covers "reviews:9080"',
    },
    {
      name: 'wild',
      domains: ['*.example', '*'],
      chosen: false,
      why: 'domain * covers it, but reviews:9080 is more specific',
    },
    { name: 'tls', domains: ['tls.example'], chosen: false, why: 'none of its domains covers "reviews:9080"' },
  ]);
  expect(trace.routes.map(({ name, matched, why }) => ({ name, matched, why }))).toEqual([
    { name: 'jason', matched: false, why: 'wants: header end-user is "jason"; but it is "amy"' },
    { name: 'api', matched: false, why: 'wants: path is "/api" or below it; but the path is "/x"' },
    { name: 'all', matched: true, why: '' },
  ]);
  expect(trace.routes[0]).toMatchObject({
    origin: 'VirtualService default/reviews, reviews.yaml:12, http[0]',
    conditions: ['path begins with "/"', 'header end-user is "jason"'],
  });
  expect(trace.routesNotReached).toBe(1);
  expect(trace.decision).toBe('Route #2 (all) of virtual host reviews matches: forward to cluster c.');
});

test('says when no virtual host, no route, or TLS decides', () => {
  const none = compileRouteTable(routeConfig([virtualHost('a', ['a'])]), deps());
  expect(explainRoute(none, request('/', {}, { authority: 'b' }), PLAINTEXT).decision).toBe(
    'No virtual host covers "b": 404, NR.',
  );
  const tls = explainRoute(table, request('/', {}, { authority: 'tls.example' }), PLAINTEXT);
  expect(tls.decision).toContain('requires TLS (ALL)');
  expect(tls.virtualHosts[1]?.why).toBe('domain *.example covers it, but tls.example is more specific');
  const x = compileRouteTable(
    routeConfig([virtualHost('a', ['*'], { routes: [route('x', { path: { kind: 'path', value: '/x' } })] })]),
    deps(),
  );
  expect(explainRoute(x, request('/y'), PLAINTEXT)).toMatchObject({
    route: null,
    decision: 'None of the 1 routes of virtual host a matches: 404, NR.',
  });
});

test('decides as the table does', () => {
  const random = seededRandom(9);
  const paths = ['/', '/api', '/api/x', '/apix', '/other?api'];
  for (let i = 0; i < 200; i++) {
    const authority = ['reviews', 'x.example', 'tls.example', 'other'][random.int(4)]!;
    const head = request(paths[random.int(5)], random.int(2) ? { 'end-user': 'jason' } : {}, { authority });
    expect(explainRoute(table, head, PLAINTEXT).route).toBe(table.match(head, PLAINTEXT));
  }
});
