// Issue 4 §3: every core. Real threads: they have the system's clock.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Listener } from '../../../src/model/listener.ts';
import { type RawClient, rawClient } from '../../support/client.ts';
import {
  closeLast,
  eventually,
  type ProxyBuilder,
  proxy,
  scripted,
  type TestProxy,
  upstream,
} from '../../support/proxy.ts';
import { inlineCertificate } from '../../support/tls.ts';
import { oneEach as eachOfTwo } from '../../support/two-workers.ts';

const LIMIT = 'type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const ALWAYS = { default_value: { numerator: 100 } };

let threads: Worker[] = [];
const clients: RawClient[] = [];
const remember = (worker: Worker): void => void threads.push(worker);

beforeEach(() => {
  threads = [];
  process.on('worker', remember);
});
afterEach(() => {
  process.off('worker', remember);
  for (const { socket } of clients.splice(0)) socket.destroy();
});

async function connect(p: TestProxy): Promise<RawClient> {
  const client = await rawClient(p.port);
  clients.push(client);
  return client;
}

const oneEach = (p: TestProxy): Promise<[RawClient, RawClient]> =>
  eachOfTwo(p.proxy, p.port, async (client) => {
    clients.push(client);
    await client.get('/who').response();
  });

/** One request on a connection of its own. */
function overTls(port: number, session?: Buffer): Promise<{ answer: string; session: Buffer; reused: boolean }> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...(session && { session }) });
    let answer = '';
    let ticket = session ?? Buffer.alloc(0);
    let reused = false;
    socket.on('session', (given) => {
      ticket = given;
    });
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('close', () => resolve({ answer, session: ticket, reused }));
    socket.on('error', reject);
    socket.on('secureConnect', () => {
      reused = socket.isSessionReused();
      socket.write('GET /tls HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    });
  });
}

const answering = (): ProxyBuilder =>
  proxy()
    .workers(2)
    .route({ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hello' } } });

describe('two workers', () => {
  it('both serve, and their numbers add up', async () => {
    const p = await answering().start();
    const both = await oneEach(p);
    for (const client of both) expect((await client.get().response()).body).toBe('hello');
    const stats = await p.proxy.stats();
    const value = (dotted: string): number => {
      for (const series of stats.series()) if (series.dotted === dotted) return stats.value(series.id);
      return -1;
    };
    const listener = '127.0.0.1_0';
    const [zero, one] = [0, 1].map((i) => value(`listener.${listener}.worker_${i}.downstream_cx_total`));
    expect(zero).toBeGreaterThan(0);
    expect(one).toBeGreaterThan(0);
    expect(value(`listener.${listener}.downstream_cx_total`)).toBe(zero! + one!);
    expect(value('http.main.downstream_rq_2xx')).toBe(zero! + one! + 2);
    for (const series of stats.series()) {
      if (series.dotted !== `listener.${listener}.downstream_cx_length_ms`) continue;
      expect(stats.readHistogram(series.id).count).toBe(value(`listener.${listener}.downstream_cx_destroy`));
    }
    // What they log to standard output is whole lines of all.
    await p.log(zero! + one! + 1);
    expect(p.logLines.every((line) => line.startsWith('GET /'))).toBe(true);
  });

  it('write to the same access log file, and open it anew when they are told', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-'));
    closeLast(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'access.log');
    const file = {
      name: 'file',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
        path,
        log_format: { text_format_source: { inline_string: '%REQ(:PATH)%\n' } },
      },
    };
    const p = await answering()
      .manager({ access_log: [file] })
      .start();
    const both = await oneEach(p);
    for (const [i, client] of both.entries()) await client.get(`/of/${i}`).response();
    await p.proxy.close();
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    expect(lines.filter((line) => line.startsWith('/of/')).sort()).toEqual(['/of/0', '/of/1']);
  });

  it('answer TLS with certificates and keys of the config, and resume the other’s sessions', async () => {
    const p = await answering()
      .tls({ common_tls_context: { tls_certificates: [inlineCertificate('server')] } })
      .start();
    const first = await overTls(p.port);
    expect(first.answer).toContain('hello');
    // Each new connection may come to either.
    for (let i = 0; i < 8; i++) expect((await overTls(p.port, first.session)).reused).toBe(true);
  });
});

