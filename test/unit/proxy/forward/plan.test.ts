import { expect, test } from 'vitest';
import type { ForwardAction, Route, VirtualHost } from '../../../../src/model/route.ts';
import { Framing, type RequestHead } from '../../../../src/protocol/http/message.ts';
import { RequestParser } from '../../../../src/protocol/http1/parser.ts';
import { ForwardPlan, fillPlan, type PlanSettings } from '../../../../src/proxy/forward/plan.ts';
import { RetryOn } from '../../../../src/proxy/forward/retry.ts';
import { compileRouteTable } from '../../../../src/proxy/router/table.ts';
import { StreamInfo } from '../../../../src/proxy/telemetry/stream-info.ts';
import { deps, fixedRandom, forward, route, routeConfig, virtualHost } from '../router/fixtures.ts';

const SETTINGS: PlanSettings = {
  suppressEnvoyHeaders: false,
  bufferLimitBytes: 1000,
  upgrades: new Set(['websocket']),
  bodyMayChange: false,
  strictHeaders: [],
  respectExpectedTimeout: false,
};
const RETRY: NonNullable<ForwardAction['retryPolicy']> = {
  retryOn: ['5xx'],
  numRetries: 2,
  perTryTimeoutMs: 100,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  retriableRequestHeaders: [],
  baseIntervalMs: 25,
  maxIntervalMs: 250,
  rateLimitedBackOff: null,
  avoidPreviousHosts: false,
  hostSelectionMaxAttempts: 1,
};

interface Asked {
  readonly action?: Partial<ForwardAction>;
  readonly route?: Partial<Route>;
  readonly host?: Partial<VirtualHost>;
  readonly settings?: Partial<PlanSettings>;
  readonly trusted?: boolean;
}

