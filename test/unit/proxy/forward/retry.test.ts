import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import type { RetryPolicy } from '../../../../src/model/route.ts';
import { Headers } from '../../../../src/protocol/http/headers.ts';
import { RequestHead, ResponseHead } from '../../../../src/protocol/http/message.ts';
import {
  type AttemptFailure,
  backOffMs,
  isIdempotent,
  mayResend,
  parseRetryOn,
  RetryOn,
  rateLimitedBackOffMs,
  retryOnFailure,
  retryOnResponse,
} from '../../../../src/proxy/forward/retry.ts';

function response(status: number, headers: Record<string, string> = {}): ResponseHead {
  return Object.assign(new ResponseHead(), { status, headers: Headers.of(Object.entries(headers)) });
}

test('conditions are read from a list, unknown ones passed over', () => {
  expect(parseRetryOn('5xx, connect-failure,nonsense')).toBe(RetryOn.ServerError | RetryOn.ConnectFailure);
  expect(parseRetryOn([])).toBe(0);
  expect(parseRetryOn('')).toBe(0);
});

const FAILURES: readonly AttemptFailure[] = [
  'connection-failure',
  'connection-timeout',
  'connection-termination',
  'protocol-error',
  'per-try-timeout',
];

describe('after a failure without a response', () => {
  test.each(['5xx', 'gateway-error', 'reset'])('%s retries every kind', (condition) => {
    for (const failure of FAILURES) expect(retryOnFailure(parseRetryOn(condition), failure, true)).toBe(true);
  });
  test('connect-failure retries only what was never sent', () => {
    const retried = FAILURES.filter((failure) =>
      retryOnFailure(parseRetryOn('connect-failure,refused-stream'), failure, !failure.startsWith('connection-f')),
    );
    expect(retried).toEqual(['connection-failure', 'connection-timeout']);
  });
  test('reset-before-request asks whether anything was sent', () => {
    expect(retryOnFailure(RetryOn.ResetBeforeRequest, 'connection-termination', true)).toBe(false);
    expect(retryOnFailure(RetryOn.ResetBeforeRequest, 'connection-failure', false)).toBe(true);
  });
  test('without conditions nothing is retried', () => {
    for (const failure of FAILURES) expect(retryOnFailure(0, failure, false)).toBe(false);
  });
});

test('a rate-limited answer is retried only by its own condition', () => {
  const limited = response(503, { 'x-envoy-ratelimited': 'true' });
  expect(retryOnResponse(RetryOn.ServerError, new Set(), [], limited)).toBe(false);
  expect(retryOnResponse(RetryOn.EnvoyRateLimited, new Set(), [], limited)).toBe(true);
  expect(retryOnResponse(RetryOn.EnvoyRateLimited, new Set(), [], response(429))).toBe(false);
});

test('the back-off doubles, is jittered over its whole length, and has a ceiling', () => {
  const top = { next: () => 1, int: () => 0 };
  expect([1, 2, 3, 4, 60].map((retry) => backOffMs(25, 250, retry, top))).toEqual([25, 50, 100, 200, 250]);
  const random = seededRandom(7);
  const waits = Array.from({ length: 200 }, () => backOffMs(100, 100, 1, random));
  expect(Math.min(...waits)).toBeLessThan(10);
  expect(Math.max(...waits)).toBeGreaterThan(90);
});

test('a reset header counts only when it is a number within the limit', () => {
  const policy = {
    rateLimitedBackOff: {
      headers: [
        { name: 'retry-after', format: 'SECONDS' },
        { name: 'x-reset', format: 'UNIX_TIMESTAMP' },
      ],
      maxIntervalMs: 10_000,
    },
  } as unknown as RetryPolicy;
  expect(rateLimitedBackOffMs(policy, response(503, { 'retry-after': '3' }), 0)).toBe(3000);
  expect(rateLimitedBackOffMs(policy, response(503, { 'retry-after': 'soon', 'x-reset': '12' }), 5000)).toBe(7000);
  expect(rateLimitedBackOffMs(policy, response(503, { 'retry-after': '11' }), 0)).toBe(-1);
  expect(rateLimitedBackOffMs({ rateLimitedBackOff: null } as unknown as RetryPolicy, response(503), 0)).toBe(-1);
});

test("idempotent methods are RFC 9110's", () => {
  expect(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'].every(isIdempotent)).toBe(true);
  expect(['POST', 'PATCH', 'CONNECT', 'get'].some(isIdempotent)).toBe(false);
});

test('a body is kept only for conditions that may ask for it after it was sent', () => {
  const plain = new RequestHead();
  const grpc = new RequestHead();
  grpc.headers.add('Content-Type', 'application/grpc+proto');
  const keeps = (on: string, head = plain, codes: number[] = []): boolean =>
    mayResend(parseRetryOn(on), new Set(codes), [], head);
  expect(keeps('connect-failure,refused-stream,reset-before-request,http3-post-connect-failure')).toBe(false);
  for (const on of ['5xx', 'gateway-error', 'reset', 'retriable-4xx', 'envoy-ratelimited'])
    expect(keeps(on), on).toBe(true);
  expect(keeps('retriable-status-codes')).toBe(false);
  expect(keeps('retriable-status-codes', plain, [503])).toBe(true);
  expect(keeps('unavailable,cancelled')).toBe(false);
  expect(keeps('unavailable,cancelled', grpc)).toBe(true);
});
