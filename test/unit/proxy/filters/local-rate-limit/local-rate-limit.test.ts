import { describe, expect, it } from 'vitest';
import { FilterResult } from '../../../../../src/proxy/filters/filter.ts';
import { localRateLimit } from '../../../../../src/proxy/filters/local-rate-limit/local-rate-limit.ts';
import { ResponseFlag } from '../../../../../src/proxy/telemetry/response-flags.ts';
import { LocalRateLimit } from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/local_ratelimit/v3.ts';
import { context, decoded, FakeStream, percent, route, stat } from '../support.ts';

const ALWAYS = { defaultValue: percent(100) };
const LIMIT = {
  statPrefix: 'rl',
  tokenBucket: { maxTokens: 2, tokensPerFill: 2, fillInterval: '1s' },
  filterEnabled: ALWAYS,
  filterEnforced: ALWAYS,
};

function filter(json: object, overrides: Parameters<typeof context>[0] = {}) {
  const ctx = context(overrides);
  const result = decoded(localRateLimit, LocalRateLimit, json);
  expect(result.problems).toEqual([]);
  return { ctx, filter: localRateLimit.create(result.config, ctx) };
}

describe('local rate limit', () => {
  it('lets as many requests through as there are tokens, and refuses the rest with a reason', () => {
    const { filter: f, ctx } = filter(LIMIT);
    expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    const stream = new FakeStream();
    expect(f.onRequestHead!(stream, null)).toBe(FilterResult.Replied);
    expect(stream.lastReply).toMatchObject({
      status: 429,
      body: 'local_rate_limited',
      details: 'local_rate_limited',
      flags: ResponseFlag.RateLimited,
    });
    expect(stream.lastReply!.reason).toBe(
      'Local rate limit "rl": 2 requests every 1 s, at most 2 at once, in this proxy.',
    );
    ctx.clock.advance(1000);
    expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    const counts = ['enabled', 'ok', 'rate_limited', 'enforced'].map((n) =>
      stat(ctx.stats, `rl.http_local_rate_limit.${n}`),
    );
    expect(counts).toEqual([4, 3, 1, 1]);
  });

  it('is off until it is enabled, and only counts until it is enforced', () => {
    const off = filter({ ...LIMIT, filterEnabled: undefined });
    for (let i = 0; i < 9; i++) expect(off.filter.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    expect(stat(off.ctx.stats, 'rl.http_local_rate_limit.enabled')).toBeUndefined();

    const { filter: f, ctx } = filter({
      ...LIMIT,
      filterEnforced: undefined,
      requestHeadersToAddWhenNotEnforced: [{ header: { key: 'x-over', value: '%REQ(:METHOD)%' } }],
    });
    const streams = [new FakeStream(), new FakeStream(), new FakeStream()];
    for (const stream of streams) expect(f.onRequestHead!(stream, null)).toBe(FilterResult.Next);
    expect(streams.map((stream) => stream.headers.get('x-over'))).toEqual([undefined, undefined, 'GET']);
    expect(stat(ctx.stats, 'rl.http_local_rate_limit.rate_limited')).toBe(1);
  });

  it('takes its shares from the runtime where it has them', () => {
    const runtime = { runtimeKey: 'rl.enforced', defaultValue: percent(100) };
    const { filter: f } = filter({ ...LIMIT, filterEnforced: runtime }, { runtime: { 'rl.enforced': 0 } });
    for (let i = 0; i < 9; i++) expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
  });

  it('answers with its own status and headers; a status below 400 is 429', () => {
    const spent = { ...LIMIT.tokenBucket, maxTokens: 1 };
    const answer = (json: object) => {
      const { filter: f } = filter({ ...LIMIT, tokenBucket: spent, ...json });
      f.onRequestHead!(new FakeStream(), null);
      const stream = new FakeStream();
      f.onRequestHead!(stream, null);
      return stream.lastReply!;
    };
    expect(answer({ status: { code: 'ServiceUnavailable' } }).status).toBe(503);
    expect(answer({ status: { code: 'OK' } }).status).toBe(429);
    expect(answer({ rateLimitedAsResourceExhausted: true }).grpcStatus).toBe(8);
    expect(
      answer({ responseHeadersToAdd: [{ header: { key: 'X-Limited', value: 'by %PROTOCOL%' } }] }).headers,
    ).toEqual([['X-Limited', 'by HTTP/1.1']]);
  });

  it('tells callers where they stand when asked to', () => {
    const { filter: f, ctx } = filter({
      ...LIMIT,
      tokenBucket: { maxTokens: 2, tokensPerFill: 2, fillInterval: '10s' },
      enableXRatelimitHeaders: 'DRAFT_VERSION_03',
    });
    const told = () => {
      const stream = new FakeStream();
      f.onRequestHead!(stream, null);
      f.onResponseHead!(stream, null);
      return ['limit', 'remaining', 'reset'].map((n) => stream.response.headers.get(`x-ratelimit-${n}`));
    };
    expect(told()).toEqual(['2', '1', '10']);
    ctx.clock.advance(2500);
    expect(told()).toEqual(['2', '0', '8']);
    expect(told()).toEqual(['2', '0', '8']);
    ctx.clock.advance(7500);
    expect(told()).toEqual(['2', '1', '10']);
    const quiet = filter(LIMIT).filter;
    const stream = new FakeStream();
    quiet.onRequestHead!(stream, null);
    quiet.onResponseHead!(stream, null);
    expect(stream.response.headers.size).toBe(0);
  });

  it('has a bucket for each config of a route, shared by its requests and listeners', () => {
    const own = route(localRateLimit, LocalRateLimit, { ...LIMIT, statPrefix: 'route' });
    const other = route(localRateLimit, LocalRateLimit, LIMIT);
    const ctx = context();
    const { config } = decoded(localRateLimit, LocalRateLimit, { statPrefix: 'none' });
    const [a, b] = [localRateLimit.create(config, ctx), localRateLimit.create(config, ctx)];
    expect(a.onRequestHead!(new FakeStream(), own)).toBe(FilterResult.Next);
    expect(b.onRequestHead!(new FakeStream(), own)).toBe(FilterResult.Next);
    expect(a.onRequestHead!(new FakeStream(), own)).toBe(FilterResult.Replied);
    expect(a.onRequestHead!(new FakeStream(), other)).toBe(FilterResult.Next);
    expect(a.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    expect(stat(ctx.stats, 'route.http_local_rate_limit.enforced')).toBe(1);
  });

  it('has a bucket for each connection when asked to', () => {
    const { filter: f } = filter({ ...LIMIT, localRateLimitPerDownstreamConnection: true });
    const first = new FakeStream().connection({ id: 1 });
    const second = new FakeStream().connection({ id: 2 });
    const results = [first, first, first, second].map((stream) => f.onRequestHead!(stream, null));
    expect(results).toEqual([FilterResult.Next, FilterResult.Next, FilterResult.Replied, FilterResult.Next]);
  });
});

describe('decoding', () => {
  it('refuses buckets that cannot work', () => {
    const result = decoded(localRateLimit, LocalRateLimit, {
      ...LIMIT,
      tokenBucket: { maxTokens: 1, fillInterval: '0.010s' },
    });
    expect(result.problems).toEqual(['c.token_bucket.fill_interval']);
    expect(() => route(localRateLimit, LocalRateLimit, { statPrefix: 'x' })).toThrow(/token_bucket/);
  });

  it('says what has no effect', () => {
    const result = decoded(localRateLimit, LocalRateLimit, {
      ...LIMIT,
      stage: 1,
      descriptors: [{ entries: [{ key: 'a', value: 'b' }], tokenBucket: LIMIT.tokenBucket }],
      vhRateLimits: 'INCLUDE',
      localClusterRateLimit: {},
    });
    expect(result.problems).toEqual([]);
    expect(result.warnings).toEqual(['c.descriptors', 'c.stage', 'c.vh_rate_limits', 'c.local_cluster_rate_limit']);
    const { filterEnabled: _, ...disabled } = LIMIT;
    expect(decoded(localRateLimit, LocalRateLimit, disabled).warnings).toEqual(['c.filter_enabled']);
    const { filterEnforced: __, ...unenforced } = LIMIT;
    expect(decoded(localRateLimit, LocalRateLimit, unenforced).warnings).toEqual(['c.filter_enforced']);
    expect(decoded(localRateLimit, LocalRateLimit, { statPrefix: 'x' }).warnings).toEqual([]);
  });
});

describe('what it says of itself', () => {
  const says = (json: object) => filter(json).filter.describe!(null)?.says;

  it('is rate, burst and status, or that it only counts', () => {
    expect(says(LIMIT)).toBe('admits 2 requests every 1 s, at most 2 at once; beyond that 429');
    expect(says({ ...LIMIT, localRateLimitPerDownstreamConnection: true })).toContain(' on a connection; beyond');
    expect(says({ ...LIMIT, filterEnforced: undefined })).toBe('counts beyond 2 requests every 1 s, at most 2 at once');
  });

  it('is nothing where nothing is limited, and of the route where that has a limit', () => {
    expect(says({ statPrefix: 'x' })).toBeUndefined();
    expect(says({ ...LIMIT, filterEnabled: undefined })).toBeUndefined();
    const own = route(localRateLimit, LocalRateLimit, { ...LIMIT, status: { code: 503 } });
    expect(filter({ statPrefix: 'x' }).filter.describe!(own)!.says).toMatch(/beyond that 503$/);
  });
});
