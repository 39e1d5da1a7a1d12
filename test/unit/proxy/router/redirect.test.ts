import { expect, test } from 'vitest';
import type { RedirectAction, RouteMatch } from '../../../../src/model/route.ts';
import { compileRedirect } from '../../../../src/proxy/router/redirect.ts';
import { redirectAction, request, routeMatch } from './fixtures.ts';

type Row = [
  action: Partial<RedirectAction>,
  match: Partial<RouteMatch>,
  request: [scheme: string, authority: string, path: string],
  location: string,
];
const rows: Row[] = [
  [{ httpsRedirect: true }, {}, ['http', 'a.test', '/x?q'], 'https://a.test/x?q'],
  [{ scheme: 'ws' }, {}, ['http', 'a.test', '/'], 'ws://a.test/'],
  [{ host: 'b.test' }, {}, ['https', 'a.test:8443', '/x'], 'https://b.test/x'],
  // A new port takes the place of the old one.
  [{ port: 8080 }, {}, ['http', 'a.test:80', '/'], 'http://a.test:8080/'],
  [{ port: 8080 }, {}, ['http', '[::1]:80', '/'], 'http://[::1]:8080/'],
  [{ port: 8080 }, {}, ['http', '[::1]', '/'], 'http://[::1]:8080/'],
  // Another scheme drops the old scheme's default port, and only that.
  [{ httpsRedirect: true }, {}, ['http', 'a.test:80', '/'], 'https://a.test/'],
  [{ httpsRedirect: true }, {}, ['http', 'a.test:8080', '/'], 'https://a.test:8080/'],
  [{ scheme: 'http' }, {}, ['https', 'a.test:443', '/'], 'http://a.test/'],
  [{ httpsRedirect: true }, {}, ['https', 'a.test:443', '/'], 'https://a.test:443/'],
  [{ path: { kind: 'path', value: '/new' } }, {}, ['http', 'a', '/old?q=1'], 'http://a/new?q=1'],
  [{ path: { kind: 'path', value: '/new?own' } }, {}, ['http', 'a', '/old?q=1'], 'http://a/new?own'],
  [{ path: { kind: 'path', value: '/new' }, stripQuery: true }, {}, ['http', 'a', '/old?q=1'], 'http://a/new'],
  [{ path: { kind: 'path', value: '/new?own' }, stripQuery: true }, {}, ['http', 'a', '/o?q'], 'http://a/new?own'],
  [{ stripQuery: true }, {}, ['http', 'a', '/old?q=1'], 'http://a/old'],
  [
    { path: { kind: 'prefix', value: '/new/' } },
    { path: { kind: 'prefix', value: '/old/' } },
    ['http', 'a', '/old/x?q'],
    'http://a/new/x?q',
  ],
  [
    { path: { kind: 'prefix', value: '/new' }, stripQuery: true },
    { path: { kind: 'path', value: '/old' } },
    ['http', 'a', '/old?q'],
    'http://a/new',
  ],
  [
    { path: { kind: 'regex', pattern: '^/(\\w+)/(\\w+)$', substitution: '/\\2/\\1' } },
    {},
    ['http', 'a', '/x/y?q'],
    'http://a/y/x?q',
  ],
];

test.each(rows)('%j', (action, match, [scheme, authority, path], location) => {
  const redirect = compileRedirect(redirectAction(action), routeMatch(match));
  expect(redirect(request(path, {}, { scheme, authority }), scheme)).toBe(location);
});
