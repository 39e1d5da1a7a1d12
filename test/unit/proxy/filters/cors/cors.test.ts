import { describe, expect, it } from 'vitest';
import { cors } from '../../../../../src/proxy/filters/cors/cors.ts';
import { FilterResult } from '../../../../../src/proxy/filters/filter.ts';
import { CorsPolicy } from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/cors/v3.ts';
import { context, FakeStream, percent, route, stat } from '../support.ts';

const POLICY = {
  allowOriginStringMatch: [{ exact: 'https://shop.example' }, { suffix: '.trusted.example' }],
  allowMethods: 'GET,POST',
  allowHeaders: 'x-a',
  exposeHeaders: 'x-b',
  maxAge: '600',
  allowCredentials: true,
};

function run(policy: object | null, headers: Record<string, string>, method = 'GET') {
  const ctx = context();
  const filter = cors.create(null, ctx);
  const config = policy === null ? null : route(cors, CorsPolicy, policy);
  const stream = new FakeStream(headers, method);
  const result = filter.onRequestHead!(stream, config);
  filter.onResponseHead!(stream, config);
  return { ctx, stream, result, answer: Object.fromEntries(stream.response.headers.entries()) };
}

const preflight = (origin: string, extra = {}) => ({ origin, 'access-control-request-method': 'POST', ...extra });

describe('a cross-origin request', () => {
  it('is granted to an allowed origin', () => {
    const { answer, result, ctx } = run(POLICY, { origin: 'https://a.trusted.example' });
    expect(result).toBe(FilterResult.Next);
    expect(answer).toEqual({
      'access-control-allow-origin': 'https://a.trusted.example',
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'x-b',
    });
    expect(stat(ctx.stats, 'http.in.cors.origin_valid')).toBe(1);
  });

  it('is not granted to another, but goes on', () => {
    const { answer, result, ctx } = run(POLICY, { origin: 'https://evil.example' });
    expect(result).toBe(FilterResult.Next);
    expect(answer).toEqual({});
    expect(stat(ctx.stats, 'http.in.cors.origin_invalid')).toBe(1);
  });

  it('is left alone without an origin or a policy', () => {
    expect(run(POLICY, {}).answer).toEqual({});
    expect(run(null, { origin: 'https://shop.example' }).answer).toEqual({});
  });

  it('is granted to anybody by "*"', () => {
    const { answer } = run({ allowOriginStringMatch: [{ exact: '*' }] }, { origin: 'https://x.example' });
    expect(answer).toEqual({ 'access-control-allow-origin': 'https://x.example' });
  });

  it('replaces what the service itself said', () => {
    const ctx = context();
    const filter = cors.create(null, ctx);
    const config = route(cors, CorsPolicy, POLICY);
    const stream = new FakeStream({ origin: 'https://shop.example' });
    filter.onRequestHead!(stream, config);
    stream.response.headers.add('Access-Control-Allow-Origin', '*');
    filter.onResponseHead!(stream, config);
    expect(stream.response.headers.getJoined('access-control-allow-origin')).toBe('https://shop.example');
  });
});

describe('a preflight', () => {
  it('is answered without the service, with no body and no reason', () => {
    const { stream, result, answer } = run(POLICY, preflight('https://shop.example'), 'OPTIONS');
    expect(result).toBe(FilterResult.Replied);
    expect(stream.lastReply).toEqual({
      status: 200,
      body: '',
      details: 'cors_response',
      flags: 0,
      reason: '',
      headers: [
        ['access-control-allow-methods', 'GET,POST'],
        ['access-control-allow-headers', 'x-a'],
        ['access-control-max-age', '600'],
      ],
    });
    expect(answer['access-control-allow-origin']).toBe('https://shop.example');
  });

  it('is an OPTIONS request with access-control-request-method, nothing less', () => {
    expect(run(POLICY, { origin: 'https://shop.example' }, 'OPTIONS').result).toBe(FilterResult.Next);
    expect(run(POLICY, preflight('https://shop.example'), 'GET').result).toBe(FilterResult.Next);
  });

  it('from a stranger goes to the service, unless it is not to be forwarded', () => {
    expect(run(POLICY, preflight('https://evil.example'), 'OPTIONS').result).toBe(FilterResult.Next);
    const held = run({ ...POLICY, forwardNotMatchingPreflights: false }, preflight('https://evil.example'), 'OPTIONS');
    expect(held.stream.lastReply).toMatchObject({ status: 200, headers: [] });
    expect(held.answer).toEqual({});
  });

  it('may ask for a private network', () => {
    const headers = preflight('https://shop.example', { 'access-control-request-private-network': 'true' });
    const { stream } = run({ ...POLICY, allowPrivateNetworkAccess: true }, headers, 'OPTIONS');
    expect(stream.lastReply!.headers).toContainEqual(['access-control-allow-private-network', 'true']);
    expect(run(POLICY, headers, 'OPTIONS').stream.lastReply!.headers).not.toContainEqual([
      'access-control-allow-private-network',
      'true',
    ]);
  });
});

describe('a policy that is not enabled', () => {
  const off = { ...POLICY, filterEnabled: { defaultValue: percent(0) } };

  it('does nothing', () => {
    const { answer, ctx } = run(off, { origin: 'https://shop.example' });
    expect(answer).toEqual({});
    expect(stat(ctx.stats, 'http.in.cors.origin_valid')).toBe(0);
  });

  it('only counts in shadow', () => {
    const shadow = { ...off, shadowEnabled: { defaultValue: percent(100) } };
    const { answer, result, ctx } = run(shadow, preflight('https://shop.example'), 'OPTIONS');
    expect(result).toBe(FilterResult.Next);
    expect(answer).toEqual({});
    expect(stat(ctx.stats, 'http.in.cors.origin_valid')).toBe(1);
  });
});

it('says whose preflights it answers', () => {
  const filter = cors.create(null, context());
  expect(filter.describe!(null)).toBeNull();
  expect(filter.describe!(route(cors, CorsPolicy, POLICY))).toEqual({
    says: 'answers preflights for 2 patterns of origins, GET,POST',
    fault: null,
  });
});
