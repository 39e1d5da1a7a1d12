import { expect, test } from 'vitest';
import type { Cluster } from '../../../src/model/cluster.ts';
import { manualClock } from '../../support/clock.ts';
import { eventually, proxy, scripted, upstream } from '../../support/proxy.ts';
import { closedPort } from '../../support/upstream.ts';

const RETRY = {
  retry_policy: { retry_on: '5xx,connect-failure', num_retries: 2, retry_back_off: { base_interval: '0.001s' } },
};

test('attempts count in upstream_rq_total; responses that are retried under retry., the last one by itself', async () => {
  let asked = 0;
  const server = await upstream((_request, response) => {
    response.statusCode = ++asked < 3 ? 503 : 200;
    response.end();
  });
  const p = await proxy().cluster('a', server.port).to('a', RETRY).start();
  const client = await p.client();
  client.get('/');
  expect((await client.response()).status).toBe(200);
  expect(p.stat('cluster.a.upstream_rq_total')).toBe(3);
  expect(p.stat('cluster.a.upstream_rq_active')).toBe(0);
  expect(p.stat('cluster.a.retry.upstream_rq_503')).toBe(2);
  expect(p.stat('cluster.a.upstream_rq_503')).toBe(0);
  expect(p.stat('cluster.a.upstream_rq_200')).toBe(1);
  expect(p.stat('cluster.a.upstream_rq_completed')).toBe(1);
});

test('retry_success is an answer that the policy would not retry, not one that ran out of retries', async () => {
  let asked = 0;
  const server = await upstream((request, response) => {
    response.statusCode = request.url === '/bad' || asked++ === 0 ? 500 : 200;
    response.end();
  });
  const p = await proxy().cluster('a', server.port).to('a', RETRY).start();
  const client = await p.client();
  client.get('/bad');
  expect((await client.response()).status).toBe(500);
  expect(p.stat('cluster.a.upstream_rq_retry_success')).toBe(0);
  expect(p.stat('cluster.a.upstream_rq_retry_limit_exceeded')).toBe(1);
  client.get('/flaky');
  expect((await client.response()).status).toBe(200);
  expect(p.stat('cluster.a.upstream_rq_retry_success')).toBe(1);
});

test('an endpoint that refuses is no attempt that was sent, and counts one 503 for all its tries', async () => {
  const p = await proxy()
    .cluster('a', await closedPort())
    .to('a', RETRY)
    .start();
  const client = await p.client();
  client.get('/');
  expect((await client.response()).status).toBe(503);
  expect(p.stat('cluster.a.upstream_rq_total')).toBe(0);
  expect(p.stat('cluster.a.upstream_rq_retry')).toBe(2);
  expect(p.stat('cluster.a.upstream_rq_503')).toBe(1);
  expect(p.stat('cluster.a.upstream_rq_completed')).toBe(1);
  expect(p.stat('cluster.a.upstream_cx_connect_fail')).toBe(3);
});

test('connects and connections are timed, listeners stand under their address', async () => {
  const server = await upstream();
  const p = await proxy()
    .cluster('a', server.port)
    .listener({ address: { socket_address: { address: '127.0.0.1', port_value: 0 } } })
    .start();
  const client = await p.client();
  client.get('/');
  await client.response();
  const { stats } = p.proxy.env;
  const count = (dotted: string): number =>
    stats.readHistogram([...stats.series()].find((series) => series.dotted === dotted)!.id).count;
  expect(count('cluster.a.upstream_cx_connect_ms')).toBe(1);
  expect(count('cluster.a.upstream_rq_time')).toBe(1);
  client.end();
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_cx_destroy') === 1);
  expect(p.stat('listener.127.0.0.1_0.downstream_cx_total')).toBe(1);
  expect(p.stat('listener.127.0.0.1_0.downstream_cx_active')).toBe(0);
  expect(count('listener.127.0.0.1_0.downstream_cx_length_ms')).toBe(1);
  const series = [...stats.series()].find(({ name }) => name === 'envoy_listener_downstream_cx_total')!;
  expect(series.labels).toEqual({ envoy_listener_address: '127.0.0.1_0' });
});

test('what the config drops stays to be scraped for five minutes, then its series are gone', async () => {
  const clock = manualClock();
  const server = await scripted();
  const p = await proxy()
    .clock(clock)
    .cluster('a', server.port)
    .to('a', { timeout: '0s' })
    .manager({ stream_idle_timeout: '0s' })
    .start();
  const client = await p.client();
  client.get('/');
  const connection = await server.accept();
  await connection.head();
  await p.proxy.applier.apply(p.snapshot({ listeners: new Map(), clusters: new Map() }));
  clock.advance(3_600_000);
  // The request is under way still: it finds its slots at its end.
  connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  expect((await client.response()).status).toBe(200);
  client.end();
  await client.untilEnded();
  expect(p.stat('cluster.a.upstream_rq_200')).toBe(1);
  expect(p.stat('http.main.downstream_rq_2xx')).toBe(1);
  await eventually(() => p.stat('listener.127.0.0.1_0.downstream_cx_active') === 0);
  await eventually(() => p.stat('cluster.a.upstream_cx_active') === 0);
  clock.advance(60_000);
  const left = [...p.proxy.env.stats.series()].filter(({ dotted }) => /^(cluster|http|listener)\./.test(dotted));
  expect(left.map(({ dotted }) => dotted)).toEqual([]);
});

test('a thousand clusters that come and go leave the store as it was, and the one that stays counts on', async () => {
  const server = await upstream();
  const p = await proxy().cluster('a', server.port).start();
  const client = await p.client();
  const base = p.bootstrap.clusters[0]!;
  const { stats } = p.proxy.env;
  let slots = 0;
  let total = 0;
  for (let i = 0; i < 1000; i++) {
    const clusters = new Map<string, Cluster>([['a', base]]);
    clusters.set(`c${i}`, { ...base, name: `c${i}`, statName: `c${i}` });
    await p.proxy.applier.apply(p.snapshot({ clusters }));
    stats.sweep(i * 20_000);
    if (i % 100 === 0) {
      client.get('/');
      await client.response();
      total++;
      expect(p.stat('cluster.a.upstream_rq_total')).toBe(total);
      expect(p.stat('cluster.a.upstream_rq_200')).toBe(total);
    }
    if (i === 200) slots = stats.slots;
  }
  expect(stats.slots).toBe(slots);
  expect(stats.size).toBeLessThan(3000);
  expect(p.stat('cluster.c999.membership_total')).toBe(1);
  expect([...stats.series()].filter(({ dotted }) => dotted.startsWith('cluster.c1.'))).toEqual([]);
}, 60_000);
