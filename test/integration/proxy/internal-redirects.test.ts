import { expect, test } from 'vitest';
import { eventually, type Json, type ProxyBuilder, proxy, scripted, turns, upstream } from '../../support/proxy.ts';

const FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const SAFE = 'type.googleapis.com/envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig';
const ALLOWED = 'type.googleapis.com/envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig';
const PREVIOUS = 'type.googleapis.com/envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig';

/** /from follows redirects to /to, which is another cluster's. */
function following(from: number, to: number, policy: Json = {}, action: Json = {}): ProxyBuilder {
  return proxy()
    .cluster('from', from)
    .cluster('to', to)
    .route({
      name: 'from',
      match: { prefix: '/from' },
      route: { cluster: 'from', internal_redirect_policy: policy, ...action },
    })
    .route({ name: 'to', match: { prefix: '/to' }, route: { cluster: 'to' } });
}

async function servers(location: string, status = 302) {
  const from = await upstream((_request, response) => {
    response.writeHead(status, { Location: location, 'X-Token': 't' }).end('moved');
  });
  const to = await upstream((request, response) => response.end(`${request.method} ${request.url} ${request.body}`));
  return { from, to };
}

test('a redirect is followed with the whole body, and is a request of its own in log and counts', async () => {
  const { from, to } = await servers('http://a/to?x=1#y');
  const p = await following(from.port, to.port).start();
  const client = await p.client();
  const response = await client.post('/from/1', 'body', 'x-request-id: 7').response();
  expect(response).toMatchObject({ status: 200, body: 'POST /to?x=1 body' });
  expect(to.requests[0]!.headers).toMatchObject({
    host: 'a',
    'x-envoy-original-url': 'http://a/from/1',
    'x-request-id': '7',
    'content-length': '4',
  });
  expect(await p.log(0)).toMatchObject({ path: '/from/1', code: 302, details: 'internal_redirect' });
  expect(await p.log(1)).toMatchObject({ path: '/to?x=1', code: 200, details: 'via_upstream', received: 4 });
  expect(p.stat('cluster.from.upstream_internal_redirect_succeeded_total')).toBe(1);
  expect(p.stat('cluster.from.upstream_rq_active')).toBe(0);
  expect(p.stat('http.main.downstream_rq_total')).toBe(2);
  expect(p.stat('http.main.downstream_rq_active')).toBe(0);
  // The connection goes on.
  expect((await client.get('/to/2').response()).status).toBe(200);
});

test('requests pipelined behind a redirected one wait for it', async () => {
  const { from, to } = await servers('http://a/to');
  const p = await following(from.port, to.port).start();
  const client = await p.client();
  client.post('/from', 'one').post('/to', 'two').get('/from').get('/to/4');
  for (const body of ['POST /to one', 'POST /to two', 'GET /to ', 'GET /to/4 ']) {
    expect((await client.response()).body).toBe(body);
  }
});

test('a chunked body and its trailers go along, and to a filter that reads bodies too', async () => {
  const { from, to } = await servers('http://a/to', 307);
  const p = await following(from.port, to.port, { redirect_response_codes: [307] }).start();
  const client = await p.client();
  client.write(
    'PUT /from HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n',
  );
  expect((await client.response()).body).toBe('PUT /to abcde');
});

test('303 makes a GET without a body of it', async () => {
  const { from, to } = await servers('http://a/to', 303);
  const p = await following(from.port, to.port, { redirect_response_codes: [303] }).start();
  const client = await p.client();
  expect((await client.post('/from', 'body').response()).body).toBe('GET /to ');
  expect(to.requests[0]!.headers['content-length']).toBeUndefined();
});

test('response_headers_to_copy choose the route, and are gone when the redirect is not followed', async () => {
  const { from, to } = await servers('http://a/from/again');
  const policy = { response_headers_to_copy: ['X-Token', 'x-none'] };
  const p = await proxy()
    .cluster('to', to.port)
    .cluster('from', from.port)
    .route({
      match: { prefix: '/', headers: [{ name: 'x-token', string_match: { exact: 't' } }] },
      route: { cluster: 'to' },
    })
    .route({ match: { prefix: '/from' }, route: { cluster: 'from', internal_redirect_policy: policy } })
    .start();
  const client = await p.client();
  expect((await client.get('/from', 'X-None: 1').response()).body).toBe('GET /from/again ');
  expect(to.requests[0]!.headers).toMatchObject({ 'x-token': 't' });
  expect(to.requests[0]!.headers['x-none']).toBeUndefined();
});

