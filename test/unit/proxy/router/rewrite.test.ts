import { describe, expect, test } from 'vitest';
import type { PathRewrite, RouteMatch } from '../../../../src/model/route.ts';
import {
  appendForwardedHost,
  compileHostRewrite,
  compilePathRewrite,
  setOriginalPath,
} from '../../../../src/proxy/router/rewrite.ts';
import { request, routeMatch } from './fixtures.ts';

function rewritten(path: RouteMatch['path'], rewrite: PathRewrite, target: string): string {
  const rewriter = compilePathRewrite(rewrite, routeMatch({ path }));
  return rewriter === null ? target : rewriter(target);
}

const prefix = (value: string): PathRewrite => ({ kind: 'prefix', value });

describe('path', () => {
  test.each([
    ['prefix', '/a/', '/', '/a/x?q=1', '/x?q=1'],
    ['prefix', '/a', '/', '/a/x', '//x'],
    ['prefix', '/a', '/b', '/abc', '/bbc'],
    ['path', '/a', '/b', '/a?q', '/b?q'],
    ['pathSeparatedPrefix', '/a', '/b/c', '/a/x', '/b/c/x'],
    ['regex', '/a.*', '/b', '/axx?q', '/b?q'],
    ['prefix', '/a', '', '/a', '/a'],
    ['prefix', '/ü', '/é', '/Ã¼/x', '/Ã©/x'],
    ['prefix', '/a/', 'b', '/a/x', '/bx'],
  ] as const)('%s %s rewritten to "%s": %s becomes %s', (kind, value, to, path, expected) => {
    expect(rewritten({ kind, value }, prefix(to), path)).toBe(expected);
  });

  test.each([
    ['^/service/([^/]+)(/.*)$', '\\2/instance/\\1', '/service/foo/v1/api', '/v1/api/instance/foo'],
    ['one', 'two', '/xxx/one/yyy/one/zzz', '/xxx/two/yyy/two/zzz'],
    ['^(.*?)one(.*)$', '\\1two\\2', '/xxx/one/yyy/one/zzz', '/xxx/two/yyy/one/zzz'],
    ['(?i)/xxx/', '/yyy/', '/aaa/XxX/bbb', '/aaa/yyy/bbb'],
    ['a', 'b', '/a?a=a', '/b?a=a'],
    ['.*', '', '/a?q', '/a?q'],
    ['^/', '', '/a', '/a'],
  ])('regex %s by %s: %s becomes %s', (pattern, substitution, path, expected) => {
    expect(rewritten({ kind: 'prefix', value: '/' }, { kind: 'regex', pattern, substitution }, path)).toBe(expected);
  });

  test('template', () => {
    const path = { kind: 'template', value: '/a/{one}/{two=b/**}' } as const;
    expect(rewritten(path, { kind: 'template', value: '/x/{two}-{one}' }, '/a/1/b/2/3?q=/4')).toBe('/x/b/2/3-1?q=/4');
    expect(rewritten(path, prefix('/y'), '/a/1/b/2?q')).toBe('/y?q');
    expect(() => rewritten(path, { kind: 'template', value: '/{three}' }, '/')).toThrow(/no variable/);
    expect(() => rewritten({ kind: 'prefix', value: '/' }, { kind: 'template', value: '/' }, '/')).toThrow(
      /template match/,
    );
  });

  test.each([
    [prefix('/a b'), /white space/],
    [prefix('/a\r\nX: y'), /white space/],
    [{ kind: 'regex', pattern: '(', substitution: '' }, /regex/],
    [{ kind: 'regex', pattern: 'a', substitution: '\\1' }, /group 1/],
    [{ kind: 'regex', pattern: 'a', substitution: 'b c' }, /white space/],
  ] as const)('%j is refused', (rewrite, message) => {
    expect(() => compilePathRewrite(rewrite as PathRewrite, routeMatch())).toThrow(message);
  });
});

describe('host', () => {
  test('literal', () => {
    expect(compileHostRewrite({ kind: 'literal', value: 'b.test:80' })?.rewrite(request())).toBe('b.test:80');
    expect(() => compileHostRewrite({ kind: 'literal', value: 'a\r\nb' })).toThrow(/not a host/);
  });
  test('auto is for the caller', () => {
    expect(compileHostRewrite({ kind: 'auto' })).toMatchObject({ auto: true });
  });
  test('header, when it is there and can be a host', () => {
    const rewriter = compileHostRewrite({ kind: 'header', name: 'x-host' });
    expect(rewriter?.rewrite(request('/', { 'X-Host': 'h.test' }))).toBe('h.test');
    expect(rewriter?.rewrite(request('/'))).toBe('');
    expect(rewriter?.rewrite(request('/', { 'X-Host': 'a b' }))).toBe('');
  });
  test('path regex', () => {
    const rewriter = compileHostRewrite({ kind: 'pathRegex', pattern: '^/(.+)/(.+)$', substitution: '\\1' });
    expect(rewriter?.rewrite(request('/envoyproxy.io/some?q=/x/y'))).toBe('envoyproxy.io');
  });
});

test('the path before rewriting is noted once', () => {
  const head = request('/new');
  setOriginalPath(head, '/old');
  setOriginalPath(head, '/other');
  expect(head.headers.getJoined('x-envoy-original-path')).toBe('/old');
});

test('x-forwarded-host gains the authority once', () => {
  const head = request('/', { 'x-forwarded-host': 'first' });
  appendForwardedHost(head);
  appendForwardedHost(head);
  expect(head.headers.getJoined('x-forwarded-host')).toBe('first,a.test');
});
