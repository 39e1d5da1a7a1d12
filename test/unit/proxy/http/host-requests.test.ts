import { expect, it } from 'vitest';
import { TimerWheel } from '../../../../src/base/timer-wheel.ts';
import type { RouteConfig, VirtualHost } from '../../../../src/model/route.ts';
import { type HostLimits, HostRequests } from '../../../../src/proxy/http/host-requests.ts';
import { compileRouteTable, type RouteTable } from '../../../../src/proxy/router/table.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { manualClock } from '../../../support/clock.ts';
import { deps, routeConfig, virtualHost } from '../router/fixtures.ts';

const FALLBACK = virtualHost('rest', ['*'], { fallback: true });

function rig(limits: HostLimits = {}) {
  const clock = manualClock();
  const stats = new StatStore();
  const requests = new HostRequests(clock, new TimerWheel(clock), stats, limits);
  const asked: string[][] = [];
  const source = { connected: true, ask: (names: ReadonlySet<string>) => void asked.push([...names]) };
  const tableOf = (hosts: readonly VirtualHost[], before: RouteTable | null): RouteTable => {
    const base = before?.config.base ?? routeConfig([], { name: '80', discoversHosts: true });
    const config: RouteConfig = { ...base, virtualHosts: [...hosts, FALLBACK], base };
    return compileRouteTable(config, deps(), before);
  };
  const holder = { table: tableOf([], null) };
  requests.follow(source, new Map([['80', holder]]));
  const waits = (authority: string) => {
    const waiter = {
      generation: 1,
      answers: 0,
      hostAnswered() {
        waiter.answers++;
      },
    };
    return { waiter, held: requests.wait(holder.table, authority, waiter) };
  };
  const set = (...hosts: VirtualHost[]): void => {
    holder.table = tableOf(hosts, holder.table);
    requests.tablesChanged();
  };
  const turn = (): Promise<void> => Promise.resolve();
  return { clock, stats, requests, asked, source, holder, waits, set, turn };
}

const A = virtualHost('a', ['a', 'a:80']);

it('asks once for what many wait for, and lets them go on when the host is there', async () => {
  const { asked, waits, set, turn, holder } = rig();
  const first = waits('A:80');
  const second = waits('a:80');
  expect([first.held, second.held]).toEqual([true, true]);
  await turn();
  expect(asked).toEqual([['80/a:80']]);
  expect(first.waiter.answers).toBe(0);
  set(A);
  expect([first.waiter.answers, second.waiter.answers]).toEqual([1, 1]);
  expect(holder.table.lacks('a:80')).toBe(false);
});

it('does not wake a stream that is at another request', () => {
  const { waits, set } = rig();
  const { waiter } = waits('a');
  waiter.generation++;
  set(A);
  expect(waiter.answers).toBe(0);
});

it('remembers that there is no such host, for a while', async () => {
  const { clock, asked, requests, waits, turn } = rig({ absentMs: 60_000 });
  const { waiter } = waits('nobody');
  await turn();
  requests.absent(['80/nobody']);
  expect(waiter.answers).toBe(1);
  expect(waits('nobody').held).toBe(false);
  clock.advance(90_000);
  await turn();
  expect(asked.at(-1)).toEqual([]);
  expect(waits('nobody').held).toBe(true);
});

it('does not wait longer than it may, and takes the host when it comes late', () => {
  const { clock, waits, set, stats } = rig({ waitMs: 500 });
  const { waiter } = waits('a');
  clock.advance(510);
  expect(waiter.answers).toBe(1);
  expect(waits('a').held).toBe(false);
  set(A);
  expect(waiter.answers).toBe(1);
  expect([...stats.series()].some(({ dotted }) => dotted === 'on_demand.timeout')).toBe(true);
});

it('does not wait for a server that is away, but asks', async () => {
  const { source, asked, waits, turn } = rig();
  source.connected = false;
  expect(waits('a').held).toBe(false);
  await turn();
  expect(asked).toEqual([['80/a']]);
});

it('bounds what waits and what is remembered, and does not ask for what is no host', () => {
  const { waits, requests } = rig({ maxWaiting: 2, maxHosts: 3 });
  expect(waits('a/b').held).toBe(false);
  expect(waits('').held).toBe(false);
  expect(waits('x'.repeat(400)).held).toBe(false);
  expect([waits('a').held, waits('b').held, waits('c').held]).toEqual([true, true, false]);
  expect(waits('d').held).toBe(false);
  requests.absent(['80/a']);
  expect(waits('d').held).toBe(true);
});

it('lets go of hosts that nobody calls, and of no others', async () => {
  const { clock, asked, holder, requests, waits, set, turn } = rig({ idleMs: 120_000 });
  waits('a');
  waits('b');
  set(A, virtualHost('b', ['b']));
  await turn();
  const use = (name: string) => holder.table.hostIndex.find(name)!.use!;
  for (let i = 0; i < 6; i++) {
    use('a').seen = true;
    clock.advance(30_000);
  }
  await turn();
  expect(asked.at(-1)).toEqual(['80/a']);
  requests.close();
});

it('keeps what an earlier process asked for', async () => {
  const { asked, requests, turn } = rig();
  requests.restore(['80/a:80']);
  await turn();
  expect(asked).toEqual([['80/a:80']]);
});
