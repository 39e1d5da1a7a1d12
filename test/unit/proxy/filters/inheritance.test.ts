import { describe, expect, it } from 'vitest';
import type { PerFilterConfig, Route, RouteConfig } from '../../../../src/model/route.ts';
import { compileChain } from '../../../../src/proxy/filters/chain.ts';
import { fault } from '../../../../src/proxy/filters/fault/fault.ts';
import { FilterResult, type HttpFilter } from '../../../../src/proxy/filters/filter.ts';
import { inheritFilters, inheritRoutes } from '../../../../src/proxy/filters/inheritance.ts';
import { localRateLimit } from '../../../../src/proxy/filters/local-rate-limit/local-rate-limit.ts';
import { HTTPFault } from '../../../../src/xds/proto/gen/envoy/extensions/filters/http/fault/v3.ts';
import { LocalRateLimit } from '../../../../src/xds/proto/gen/envoy/extensions/filters/http/local_ratelimit/v3.ts';
import { context, decoded, FakeStream, percent, stat } from './support.ts';

/** Says whose place it took. */
class Tagged {
  readonly tag: string;
  from = '';
  constructor(tag: string) {
    this.tag = tag;
  }
  inherit(previous: unknown): void {
    this.from = (previous as Tagged).tag;
  }
}

const configs = (config: unknown): PerFilterConfig => new Map([['f', { config, disabled: false }]]);

function route(name: string, prefix: string, config: unknown, weighted: Record<string, unknown> = {}): Route {
  const clusters = Object.entries(weighted).map(([cluster, own]) => ({ name: cluster, perFilterConfig: configs(own) }));
  return {
    name,
    match: { path: { kind: 'prefix', value: prefix } },
    perFilterConfig: config === null ? new Map() : configs(config),
    action: { kind: 'forward', cluster: { kind: 'weighted', clusters } },
  } as unknown as Route;
}

function table(routes: readonly Route[], config: unknown = null): RouteConfig {
  const virtualHosts = [{ name: 'all', perFilterConfig: configs(config), routes }];
  return { name: 't', perFilterConfig: configs(config), virtualHosts } as unknown as RouteConfig;
}

describe('the configs of routes', () => {
  it('follow the route that matches the same, wherever it moved', () => {
    const previous = table([route('', '/a', new Tagged('a')), route('', '/b', new Tagged('b'))]);
    const [b, c, a] = [new Tagged('b2'), new Tagged('c2'), new Tagged('a2')];
    inheritRoutes(table([route('', '/b', b), route('x', '/c', c), route('', '/a', a)]), previous);
    expect([b.from, c.from, a.from]).toEqual(['b', '', 'a']);
  });

  it('follow a route whose match was edited by its name, and one each', () => {
    const previous = table([route('one', '/a', new Tagged('one')), route('two', '/a', new Tagged('two'))]);
    const [first, second] = [new Tagged(''), new Tagged('')];
    inheritRoutes(table([route('two', '/z', first), route('two', '/y', second)]), previous);
    expect([first.from, second.from]).toEqual(['two', '']);
  });

  it('are those of the table, the virtual host and weighted clusters too', () => {
    const previous = table([route('r', '/', null, { v1: new Tagged('v1'), v2: new Tagged('v2') })], new Tagged('host'));
    const [host, v2] = [new Tagged(''), new Tagged('')];
    inheritRoutes(table([route('r', '/', null, { v2 })], host), previous);
    expect([host.from, v2.from]).toEqual(['host', 'v2']);
  });

  it('may be anything, and be shared by both tables', () => {
    const shared = new Tagged('shared');
    const previous = table([route('', '/', { plain: 1 }), route('s', '/s', shared)], null);
    expect(() =>
      inheritRoutes(table([route('', '/', null), route('s', '/s', shared)], 'text'), previous),
    ).not.toThrow();
    expect(shared.from).toBe('');
  });
});

describe('the filters of a chain', () => {
  const chain = (...filters: [string, HttpFilter][]) =>
    compileChain(filters.map(([name, filter]) => ({ name, filter, disabled: false })));
  const limit = (max: number, ctx = context()) =>
    localRateLimit.create(
      decoded(localRateLimit, LocalRateLimit, {
        statPrefix: 'rl',
        tokenBucket: { maxTokens: max, fillInterval: '60s' },
        filterEnabled: { defaultValue: percent(100) },
        filterEnforced: { defaultValue: percent(100) },
      }).config,
      ctx,
    );

  it('keep their tokens while the bucket is the same, and start anew when it is not', () => {
    const ctx = context();
    const [before, same, other, stranger] = [limit(1, ctx), limit(1, ctx), limit(2, ctx), limit(1, ctx)];
    expect(before.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    const previous = chain(['limit', before]);
    const next = chain(['new', {}], ['limit', same], ['other', stranger]);
    inheritFilters(next, previous);
    inheritFilters(chain(['limit', other]), previous);
    expect(same.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Replied);
    expect(other.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    expect(stranger.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
  });

  it('go on counting the faults that are active', () => {
    const ctx = context();
    const make = () =>
      fault.create(
        decoded(fault, HTTPFault, { delay: { fixedDelay: '9s', percentage: percent(100) }, maxActiveFaults: 1 }).config,
        ctx,
      );
    const [before, after] = [make(), make()];
    const first = new FakeStream();
    expect(before.onRequestHead!(first, null)).toBe(FilterResult.Wait);
    inheritFilters(chain(['fault', after]), chain(['fault', before]));
    expect(after.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    before.onEnd!(first);
    expect(stat(ctx.stats, 'http.in.fault.active_faults')).toBe(0);
    expect(after.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Wait);
  });
});
