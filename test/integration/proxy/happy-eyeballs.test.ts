import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { key, pem } from '../../support/certs/index.ts';
import { closeLast, type Json, proxy, transportSocket } from '../../support/proxy.ts';
import { trusting } from '../../support/tls.ts';

const at = (address: string, port: number): Json => ({ address: { socket_address: { address, port_value: port } } });

/** A cluster of one endpoint with several addresses. */
function endpoint(port: number, [first = '', ...more]: readonly string[], fields: Json = {}): Json {
  const one = { ...at(first, port), additional_addresses: more.map((address) => at(address, port)) };
  const load_assignment = { cluster_name: 'a', endpoints: [{ lb_endpoints: [{ endpoint: one }] }] };
  return { name: 'a', type: 'STATIC', load_assignment, ...fields };
}

/** Answers at one address alone; the port of the other family is nobody's. */
async function listen(server: Server, host: string): Promise<number> {
  await new Promise<void>((resolve) => server.listen({ port: 0, host, ipv6Only: true }, resolve));
  closeLast(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

const REMOTE = '%RESPONSE_CODE% %UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS%\n';

for (const [host, shown] of [
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '[::1]'],
] as const) {
  for (const order of [
    ['::1', '127.0.0.1'],
    ['127.0.0.1', '::1'],
  ]) {
    test(`an endpoint at ${order.join(' and ')} is reached where it answers, at ${host}`, async () => {
      const server = createServer((_request, response) => response.end('here'));
      server.keepAliveTimeout = 1;
      const port = await listen(server, host);
      const p = await proxy().logFormat(REMOTE).rawCluster(endpoint(port, order)).start();
      const client = await p.client();
      client.get();
      expect(String((await client.response()).body)).toBe('here');
      const first = order[0] === '::1' ? '[::1]' : '127.0.0.1';
      await p.log(0);
      expect(p.logLines[0]).toBe(`200 ${first}:${port} ${shown}:${port}`);
      // One endpoint, and one connection of it.
      expect(p.stat('cluster.a.membership_total')).toBe(1);
      expect(p.stat('cluster.a.upstream_cx_total')).toBe(1);
      expect(p.stat('cluster.a.upstream_cx_connect_fail')).toBe(0);
    });
  }
}

test('an endpoint that answers nowhere is one failed connection', async () => {
  const server = createServer();
  const port = await listen(server, '127.0.0.1');
  await new Promise((resolve) => server.close(resolve));
  const p = await proxy()
    .rawCluster(endpoint(port, ['::1', '127.0.0.1']))
    .start();
  const client = await p.client();
  client.get();
  expect((await client.response()).status).toBe(503);
  expect(await p.log(0)).toMatchObject({ flags: 'UF' });
  expect(p.stat('cluster.a.upstream_cx_connect_fail')).toBe(1);
});

test('by TLS', async () => {
  const server = createTlsServer({ cert: pem('server'), key: key('server') }, (_request, response) =>
    response.end('secret'),
  );
  server.keepAliveTimeout = 1;
  const port = await listen(server, '127.0.0.1');
  const tls = {
    sni: 'server.example.com',
    common_tls_context: { validation_context: trusting('root-a') },
  };
  const fields = { transport_socket: transportSocket('UpstreamTlsContext', tls) };
  const p = await proxy()
    .rawCluster(endpoint(port, ['::1', '127.0.0.1'], fields))
    .start();
  const client = await p.client();
  client.get();
  expect(String((await client.response()).body)).toBe('secret');
});

test('TCP', async () => {
  const sockets: Socket[] = [];
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    socket.end('hello');
  });
  const port = await listen(server, '127.0.0.1');
  const p = await proxy()
    .logFormat('%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS%\n')
    .rawCluster(endpoint(port, ['::1', '127.0.0.1']))
    .tcp({ cluster: 'a' })
    .start();
  const { socket } = await p.client();
  const received: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => received.push(chunk));
  await new Promise((resolve) => socket.once('end', resolve));
  socket.end();
  expect(String(Buffer.concat(received))).toBe('hello');
  await p.log(0);
  expect(p.logLines[0]).toBe(`[::1]:${port} 127.0.0.1:${port}`);
});

test('from a source address of one family only that one is called', async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer(({ socket }, response) => {
    seen.push(socket.remoteAddress);
    response.end();
  });
  server.keepAliveTimeout = 1;
  const port = await listen(server, '127.0.0.1');
  const upstream_bind_config = { source_address: { address: '127.0.0.6', port_value: 0 } };
  const p = await proxy()
    .rawCluster(endpoint(port, ['::1', '127.0.0.1'], { upstream_bind_config }))
    .start();
  const client = await p.client();
  client.get();
  expect((await client.response()).status).toBe(200);
  expect(seen).toEqual(['127.0.0.6']);
});
