import { expect, test } from 'vitest';
import { proxy, scripted, upstream } from '../../support/proxy.ts';

const ADDED = new Set([
  'x-forwarded-proto',
  'x-request-id',
  'x-envoy-expected-rq-timeout-ms',
  'x-forwarded-for',
  'x-envoy-internal',
]);

/** Header lines of a head, without those the proxy adds. */
function lines(head: string): string[] {
  return head
    .split('\r\n')
    .slice(1, -2)
    .filter((line) => !ADDED.has(line.slice(0, line.indexOf(':')).toLowerCase()));
}

test('case, order and repetition of headers are kept both ways', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write(
    'GET /p?q=%20 HTTP/1.1\r\nhOST: A.example:80\r\nX-b: 1\r\nx-A: 2\r\nX-B: 3\r\nCookie: a=b\r\nEmpty:\r\n\r\n',
  );
  const connection = await server.accept();
  const head = await connection.head();
  expect(head).toMatch(/^GET \/p\?q=%20 HTTP\/1\.1\r\n/);
  expect(lines(head)).toEqual(['hOST: A.example:80', 'X-b: 1', 'x-A: 2', 'X-B: 3', 'Cookie: a=b', 'Empty:']);
  connection.write(
    'HTTP/1.1 299 Odd One\r\nSet-Cookie: a\r\nset-COOKIE: b\r\nZ: 1\r\nDate: then\r\nContent-Length: 0\r\n\r\n',
  );
  const response = await client.response();
  expect(response.reason).toBe('Odd One');
  expect(response.head).toContain('\r\nSet-Cookie: a\r\nset-COOKIE: b\r\nZ: 1\r\nDate: then\r\n');
});

test('hop-by-hop headers, and what Connection nominates, stay on their connection', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.get(
    '/',
    'Connection: X-Secret, keep-alive',
    'X-Secret: 1',
    'Keep-Alive: 9',
    'Proxy-Connection: x',
    'TE: gzip, trailers',
    'X-Kept: 1',
  );
  const connection = await server.accept();
  const head = await connection.head();
  expect(lines(head).toSorted()).toEqual(['Host: a', 'TE: trailers', 'X-Kept: 1']);
  connection.write(
    'HTTP/1.1 200 OK\r\nConnection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n',
  );
  const response = await client.response();
  expect(response.head).not.toMatch(/x-inner|keep-alive|connection/i);
});

test('Connection cannot take away what says who the caller is', async () => {
  const server = await upstream((request, response) => response.end(JSON.stringify(request.headers)));
  const p = await proxy().cluster('a', server.port).manager({ use_remote_address: true }).start();
  const client = await p.client();
  const { body } = await client
    .get('/', 'Connection: X-Forwarded-For, Authorization, X-Request-Id, Host', 'Authorization: me')
    .response();
  const headers = JSON.parse(body);
  expect(headers).toMatchObject({ host: 'a', authorization: 'me', 'x-forwarded-for': '127.0.0.1' });
  expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
});

test('an absolute-form target names the host, and goes on in origin form', async () => {
  const server = await scripted();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  client.write('GET http://b.example:8080/x?y HTTP/1.1\r\nHost: other\r\n\r\n');
  const connection = await server.accept();
  const head = await connection.head();
  expect(head).toMatch(/^GET \/x\?y HTTP\/1\.1\r\n/);
  expect(lines(head)).toEqual(['Host: b.example:8080']);
});

test('absolute-form can be refused', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .manager({ http_protocol_options: { allow_absolute_url: false } })
    .start();
  const client = await p.client();
  client.write('GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n');
  expect((await client.response()).status).toBe(404);
});

test('a sidecar keeps X-Forwarded-For and the request id it is given', async () => {
  const server = await upstream((request, response) => response.end(JSON.stringify(request.headers)));
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  const { body } = await client
    .get('/', 'X-Forwarded-For: 9.9.9.9', 'X-Request-Id: mine', 'X-Forwarded-Proto: https')
    .response();
  expect(JSON.parse(body)).toMatchObject({
    'x-forwarded-for': '9.9.9.9',
    'x-request-id': 'mine',
    'x-forwarded-proto': 'https',
  });
});

