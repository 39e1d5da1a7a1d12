import { expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import type { HttpConnectionManager } from '../../../../src/model/http-connection-manager.ts';
import { Headers } from '../../../../src/protocol/http/headers.ts';
import type { RequestHead } from '../../../../src/protocol/http/message.ts';
import { RequestParser } from '../../../../src/protocol/http1/parser.ts';
import { internalAddresses } from '../../../../src/proxy/http/addresses.ts';
import type { ConnectionManager } from '../../../../src/proxy/http/connection-manager.ts';
import { requestOptions } from '../../../../src/proxy/http/request-options.ts';
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
  const start = lines[0]?.startsWith('GET ') ? lines.shift() : 'GET / HTTP/1.1';
  new RequestParser(events).execute(
    Buffer.from(`${start}\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`),
  );
  return read!;
}

function apply(config: object, peer: string, ...lines: string[]) {
  const request = head(...lines);
  const info = new StreamInfo();
  info.request = request;
  info.connection = {
    ...info.connection,
    directRemote: { host: peer, port: 1 },
    remote: { host: peer, port: 1 },
    local: { host: '127.0.0.1', port: 8443 },
  };
  const full = {
    useRemoteAddress: false,
    xffNumTrustedHops: 0,
    skipXffAppend: false,
    generateRequestId: true,
    preserveExternalRequestId: false,
    via: '',
    originalIp: [],
    earlyMutations: [],
    addUserAgent: false,
    schemeToSet: '',
    appendXForwardedPort: false,
    ipv4AsMapped: false,
    ...config,
  } as unknown as HttpConnectionManager;
  const manager = {
    config: full,
    requestOptions: requestOptions(full, { id: 'node-1', cluster: 'shop' }),
    internal: internalAddresses([{ address: '10.0.0.0', prefixLength: 8 }]),
    env: { random: seededRandom(1) },
    tableFor: () => null,
  } as unknown as ConnectionManager;
  const trusted = applyRequestPolicy(request, info, manager);
  return { trusted, remote: info.remote, scheme: request.scheme, get: (name: string) => request.headers.get(name) };
}