describe('limits hold over all', () => {
  it('a rate limit of 10', async () => {
    const limit = {
      '@type': LIMIT,
      stat_prefix: 'limit',
      token_bucket: { max_tokens: 10, tokens_per_fill: 1, fill_interval: '1000s' },
      filter_enabled: ALWAYS,
      filter_enforced: ALWAYS,
    };
    const p = await answering().filter('limit', limit).start();
    const both = await oneEach(p);
    const statuses: number[] = [];
    for (let i = 0; i < 20; i++) statuses.push((await both[i % 2]!.get().response()).status);
    expect(await p.statOfAll('limit.http_local_rate_limit.ok')).toBe(10);
    expect(statuses.at(-1)).toBe(429);
    expect(statuses.at(-2)).toBe(429);
  });

  it('a rate limit of a route, however the workers come by it', async () => {
    const empty = { '@type': LIMIT, stat_prefix: 'none' };
    const limit = {
      '@type': LIMIT,
      stat_prefix: 'route',
      token_bucket: { max_tokens: 6, tokens_per_fill: 1, fill_interval: '1000s' },
      filter_enabled: ALWAYS,
      filter_enforced: ALWAYS,
    };
    const p = await proxy()
      .workers(2)
      .filter('limit', empty)
      .route({
        match: { path: '/limited' },
        direct_response: { status: 200 },
        typed_per_filter_config: { limit },
      })
      .route({ match: { prefix: '/' }, direct_response: { status: 200 } })
      .start();
    const both = await oneEach(p);
    const statuses: number[] = [];
    for (let i = 0; i < 10; i++) statuses.push((await both[i % 2]!.get('/limited').response()).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 429, 429, 429, 429]);
  });

  it('a circuit breaker of 1 request', async () => {
    const server = await scripted();
    const thresholds = [{ max_requests: 1 }];
    const p = await proxy()
      .workers(2)
      .cluster('one', server.port, { circuit_breakers: { thresholds } })
      .route({ match: { path: '/who' }, direct_response: { status: 200 } })
      .route({ match: { prefix: '/' }, route: { cluster: 'one' } })
      .start();
    const [a, b] = await oneEach(p);
    a.get('/held');
    const held = await server.accept();
    await held.until((received) => received.includes('/held'));
    expect((await b.get().response()).status).toBe(503);
    expect(await p.statOfAll('cluster.one.circuit_breakers.default.rq_open')).toBe(1);
    held.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await a.response()).status).toBe(200);
    expect(await p.statOfAll('cluster.one.circuit_breakers.default.rq_open')).toBe(0);
    b.get('/next');
    const other = await server.accept();
    await other.until((received) => received.includes('/next'));
    expect((await a.get().response()).status).toBe(503);
    // What a worker held is given back when it dies.
    const [, second] = threads;
    await second!.terminate();
    await eventually(() => p.processLog.some((line) => line.includes('started again')));
    a.get('/after');
    await held.until((received) => received.includes('/after'));
  });

  it('errors in a row, and who is ejected for them', async () => {
    const sick = await upstream((_request, response) => {
      response.statusCode = 500;
      response.end();
    });
    const p = await proxy()
      .workers(2)
      .cluster('sick', sick.port, {
        outlier_detection: { consecutive_5xx: 4, base_ejection_time: '1000s', max_ejection_percent: 100 },
        common_lb_config: { healthy_panic_threshold: { value: 0 } },
      })
      .route({ match: { path: '/who' }, direct_response: { status: 200 } })
      .route({ match: { prefix: '/' }, route: { cluster: 'sick' } })
      .start();
    const [a, b] = await oneEach(p);
    for (const client of [a, b, a, b]) expect((await client.get().response()).status).toBe(500);
    expect((await b.get().response()).status).toBe(503);
    let status = 0;
    // The other hears of it in a turn or two.
    while (status !== 503) status = (await a.get().response()).status;
    expect(await p.statOfAll('cluster.sick.outlier_detection.ejections_enforced_total')).toBe(1);
    expect(await p.statOfAll('cluster.sick.outlier_detection.ejections_active')).toBe(1);
    expect(await p.statOfAll('cluster.sick.membership_healthy')).toBe(0);
  });

  it('connections of a listener', async () => {
    const p = await answering().runtime({ 'envoy.resource_limits.listener.main.connection_limit': 2 }).start();
    const open: RawClient[] = [];
    // Those beyond the limit are closed without an answer.
    for (let i = 0; i < 8; i++) {
      const client = await connect(p);
      client.get();
      await client.until(() => true).catch(() => {});
      if (
        await client.response().then(
          () => true,
          () => false,
        )
      )
        open.push(client);
    }
    expect(open.length).toBe(2);
    expect(await p.statOfAll('listener.127.0.0.1_0.downstream_cx_overflow')).toBe(6);
  });
});

