import type { StatStore } from '../../src/proxy/telemetry/metrics/store.ts';
import { type RawClient, rawClient } from './client.ts';

/** Numbers of all threads as they are now. */
interface Served {
  stats(): Promise<StatStore>;
}

/** Connections that the worker has accepted, on all listeners. */
async function accepted(proxy: Served, worker: number): Promise<number> {
  const stats = await proxy.stats();
  let sum = 0;
  for (const { dotted, id } of stats.series()) {
    if (dotted.endsWith(`.worker_${worker}.downstream_cx_total`)) sum += stats.value(id);
  }
  return sum;
}

/** A connection to each of the two workers: the kernel shares them out by the client's port. `made` gets every one first. */
export async function oneEach(
  proxy: Served,
  port: number,
  made: (client: RawClient) => unknown,
): Promise<[RawClient, RawClient]> {
  const found: (RawClient | undefined)[] = [undefined, undefined];
  while (found[0] === undefined || found[1] === undefined) {
    const before = [await accepted(proxy, 0), await accepted(proxy, 1)];
    const client = await rawClient(port);
    await made(client);
    let by = -1;
    while (by < 0) for (const worker of [0, 1]) if ((await accepted(proxy, worker)) > before[worker]!) by = worker;
    found[by] ??= client;
  }
  return [found[0], found[1]];
}
