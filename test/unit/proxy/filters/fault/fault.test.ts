import { describe, expect, it } from 'vitest';
import { fault } from '../../../../../src/proxy/filters/fault/fault.ts';
import { FilterResult } from '../../../../../src/proxy/filters/filter.ts';
import { ResponseFlag } from '../../../../../src/proxy/telemetry/response-flags.ts';
import { HTTPFault } from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/fault/v3.ts';
import { context, decoded, FakeStream, percent, route, stat } from '../support.ts';

const DELAY = { fixedDelay: '2s', percentage: percent(100) };
const ABORT = { httpStatus: 503, percentage: percent(100) };

function filter(json: object, overrides: Parameters<typeof context>[0] = {}) {
  const ctx = context(overrides);
  const { config, problems } = decoded(fault, HTTPFault, json);
  expect(problems).toEqual([]);
  return { ctx, filter: fault.create(config, ctx) };
}

describe('abort', () => {
  it('answers in place of the service, with flag, detail and reason', () => {
    const { filter: f, ctx } = filter({ abort: ABORT });
    const stream = new FakeStream();
    expect(f.onRequestHead!(stream, null)).toBe(FilterResult.Replied);
    expect(stream.lastReply).toMatchObject({
      status: 503,
      body: 'fault filter abort',
      details: 'fault_filter_abort',
      flags: ResponseFlag.FaultInjected,
    });
    expect(stream.lastReply!.reason).toContain('Fault injection');
    expect(stat(ctx.stats, 'http.in.fault.aborts_injected')).toBe(1);
    expect(stat(ctx.stats, 'http.in.fault.active_faults')).toBe(1);
    f.onEnd!(stream);
    f.onEnd!(stream);
    expect(stat(ctx.stats, 'http.in.fault.active_faults')).toBe(0);
  });

  it('answers gRPC callers with their own status', () => {
    const stream = new FakeStream();
    filter({ abort: { grpcStatus: 14, percentage: percent(100) } }).filter.onRequestHead!(stream, null);
    expect(stream.lastReply).toMatchObject({ status: 200, grpcStatus: 14 });
  });

  it.each([
    [percent(0), 0, 0],
    [percent(30), 0.27, 0.33],
    [percent(30, 'TEN_THOUSAND'), 0.001, 0.006],
    [percent(100), 1, 1],
  ])('hits the share %j of requests', (percentage, least, most) => {
    const { filter: f } = filter({ abort: { httpStatus: 500, percentage } });
    let hits = 0;
    for (let i = 0; i < 5000; i++) {
      if (f.onRequestHead!(new FakeStream(), null) === FilterResult.Replied) hits++;
    }
    expect(hits / 5000).toBeGreaterThanOrEqual(least);
    expect(hits / 5000).toBeLessThanOrEqual(most);
  });

  it('takes share and status from the runtime where it has them', () => {
    const off = filter({ abort: ABORT }, { runtime: { 'fault.http.abort.abort_percent': 0 } });
    expect(off.filter.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    const own = filter({ abort: ABORT, abortHttpStatusRuntime: 'mine' }, { runtime: { mine: 418 } });
    const stream = new FakeStream();
    own.filter.onRequestHead!(stream, null);
    expect(stream.lastReply!.status).toBe(418);
  });

  it('is asked for by headers when configured so, up to the configured share', () => {
    const { filter: f } = filter({ abort: { headerAbort: {}, percentage: percent(100) } });
    const ask = (headers: Record<string, string>) => {
      const stream = new FakeStream(headers);
      f.onRequestHead!(stream, null);
      return stream.lastReply;
    };
    expect(ask({})).toBeUndefined();
    expect(ask({ 'x-envoy-fault-abort-request': '504' })!.status).toBe(504);
    expect(ask({ 'x-envoy-fault-abort-request': '700' })).toBeUndefined();
    expect(ask({ 'x-envoy-fault-abort-request': 'no' })).toBeUndefined();
    expect(ask({ 'x-envoy-fault-abort-grpc-request': '8' })!.grpcStatus).toBe(8);
    const none = { 'x-envoy-fault-abort-request': '504', 'x-envoy-fault-abort-request-percentage': '0' };
    expect(ask(none)).toBeUndefined();
  });

  it('counts a percentage header in the units of the configured denominator', () => {
    const { filter: f } = filter({ abort: { headerAbort: {}, percentage: percent(10_000, 'TEN_THOUSAND') } });
    let hits = 0;
    for (let i = 0; i < 4000; i++) {
      const headers = { 'x-envoy-fault-abort-request': '504', 'x-envoy-fault-abort-request-percentage': '50' };
      if (f.onRequestHead!(new FakeStream(headers), null) === FilterResult.Replied) hits++;
    }
    // 50 of 10,000, not of 100.
    expect(hits).toBeLessThan(60);
  });
});

describe('delay', () => {
  it('holds the request and lets it go on afterwards', () => {
    const { filter: f, ctx } = filter({ delay: DELAY });
    const stream = new FakeStream();
    expect(f.onRequestHead!(stream, null)).toBe(FilterResult.Wait);
    expect(stream.info.flags).toBe(ResponseFlag.DelayInjected);
    ctx.clock.advance(1990);
    expect(stream.resumed).toBe(0);
    ctx.clock.advance(20);
    expect(stream.resumed).toBe(1);
    expect(stat(ctx.stats, 'http.in.fault.delays_injected')).toBe(1);
    f.onEnd!(stream);
    expect(stat(ctx.stats, 'http.in.fault.active_faults')).toBe(0);
    expect(ctx.clock.pending).toBe(0);
  });

  it('may be followed by an abort, which counts as the same active fault', () => {
    const { filter: f, ctx } = filter({ delay: DELAY, abort: ABORT });
    const stream = new FakeStream();
    expect(f.onRequestHead!(stream, null)).toBe(FilterResult.Wait);
    ctx.clock.advance(2010);
    expect(stream.resumed).toBe(0);
    expect(stream.lastReply!.status).toBe(503);
    expect(stream.info.flags).toBe(ResponseFlag.DelayInjected | ResponseFlag.FaultInjected);
    expect(stat(ctx.stats, 'http.in.fault.active_faults')).toBe(1);
  });

  it('is forgotten when the client goes away', () => {
    const { filter: f, ctx } = filter({ delay: DELAY });
    const stream = new FakeStream();
    f.onRequestHead!(stream, null);
    f.onEnd!(stream);
    ctx.clock.advance(5000);
    expect(stream.resumed).toBe(0);
    expect(ctx.clock.pending).toBe(0);
  });

  it('is asked for by a header when configured so', () => {
    const { filter: f, ctx } = filter({ delay: { headerDelay: {}, percentage: percent(100) } });
    expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    const stream = new FakeStream({ 'x-envoy-fault-delay-request': '300' });
    expect(f.onRequestHead!(stream, null)).toBe(FilterResult.Wait);
    ctx.clock.advance(310);
    expect(stream.resumed).toBe(1);
    const never = { 'x-envoy-fault-delay-request': '300', 'x-envoy-fault-delay-request-percentage': '0' };
    expect(f.onRequestHead!(new FakeStream(never), null)).toBe(FilterResult.Next);
  });
});

describe('whom it hits', () => {
  it('only requests with all the headers', () => {
    const { filter: f } = filter({
      abort: ABORT,
      headers: [
        { name: 'end-user', stringMatch: { exact: 'jason' } },
        { name: 'x-canary', presentMatch: true },
      ],
    });
    expect(f.onRequestHead!(new FakeStream({ 'End-User': 'jason' }), null)).toBe(FilterResult.Next);
    expect(f.onRequestHead!(new FakeStream({ 'End-User': 'jason', 'X-Canary': '' }), null)).toBe(FilterResult.Replied);
  });

  it('only the named downstream nodes', () => {
    const { filter: f } = filter({ abort: ABORT, downstreamNodes: ['n1'] });
    expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    expect(f.onRequestHead!(new FakeStream({ 'x-envoy-downstream-service-node': 'n1' }), null)).toBe(
      FilterResult.Replied,
    );
  });

  it('no more at a time than max_active_faults', () => {
    const { filter: f, ctx } = filter({ delay: DELAY, maxActiveFaults: 1 });
    const first = new FakeStream();
    expect(f.onRequestHead!(first, null)).toBe(FilterResult.Wait);
    expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Next);
    expect(stat(ctx.stats, 'http.in.fault.faults_overflow')).toBe(1);
    f.onEnd!(first);
    expect(f.onRequestHead!(new FakeStream(), null)).toBe(FilterResult.Wait);
  });

  it('what the route says, in place of the filter’s own config', () => {
    const { filter: f } = filter({ abort: ABORT });
    const own = route(fault, HTTPFault, { abort: { httpStatus: 500, percentage: percent(100) } });
    const stream = new FakeStream();
    f.onRequestHead!(stream, own);
    expect(stream.lastReply!.status).toBe(500);
    expect(f.onRequestHead!(new FakeStream(), route(fault, HTTPFault, {}))).toBe(FilterResult.Next);
  });
});