describe('a worker that dies', () => {
  it('takes only its own connections with it, is counted, and comes back', async () => {
    const p = await answering().start();
    const [a, b] = await oneEach(p);
    const requests = await p.statOfAll('http.main.downstream_rq_2xx');
    // A message that nobody expects is a mistake of ours: it throws.
    threads[0]!.postMessage({ to: 'nonsense' });
    await a.untilEnded();
    for (let i = 0; i < 5; i++) expect((await b.get().response()).status).toBe(200);
    await eventually(() => threads.length === 3);
    const line = p.processLog.find((one) => one.includes('started again'))!;
    expect(line).toContain('worker 0 ended by an error');
    expect(line.trim().split('\n')).toHaveLength(1);
    // Where in the program it was.
    expect(line).toMatch(/ stack="TypeError: .*channel\.ts/);
    // All that connect from now on are served, and by both.
    const [again] = await oneEach(p);
    expect((await again.get().response()).body).toBe('hello');
    expect(await p.statOfAll('server.worker_restarts')).toBe(1);
    // What it had counted is still there.
    expect(await p.statOfAll('http.main.downstream_rq_2xx')).toBeGreaterThanOrEqual(requests + 6);
    expect(await p.statOfAll('listener.127.0.0.1_0.downstream_cx_active')).toBeLessThanOrEqual(clients.length - 1);
  });

  it('leaves the process not ready where it was the last', async () => {
    const p = await answering()
      .fields({ admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } } })
      .start();
    const admin = await rawClient(p.proxy.adminAddress!.port);
    clients.push(admin);
    const ready = async (): Promise<string> =>
      (await admin.write('GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n').response()).body;
    expect(await ready()).toBe('LIVE\n');
    await threads[0]!.terminate();
    expect(await ready()).toBe('LIVE\n');
    await eventually(() => threads.length === 3);
    await (await connect(p)).get().response();
    // Those that come in their place are threads that have yet to start.
    await Promise.all(threads.map((thread) => thread.terminate()));
    expect(await ready()).toBe('INITIALIZING\n');
    expect((await (await connect(p)).get().response()).body).toBe('hello');
    expect(await ready()).toBe('LIVE\n');
  });

  it('loses no connection that it has not accepted', async () => {
    const p = await answering().start();
    await oneEach(p);
    const dead = threads[0]!.terminate();
    const waiting = await Promise.all(Array.from({ length: 20 }, () => connect(p)));
    for (const client of waiting) client.get();
    await dead;
    // Those that it had accepted in its last moments are closed; the others wait for the next one.
    const answers = await Promise.all(
      waiting.map((client) =>
        client.response().then(
          ({ status }) => status,
          () => 0,
        ),
      ),
    );
    expect(answers.filter((status) => status === 200).length).toBeGreaterThanOrEqual(10);
    expect(await p.statOfAll('server.worker_restarts')).toBe(1);
  });

  it('gets the config in force, and what it is to know of a drain', async () => {
    const p = await answering().start();
    await p.proxy.apply(p.snapshot({ listeners: renamed(p, 'changed') }));
    p.proxy.drain.failHealthCheck(true);
    await threads[0]!.terminate();
    await eventually(() => threads.length === 3);
    await threads[1]!.terminate();
    await eventually(() => threads.length === 4);
    // Immediately, with a drain time of nothing.
    const response = await (await connect(p)).get().response();
    expect(response.body).toBe('changed');
  });
});

describe('a worker that comes later', () => {
  /** Those of both, once the first has been started again. */
  const bodies = async (p: TestProxy): Promise<string[]> => {
    const both = await oneEach(p);
    return Promise.all(both.map(async (client) => (await client.get().response()).body));
  };
  const replaceFirst = async (): Promise<void> => {
    await threads[0]!.terminate();
    await eventually(() => threads.length === 3);
  };

  it('has the config in force where the latest was rejected', async () => {
    const p = await answering().start();
    await expect(p.proxy.apply(p.snapshot({ listeners: broken(p) }))).rejects.toThrow();
    await replaceFirst();
    expect(await bodies(p)).toEqual(['hello', 'hello']);
    await p.proxy.apply(p.snapshot({ listeners: renamed(p, 'changed') }));
    expect(await bodies(p)).toEqual(['changed', 'changed']);
    expect(await p.statOfAll('server.worker_restarts')).toBe(1);
  });

  it('serves what it can, as the others do, where a listener cannot be bound', async () => {
    const p = await answering().start();
    const [listener] = p.snapshot().listeners.values();
    const { port } = await upstream();
    const taken = { ...listener!, name: 'taken', addresses: [{ host: '127.0.0.1', port }] };
    await p.proxy.apply(p.snapshot({ listeners: new Map([['taken', taken], ...renamed(p, 'changed')]) }));
    await replaceFirst();
    expect(await bodies(p)).toEqual(['changed', 'changed']);
    expect(await p.statOfAll('server.worker_restarts')).toBe(1);
  });
});

