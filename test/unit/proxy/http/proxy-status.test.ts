import { expect, test } from 'vitest';
import { ResponseHead } from '../../../../src/protocol/http/message.ts';
import { ProxyStatus } from '../../../../src/proxy/http/proxy-status.ts';
import { ResponseFlag } from '../../../../src/proxy/telemetry/response-flags.ts';
import { StreamInfo } from '../../../../src/proxy/telemetry/stream-info.ts';

const ALL = { details: true, flags: true, recommendedStatus: false, name: 'server', literal: '' } as const;

function apply(config: object, flags: number, details = 'some_details', status = 503, before: string[] = []) {
  const head = new ResponseHead();
  const info = new StreamInfo();
  head.status = status;
  info.flags = flags;
  info.responseCodeDetails = details;
  for (const value of before) head.headers.add('Proxy-Status', value);
  new ProxyStatus({ ...ALL, ...config }, 'envoy', { id: 'node-1', cluster: 'c' }).apply(head, info);
  return { value: head.headers.getJoined('proxy-status'), status: head.status, logged: info.responseCode };
}

test.each([
  [
    'says error, details and flags',
    {},
    ResponseFlag.NoHealthyUpstream,
    'envoy; error=destination_unavailable; details="some_details; UH"',
  ],
  [
    'leaves flags out',
    { flags: false },
    ResponseFlag.NoRouteFound,
    'envoy; error=destination_not_found; details="some_details"',
  ],
  ['leaves details out', { details: false }, ResponseFlag.UpstreamOverflow, 'envoy; error=connection_limit_reached'],
  ['by the node', { name: 'node', details: false }, ResponseFlag.RateLimited, 'node-1; error=connection_limit_reached'],
  [
    'by a name',
    { name: 'literal', literal: 'edge', details: false },
    ResponseFlag.UpstreamProtocolError,
    'edge; error=http_protocol_error',
  ],
  [
    'the first in order',
    { details: false },
    ResponseFlag.UpstreamRetryLimitExceeded | ResponseFlag.UpstreamRequestTimeout,
    'envoy; error=http_response_timeout',
  ],
  ['nothing of an answer without flags', {}, 0, undefined],
  ['nothing of a delay', {}, ResponseFlag.DelayInjected, undefined],
])('%s', (_name, config, flags, expected) => expect(apply(config, flags).value).toBe(expected));

test('is added to what a proxy before said, and quotes what it cites', () => {
  expect(apply({ flags: false }, ResponseFlag.NoClusterFound, 'a"b\\c\n', 503, ['first; error=x']).value).toBe(
    'first; error=x, envoy; error=destination_unavailable; details="a\\"b\\\\c?"',
  );
});

test('sets the status that is recommended for the error, where there is one', () => {
  const config = { recommendedStatus: true };
  expect(apply(config, ResponseFlag.UpstreamConnectionFailure)).toMatchObject({ status: 502, logged: 502 });
  expect(apply(config, ResponseFlag.DownstreamProtocolError, '', 400)).toMatchObject({ status: 400 });
  expect(apply({}, ResponseFlag.UpstreamConnectionFailure)).toMatchObject({ status: 503 });
});