describe('decoding', () => {
  it('refuses what would hit too much, and says what has no effect', () => {
    const result = decoded(fault, HTTPFault, {
      upstreamCluster: 'x',
      responseRateLimit: { fixedLimit: { limitKbps: 1 }, percentage: percent(1) },
      headers: [{ name: 'a', stringMatch: { safeRegex: { regex: '(' } } }],
    });
    expect(result.problems).toEqual(['c.upstream_cluster', 'c.headers[0].string_match.safe_regex.regex']);
    expect(result.warnings).toEqual(['c.response_rate_limit']);
  });

  it('never throws on a per-route config with a broken regex', () => {
    expect(() =>
      route(fault, HTTPFault, { headers: [{ name: 'a', stringMatch: { safeRegex: { regex: '(' } } }] }),
    ).toThrow(/RE2/);
  });
});

describe('what it says of itself', () => {
  const twice = { delay: { fixedDelay: '2s', percentage: percent(50) }, abort: ABORT };

  it('is its numbers, of the route where that has some', () => {
    expect(filter(twice).filter.describe!(null)).toEqual({
      says: 'delays 50 % of requests by 2 s, answers 100 % of requests with 503',
      fault: { delayMs: 2000, delayPercent: 50, abort: '503', abortPercent: 100 },
    });
    expect(filter(twice).filter.describe!(route(fault, HTTPFault, { delay: DELAY }))!.says).toBe(
      'delays 100 % of requests by 2 s',
    );
    expect(filter({}).filter.describe!(null)).toBeNull();
  });

  it('promises nothing of requests whose headers decide', () => {
    expect(filter({ abort: ABORT, headers: [{ name: 'a', presentMatch: true }] }).filter.describe!(null)).toEqual({
      says: 'answers 100 % of requests with 503, where its headers match',
      fault: null,
    });
  });
});
