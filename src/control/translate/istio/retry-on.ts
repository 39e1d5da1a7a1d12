import { didYouMean } from '../../source/schema/suggest.ts';
import type { Path, Sink } from '../../source/schema/type.ts';

/** Envoy's conditions, HTTP's and gRPC's; beside them `retryOn` takes status codes. */
export const RETRY_CONDITIONS: readonly string[] = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
];

/** Envoy ignores a condition that it does not know; a typo there means no retries, so here it is an error. */
export function checkRetryOn(retryOn: string, path: Path, sink: Sink): void {
  for (const part of retryOn.split(',')) {
    const token = part.trim();
    if (token === '' || RETRY_CONDITIONS.includes(token)) continue;
    if (/^\d+$/.test(token)) {
      const status = Number(token);
      if (status < 100 || status > 599) sink.error('invalid-value', path, `${token} is not a status code`);
    } else {
      sink.error(
        'invalid-value',
        path,
        `unknown condition ${JSON.stringify(token)}${didYouMean(token, RETRY_CONDITIONS)}`,
      );
    }
  }
}
