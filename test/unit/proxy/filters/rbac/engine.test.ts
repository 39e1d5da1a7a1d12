import { describe, expect, it } from 'vitest';
import { decodeRbac } from '../../../../../src/proxy/filters/rbac/config.ts';
import { deniedDetails, Engine } from '../../../../../src/proxy/filters/rbac/engine.ts';
import { StreamInfo } from '../../../../../src/proxy/telemetry/stream-info.ts';
import type { CertificateInfo, TlsInfo } from '../../../../../src/proxy/telemetry/tls-info.ts';
import { fromJson, Problems } from '../../../../../src/xds/proto/codec.ts';
import { RBAC } from '../../../../../src/xds/proto/gen/envoy/extensions/filters/http/rbac/v3.ts';

const ANY = { any: true };
type Json = Record<string, unknown>;

function engine(rules: Json): Engine {
  const problems = new Problems();
  const config = decodeRbac(fromJson(RBAC, { rules }, problems), problems, new Problems(), 'c');
  expect(problems.list).toEqual([]);
  return new Engine(config.rules!);
}

interface Request {
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  local?: string;
  port?: number;
  peer?: string;
  remote?: string;
  serverName?: string;
  tls?: boolean;
  certificate?: { uriSans?: string[]; dnsSans?: string[]; subject?: string };
}

function info(r: Request): StreamInfo {
  const made = new StreamInfo();
  made.request.method = r.method ?? 'GET';
  made.request.path = r.path ?? '/';
  made.request.authority = 'reviews:9080';
  for (const [name, value] of Object.entries(r.headers ?? {})) made.request.headers.add(name, value);
  made.remote = r.remote ?? r.peer ?? '10.0.0.1';
  made.connection = {
    ...made.connection,
    local: { host: r.local ?? '10.9.0.1', port: r.port ?? 9080 },
    directRemote: { host: r.peer ?? '10.0.0.1', port: 4711 },
    requestedServerName: r.serverName ?? '',
    tlsVersion: r.tls || r.certificate ? 'TLSv1.3' : '',
    ...(r.certificate ? { tls: tlsOf(r.certificate) } : {}),
  };
  return made;
}

/** A handshake in which the client showed a certificate with these names. */
function tlsOf(names: NonNullable<Request['certificate']>): TlsInfo {
  const certificate = { uriSans: [], dnsSans: [], subject: '', ...names } as unknown as CertificateInfo;
  return {
    version: 'TLSv1.3',
    cipher: '',
    requestedServerName: '',
    alpn: '',
    peer: certificate,
    validated: true,
    local: null,
    sessionReused: false,
  };
}

/** Whether a permission matches. */
const permits = (permission: Json, request: Request): boolean =>
  engine({ policies: { p: { permissions: [permission], principals: [ANY] } } }).match(info(request)) === 0;
const identifies = (principal: Json, request: Request): boolean =>
  engine({ policies: { p: { permissions: [ANY], principals: [principal] } } }).match(info(request)) === 0;

const BOTH: readonly (readonly [what: string, condition: Json, yes: Request, no: Request])[] = [
  ['a header', { header: { name: 'x-user', string_match: { exact: 'a' } } }, { headers: { 'X-User': 'a' } }, {}],
  ['the method', { header: { name: ':method', string_match: { exact: 'POST' } } }, { method: 'POST' }, {}],
  ['the authority', { header: { name: 'Host', string_match: { prefix: 'reviews' } } }, {}, { path: '', method: 'x' }],
  ['the path without its query', { url_path: { path: { exact: '/a' } } }, { path: '/a?b=c' }, { path: '/a/?b=c' }],
  ['the path up to a fragment', { url_path: { path: { suffix: 'a' } } }, { path: '/a#b?c' }, { path: '/b#a' }],
  [
    'a path by regex',
    { url_path: { path: { safe_regex: { regex: '/[a-c]+' } } } },
    { path: '/abc' },
    { path: '/abcd' },
  ],
  [
    'a path in any case',
    { url_path: { path: { prefix: '/Ab', ignore_case: true } } },
    { path: '/aBC' },
    { path: '/b' },
  ],
];

describe('a condition that permissions and principals share', () => {
  // An authority is always there, so that row is asked for its match only.
  it.each(BOTH)('%s', (what, condition, yes, no) => {
    for (const ask of [permits, identifies]) {
      expect(ask(condition, yes)).toBe(true);
      if (what !== 'the authority') expect(ask(condition, no)).toBe(false);
    }
  });

  it('a CONNECT has no path to match', () => {
    expect(permits({ url_path: { path: { safe_regex: { regex: '.*' } } } }, { path: '', method: 'CONNECT' })).toBe(
      false,
    );
  });
});

describe('a permission', () => {
  it.each([
    ['destination_ip', { destination_ip: { address_prefix: '10.9.0.0', prefix_len: 16 } }, { local: '10.8.0.1' }],
    ['destination_port', { destination_port: 9080 }, { port: 9081 }],
    ['destination_port_range', { destination_port_range: { start: 9080, end: 9082 } }, { port: 9082 }],
    ['requested_server_name', { requested_server_name: { exact: '' } }, { serverName: 'a.test' }],
    ['not_rule', { not_rule: { destination_port: 80 } }, { port: 80 }],
    [
      'and_rules',
      { and_rules: { rules: [{ destination_port: 9080 }, ANY, { url_path: { path: { exact: '/' } } }] } },
      { path: '/a' },
    ],
    [
      'or_rules',
      { or_rules: { rules: [{ destination_port: 1 }, { destination_port: 9080 }, { destination_port: 2 }] } },
      { port: 3 },
    ],
  ] as [string, Json, Request][])('%s', (_, permission, no) => {
    expect(permits(permission, {})).toBe(true);
    expect(permits(permission, no)).toBe(false);
  });

  it('the server name that TLS asked for', () => {
    expect(permits({ requested_server_name: { suffix: '.test' } }, { serverName: 'a.test' })).toBe(true);
    expect(permits({ requested_server_name: { suffix: '.test' } }, {})).toBe(false);
  });
});

