import { describe, expect, test } from 'vitest';
import {
  compileHostNormalizer,
  compilePathNormalizer,
  normalizePath,
  PathVerdict,
  stripPort,
  stripTrailingDot,
} from '../../../../src/proxy/router/normalize.ts';
import { request } from './fixtures.ts';

test.each([
  ['/', '/'],
  ['/a/b', '/a/b'],
  ['/a/./b', '/a/b'],
  ['/a/../b', '/b'],
  ['/a/b/..', '/a/'],
  ['/a/.', '/a/'],
  ['/..', '/'],
  ['/../../x', '/x'],
  ['/a/%2e%2E/b', '/b'],
  ['/a/.%2e/b', '/b'],
  ['/a/%2e/b', '/a/b'],
  ['/a/...', '/a/...'],
  ['/a/..b', '/a/..b'],
  ['/a/.b', '/a/.b'],
  ['/a.b', '/a.b'],
  ['/a\\..\\b', '/b'],
  ['/a\\b', '/a/b'],
  ['/%41%7e', '/A~'],
  ['/%2f', '/%2f'],
  ['/%c3%BC', '/%c3%BC'],
  ['/%zz', '/%zz'],
  ['/%', '/%'],
  ['/a b', '/a%20b'],
  ['/"<>', '/%22%3C%3E'],
  ['/\xfc', '/%FC'],
  ['/a//../b', '/a/b'],
  ['/%00', null],
  ['/a/..;/b', '/b'],
  ['/a/..;', '/'],
  ['/a/..;x=1/b', '/b'],
  ['/a/.;x/b', '/a/b'],
  ['/a;/..;/b', '/b'],
  ['/x/a/..;;;/b', '/x/b'],
  ['/a/..;/..;/b', '/b'],
  ['/..;/a', '/a'],
  ['/a/..;\\b', '/'],
  ['/a/%2e%2e;/b', '/b'],
  ['/a/...;/b', '/a/...;/b'],
  ['/a/..%3b/b', '/a/..%3b/b'],
  ['/a;x/b', '/a;x/b'],
  ['/a|b^c', '/a%7Cb%5Ec'],
])('%j is normalised to %j', (path, expected) => {
  expect(normalizePath(path)).toBe(expected);
});

describe('the connection manager', () => {
  const KEEP = { normalizePath: false, mergeSlashes: false, escapedSlashes: 'KEEP_UNCHANGED' } as const;
  test('has nothing to do when all is off', () => {
    expect(compilePathNormalizer(KEEP)).toBeNull();
    expect(compileHostNormalizer({ stripHostPort: 'NONE', stripTrailingHostDot: false }, 80)).toBeNull();
  });
  const { Continue, Reject, Redirect } = PathVerdict;
  test.each([
    [{ normalizePath: true }, '/a/../b?x=/../y', Continue, '/b?x=/../y'],
    [{ normalizePath: true }, '/%00', Reject, '/%00'],
    [{ mergeSlashes: true }, '//a///b//?x=//', Continue, '/a/b/?x=//'],
    [{ escapedSlashes: 'REJECT_REQUEST' }, '/a%2fb', Reject, '/a%2fb'],
    [{ escapedSlashes: 'REJECT_REQUEST' }, '/a?x=%2f', Continue, '/a?x=%2f'],
    [{ escapedSlashes: 'UNESCAPE_AND_FORWARD' }, '/a%2Fb%5cc', Continue, '/a/b\\c'],
    [{ escapedSlashes: 'UNESCAPE_AND_REDIRECT' }, '/a%2fb?q', Redirect, '/a/b?q'],
    [{ escapedSlashes: 'UNESCAPE_AND_REDIRECT' }, '/a/b', Continue, '/a/b'],
    // Escaped slashes first, then dot segments, then runs of slashes.
    [
      { escapedSlashes: 'UNESCAPE_AND_FORWARD', normalizePath: true, mergeSlashes: true },
      '/a%2f..%5c%2fb?q',
      Continue,
      '/b?q',
    ],
    [{ normalizePath: true, mergeSlashes: true }, '*', Continue, '*'],
  ] as const)('%j: %s', (over, path, verdict, expected) => {
    const head = request(path);
    expect(compilePathNormalizer({ ...KEEP, ...over })?.(head)).toBe(verdict);
    expect(head.path).toBe(expected);
  });

  test.each([
    ['ANY', 'a.test:81', 'GET', 'a.test'],
    ['MATCHING', 'a.test:80', 'GET', 'a.test'],
    ['MATCHING', 'a.test:81', 'GET', 'a.test:81'],
    ['ANY', 'a.test:443', 'CONNECT', 'a.test:443'],
    ['ANY', 'a.test.:80', 'GET', 'a.test'],
  ] as const)('port %s of %s for %s', (stripHostPort, authority, method, expected) => {
    const head = request('/', {}, { authority, method });
    compileHostNormalizer({ stripHostPort, stripTrailingHostDot: true }, 80)?.(head);
    expect(head.authority).toBe(expected);
  });
});

test.each([
  ['a:80', 'a'],
  ['[::1]:80', '[::1]'],
  ['[::1]', '[::1]'],
  ['a:http', 'a:http'],
  ['a:', 'a:'],
  ['a', 'a'],
])('the port of %s goes: %s', (authority, expected) => {
  expect(stripPort(authority)).toBe(expected);
});

test.each([
  ['a.', 'a'],
  ['a.:80', 'a:80'],
  ['a.b', 'a.b'],
  ['a.b:80', 'a.b:80'],
  ['a', 'a'],
])('the trailing dot of %s goes: %s', (authority, expected) => {
  expect(stripTrailingDot(authority)).toBe(expected);
});
