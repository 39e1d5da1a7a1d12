import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import type { RawClient } from '../../support/client.ts';
import { manualClock } from '../../support/clock.ts';
import { type Json, proxy, scripted, type TestProxy, turns, upstream } from '../../support/proxy.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const LIMIT = 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';

/** The config of `p` edited the way a mesh edits it: by generation, every part in turn. */
function generation(i: number, ports: readonly number[]): Pick<Snapshot, 'listeners' | 'clusters'> {
  const builder = proxy()
    .cluster('a', i % 5 === 4 ? [...ports].reverse() : ports, {
      connect_timeout: `${1 + (i % 3)}s`,
      circuit_breakers: { thresholds: [{ max_connections: 1000 + (i % 7) }] },
    })
    .cluster(`extra-${i % 4}`, ports)
    .route({ match: { prefix: `/never/${i}` }, direct_response: { status: 500 } })
    .to(
      i % 6 === 5 ? `extra-${i % 4}` : 'a',
      { timeout: `${10 + (i % 5)}s` },
      { response_headers_to_add: [{ header: { key: 'X-Generation', value: String(i) } }] },
    )
    .logFormat(`${i % 3} %RESPONSE_CODE% %RESPONSE_FLAGS%\n`)
    .listener({ per_connection_buffer_limit_bytes: 1_000_000 + (i % 2) });
  if (i % 2 === 1) {
    builder.filter('limit', {
      '@type': LIMIT,
      stat_prefix: 'limit',
      token_bucket: { max_tokens: 1_000_000 + i, fill_interval: '1s' },
    } satisfies Json);
  }
  const { listeners, clusters } = builder.bootstrap();
  return {
    listeners: new Map(listeners.map((listener) => [listener.name, listener])),
    clusters: new Map(clusters.map((cluster) => [cluster.name, cluster])),
  };
}

class Hammer {
  served = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(client: RawClient, index: number) {
    this.#done = this.#run(client, index);
  }
  async #run(client: RawClient, index: number): Promise<void> {
    while (!this.#stopped) {
      if (index % 2 === 0) client.get(`/${index}`);
      else client.post(`/${index}`, 'x'.repeat(100));
      const response = await client.response();
      if (response.status !== 200) throw new Error(`status ${response.status}: ${response.body}`);
      if (response.body !== `/${index}`) throw new Error(`the answer of another: ${response.body}`);
      if (response.header('connection') !== undefined) throw new Error('the connection is to end');
      this.served++;
    }
  }
  stop(): Promise<void> {
    this.#stopped = true;
    return this.#done;
  }
}

test('1,000 changes under load fail no request and close no connection, and memory stays flat', async () => {
  const servers = [
    await upstream((request, response) => response.end(request.url)),
    await upstream((request, response) => response.end(request.url)),
  ];
  const ports = servers.map(({ port }) => port);
  const p = await proxy().random(seededRandom(3)).cluster('a', ports).start();
  const clients = await Promise.all(Array.from({ length: 20 }, () => p.client()));
  const hammers = clients.map((client, i) => new Hammer(client, i));
  const heap: number[] = [];
  for (let i = 0; i < 1000; i++) {
    await p.proxy.applier.apply({ ...p.snapshot(), ...generation(i, ports) });
    if (i % 10 === 0) await turns(3);
    if (i % 100 === 99) {
      for (const server of servers) server.requests.length = 0;
      (p.logLines as string[]).length = 0;
      gc();
      heap.push(process.memoryUsage().heapUsed);
    }
  }
  for (const hammer of hammers) await hammer.stop();
  expect(p.stat('http.main.downstream_cx_total')).toBe(20);
  expect(p.stat('http.main.downstream_cx_active')).toBe(20);
  expect(hammers.every(({ served }) => served > 10)).toBe(true);
  expect(p.stat('cluster.a.upstream_rq_active')).toBe(0);
  // The second half against the first: noise is a few per cent, a leak of one config a change is far more.
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [early, late] = [mean(heap.slice(2, 5)), mean(heap.slice(7, 10))];
  expect(late / early).toBeLessThan(1.1);
}, 120_000);