/** Fills a plan for a request whose head is `head`, at a table of one route. */
function plan(head: string, asked: Asked = {}) {
  const ignore = (): void => {};
  let request: RequestHead | null = null;
  const onHead = (read: RequestHead): void => {
    request = read;
  };
  const parser = new RequestParser({ onHead, onData: ignore, onTrailers: ignore, onEnd: ignore, onError: ignore });
  parser.execute(Buffer.from(`${head}\r\n`));
  const only = route('only', {}, { action: forward({ timeoutMs: 15_000, ...asked.action }), ...asked.route });
  const table = compileRouteTable(routeConfig([virtualHost('all', ['*'], { routes: [only], ...asked.host })]), deps());
  const context = { internal: false, tls: false, peerPresented: false, peerValidated: false };
  const found = table.match(request!, context)!;
  if (found.action.kind !== 'forward') throw new Error('not a forward');
  const info = new StreamInfo();
  info.request = request!;
  const target = found.action.targets.pick(request!, fixedRandom(0))!;
  const filled = new ForwardPlan();
  const settings = { ...SETTINGS, ...asked.settings };
  const refusal = fillPlan(filled, found, found.action, target, info, parser.notes, settings, asked.trusted ?? false);
  return { plan: filled, refusal, headers: request!.headers, request: request! };
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n';

test('timeouts and limits come from route and settings', () => {
  const { plan: filled, refusal } = plan(GET);
  expect(refusal).toBeNull();
  expect(filled).toMatchObject({
    timeoutMs: 15_000,
    perTryTimeoutMs: 0,
    perTryIdleMs: 0,
    bufferLimitBytes: 1000,
    retry: null,
    maxRetries: 0,
    framing: Framing.None,
  });
  expect(filled.expectedTimeoutLine).toBe('x-envoy-expected-rq-timeout-ms: 15000\r\n');
});

test("a retry policy is taken over; a per-try timeout that the route's would end first is ignored", () => {
  expect(plan(GET, { action: { retryPolicy: RETRY } }).plan).toMatchObject({
    maxRetries: 2,
    retryOn: RetryOn.ServerError,
    perTryTimeoutMs: 100,
    perTryIdleMs: 0,
  });
  expect(plan(GET, { action: { retryPolicy: RETRY, timeoutMs: 100 } }).plan.perTryTimeoutMs).toBe(0);
  expect(plan(GET, { action: { retryPolicy: RETRY, timeoutMs: 0 } }).plan.perTryTimeoutMs).toBe(100);
});

test('steering headers count for trusted callers only, and are consumed', () => {
  const head = `${GET}x-envoy-retry-on: reset\r\nx-envoy-max-retries: 7\r\nx-envoy-upstream-rq-timeout-ms: 500\r\n`;
  expect(plan(head).plan).toMatchObject({ retry: null, timeoutMs: 15_000 });
  const trusted = plan(head, { trusted: true });
  expect(trusted.plan).toMatchObject({ maxRetries: 7, retryOn: RetryOn.Reset, timeoutMs: 500 });
  expect(trusted.plan.expectedTimeoutLine).toBe('x-envoy-expected-rq-timeout-ms: 500\r\n');
  expect(trusted.headers.has('x-envoy-retry-on')).toBe(false);
});

test('a value that is no number steers nothing', () => {
  const { plan: filled } = plan(`${GET}x-envoy-upstream-rq-timeout-ms: -1\r\nx-envoy-max-retries: 1e9\r\n`, {
    trusted: true,
  });
  expect(filled).toMatchObject({ timeoutMs: 15_000, maxRetries: 0 });
});

test('what this proxy says of attempts and time replaces what the client said', () => {
  const { headers } = plan(`${GET}x-envoy-attempt-count: 9\r\nx-envoy-expected-rq-timeout-ms: 9\r\n`, {
    host: { includeRequestAttemptCount: true },
  });
  expect(headers.has('x-envoy-attempt-count')).toBe(false);
  expect(headers.has('x-envoy-expected-rq-timeout-ms')).toBe(false);
});

test.each([
  ['a configured token', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n', true],
  ['an unknown token', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n', false],
  ['a body', 'POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n', false],
  [
    'chunks',
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n',
    false,
  ],
  [
    'an empty body',
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n',
    true,
  ],
  ['HEAD', 'HEAD / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n', false],
])('an upgrade with %s', (_name, head, upgrade) => {
  const { plan: filled, headers } = plan(head);
  expect(filled.upgrade).toBe(upgrade);
  expect(headers.has('upgrade')).toBe(upgrade);
});

test('a route may turn an upgrade off', () => {
  const head = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n';
  expect(plan(head, { action: { upgrades: [{ type: 'websocket', enabled: false }] } }).plan.upgrade).toBe(false);
});

test('a length that a filter may change becomes chunks', () => {
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n';
  expect(plan(head).plan.framing).toBe(Framing.Length);
  expect(plan(head, { settings: { bodyMayChange: true } }).plan.framing).toBe(Framing.Chunked);
});

test('a rewritten host leaves one Host line', () => {
  const { headers, request } = plan('GET / HTTP/1.1\r\nHOST: a\r\n', {
    action: { hostRewrite: { kind: 'literal', value: 'b' } },
  });
  expect(request.authority).toBe('b');
  expect(headers.entries().filter(([name]) => name.toLowerCase() === 'host')).toEqual([['Host', 'b']]);
  expect(headers.get('x-envoy-original-host')).toBe('a');
});

test('the host that was rewritten is not named where Envoy headers are suppressed', () => {
  const { headers } = plan('GET / HTTP/1.1\r\nHost: a\r\n', {
    action: { hostRewrite: { kind: 'literal', value: 'b' } },
    settings: { suppressEnvoyHeaders: true },
  });
  expect(headers.get('host')).toBe('b');
  expect(headers.has('x-envoy-original-host')).toBe(false);
});

test.each([
  ['200m', 0, 200],
  ['1S', 0, 1000],
  ['5S', 2000, 2000],
  ['nonsense', 2000, 15_000],
])('grpc-timeout %s under a cap of %i ms is %i ms', (value, cap, ms) => {
  expect(
    plan(`${GET}grpc-timeout: ${value}\r\n`, { action: { grpcTimeout: { maxMs: cap, offsetMs: 0, legacy: false } } })
      .plan.timeoutMs,
  ).toBe(ms);
});

test.each([
  // max_stream_duration: the header alone decides, and the offset may leave no deadline at all.
  ['5S', { maxMs: 2000, offsetMs: 500, legacy: false }, 1500, '1500m'],
  ['200m', { maxMs: 0, offsetMs: 50, legacy: false }, 150, '150m'],
  ['200m', { maxMs: 0, offsetMs: 300, legacy: false }, 0, '200m'],
  ['99999999S', { maxMs: 0, offsetMs: 0, legacy: false }, 99_999_999_000, '99999999S'],
  [null, { maxMs: 2000, offsetMs: 0, legacy: false }, 15_000, undefined],
  // max_grpc_timeout: also for requests without the header, and an offset that is too much is none.
  ['5S', { maxMs: 2000, offsetMs: 500, legacy: true }, 2000, '2000m'],
  ['2S', { maxMs: 5000, offsetMs: 500, legacy: true }, 1500, '1500m'],
  ['200m', { maxMs: 0, offsetMs: 300, legacy: true }, 200, '200m'],
  [null, { maxMs: 2000, offsetMs: 0, legacy: true }, 2000, '2000m'],
  [null, { maxMs: 0, offsetMs: 0, legacy: true }, 0, undefined],
] as const)('grpc-timeout %s under %o is %i ms, and the next hop is told %s', (value, grpcTimeout, ms, told) => {
  const head = `${GET}Content-Type: application/grpc\r\n${value === null ? '' : `grpc-timeout: ${value}\r\n`}`;
  const { plan: filled, headers } = plan(head, { action: { grpcTimeout } });
  expect(filled.timeoutMs).toBe(ms);
  expect(headers.get('grpc-timeout')).toBe(told);
  expect(filled.expectedTimeoutLine).toBe(ms === 0 ? '' : `x-envoy-expected-rq-timeout-ms: ${ms}\r\n`);
});

test('max_grpc_timeout is for gRPC requests, and a steering header goes before it', () => {
  const grpcTimeout = { maxMs: 2000, offsetMs: 0, legacy: true };
  expect(plan(`${GET}grpc-timeout: 1S\r\n`, { action: { grpcTimeout } }).plan.timeoutMs).toBe(15_000);
  const head = `${GET}Content-Type: application/grpc\r\nx-envoy-upstream-rq-timeout-ms: 700\r\n`;
  const { plan: filled, headers } = plan(head, { action: { grpcTimeout }, trusted: true });
  expect(filled.timeoutMs).toBe(700);
  expect(headers.get('grpc-timeout')).toBe('700m');
});

test('x-envoy-retriable-header-names adds to the policy, and goes no further', () => {
  const head = `${GET}x-envoy-retry-on: retriable-headers\r\nx-envoy-retriable-header-names: X-Again, ,x-more\r\n`;
  const { plan: filled, headers } = plan(head, { trusted: true });
  expect(filled.retriableHeaders.map(({ describe }) => describe)).toEqual([
    'header x-again is present',
    'header x-more is present',
  ]);
  expect(headers.has('x-envoy-retriable-header-names')).toBe(false);
  expect(plan(head).plan.retriableHeaders).toEqual([]);
});
