import { expect, test, vi } from 'vitest';
import { HTTP, httpChain, httpInspector, proxyProtocol, tcpChain } from '../../support/chains.ts';
import { type Json, type ProxyBuilder, proxy, scripted, upstream } from '../../support/proxy.ts';

/** Where a client wants to go is said by a PROXY header here: to redirect packets is for root (test/system). */
const to = (host: string, port: number): string => `PROXY TCP4 192.0.2.1 ${host} 4711 ${port}\r\n`;

const CAPTURE: Json = { use_original_dst: true, listener_filters: [proxyProtocol()] };
const PASSTHROUGH: Json = { name: 'passthrough', type: 'ORIGINAL_DST', lb_policy: 'CLUSTER_PROVIDED' };

function unbound(name: string, host: string, port: number, chains: readonly Json[], fields: Json = {}): Json {
  return {
    name,
    bind_to_port: false,
    address: { socket_address: { address: host, port_value: port } },
    filter_chains: chains,
    ...fields,
  };
}

async function capture(chains: readonly Json[], build: (proxy: ProxyBuilder) => ProxyBuilder) {
  const builder = proxy()
    .rawCluster(PASSTHROUGH)
    .listener({ ...CAPTURE, filter_chains: chains });
  return build(builder).start();
}

test('a connection goes on to the listener of its address, of its port, or of nobody', async () => {
  const [vip, port, rest] = [await scripted(), await scripted(), await scripted()];
  const p = await capture([tcpChain('rest')], (builder) =>
    builder
      .cluster('vip', vip.port)
      .cluster('port', port.port)
      .cluster('rest', rest.port)
      .rawListener(unbound('10.0.0.1_80', '10.0.0.1', 80, [tcpChain('vip')]))
      .rawListener(unbound('0.0.0.0_80', '0.0.0.0', 80, [tcpChain('port')])),
  );
  const cases = [
    [vip, '10.0.0.1', 80],
    [port, '10.0.0.2', 80],
    [rest, '10.0.0.1', 81],
  ] as const;
  for (const [server, host, number] of cases) {
    const client = await p.client();
    client.write(`${to(host, number)}hello`);
    const connection = await server.accept();
    expect(await connection.bytes(5)).toBe('hello');
    connection.write('back');
    expect(await client.bytes(4)).toBe('back');
  }
  expect(p.stat('listener.10.0.0.1_80.downstream_cx_total')).toBe(1);
  expect(p.proxy.applier.listeners.get('main')?.connectionCount).toBe(1);
  expect(p.proxy.applier.listeners.get('10.0.0.1_80')?.connectionCount).toBe(1);
});

test('the listener that it goes on to has filters, chains and routes of its own', async () => {
  const web = await upstream();
  const raw = await scripted();
  const p = await capture([tcpChain('passthrough')], (builder) =>
    builder
      .cluster('web', web.port)
      .cluster('raw', raw.port)
      .rawListener(
        unbound('0.0.0.0_9080', '0.0.0.0', 9080, [httpChain('web', HTTP), tcpChain('raw')], {
          listener_filters: [httpInspector],
        }),
      ),
  );
  const browser = await p.client();
  browser.write(`${to('10.0.0.1', 9080)}GET / HTTP/1.1\r\nHost: reviews\r\n\r\n`);
  expect((await browser.response()).status).toBe(200);
  expect(web.requests[0]?.headers['host']).toBe('reviews');
  const redis = await p.client();
  redis.write(`${to('10.0.0.1', 9080)}PING\r\n`);
  expect(await (await raw.accept()).bytes(6)).toBe('PING\r\n');
});

test('what nobody is for passes through to where it was going', async () => {
  const stranger = await scripted();
  const p = await capture([tcpChain('passthrough')], (builder) => builder);
  const client = await p.client();
  client.write(`${to('127.0.0.1', stranger.port)}hello`);
  expect(await (await stranger.accept()).bytes(5)).toBe('hello');
});

test('HTTP passes through too', async () => {
  const stranger = await upstream();
  const p = await capture([httpChain('passthrough')], (builder) => builder);
  const client = await p.client();
  client.write(`${to('127.0.0.1', stranger.port)}GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n`);
  expect((await client.response()).status).toBe(200);
  expect(stranger.requests[0]?.url).toBe('/x');
});

test('an unbound listener changes and goes while connections are open', async () => {
  const web = await upstream();
  const p = await capture([tcpChain('passthrough')], (builder) =>
    builder.cluster('web', web.port).rawListener(unbound('0.0.0.0_9080', '0.0.0.0', 9080, [httpChain('web')])),
  );
  const before = await p.client();
  before.write(`${to('10.0.0.1', 9080)}GET /1 HTTP/1.1\r\nHost: a\r\n\r\n`);
  expect((await before.response()).status).toBe(200);
  const snapshot = p.snapshot();
  await p.proxy.applier.apply({
    ...snapshot,
    listeners: new Map([...snapshot.listeners].filter(([name]) => name === 'main')),
  });
  before.write('GET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
  expect((await before.response()).status).toBe(200);
  const stranger = await scripted();
  const after = await p.client();
  after.write(`${to('127.0.0.1', stranger.port)}hello`);
  expect(await (await stranger.accept()).bytes(5)).toBe('hello');
  expect(p.proxy.applier.listeners.size).toBe(1);
});

test('where the kernel cannot be asked, a listener that would have to is not bound', async () => {
  const p = await capture([tcpChain('passthrough')], (builder) => builder);
  vi.spyOn(p.proxy.env, 'originalDestinations').mockReturnValue({ reason: 'not on this machine' });
  const snapshot = p.snapshot();
  const main = snapshot.listeners.get('main')!;
  const blind = { ...main, name: 'blind', addresses: [{ host: '127.0.0.2', port: 0 }] };
  await p.proxy.applier.apply({ ...snapshot, listeners: new Map([...snapshot.listeners, ['blind', blind]]) });
  expect([...p.proxy.applier.listeners.keys()]).toEqual(['main']);
  expect(p.processLog.join('')).toContain('use_original_dst: not on this machine');
});