test('a request in progress ends under the config it began with; the next one meets the new', async () => {
  const [one, two] = [await scripted(), await scripted()];
  const p = await proxy().cluster('a', one.port).start();
  const client = await p.client();
  client.get('/1');
  const connection = await one.accept();
  await connection.head();
  const next = proxy().cluster('b', two.port).bootstrap();
  await p.proxy.applier.apply({
    ...p.snapshot(),
    listeners: new Map(next.listeners.map((listener) => [listener.name, listener])),
    clusters: new Map(next.clusters.map((cluster) => [cluster.name, cluster])),
  });
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none');
  expect((await client.response()).body).toBe('one');
  client.get('/2');
  expect(await (await two.accept()).head()).toContain('/2');
});

test('a websocket outlives every change of config', async () => {
  const server = await scripted();
  const p = await proxy()
    .cluster('a', server.port)
    .manager({ upgrade_configs: [{ upgrade_type: 'websocket' }] })
    .start();
  const client = await p.client();
  client.get('/', 'Connection: Upgrade', 'Upgrade: websocket');
  const connection = await server.accept();
  await connection.head();
  connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await client.response();
  for (let i = 0; i < 20; i++) await p.proxy.applier.apply({ ...p.snapshot(), ...generation(i, [server.port]) });
  client.write('on');
  expect(await connection.bytes(2)).toBe('on');
});

/** A cluster whose endpoints have not come. */
function coldCluster() {
  return {
    ...proxy().cluster('cold', []).bootstrap().clusters[0]!,
    discovery: { kind: 'EDS', serviceName: 'cold' },
  } as const;
}

function withListeners(p: TestProxy, ...made: ReturnType<ReturnType<typeof proxy>['bootstrap']>[]): Snapshot {
  return {
    ...p.snapshot(),
    listeners: new Map(
      made.flatMap(({ listeners }) => listeners.map((listener) => [listener.name, listener] as const)),
    ),
    clusters: new Map(made.flatMap(({ clusters }) => clusters.map((cluster) => [cluster.name, cluster] as const))),
  };
}

test('a listener that is removed accepts no more, ends idle connections, and lets a request finish', async () => {
  const server = await scripted();
  const p = await proxy().drain(0).cluster('a', server.port).start();
  const [idle, busy] = [await p.client(), await p.client()];
  busy.get();
  const connection = await server.accept();
  await connection.head();
  await p.proxy.applier.apply(p.snapshot({ listeners: new Map() }));
  await idle.untilEnded();
  await expect(p.client()).rejects.toThrow('ECONNREFUSED');
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const response = await busy.response();
  expect(response.body).toBe('ok');
  expect(response.header('connection')).toBe('close');
  await busy.untilEnded();
});

test('a listener renamed at the same address turns nobody away', async () => {
  const server = await upstream();
  const address = (port: number) => ({ address: { socket_address: { address: '127.0.0.1', port_value: port } } });
  const p = await proxy().cluster('a', server.port).start();
  const probe = await scripted();
  const { port } = probe;
  await probe.close();
  const first = proxy()
    .cluster('a', server.port)
    .listener({ name: 'one', ...address(port) })
    .bootstrap();
  await p.proxy.applier.apply(withListeners(p, p.bootstrap, first));
  const second = proxy()
    .cluster('a', server.port)
    .listener({ name: 'two', ...address(port) })
    .bootstrap();
  await p.proxy.applier.apply(withListeners(p, p.bootstrap, second));
  expect(p.proxy.addressOf('one')).toBeUndefined();
  expect(p.proxy.addressOf('two')?.port).toBe(port);
  const { rawClient } = await import('../../support/client.ts');
  const client = await rawClient(port);
  expect((await client.get().response()).body).toBe('ok');
  client.socket.destroy();
});

