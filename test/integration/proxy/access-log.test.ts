import { expect, test } from 'vitest';
import { eventually, proxy, scripted, upstream } from '../../support/proxy.ts';

test('what is known of the upstream connection, the chain and the path', async () => {
  const server = await scripted();
  const p = await proxy()
    .logFormat(
      '%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_PROTOCOL% %UPSTREAM_CONNECTION_ID% %FILTER_CHAIN_NAME% %ACCESS_LOG_TYPE% ' +
        '%PATH(NQ)% %QUERY_PARAM(q)% %COMMON_DURATION(US_CX_BEG:US_CX_END:ns)%\n',
    )
    .cluster('a', server.port)
    .start();
  const client = await p.client();
  client.get('/one?q=1');
  const connection = await server.accept();
  await connection.head();
  const port = connection.socket.remotePort;
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await client.response();
  client.get('/two?q=2');
  await connection.head();
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await client.response();
  await eventually(() => p.logLines.length === 2);
  const [one, two] = p.logLines.map((line) => line.split(' '));
  expect(one!.slice(0, 2)).toEqual([`127.0.0.1:${port}`, 'HTTP/1.1']);
  expect(one!.slice(3, 7)).toEqual(['-', 'DownstreamEnd', '/one', '1']);
  // The same connection again.
  expect(two!.slice(0, 3)).toEqual(one!.slice(0, 3));
  expect(Number(two![7])).toBe(Number(one![7]));
  expect(Number(one![7])).toBeGreaterThan(0);
});

test('trailers and the gRPC status that they carry; nothing of them is left for the next request', async () => {
  const server = await upstream((request, response) => {
    if (request.url === '/grpc') {
      response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status, x-sum' });
      response.write('x');
      response.addTrailers({ 'grpc-status': '5', 'x-sum': 'abc' });
    }
    response.end();
  });
  const p = await proxy()
    .logFormat('%GRPC_STATUS% %GRPC_STATUS_NUMBER% %TRAILER(X-SUM)%\n')
    .cluster('a', server.port)
    .trailers()
    .start();
  const client = await p.client();
  const post = (path: string): void => {
    client.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n`);
  };
  post('/grpc');
  await client.response();
  post('/other');
  await client.response();
  await eventually(() => p.logLines.length === 2);
  expect(p.logLines).toEqual(['NotFound 5 abc', 'Unknown 2 -']);
});

test('grpc_status_filter logs only what failed', async () => {
  const server = await upstream((request, response) => {
    response.writeHead(200, { 'content-type': 'application/grpc', 'grpc-status': request.url!.slice(1) });
    response.end();
  });
  const p = await proxy()
    .cluster('a', server.port)
    .manager({
      access_log: [
        {
          name: 'x',
          filter: { grpc_status_filter: { statuses: ['OK'], exclude: true } },
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
            log_format: { text_format_source: { inline_string: '%REQ(:PATH)%\n' } },
          },
        },
      ],
    })
    .start();
  const client = await p.client();
  for (const path of ['/0', '/14', '/0']) {
    client.get(path);
    await client.response();
  }
  client.get('/13');
  await client.response();
  await eventually(() => p.logLines.length === 2);
  expect(p.logLines).toEqual(['/14', '/13']);
});