test('an edge appends the peer, and does not believe what a stranger says', async () => {
  const server = await upstream((request, response) => response.end(JSON.stringify(request.headers)));
  const p = await proxy()
    .cluster('a', server.port)
    .manager({
      use_remote_address: true,
      internal_address_config: { cidr_ranges: [{ address_prefix: '10.0.0.0', prefix_len: 8 }] },
    })
    .start();
  const client = await p.client();
  const forged = [
    'X-Forwarded-For: 10.0.0.1',
    'X-Request-Id: forged',
    'X-Forwarded-Proto: https',
    'X-Envoy-Internal: true',
    'X-Envoy-Decorator-Operation: x',
  ];
  const headers = JSON.parse((await client.get('/', ...forged).response()).body);
  expect(headers).toMatchObject({
    'x-forwarded-for': '10.0.0.1,127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-envoy-external-address': '127.0.0.1',
  });
  expect(headers['x-request-id']).not.toBe('forged');
  expect(headers['x-envoy-internal']).toBeUndefined();
  expect(headers['x-envoy-decorator-operation']).toBeUndefined();
});

test('behind trusted hops the client is found in X-Forwarded-For, and still cannot steer', async () => {
  const server = await upstream((request, response) => response.end(JSON.stringify(request.headers)));
  const p = await proxy()
    .logFormat('%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n')
    .cluster('a', server.port)
    .manager({ use_remote_address: true, xff_num_trusted_hops: 1 })
    .start();
  const client = await p.client();
  const { body } = await client.get('/', 'X-Forwarded-For: 6.6.6.6, 7.7.7.7', 'X-Envoy-Retry-On: 5xx').response();
  expect(JSON.parse(body)['x-envoy-retry-on']).toBeUndefined();
  await p.log(0);
  expect(p.logLines[0]).toBe('7.7.7.7');
});

test('server is overwritten by default and left alone where that is said', async () => {
  const server = await upstream((_request, response) => response.setHeader('Server', 'theirs').end());
  for (const [mode, expected] of [
    ['OVERWRITE', 'envoy'],
    ['PASS_THROUGH', 'theirs'],
    ['APPEND_IF_ABSENT', 'theirs'],
  ] as const) {
    const p = await proxy().cluster('a', server.port).manager({ server_header_transformation: mode }).start();
    const client = await p.client();
    const response = await client.get().response();
    expect(response.header('server')?.toLowerCase()).toMatch(mode === 'OVERWRITE' ? /envoy|remora/ : expected);
  }
});

test('response times of the upstream are told, unless suppressed', async () => {
  const server = await upstream();
  const told = await (await (await proxy().cluster('a', server.port).start()).client()).get().response();
  expect(told.header('x-envoy-upstream-service-time')).toMatch(/^\d+$/);
  const silent = await proxy().cluster('a', server.port).router({ suppress_envoy_headers: true }).start();
  const response = await (await silent.client()).get().response();
  expect(response.header('x-envoy-upstream-service-time')).toBeUndefined();
  expect(server.requests[1]!.headers['x-envoy-expected-rq-timeout-ms']).toBeUndefined();
});