describe('a principal', () => {
  const range = { address_prefix: '10.0.0.0', prefix_len: 24 };

  it('source_ip and direct_remote_ip are the peer, remote_ip the client', () => {
    const behindGateway = { peer: '10.0.0.9', remote: '203.0.113.7' };
    expect(identifies({ source_ip: range }, behindGateway)).toBe(true);
    expect(identifies({ direct_remote_ip: range }, behindGateway)).toBe(true);
    expect(identifies({ remote_ip: range }, behindGateway)).toBe(false);
    expect(identifies({ remote_ip: range }, { peer: '203.0.113.7', remote: '10.0.0.9' })).toBe(true);
    expect(identifies({ remote_ip: { address_prefix: '2001:db8::', prefix_len: 32 } }, { peer: '2001:db8::1' })).toBe(
      true,
    );
  });

  it('a client address that X-Forwarded-For only pretends is in no range', () => {
    for (const remote of ['unknown', '', '10.0.0.1:80', '010.0.0.1'])
      expect(identifies({ remote_ip: { address_prefix: '0.0.0.0', prefix_len: 0 } }, { remote })).toBe(false);
  });

  it('authenticated without a name is anybody who speaks TLS', () => {
    expect(identifies({ authenticated: {} }, { tls: true })).toBe(true);
    expect(identifies({ authenticated: {} }, {})).toBe(false);
  });

  it('authenticated with a name asks URIs, then DNS names, then the subject', () => {
    const named = (principal_name: Json, certificate: Request['certificate']): boolean =>
      identifies({ authenticated: { principal_name } }, certificate === undefined ? {} : { certificate });
    const spiffe = 'spiffe://cluster.local/ns/default/sa/productpage';
    expect(named({ exact: spiffe }, { uriSans: ['spiffe://other', spiffe] })).toBe(true);
    expect(named({ exact: spiffe }, { uriSans: ['spiffe://other'], dnsSans: ['a.test'] })).toBe(false);
    expect(named({ exact: 'a.test' }, { uriSans: ['spiffe://other'], dnsSans: ['a.test'] })).toBe(true);
    expect(named({ exact: 'CN=a' }, { subject: 'CN=a' })).toBe(true);
    expect(named({ safe_regex: { regex: '.*' } }, undefined)).toBe(false);
  });

  it('a name that is wanted is not found on TLS without a certificate', () => {
    expect(identifies({ authenticated: { principal_name: { prefix: 'spiffe://' } } }, { tls: true })).toBe(false);
  });

  it('not_id, and_ids and or_ids', () => {
    const nobody = { not_id: { authenticated: {} } };
    expect(identifies(nobody, {})).toBe(true);
    expect(identifies({ and_ids: { ids: [nobody, { source_ip: range }, ANY] } }, { peer: '10.0.0.3' })).toBe(true);
    expect(identifies({ and_ids: { ids: [nobody, { source_ip: range }] } }, { peer: '10.0.1.3' })).toBe(false);
    expect(identifies({ or_ids: { ids: [{ authenticated: {} }, { source_ip: range }] } }, { peer: '10.0.1.3' })).toBe(
      false,
    );
  });
});

describe('an engine', () => {
  const path = (prefix: string) => ({ permissions: [{ url_path: { path: { prefix } } }], principals: [ANY] });
  const policies = { b: path('/b'), a: path('/b/a'), 'c d': path('/c') };

  it('asks policies by name, whatever the order they are written in', () => {
    const made = engine({ policies });
    expect(made.policies.map(({ name }) => name)).toEqual(['a', 'b', 'c d']);
    expect([made.match(info({ path: '/b/a' })), made.match(info({ path: '/b' })), made.match(info({}))]).toEqual([
      0, 1, -1,
    ]);
  });

  it.each([
    ['ALLOW', true, false],
    ['DENY', false, true],
    ['LOG', true, true],
  ])('%s', (action, matched, unmatched) => {
    const made = engine({ action, policies });
    expect(made.allows(made.match(info({ path: '/b' })))).toBe(matched);
    expect(made.allows(made.match(info({ path: '/z' })))).toBe(unmatched);
  });

  it('without policies allows nothing, and denies nothing', () => {
    expect(engine({ action: 'ALLOW' }).allows(-1)).toBe(false);
    expect(engine({ action: 'DENY' }).allows(-1)).toBe(true);
  });

  it('matches a policy by any of its permissions and any of its principals', () => {
    const made = engine({
      policies: {
        p: {
          permissions: [{ destination_port: 1 }, { destination_port: 2 }, { destination_port: 3 }],
          principals: [{ source_ip: { address_prefix: '10.0.0.1', prefix_len: 32 } }, { authenticated: {} }],
        },
      },
    });
    expect(made.match(info({ port: 2 }))).toBe(0);
    expect(made.match(info({ port: 3, peer: '10.0.0.2', tls: true }))).toBe(0);
    expect(made.match(info({ port: 3, peer: '10.0.0.2' }))).toBe(-1);
    expect(made.match(info({ port: 4 }))).toBe(-1);
  });

  it('names a denial without white space, in octets', () => {
    expect(deniedDetails('ns[a b]\tü')).toBe('rbac_access_denied_matched_policy[ns[a_b]_\xc3\xbc]');
  });
});
