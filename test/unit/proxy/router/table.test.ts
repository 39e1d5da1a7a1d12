import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../../../src/base/errors.ts';
import type { PerFilterConfig, RetryPolicy, RouteConfig } from '../../../../src/model/route.ts';
import { Headers } from '../../../../src/protocol/http/headers.ts';
import { type MatchContext, PLAINTEXT } from '../../../../src/proxy/router/match.ts';
import { type CompiledRoute, compileRouteTable } from '../../../../src/proxy/router/table.ts';
import type { ClusterTarget } from '../../../../src/proxy/router/weighted.ts';
import { StreamInfo } from '../../../../src/proxy/telemetry/stream-info.ts';
import {
  add,
  deps,
  fixedRandom,
  forward,
  header,
  redirectAction,
  request,
  route,
  routeConfig,
  string,
  virtualHost,
} from './fixtures.ts';

function only(config: RouteConfig, path = '/'): CompiledRoute {
  const found = compileRouteTable(config, deps()).match(request(path), PLAINTEXT);
  if (found === null) throw new Error('no route');
  return found;
}

function targetOf(compiled: CompiledRoute): ClusterTarget {
  if (compiled.action.kind !== 'forward') throw new Error('not forwarded');
  return compiled.action.targets.pick(request(), fixedRandom(0))!;
}

test('the first route that matches wins, a longer prefix behind it does not', () => {
  const routes = [
    route('jason', { headers: [header('end-user', string('exact', 'jason'))] }),
    route('all'),
    route('never', { path: { kind: 'prefix', value: '/reviews' } }),
  ];
  const table = compileRouteTable(routeConfig([virtualHost('v', ['*'], { routes })]), deps());
  expect(table.match(request('/reviews', { 'End-User': 'jason' }), PLAINTEXT)?.info.routeName).toBe('jason');
  expect(table.match(request('/reviews'), PLAINTEXT)?.info.routeName).toBe('all');
});

test('a virtual host without a matching route does not fall through to another', () => {
  const hosts = [
    virtualHost('one', ['a.test'], { routes: [route('x', { path: { kind: 'path', value: '/x' } })] }),
    virtualHost('any', ['*']),
  ];
  expect(compileRouteTable(routeConfig(hosts), deps()).match(request('/y'), PLAINTEXT)).toBeNull();
});

describe('require_tls', () => {
  const internal: MatchContext = { ...PLAINTEXT, internal: true };
  test.each([
    ['ALL', PLAINTEXT, 'http', true],
    ['ALL', internal, 'http', true],
    ['ALL', PLAINTEXT, 'https', false],
    ['ALL', PLAINTEXT, 'https, http', true],
    ['EXTERNAL_ONLY', PLAINTEXT, 'http', true],
    ['EXTERNAL_ONLY', internal, 'http', false],
    ['EXTERNAL_ONLY', PLAINTEXT, 'https', false],
    ['NONE', PLAINTEXT, 'http', false],
  ] as const)('%s with %j and X-Forwarded-Proto %s: redirect %s', (requireTls, context, proto, redirected) => {
    const config = routeConfig([virtualHost('v', ['*'], { requireTls })]);
    const head = request('/x?y', { 'x-forwarded-proto': proto });
    // An absolute-form target: what it names is the client's to say.
    head.scheme = 'https';
    const found = compileRouteTable(config, deps()).match(head, context)!;
    expect(found.action.kind).toBe(redirected ? 'redirect' : 'forward');
    if (found.action.kind === 'redirect') {
      expect(found.action.status).toBe(301);
      expect(found.action.location(request('/x?y'), 'http')).toBe('https://a.test/x?y');
    }
  });
});

