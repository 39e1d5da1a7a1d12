import { expect, it } from 'vitest';
import type { VirtualHost } from '../../../../src/model/route.ts';
import { compileRouteTable } from '../../../../src/proxy/router/table.ts';
import { WorkerHosts } from '../../../../src/proxy/runtime/worker-hosts.ts';
import type { HostAnswer, WantedHost } from '../../../../src/proxy/runtime/worker-protocol.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { deps, routeConfig, virtualHost } from '../router/fixtures.ts';

const FALLBACK = virtualHost('rest', ['*'], { fallback: true });
const A = virtualHost('a', ['a', 'a:80']);

function rig() {
  const stats = new StatStore();
  const asked: { readonly wanted: WantedHost; readonly answer: (answer: HostAnswer) => Promise<void> }[] = [];
  const hosts = new WorkerHosts((wanted) => {
    const { promise, resolve } = Promise.withResolvers<HostAnswer>();
    const answer = async (given: HostAnswer): Promise<void> => {
      resolve(given);
      await promise;
    };
    asked.push({ wanted, answer });
    return promise;
  }, stats);
  const base = routeConfig([], { name: '80', discoversHosts: true });
  const tableOf = (...more: VirtualHost[]) =>
    compileRouteTable({ ...base, virtualHosts: [...more, FALLBACK], base }, deps());
  const holder = { table: tableOf() };
  hosts.follow(new Map([['80', holder]]));
  const waits = (authority: string, again = false) => {
    const waiter = {
      generation: 1,
      answers: 0,
      /** Whether it would wait again, as a request does that finds its host missing still. */
      held: false,
      hostAnswered() {
        waiter.answers++;
        if (again) waiter.held = hosts.wait(holder.table, authority, waiter);
      },
    };
    return { waiter, held: hosts.wait(holder.table, authority, waiter) };
  };
  const set = (...more: VirtualHost[]): void => {
    holder.table = tableOf(...more);
    hosts.tablesChanged();
  };
  return { hosts, asked, waits, set, holder, stats };
}

it('asks once for what many wait for, and lets them go on when this worker has the host', async () => {
  const { asked, waits, set } = rig();
  const first = waits('A:80');
  const second = waits('a:80');
  expect([first.held, second.held]).toEqual([true, true]);
  expect(asked.map(({ wanted }) => wanted)).toEqual([{ routes: '80', host: 'a:80' }]);
  set(A);
  expect([first.waiter.answers, second.waiter.answers]).toEqual([1, 1]);
  // What the main thread says then is of no interest.
  await asked[0]!.answer('absent');
  expect(first.waiter.answers).toBe(1);
  set();
  expect(waits('a:80').held).toBe(true);
});

it('does not ask for what there is not, until the main thread has forgotten it', async () => {
  const { hosts, asked, waits } = rig();
  const { waiter } = waits('nobody', true);
  await asked[0]!.answer('absent');
  expect([waiter.answers, waiter.held]).toEqual([1, false]);
  expect(waits('nobody').held).toBe(false);
  hosts.forget(['80/nobody']);
  expect(waits('nobody').held).toBe(true);
  // Not what is being asked for.
  hosts.forget(['80/nobody']);
  expect(waits('nobody').held).toBe(true);
  expect(asked).toHaveLength(2);
});

it('goes on once by what there is where there is no answer, and asks again for the next request', async () => {
  const { asked, waits } = rig();
  const { waiter } = waits('a', true);
  await asked[0]!.answer('go on');
  expect([waiter.answers, waiter.held]).toEqual([1, false]);
  expect(waits('a').held).toBe(true);
  expect(asked).toHaveLength(2);
});

it('finds what appears after all', async () => {
  const { asked, waits, set } = rig();
  waits('a');
  await asked[0]!.answer('absent');
  set(A);
  set();
  expect(waits('a').held).toBe(true);
});

it('does not wake a stream that is at another request', () => {
  const { waits, set } = rig();
  const { waiter } = waits('a');
  waiter.generation++;
  set(A);
  expect(waiter.answers).toBe(0);
});

it('bounds what waits, and does not ask for what is no host', () => {
  const { asked, waits, stats } = rig();
  for (const none of ['', 'a/b', 'x'.repeat(400)]) expect(waits(none).held).toBe(false);
  expect(asked).toEqual([]);
  for (let i = 0; i < 1000; i++) expect(waits('a').held).toBe(true);
  expect([waits('a').held, waits('b').held]).toEqual([false, false]);
  expect(asked).toHaveLength(1);
  const overflow = [...stats.series()].find(({ dotted }) => dotted === 'on_demand.overflow')!;
  expect(stats.value(overflow.id)).toBe(2);
});

it('says once which hosts were used', () => {
  const { hosts, holder, set } = rig();
  set(A, virtualHost('b', ['b']));
  holder.table.hostIndex.find('a')!.use!.seen = true;
  expect(hosts.takeUsed()).toEqual([{ routes: '80', name: 'a' }]);
  expect(hosts.takeUsed()).toEqual([]);
});