test('redirects, direct responses, rewrites and header changes', async () => {
  const server = await upstream((request, response) =>
    response.end(`${request.headers.host} ${request.url} ${JSON.stringify(request.headers)}`),
  );
  const p = await proxy()
    .cluster('a', server.port)
    .route({
      match: { prefix: '/old/' },
      redirect: { prefix_rewrite: '/new/', host_redirect: 'b.example', response_code: 'PERMANENT_REDIRECT' },
    })
    .route({
      match: { path: '/direct' },
      direct_response: { status: 503, body: { inline_string: 'gr\u00fc\u00dfe \u2713' } },
    })
    .route({ match: { path: '/empty' }, direct_response: { status: 204 } })
    .route({
      match: { prefix: '/api/' },
      route: { cluster: 'a', prefix_rewrite: '/', host_rewrite_literal: 'inner', append_x_forwarded_host: true },
      request_headers_to_add: [{ header: { key: 'X-Via', value: 'us' } }],
      request_headers_to_remove: ['x-secret'],
      response_headers_to_add: [{ header: { key: 'X-Out', value: '%RESPONSE_CODE%' } }],
    })
    .start();
  const client = await p.client();
  const redirect = await client.get('/old/x?q=1').response();
  expect(redirect.status).toBe(308);
  expect(redirect.header('location')).toBe('http://b.example/new/x?q=1');
  const direct = await client.get('/direct').response();
  expect(direct.status).toBe(503);
  expect(Buffer.from(direct.body, 'latin1').toString('utf8')).toBe('gr\u00fc\u00dfe \u2713');
  expect((await p.log(1)).details).toBe('direct_response');
  expect((await client.get('/empty').response()).status).toBe(204);
  const rewritten = await client.get('/api/v1?x', 'X-Secret: 1').response();
  expect(rewritten.header('x-out')).toBe('200');
  expect(rewritten.body).toMatch(/^inner \/v1\?x /);
  const headers = JSON.parse(rewritten.body.slice(rewritten.body.indexOf('{')));
  expect(headers).toMatchObject({ 'x-via': 'us', 'x-forwarded-host': 'a', 'x-envoy-original-path': '/api/v1?x' });
  expect(headers['x-secret']).toBeUndefined();
  const head = client.write('HEAD /direct HTTP/1.1\r\nHost: a\r\n\r\n');
  const answer = await head.response('HEAD');
  expect(Number(answer.header('content-length'))).toBeGreaterThan(0);
  expect((await client.get('/empty').response()).status).toBe(204);
});

test('a Host that was rewritten or normalised is the only one', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .route({ match: { prefix: '/literal' }, route: { cluster: 'a', host_rewrite_literal: 'inner' } })
    .to('a')
    .manager({ strip_any_host_port: true })
    .start();
  const client = await p.client();
  client.write('GET /literal HTTP/1.1\r\nHOST: outer:80\r\n\r\n');
  const connection = await server.accept();
  expect((await connection.head()).match(/^host:.*$/gim)).toEqual(['Host: inner']);
  connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  await client.response();
  client.write('GET / HTTP/1.1\r\nhost: outer:80\r\n\r\n');
  expect((await connection.head()).match(/^host:.*$/gim)).toEqual(['Host: outer']);
});

test('a rewritten host is named to the upstream, also by the retry at another endpoint', async () => {
  const seen: unknown[] = [];
  const server = () =>
    upstream(({ headers }, response) => {
      seen.push([headers['host'], headers['x-envoy-original-host']]);
      response.writeHead(seen.length === 3 ? 503 : 204).end();
    });
  const endpoint = async (hostname: string) => ({
    endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: (await server()).port } }, hostname },
  });
  const p = await proxy()
    .rawCluster({
      name: 'a',
      type: 'STATIC',
      load_assignment: {
        cluster_name: 'a',
        endpoints: [{ lb_endpoints: [await endpoint('one.example'), await endpoint('two.example')] }],
      },
    })
    .route({ match: { prefix: '/literal' }, route: { cluster: 'a', host_rewrite_literal: 'outer' } })
    .route({ match: { prefix: '/absent' }, route: { cluster: 'a', host_rewrite_header: 'x-host' } })
    .route({
      match: { prefix: '/auto' },
      route: { cluster: 'a', auto_host_rewrite: true, retry_policy: { retry_on: '5xx' } },
    })
    .start();
  const client = await p.client();
  for (const path of ['/literal', '/absent', '/auto']) {
    client.write(`GET ${path} HTTP/1.1\r\nHost: outer\r\n\r\n`);
    expect((await client.response()).status).toBe(204);
  }
  expect(seen.slice(0, 2)).toEqual([
    // Also where it is the same one.
    ['outer', 'outer'],
    ['outer', undefined],
  ]);
  expect(seen.slice(2).toSorted()).toEqual([
    ['one.example', 'outer'],
    ['two.example', 'outer'],
  ]);
});