describe('levels', () => {
  const perFilter = (entries: Record<string, unknown>): PerFilterConfig =>
    new Map(Object.entries(entries).map(([name, config]) => [name, { config, disabled: false }]));
  const policy = (numRetries: number): RetryPolicy => ({ numRetries }) as RetryPolicy;

  test('per-filter config of the most specific level wins', () => {
    const weighted = {
      name: 'c',
      clusterHeader: '',
      weight: 1,
      hostRewrite: 'w.test',
      perFilterConfig: perFilter({ a: 'weighted' }),
      requestHeadersToAdd: [add('x', 'weighted')],
      requestHeadersToRemove: [],
      responseHeadersToAdd: [],
      responseHeadersToRemove: [],
    };
    const action = forward({
      cluster: { kind: 'weighted', clusters: [weighted], headerName: '', runtimeKeyPrefix: '' },
    });
    const config = routeConfig(
      [
        virtualHost('v', ['*'], {
          perFilterConfig: perFilter({ a: 'host', b: 'host', c: 'host' }),
          routes: [route('r', {}, { action, perFilterConfig: perFilter({ a: 'route', b: 'route' }) })],
        }),
      ],
      { perFilterConfig: perFilter({ a: 'table', d: 'table' }) },
    );
    const compiled = only(config);
    const read = (map: PerFilterConfig) => Object.fromEntries([...map].map(([name, { config }]) => [name, config]));
    expect(read(compiled.perFilterConfig)).toEqual({ a: 'route', b: 'route', c: 'host', d: 'table' });
    expect(read(targetOf(compiled).perFilterConfig)).toEqual({ a: 'weighted', b: 'route', c: 'host', d: 'table' });
    expect(targetOf(compiled).hostRewrite?.rewrite(request())).toBe('w.test');
  });

  test.each([
    [false, ['weighted', 'route', 'host', 'table']],
    [true, ['weighted', 'table', 'host', 'route']],
  ])('header changes are applied in order, most specific wins: %s', (mostSpecificHeaderMutationsWins, order) => {
    const sets = (value: string) => ({
      requestHeadersToAdd: [add('x', value)],
      responseHeadersToAdd: [add('x', value)],
      requestHeadersToRemove: [],
      responseHeadersToRemove: [],
    });
    const weighted = {
      name: 'c',
      clusterHeader: '',
      weight: 1,
      hostRewrite: '',
      perFilterConfig: new Map(),
      ...sets('weighted'),
    };
    const action = forward({
      cluster: { kind: 'weighted', clusters: [weighted], headerName: '', runtimeKeyPrefix: '' },
    });
    const routes = [route('r', {}, { action, ...sets('route') })];
    const config = routeConfig([virtualHost('v', ['*'], { routes, ...sets('host') })], {
      ...sets('table'),
      mostSpecificHeaderMutationsWins,
    });
    const target = targetOf(only(config));
    for (const mutator of [target.requestMutations, target.responseMutations]) {
      const headers = new Headers();
      mutator?.apply(headers, new StreamInfo());
      expect(headers.entries().map(([, value]) => value)).toEqual(order);
    }
  });

  test('retry policy and buffer limit: the route, else the virtual host', () => {
    const host = { retryPolicy: policy(1), perRequestBufferLimitBytes: 10 };
    const own = route('r', {}, { action: forward({ retryPolicy: policy(2) }), perRequestBufferLimitBytes: 20 });
    const of = (routes: ReturnType<typeof route>[]) =>
      only(routeConfig([virtualHost('v', ['*'], { ...host, routes })]));
    expect(of([own])).toMatchObject({ retryPolicy: { numRetries: 2 }, bufferLimit: 20 });
    expect(of([route('r')])).toMatchObject({ retryPolicy: { numRetries: 1 }, bufferLimit: 10 });
  });

  test('what is configured nowhere is null', () => {
    const compiled = only(routeConfig([virtualHost('v', ['*'])]));
    expect(compiled.requestMutations).toBeNull();
    expect(compiled.responseMutations).toBeNull();
    expect(compiled.retryPolicy).toBeNull();
    expect(compiled.action.kind === 'forward' && compiled.action.pathRewrite).toBeNull();
  });
});

test('direct response and redirect', () => {
  const direct = route('d', {}, { action: { kind: 'direct', status: 200, body: 'hi' } });
  expect(only(routeConfig([virtualHost('v', ['*'], { routes: [direct] })])).action).toMatchObject({
    kind: 'direct',
    config: { status: 200, body: 'hi' },
  });
  const redirect = route('r', {}, { action: { kind: 'redirect', ...redirectAction({ status: 308 }) } });
  expect(only(routeConfig([virtualHost('v', ['*'], { routes: [redirect] })])).action).toMatchObject({ status: 308 });
});

test('everything wrong with a table is said at once, each with its path', () => {
  const routes = [
    route('a', { path: { kind: 'regex', value: '(' } }),
    route('b', {}, { requestHeadersToAdd: [add('x', '%NO%')] }),
    route('c', { headers: [header('h', string('regex', '*'))] }),
  ];
  try {
    compileRouteTable(routeConfig([virtualHost('v', ['*'], { routes }), virtualHost('w', ['*'])]), deps());
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const { problems } = error as ConfigError;
    expect(problems.map((problem) => problem.split(': ')[0])).toEqual([
      'virtual_hosts[0].routes[0].match',
      'virtual_hosts[0].routes[1].request_headers',
      'virtual_hosts[0].routes[2].match',
      'virtual_hosts',
    ]);
  }
});
