// Pains row 42 with several threads that serve: what any of them asks for, all of them have, and no more. Issue 4 §3.
import type { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import type { RawClient } from '../../support/client.ts';
import { type SkippingClock, skippingClock } from '../../support/clock.ts';
import { largeMesh } from '../../support/large-mesh.ts';
import { loopback } from '../../support/loopback.ts';
import { type Mesh, type MeshProxy, PORT, type ProxySpec, until } from '../../support/mesh.ts';
import { ends } from '../../support/mesh-leaks.ts';
import { file, service, split } from '../../support/mesh-yaml.ts';
import { oneEach } from '../../support/two-workers.ts';

interface Two {
  readonly client: MeshProxy;
  /** A connection to each worker. */
  readonly both: readonly [RawClient, RawClient];
}

async function two(it: Mesh, more: Partial<ProxySpec> = {}): Promise<Two> {
  const client = await it.sidecar({ service: 'client', onDemand: true, workers: 2, ...more });
  const both = await oneEach(client.proxy, client.outbound.port, (made) =>
    ends({ close: () => made.socket.destroy() }),
  );
  return { client, both };
}

const ask = async (by: RawClient, name: string): Promise<string> => {
  by.write(`GET http://${name}:${PORT}/ HTTP/1.1\r\nHost: ${name}:${PORT}\r\n\r\n`);
  const { status, body } = await by.response();
  return `${status} ${body}`;
};

/** Of the config in force. */
const hosts = ({ proxy }: MeshProxy): string[] =>
  (proxy.discovery!.snapshot.value.routes.get('http_proxy')?.virtualHosts ?? []).map(({ name }) => name);
const outbound = ({ proxy }: MeshProxy): string[] =>
  [...proxy.discovery!.snapshot.value.clusters.keys()].filter((name) => name.startsWith('outbound|'));

async function stat({ proxy }: MeshProxy, dotted: string): Promise<number> {
  const stats = await proxy.stats();
  const series = [...stats.series()].find((one) => one.dotted === dotted);
  return series === undefined ? 0 : stats.value(series.id);
}

/**
 * Seconds of the main thread, in so small steps that whoever waits for a worker or for the server goes on waiting: a PING
 * has been read and answered before the next.
 */
async function pass(
  { proxy }: MeshProxy,
  clock: SkippingClock,
  seconds: number,
  every30: () => Promise<unknown> = async () => {},
): Promise<void> {
  const wire = ends(await loopback());
  for (let s = 0; s < seconds; s += 2) {
    if (s % 30 === 0) await every30();
    clock.skip(2000);
    await proxy.stats();
    await wire.roundTrip();
    await wire.roundTrip();
  }
  expect(proxy.discovery?.status.ads.state).toBe('connected');
}

it('a host comes with the first request for it at either worker, to both, and every change of it after that', async () => {
  const it = await largeMesh();
  const { client, both } = await two(it);
  const [a, b] = both;
  expect(hosts(client)).toEqual(['allow_any']);
  expect(outbound(client)).toEqual([]);
  expect(await ask(a, 'reviews')).toBe('200 reviews-v1');
  expect(await ask(b, 'ratings')).toBe('200 ratings-v1');
  expect(await stat(client, 'on_demand.asked')).toBe(2);
  // The other has it too, and does not ask.
  expect(await ask(b, 'reviews')).toBe('200 reviews-v1');
  expect(await ask(a, 'ratings')).toBe('200 ratings-v1');
  expect(await stat(client, 'on_demand.asked')).toBe(2);
  expect(await stat(client, 'on_demand.hosts_active')).toBe(2);
  expect(hosts(client).slice(1).sort()).toEqual(
    ['ratings', 'reviews'].map((name) => `${name}.default.svc.cluster.local:${PORT}`),
  );
  // Of more than 60 services these.
  expect(outbound(client).sort()).toEqual([
    `outbound|${PORT}|v1|reviews.default.svc.cluster.local`,
    `outbound|${PORT}||ratings.default.svc.cluster.local`,
  ]);
  it.config.replace('reviews.yaml', split('reviews', { v2: 100 }));
  for (const one of both) await until('v2 answers', async () => (await ask(one, 'reviews')) === '200 reviews-v2');
});

it('both at once, and many at each: one is asked for, and nobody fails', async () => {
  const it = await largeMesh();
  const { client, both } = await two(it);
  const more = await Promise.all(
    Array.from({ length: 8 }, () => client.call(`http://reviews:${PORT}/`)).concat(
      both.map((one) => ask(one, 'reviews').then((body) => ({ status: 200, body, headers: {} }))),
    ),
  );
  expect(more.map(({ status }) => status)).toEqual(Array(10).fill(200));
  expect(more.every(({ body }) => body.endsWith('reviews-v1'))).toBe(true);
  expect(await stat(client, 'on_demand.asked')).toBe(1);
});

it('what there is not is answered as one thread answers it, is asked for once, and is found when it appears', async () => {
  const it = await largeMesh();
  const alone = await it.sidecar({ service: 'alone', onDemand: true });
  const expected = await alone.call(`http://later:${PORT}/`);
  expect(expected.status).toBe(404);
  const { client, both } = await two(it);
  for (let i = 0; i < 3; i++)
    for (const one of both) expect(await ask(one, 'later')).toBe(`404 ${expected.body.replaceAll('alone', 'client')}`);
  expect(await stat(client, 'on_demand.asked')).toBe(1);
  expect(await stat(client, 'on_demand.absent')).toBe(1);
  it.config.write('later.yaml', file(service('later')));
  await it.sidecar({ service: 'later' });
  for (const one of both)
    await until('the new service answers', async () => (await ask(one, 'later')).startsWith('200'));
  expect(await stat(client, 'on_demand.asked')).toBe(1);
});

it('stays while either worker uses it, and goes when neither does', async () => {
  const it = await largeMesh();
  const clock = skippingClock();
  const { client, both } = await two(it, { clock });
  const [a, b] = both;
  await ask(a, 'reviews');
  await ask(b, 'ratings');
  await ask(b, 'reviews');
  // For 15 minutes; a host is idle after 10. Who has asked for it is not who uses it.
  await pass(client, clock, 900, () => ask(b, 'reviews'));
  await until('ratings has gone', () => !hosts(client).some((name) => name.startsWith('ratings')));
  expect(hosts(client)).toEqual(['allow_any', `reviews.default.svc.cluster.local:${PORT}`]);
  expect(await stat(client, 'on_demand.idle')).toBe(1);
  await pass(client, clock, 900);
  await until('reviews has gone', () => hosts(client).length === 1);
  expect(await stat(client, 'on_demand.hosts_active')).toBe(0);
  expect(outbound(client)).toEqual([]);
  // And comes again.
  for (const one of both) expect(await ask(one, 'reviews')).toBe('200 reviews-v1');
});

it('a host that there was not is asked for anew after a while, by both', async () => {
  const it = await largeMesh();
  const clock = skippingClock();
  const { client, both } = await two(it, { clock });
  for (const one of both) expect(await ask(one, 'nobody')).toMatch(/^404/);
  expect(await stat(client, 'on_demand.asked')).toBe(1);
  await pass(client, clock, 120);
  expect(await stat(client, 'on_demand.hosts_active')).toBe(0);
  for (const one of both) expect(await ask(one, 'nobody')).toMatch(/^404/);
  expect(await stat(client, 'on_demand.asked')).toBe(2);
});

it('a worker that comes in another’s place has what both had asked for', async () => {
  const it = await largeMesh();
  const threads: Worker[] = [];
  const remember = (worker: Worker): void => void threads.push(worker);
  process.on('worker', remember);
  ends({ close: () => process.off('worker', remember) });
  const { client, both } = await two(it);
  await ask(both[1], 'reviews');
  await threads[0]!.terminate();
  await until('it has been replaced', () => threads.length === 3);
  const again = await oneEach(client.proxy, client.outbound.port, (made) =>
    ends({ close: () => made.socket.destroy() }),
  );
  for (const one of again) expect(await ask(one, 'reviews')).toBe('200 reviews-v1');
  expect(await stat(client, 'on_demand.asked')).toBe(1);
});

it('goes on without the control server with what it has, and does not wait for the rest', async () => {
  const it = await largeMesh();
  const { client, both } = await two(it);
  const [a, b] = both;
  await ask(a, 'reviews');
  await it.stopControl();
  await until('the proxy sees that it is alone', () => client.proxy.discovery?.status.ads.state !== 'connected');
  for (const one of both) {
    expect(await ask(one, 'reviews')).toBe('200 reviews-v1');
    expect(await ask(one, 'ratings')).toMatch(/^404/);
  }
  expect(await stat(client, 'on_demand.timeout')).toBe(0);
  await it.startControl();
  await until('ratings answers', async () => (await ask(b, 'ratings')) === '200 ratings-v1');
});
