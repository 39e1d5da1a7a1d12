import { expect, test } from 'vitest';
import type { HttpFilterConfig } from '../../../../src/model/http-connection-manager.ts';
import { RequestHead } from '../../../../src/protocol/http/message.ts';
import { compileChain } from '../../../../src/proxy/filters/chain.ts';
import type { HttpFilter } from '../../../../src/proxy/filters/filter.ts';
import { UpgradeChains } from '../../../../src/proxy/http/upgrade-chains.ts';
import type { CompiledRoute } from '../../../../src/proxy/router/route.ts';

const named = (name: string): HttpFilterConfig => ({ name, kind: 'x', config: null, disabled: false });
const compile = (make: (name: string) => HttpFilter) => (filters: readonly HttpFilterConfig[]) =>
  compileChain(filters.map(({ name }) => ({ name, disabled: false, filter: make(name) })));
const UPGRADES = [
  { type: 'websocket', enabled: true, filters: [named('ws')] },
  { type: 'h2c', enabled: false, filters: [named('h2c')] },
  { type: 'connect', enabled: true, filters: [named('connect')] },
  { type: 'plain', enabled: true, filters: null },
];

function choose(method: string, upgrade: string, ofRoute: { type: string; enabled: boolean }[] | null = []) {
  const chains = new UpgradeChains(
    UPGRADES,
    compile(() => ({})),
  );
  const head = new RequestHead();
  head.method = method;
  head.upgrade = upgrade;
  const action = ofRoute === null ? { kind: 'direct' } : { kind: 'forward', config: { upgrades: ofRoute } };
  return (
    chains
      .choose(head, { action } as unknown as CompiledRoute)
      ?.filters.map(({ name }) => name)
      .join() ?? null
  );
}

test.each([
  ['an upgrade', 'GET', 'WebSocket', [], 'ws'],
  ['none', 'GET', '', [], null],
  ['one without filters of its own', 'GET', 'plain', [], null],
  ['one that is off', 'GET', 'h2c', [], null],
  ['one that the route turns on', 'GET', 'h2c', [{ type: 'h2c', enabled: true }], 'h2c'],
  ['one that the route turns off', 'GET', 'websocket', [{ type: 'websocket', enabled: false }], null],
  ['CONNECT', 'CONNECT', '', [], 'connect'],
  ['a route that forwards nothing', 'GET', 'websocket', null, 'ws'],
])('the filters of %s', (_name, method, upgrade, ofRoute, expected) => {
  expect(choose(method, upgrade, ofRoute)).toBe(expected);
});

test('filters follow those of the same upgrade', () => {
  const seen: string[] = [];
  const make = (name: string) => ({ inherit: () => seen.push(name) }) as unknown as HttpFilter;
  const next = new UpgradeChains(UPGRADES.slice(0, 2), compile(make));
  next.inherit(new UpgradeChains(UPGRADES.slice(0, 1), compile(make)));
  expect(seen).toEqual(['ws']);
  expect(next.readBodies).toBe(false);
});
