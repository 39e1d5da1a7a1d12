import { expect, test } from 'vitest';
import { parseLocation } from '../../../../src/proxy/http/internal-redirect.ts';

test.each([
  ['http://a', { scheme: 'http', authority: 'a', path: '/' }],
  ['HTTPS://A.example:8443/x?y=/z#part', { scheme: 'https', authority: 'A.example:8443', path: '/x?y=/z' }],
  ['http://[::1]:80/', { scheme: 'http', authority: '[::1]:80', path: '/' }],
  ['http://a#part', { scheme: 'http', authority: 'a', path: '/' }],
])('%s is where it says', (location, target) => expect(parseLocation(location)).toEqual(target));

test.each([
  '',
  '/relative',
  '//a/x',
  'a/x',
  'ftp://a/',
  'http://',
  'http:///x',
  'http://u:p@a/',
  'http://a:/x',
  'http://a:123456/',
  'http://a b/',
  'http://a/x y',
  'http://a/\xe9',
  'http://a?x',
  'http://[::1/',
])('%s is nowhere', (location) => expect(parseLocation(location)).toBeNull());