/** A config that does not compile. */
function broken(p: TestProxy): ReadonlyMap<string, Listener> {
  return new Map([...p.snapshot().listeners].map(([name, one]) => [name, { ...one, filterChains: null as never }]));
}

/** The proxy's listener, with another body for its answers. */
function renamed(p: TestProxy, body: string): ReadonlyMap<string, Listener> {
  const text = JSON.stringify([...p.snapshot().listeners.values()], (_key, value) =>
    value instanceof Map ? { map: [...value] } : value,
  ).replaceAll('"body":"hello"', `"body":"${body}"`);
  const parsed = JSON.parse(text, (_key, value) =>
    typeof value === 'object' && value !== null && Array.isArray(value.map) ? new Map(value.map) : value,
  );
  return new Map(parsed.map((listener: Listener) => [listener.name, listener]));
}

describe('config and drain', () => {
  it('changes in both without a failed request', async () => {
    const p = await answering().start();
    const both = await oneEach(p);
    let stop = false;
    const load = both.map(async (client) => {
      const bodies = new Set<string>();
      while (!stop) bodies.add((await client.get().response()).body);
      return bodies;
    });
    for (let i = 0; i < 5; i++) await p.proxy.apply(p.snapshot({ listeners: renamed(p, `config ${i}`) }));
    stop = true;
    for (const bodies of await Promise.all(load))
      for (const body of bodies) expect(body).toMatch(/^(hello|config \d)$/);
    for (const client of both) expect((await client.get().response()).body).toBe('config 4');
  });

  it('rejects what cannot be put in force, and goes on', async () => {
    const p = await answering().start();
    await expect(p.proxy.apply(p.snapshot({ listeners: broken(p) }))).rejects.toThrow();
    expect((await (await connect(p)).get().response()).body).toBe('hello');
  });

  it('drains both: requests are finished, then all is over', async () => {
    const server = await scripted();
    const p = await proxy()
      .workers(2)
      .cluster('one', server.port)
      .route({ match: { path: '/who' }, direct_response: { status: 200 } })
      .route({ match: { prefix: '/' }, route: { cluster: 'one' } })
      .start();
    const [a, b] = await oneEach(p);
    a.get('/held');
    const held = await server.accept();
    await held.until((received) => received.includes('/held'));
    const drained = p.proxy.drain.drain(60_000);
    await b.untilEnded();
    // The other has heard of it too.
    await p.proxy.stats();
    await expect(rawClient(p.port)).rejects.toThrow();
    held.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const response = await a.response();
    expect([response.status, response.header('connection')]).toEqual([200, 'close']);
    await drained;
    expect(p.proxy.drain.active).toBe(true);
  });
});

describe('admin pages', () => {
  it('are of all workers', async () => {
    const server = await upstream();
    const p = await proxy()
      .workers(2)
      .cluster('one', server.port)
      .fields({ admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } } })
      .start();
    const both = await oneEach(p);
    for (const client of both) await client.get().response();
    const total = await p.statOfAll('cluster.one.upstream_rq_total');
    const { host, port } = p.proxy.adminAddress!;
    const page = async (path: string, method = 'GET'): Promise<string> => {
      const response = await fetch(`http://${host}:${port}${path}`, { method, headers: { connection: 'close' } });
      return await response.text();
    };
    expect(await page('/clusters')).toContain(`one::127.0.0.1:${server.port}::rq_total::${total}\n`);
    expect(await page('/clusters')).toContain('one::added_via_api::false');
    expect(await page('/listeners')).toBe(`main::127.0.0.1:${p.port}\n`);
    expect(await page('/stats?filter=concurrency')).toBe('server.concurrency: 2\n');
    expect(await page('/stats?filter=cluster.one.upstream_rq_total')).toBe(`cluster.one.upstream_rq_total: ${total}\n`);
    expect(await page('/stats/prometheus')).toContain(
      `envoy_cluster_upstream_rq_total{envoy_cluster_name="one"} ${total}`,
    );
    expect(await page('/remora/explain?url=http://a/x')).toContain('"one"');
    expect(JSON.parse(await page('/config_dump?include_eds')).configs.length).toBeGreaterThan(3);
    expect(JSON.parse(await page('/memory')).allocated).toMatch(/^\d+$/);
    expect(JSON.parse(await page('/certs'))).toEqual({ certificates: [] });
    expect(await page('/remora/drain')).toContain(`main: accepting, ${clients.length} connections`);
    expect(await page('/logging?level=error', 'POST')).toContain('error');
    await page('/reset_counters', 'POST');
    expect(await page('/stats?filter=cluster.one.upstream_rq_total')).toBe('cluster.one.upstream_rq_total: 0\n');
  });
});