test('a new address that is taken leaves the old one in force', async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port).start();
  const taken = await scripted();
  const next = proxy()
    .cluster('a', server.port)
    .listener({ address: { socket_address: { address: '127.0.0.1', port_value: taken.port } } })
    .bootstrap();
  await p.proxy.applier.apply(withListeners(p, next));
  expect(p.processLog.join('')).toContain(`127.0.0.1:${taken.port} is in use`);
  const client = await p.client();
  expect((await client.get().response()).status).toBe(200);
});

test('filter chains without names keep their own routes', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const direct = (body: string) =>
    proxy()
      .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: body } } })
      .bootstrap().listeners[0]!.filterChains[0]!;
  const [here, elsewhere] = [direct('loopback'), direct('other')];
  const listener = {
    ...p.bootstrap.listeners[0]!,
    filterChains: [
      { ...here, name: '', match: { ...here.match, sourcePrefixRanges: [{ address: '127.0.0.0', prefixLength: 8 }] } },
      { ...elsewhere, name: '' },
    ],
  };
  await p.proxy.applier.apply(p.snapshot({ listeners: new Map([['main', listener]]) }));
  const client = await p.client();
  expect((await client.get().response()).body).toBe('loopback');
});

test('a snapshot that cannot be compiled changes nothing, and the next one applies', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'old' } } })
    .start();
  const bad = proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'new' } } })
    .bootstrap().listeners[0]!;
  const unwritable = proxy()
    .manager({
      access_log: [
        {
          name: 'f',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
            path: '/nowhere/at/all.log',
          },
        },
      ],
    })
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .bootstrap().listeners[0]!;
  await expect(
    p.proxy.applier.apply(
      p.snapshot({
        listeners: new Map([
          ['main', bad],
          ['zzz', { ...unwritable, name: 'zzz' }],
        ]),
      }),
    ),
  ).rejects.toThrow();
  const client = await p.client();
  expect((await client.get().response()).body).toBe('old');
  await p.proxy.applier.apply(p.snapshot({ listeners: new Map([['main', bad]]) }));
  expect((await client.get().response()).body).toBe('new');
});

test('a failing snapshot does not swallow the one that came while it was applied', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'old' } } })
    .start();
  const good = proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'new' } } })
    .bootstrap().listeners[0]!;
  const broken = {
    ...good,
    filterChains: [{ ...good.filterChains[0]!, filter: { kind: 'http', http: null } }],
  } as unknown as typeof good;
  const cold = coldCluster();
  const applied = [
    p.proxy.applier.apply(p.snapshot({ listeners: new Map([['main', broken]]), clusters: new Map([['cold', cold]]) })),
    p.proxy.applier.apply(p.snapshot({ listeners: new Map([['main', good]]) })),
  ];
  await Promise.all(applied);
  const client = await p.client();
  expect((await client.get().response()).body).toBe('new');
});

test('routes wait until the names of their clusters are looked up', async () => {
  const server = await upstream();
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'old' } } })
    .start();
  const endpoint = { address: { socket_address: { address: 'localhost', port_value: server.port } } };
  const dns = proxy()
    .rawCluster({
      name: 'dns',
      type: 'STRICT_DNS',
      dns_lookup_family: 'V4_ONLY',
      load_assignment: { cluster_name: 'dns', endpoints: [{ lb_endpoints: [{ endpoint }] }] },
    })
    .bootstrap();
  const client = await p.client();
  const applied = p.proxy.applier.apply(withListeners(p, dns));
  const bodies = new Set<string>();
  let done = false;
  void applied.then(() => {
    done = true;
  });
  while (!done) bodies.add((await client.get().response()).body);
  bodies.add((await client.get().response()).body);
  expect([...bodies].filter((body) => body !== 'old')).toEqual(['ok']);
});

test('a cluster for which discovery has no endpoints goes live without, and gets them by a later snapshot', async () => {
  const server = await upstream();
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const snapshot = {
    ...withListeners(p, proxy().cluster('cold', []).bootstrap()),
    clusters: new Map([['cold', coldCluster()]]),
  };
  await p.proxy.applier.apply(snapshot);
  const client = await p.client();
  expect((await client.get().response()).status).toBe(503);
  const { discovery } = proxy().cluster('cold', server.port).bootstrap().clusters[0]!;
  if (discovery.kind !== 'STATIC') throw new Error('not static');
  await p.proxy.applier.apply({ ...snapshot, endpoints: new Map([['cold', discovery.assignment]]) });
  expect((await client.get().response()).body).toBe('ok');
});

