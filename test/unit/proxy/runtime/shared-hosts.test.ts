import { expect, it, vi } from 'vitest';
import { TimerWheel } from '../../../../src/base/timer-wheel.ts';
import type { RouteConfig, VirtualHost } from '../../../../src/model/route.ts';
import { type HostLimits, HostRequests } from '../../../../src/proxy/http/host-requests.ts';
import { SharedHosts } from '../../../../src/proxy/runtime/shared-hosts.ts';
import type { UsedHost } from '../../../../src/proxy/runtime/worker-protocol.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';
import { manualClock } from '../../../support/clock.ts';
import { routeConfig, virtualHost } from '../router/fixtures.ts';

const FALLBACK = virtualHost('rest', ['*'], { fallback: true });
const A = virtualHost('a', ['a', 'a:80']);
const WANTED = { routes: '80', host: 'a' };

function rig(limits: HostLimits = {}) {
  const clock = manualClock();
  const requests = new HostRequests(clock, new TimerWheel(clock), new StatStore(), limits);
  const asked: string[][] = [];
  const source = { connected: true, ask: (names: ReadonlySet<string>) => void asked.push([...names]) };
  /** What each of the workers has used. */
  let used: UsedHost[][] = [[], []];
  const forgotten: string[] = [];
  const shared = new SharedHosts(requests, {
    usedHosts: async () => {
      const said = used;
      used = [[], []];
      return said;
    },
    forgetHosts: (names) => void forgotten.push(...names),
  });
  requests.follow(source, shared, shared);
  const routesOf = (...hosts: VirtualHost[]): ReadonlyMap<string, RouteConfig> =>
    new Map([['80', routeConfig([...hosts, FALLBACK], { name: '80', discoversHosts: true })]]);
  const set = (...hosts: VirtualHost[]): void => {
    const routes = routesOf(...hosts);
    shared.tell(routes);
    shared.update(routes);
  };
  set();
  /** Of one worker. */
  const uses = (worker: number, name: string): void => void used[worker]!.push({ routes: '80', name });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { clock, requests, shared, source, asked, routesOf, set, uses, forgotten, turn };
}

it('asks once for what several workers wait for, and answers all when all have it', async () => {
  const { shared, asked, set, turn } = rig();
  const both = [shared.ask(WANTED), shared.ask(WANTED)];
  await turn();
  expect(asked).toEqual([['80/a']]);
  set(A);
  expect(await Promise.all(both)).toEqual(['go on', 'go on']);
  expect(asked).toHaveLength(1);
});

it('tells all who wait that there is none, and at once who asks later', async () => {
  const { clock, shared, requests, asked, forgotten, turn } = rig({ absentMs: 60_000 });
  const first = shared.ask(WANTED);
  await turn();
  requests.absent(['80/a']);
  expect(await first).toBe('absent');
  expect(shared.ask(WANTED)).toBe('absent');
  expect(asked).toHaveLength(1);
  for (let i = 0; i < 3; i++) {
    clock.advance(30_000);
    await turn();
  }
  expect(forgotten).toEqual(['80/a']);
  expect(shared.ask(WANTED)).toBeInstanceOf(Promise);
});

it('what is forgotten to make room is told too', async () => {
  const { shared, requests, forgotten, turn } = rig({ maxHosts: 1 });
  void shared.ask(WANTED);
  requests.absent(['80/a']);
  void shared.ask({ routes: '80', host: 'b' });
  await turn();
  expect(forgotten).toEqual(['80/a']);
  // There is no room for one more: nothing that could be remembered.
  expect(shared.ask({ routes: '80', host: 'c' })).toBe('go on');
});

it('does not have workers wait for a server that is away, or longer than they may', async () => {
  const { clock, shared, source } = rig({ waitMs: 500 });
  source.connected = false;
  expect(shared.ask(WANTED)).toBe('absent');
  source.connected = true;
  const late = shared.ask({ routes: '80', host: 'b' });
  clock.advance(510);
  expect(await late).toBe('absent');
});

it('lets go of hosts that no worker uses, and of no others', async () => {
  const { clock, shared, asked, set, uses, turn } = rig({ idleMs: 120_000 });
  void shared.ask(WANTED);
  void shared.ask({ routes: '80', host: 'b' });
  void shared.ask({ routes: '80', host: 'c' });
  set(A, virtualHost('b', ['b']), virtualHost('c', ['c']));
  await turn();
  for (let i = 0; i < 6; i++) {
    // Now one, now the other; and what is not there does no harm.
    uses(i % 2, 'a');
    uses(0, 'b');
    uses(1, 'gone');
    clock.advance(30_000);
    await turn();
  }
  expect(asked.at(-1)).toEqual(['80/a', '80/b']);
  for (let i = 0; i < 6; i++) {
    uses(1, 'b');
    clock.advance(30_000);
    await turn();
  }
  expect(asked.at(-1)).toEqual(['80/b']);
});

it('has a worker wait that does not have a host any more, though others have it still', async () => {
  const { shared, asked, routesOf, turn } = rig();
  const withIt = routesOf(A);
  const without = routesOf();
  shared.tell(withIt);
  shared.tell(without);
  // The first is in force in all, the second in one, which asks.
  const answer = shared.ask(WANTED);
  const settled = vi.fn();
  void Promise.resolve(answer).then(settled);
  shared.update(withIt);
  await turn();
  expect(settled).not.toHaveBeenCalled();
  expect(asked).toEqual([['80/a']]);
  shared.update(without);
  const again = routesOf(A);
  shared.tell(again);
  await turn();
  expect(settled).not.toHaveBeenCalled();
  shared.update(again);
  expect(await answer).toBe('go on');
});

it('indexes hosts of a config once', () => {
  const { shared, routesOf } = rig();
  const routes = routesOf(A);
  shared.tell(routes);
  shared.update(routes);
  const before = shared.get('80')!.table;
  shared.update(new Map(routes));
  expect(shared.get('80')!.table).toBe(before);
  shared.update(new Map());
  expect(shared.get('80')).toBeUndefined();
});
