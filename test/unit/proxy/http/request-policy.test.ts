import { expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import { Headers } from '../../../../src/protocol/http/headers.ts';
import type { RequestHead } from '../../../../src/protocol/http/message.ts';
import { RequestParser } from '../../../../src/protocol/http1/parser.ts';
import { internalAddresses } from '../../../../src/proxy/http/addresses.ts';
import type { ConnectionManager } from '../../../../src/proxy/http/connection-manager.ts';
import { applyRequestPolicy, hasUnderscoreName } from '../../../../src/proxy/http/request-policy.ts';
import { StreamInfo } from '../../../../src/proxy/telemetry/stream-info.ts';

function head(...lines: string[]): RequestHead {
  let read: RequestHead | null = null;
  const ignore = (): void => {};
  const events = {
    onHead: (parsed: RequestHead) => {
      read = parsed;
    },
    onData: ignore,
    onTrailers: ignore,
    onEnd: ignore,
    onError: ignore,
  };
  new RequestParser(events).execute(
    Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`),
  );
  return read!;
}

function apply(config: object, peer: string, ...lines: string[]) {
  const request = head(...lines);
  const info = new StreamInfo();
  info.request = request;
  info.connection = { ...info.connection, remote: { host: peer, port: 1 } };
  const manager = {
    config: {
      useRemoteAddress: false,
      xffNumTrustedHops: 0,
      skipXffAppend: false,
      generateRequestId: true,
      preserveExternalRequestId: false,
      via: '',
      ...config,
    },
    internal: internalAddresses(null),
    env: { random: seededRandom(1) },
    routes: { table: null },
  } as unknown as ConnectionManager;
  const trusted = applyRequestPolicy(request, info, manager);
  return { trusted, remote: info.remote, get: (name: string) => request.headers.get(name) };
}

test.each([
  ['no header, private peer', {}, '10.0.0.9', [], true, '10.0.0.9'],
  ['no header, public peer', {}, '8.8.8.8', [], false, '8.8.8.8'],
  ['one internal address', {}, '8.8.8.8', ['X-Forwarded-For: 10.0.0.1'], true, '10.0.0.1'],
  ['two addresses', {}, '10.0.0.9', ['X-Forwarded-For: 10.0.0.1, 10.0.0.2'], false, '10.0.0.2'],
  ['edge, private peer', { useRemoteAddress: true }, '10.0.0.9', [], true, '10.0.0.9'],
  ['edge, forged header', { useRemoteAddress: true }, '10.0.0.9', ['X-Forwarded-For: 10.0.0.1'], false, '10.0.0.9'],
  [
    'edge, one trusted hop',
    { useRemoteAddress: true, xffNumTrustedHops: 1 },
    '10.0.0.9',
    ['X-Forwarded-For: 1.1.1.1, 2.2.2.2'],
    false,
    '2.2.2.2',
  ],
  [
    'edge, more hops than addresses',
    { useRemoteAddress: true, xffNumTrustedHops: 5 },
    '10.0.0.9',
    ['X-Forwarded-For: 1.1.1.1'],
    false,
    '10.0.0.9',
  ],
  ['an empty header', {}, '10.0.0.9', ['X-Forwarded-For:'], false, '10.0.0.9'],
] as const)('trust and client address: %s', (_name, config, peer, lines, trusted, remote) => {
  const result = apply(config, peer, ...lines);
  expect(result.trusted).toBe(trusted);
  expect(result.remote).toBe(remote);
});

test('steering headers of callers that are not trusted are removed, whatever their case', () => {
  const result = apply({}, '8.8.8.8', 'X-ENVOY-Max-Retries: 9', 'x-envoy-internal: true', 'x-envoy-mine: kept');
  expect(result.get('x-envoy-max-retries')).toBeUndefined();
  expect(result.get('x-envoy-internal')).toBeUndefined();
  expect(result.get('x-envoy-mine')).toBe('kept');
});

test('underscores in names are found', () => {
  expect(hasUnderscoreName(head('A_B: 1'))).toBe(true);
  expect(hasUnderscoreName(head('A-B: _'))).toBe(false);
  expect(new Headers().count).toBe(0);
});