test('a route table that the server drops and sends again is followed again', async () => {
  const p = await proxy()
    .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
    .start();
  const table = (body: string) => {
    const made = proxy()
      .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: body } } })
      .bootstrap();
    const { filter } = made.listeners[0]!.filterChains[0]!;
    if (filter.kind !== 'http' || filter.http.routes.kind !== 'inline') throw new Error('not inline');
    return new Map([['table', { ...filter.http.routes.config, name: 'table' }]]);
  };
  const [chain] = p.bootstrap.listeners[0]!.filterChains;
  if (chain!.filter.kind !== 'http') throw new Error('not HTTP');
  const filter = { kind: 'http', http: { ...chain!.filter.http, routes: { kind: 'rds', name: 'table' } } } as const;
  const listener = { ...p.bootstrap.listeners[0]!, filterChains: [{ ...chain!, filter }] };
  const snapshot = p.snapshot({ listeners: new Map([['main', listener]]) });
  const client = await p.client();
  await p.proxy.applier.apply(snapshot);
  expect((await client.get().response()).status).toBe(404);
  await p.proxy.applier.apply({ ...snapshot, routes: table('one') });
  expect((await client.get().response()).body).toBe('one');
  await p.proxy.applier.apply({ ...snapshot, routes: new Map() });
  expect((await client.get().response()).body).toBe('one');
  await p.proxy.applier.apply({ ...snapshot, routes: table('two') });
  expect((await client.get().response()).body).toBe('two');
});

test('a rate limit keeps its tokens through edits of everything else, and loses them by an edit of its own', async () => {
  const clock = manualClock();
  const limit = (maxTokens: number) => ({
    '@type': LIMIT,
    stat_prefix: 'limit',
    token_bucket: { max_tokens: maxTokens, fill_interval: '3600s' },
    filter_enabled: { default_value: { numerator: 100 } },
    filter_enforced: { default_value: { numerator: 100 } },
  });
  const config = (edit: { body?: string; log?: string; filter?: boolean; own?: number; route?: number }) => {
    const builder = proxy()
      .clock(clock)
      .logFormat(edit.log ?? 'log\n')
      .route({ match: { prefix: '/new' }, direct_response: { status: 418, body: { inline_string: edit.body ?? '' } } })
      .route({
        match: { prefix: '/own' },
        direct_response: { status: 204 },
        typed_per_filter_config: { limit: limit(edit.route ?? 1) },
      })
      .route({ match: { prefix: '/' }, direct_response: { status: 204 } });
    if (edit.filter)
      builder.filter('cors', { '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors' });
    return builder.filter('limit', limit(edit.own ?? 1));
  };
  const p = await config({}).start();
  const client = await p.client();
  const codes = async () => [(await client.get('/').response()).status, (await client.get('/own').response()).status];
  expect(await codes()).toEqual([204, 204]);
  for (const edit of [{}, { body: 'edited' }, { log: 'other\n' }, { filter: true }, { filter: true, log: 'again\n' }]) {
    await p.proxy.applier.apply(withListeners(p, config(edit).bootstrap()));
    expect(await codes(), JSON.stringify(edit)).toEqual([429, 429]);
  }
  await p.proxy.applier.apply(withListeners(p, config({ own: 2 }).bootstrap()));
  expect(await codes()).toEqual([204, 429]);
  await p.proxy.applier.apply(withListeners(p, config({ own: 2, route: 2 }).bootstrap()));
  expect(await codes()).toEqual([204, 204]);
  await p.proxy.applier.apply(withListeners(p, config({ own: 2, route: 2, body: 'x' }).bootstrap()));
  expect(await codes()).toEqual([429, 204]);
});