test.each([
  ['no header, private peer', {}, '10.0.0.9', [], false, '10.0.0.9'],
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
  ['what is no address', {}, '8.8.8.8', ['X-Forwarded-For: 10.0.0.1" 200'], false, '8.8.8.8'],
  ['an address with a port', {}, '8.8.8.8', ['X-Forwarded-For: 10.0.0.1:80'], false, '8.8.8.8'],
  [
    'no address at the trusted hop',
    { xffNumTrustedHops: 1 },
    '8.8.8.8',
    ['X-Forwarded-For: x, 1.1.1.1'],
    false,
    '8.8.8.8',
  ],
  [
    'edge, no address at the hop',
    { useRemoteAddress: true, xffNumTrustedHops: 1 },
    '8.8.8.8',
    ['X-Forwarded-For: ::x'],
    false,
    '8.8.8.8',
  ],
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

test('what only proxies of ours say is removed at the edge alone', () => {
  const lines = ['x-envoy-original-path: /x', 'X-Envoy-Decorator-Operation: x', 'x-envoy-original-host: x'];
  const edge = apply({ useRemoteAddress: true }, '8.8.8.8', ...lines);
  const inside = apply({}, '8.8.8.8', ...lines);
  for (const name of ['x-envoy-original-path', 'x-envoy-decorator-operation', 'x-envoy-original-host']) {
    expect(edge.get(name)).toBeUndefined();
    expect(inside.get(name)).toBeDefined();
  }
});

test('an internal caller may steer, but not say itself that it is internal', () => {
  const lines = ['X-Forwarded-For: 10.0.0.1', 'x-envoy-max-retries: 9', 'x-envoy-internal: forged'];
  const result = apply({}, '8.8.8.8', ...lines);
  expect(result.get('x-envoy-max-retries')).toBe('9');
  expect(result.get('x-envoy-internal')).toBe('true');
});

test('the edge says who the client is, also behind trusted hops', () => {
  const config = { useRemoteAddress: true, xffNumTrustedHops: 1 };
  const lines = ['X-Forwarded-For: 1.1.1.1', 'x-envoy-external-address: 9.9.9.9', 'X-Request-Id: theirs'];
  const result = apply(config, '10.0.0.9', ...lines);
  expect(result.get('x-envoy-external-address')).toBe('1.1.1.1');
  expect(result.get('x-request-id')).not.toBe('theirs');
});

test('an empty X-Forwarded-For is begun anew', () => {
  expect(apply({ useRemoteAddress: true }, '8.8.8.8', 'X-Forwarded-For:').get('x-forwarded-for')).toBe('8.8.8.8');
});

test('the scheme of an absolute-form target does not say what the client spoke', () => {
  for (const useRemoteAddress of [true, false]) {
    const result = apply({ useRemoteAddress }, '8.8.8.8', 'GET https://a/ HTTP/1.1');
    expect(result.scheme).toBe('https');
    expect(result.get('x-forwarded-proto')).toBe('http');
  }
});

test('underscores in names are found', () => {
  expect(hasUnderscoreName(head('A_B: 1'))).toBe(true);
  expect(hasUnderscoreName(head('A-B: _'))).toBe(false);
  expect(new Headers().count).toBe(0);
});

const DETECTION = { kind: 'header', header: 'x-real-ip', trusted: true, rejectStatus: null };
const set = (name: string, value: string) => ({
  set: { name, value, action: 'OVERWRITE_IF_EXISTS_OR_ADD', keepEmptyValue: false },
});

test('an extension says who the client is, and whether it may steer', () => {
  const config = { originalIp: [DETECTION] };
  const known = apply(config, '8.8.8.8', 'X-Real-IP: 10.0.0.1', 'x-envoy-max-retries: 9');
  expect(known).toMatchObject({ trusted: true, remote: '10.0.0.1' });
  expect(known.get('x-envoy-max-retries')).toBe('9');
  expect(known.get('x-forwarded-proto')).toBe('http');
  expect(known.get('x-forwarded-for')).toBeUndefined();
  const unknown = apply(config, '10.0.0.9', 'X-Forwarded-For: 10.0.0.1', 'x-envoy-max-retries: 9');
  expect(unknown).toMatchObject({ trusted: false, remote: '10.0.0.9' });
  expect(unknown.get('x-envoy-max-retries')).toBeUndefined();
});

test('a request whose address must be known is refused without it', () => {
  const result = apply({ originalIp: [{ ...DETECTION, rejectStatus: 401 }] }, '8.8.8.8');
  expect(result.trusted).toMatchObject({ status: 401, details: 'rejecting_because_detection_failed' });
});

test('headers are changed before anything looks at them', () => {
  const earlyMutations = [set('X-Forwarded-For', '10.0.0.1'), { remove: 'x-request-id' }, set('x-peer', '%PROTOCOL%')];
  const result = apply({ earlyMutations }, '8.8.8.8', 'X-Request-Id: theirs');
  expect(result).toMatchObject({ trusted: true, remote: '10.0.0.1' });
  expect(result.get('x-request-id')).not.toBe('theirs');
  expect(result.get('x-peer')).toBe('HTTP/1.1');
});

test.each([
  ['absent', {}, [], '8443'],
  ['of a trusted proxy', {}, ['X-Forwarded-Port: 1'], '1'],
  ['of a stranger at the edge', { useRemoteAddress: true }, ['X-Forwarded-Port: 1'], '8443'],
  ['behind trusted hops', { useRemoteAddress: true, xffNumTrustedHops: 1 }, ['X-Forwarded-Port: 1'], '1'],
] as const)('x-forwarded-port %s', (_name, config, lines, expected) => {
  expect(apply({ appendXForwardedPort: true, ...config }, '8.8.8.8', ...lines).get('x-forwarded-port')).toBe(expected);
});

test('the scheme is overwritten, for routing and upstreams', () => {
  const result = apply({ schemeToSet: 'https' }, '8.8.8.8', 'X-Forwarded-Proto: http');
  expect(result.scheme).toBe('https');
  expect(result.get('x-forwarded-proto')).toBe('https');
});

test('the caller is named, over what a stranger says of itself', () => {
  const result = apply({ addUserAgent: true }, '8.8.8.8', 'x-envoy-downstream-service-cluster: forged');
  expect(result.get('user-agent')).toBe('shop');
  expect(result.get('x-envoy-downstream-service-cluster')).toBe('shop');
  expect(result.get('x-envoy-downstream-service-node')).toBe('node-1');
  expect(apply({ addUserAgent: true }, '8.8.8.8', 'User-Agent: curl').get('user-agent')).toBe('curl');
});

test('an IPv4 peer is written as IPv6 where that is asked for', () => {
  const result = apply({ useRemoteAddress: true, ipv4AsMapped: true }, '50.0.0.1');
  expect(result.remote).toBe('50.0.0.1');
  expect(result.get('x-forwarded-for')).toBe('::ffff:50.0.0.1');
  expect(result.get('x-envoy-external-address')).toBe('::ffff:50.0.0.1');
});