for (const [why, location, policy, stat] of [
  ['no absolute URL', '/to', {}, 'bad_location'],
  ['an empty one', '', {}, 'bad_location'],
  ['one with a user', 'http://u@a/to', {}, 'bad_location'],
  ['another scheme', 'https://a/to', {}, 'unsafe_scheme'],
  [
    'a scheme that is not safe',
    'https://a/to',
    { allow_cross_scheme_redirect: true, predicates: [{ name: 'safe', typed_config: { '@type': SAFE } }] },
    'predicate',
  ],
  ['no route', 'http://a/nowhere', {}, 'no_route'],
  ['a path that is refused', 'http://a/to%00', {}, 'bad_location'],
  ['max_internal_redirects 0', 'http://a/to', { max_internal_redirects: 0 }, 'too_many_redirects'],
  [
    'a route that is not on the list',
    'http://a/to',
    { predicates: [{ name: 'list', typed_config: { '@type': ALLOWED, allowed_route_names: ['from'] } }] },
    'predicate',
  ],
] as const) {
  test(`${why}: the client gets the redirect`, async () => {
    const { from, to } = await servers(location);
    const p = await following(from.port, to.port, policy).manager({ normalize_path: true }).start();
    const client = await p.client();
    const response = await client.get('/from').response();
    expect(response).toMatchObject({ status: 302, body: 'moved' });
    expect(response.header('location')).toBe(location);
    expect(to.requests).toHaveLength(0);
    expect(p.stat(`http.main.passthrough_internal_redirect_${stat}`)).toBe(1);
    expect(p.stat('cluster.from.upstream_internal_redirect_failed_total')).toBe(1);
    expect(await p.log(0)).toMatchObject({ path: '/from', code: 302, details: 'via_upstream' });
  });
}

test('to https, where it is allowed', async () => {
  const { from, to } = await servers('https://a/to');
  const p = await following(from.port, to.port, { allow_cross_scheme_redirect: true }).start();
  const client = await p.client();
  expect((await client.get('/from').response()).body).toBe('GET /to ');
});

test('a route that redirects to itself does so max_internal_redirects times, or once with previous_routes', async () => {
  const { from, to } = await servers('http://a/from');
  const often = await following(from.port, to.port, { max_internal_redirects: 3 }).start();
  expect((await (await often.client()).get('/from').response()).status).toBe(302);
  expect(from.requests).toHaveLength(4);
  const predicates = [{ name: 'previous', typed_config: { '@type': PREVIOUS } }];
  const once = await following(from.port, to.port, { max_internal_redirects: 3, predicates }).start();
  expect((await (await once.client()).get('/from').response()).status).toBe(302);
  expect(from.requests).toHaveLength(6);
  expect(once.stat('http.main.passthrough_internal_redirect_predicate')).toBe(1);
});

test('a body that outgrew the buffer, or is not there yet: the client gets the redirect', async () => {
  const server = await scripted();
  const p = await following(server.port, server.port).listener({ per_connection_buffer_limit_bytes: 10 }).start();
  const client = await p.client();
  client.write('POST /from HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n');
  const connection = await server.accept();
  await connection.head();
  client.write('x'.repeat(20));
  await connection.bytes(20);
  connection.write('HTTP/1.1 302 Found\r\nLocation: http://a/to\r\nContent-Length: 0\r\n\r\n');
  expect((await client.response()).status).toBe(302);
  client.write('POST /from HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc');
  await connection.head();
  await connection.bytes(3);
  connection.write('HTTP/1.1 302 Found\r\nLocation: http://a/to\r\nContent-Length: 0\r\n\r\n');
  expect((await client.response()).status).toBe(302);
  expect(p.stat('cluster.from.upstream_internal_redirect_failed_total')).toBe(2);
});

test('the filters see it again, and one may hold it', async () => {
  const { from, to } = await servers('http://a/to');
  const delay = { fixed_delay: '0.010s', percentage: { numerator: 100 } };
  const p = await following(from.port, to.port).filter('fault', { '@type': FAULT, delay }).start();
  const client = await p.client();
  client.post('/from', 'one').post('/to', 'two');
  expect((await client.response()).body).toBe('POST /to one');
  expect((await client.response()).body).toBe('POST /to two');
  expect(await p.log(1)).toMatchObject({ code: 200, flags: 'DI' });
});

test('what the second pass answers itself, and a client that leaves in it', async () => {
  const server = await scripted();
  const p = await following(server.port, server.port)
    .route({ match: { prefix: '/direct' }, direct_response: { status: 418, body: { inline_string: 'tea' } } })
    .route({ match: { prefix: '/dead' }, route: { cluster: 'gone' } })
    .routeConfig({ validate_clusters: false })
    .start();
  const client = await p.client();
  for (const [path, status] of [
    ['/direct', 418],
    ['/dead', 503],
  ] as const) {
    client.get('/from');
    const connection = await server.accept();
    await connection.head();
    connection.write(`HTTP/1.1 302 Found\r\nLocation: http://a${path}\r\nContent-Length: 0\r\n\r\n`);
    expect((await client.response()).status).toBe(status);
  }
  client.get('/from');
  const first = await server.accept();
  await first.head();
  first.write('HTTP/1.1 302 Found\r\nLocation: http://a/to\r\nContent-Length: 0\r\n\r\n');
  const second = await server.accept();
  await second.head();
  client.reset();
  await second.untilEnded();
  await eventually(() => p.stat('http.main.downstream_rq_active') === 0);
  await turns();
  expect((await p.log(5)).flags).toBe('DC');
});

test('the deprecated fields mean the same', async () => {
  const { from, to } = await servers('http://a/to');
  const deprecated = { internal_redirect_action: 'HANDLE_INTERNAL_REDIRECT', internal_redirect_policy: undefined };
  const p = await following(from.port, to.port, {}, deprecated).start();
  expect((await (await p.client()).get('/from').response()).body).toBe('GET /to ');
});
