import { describe, expect, test } from 'vitest';
import { createSessions, headerValue, userName } from '../../../src/demo/session.ts';

const cookieOf = (setCookie: string) => setCookie.split(';')[0] ?? '';

describe('sessions', () => {
  const sessions = createSessions();
  const cookie = cookieOf(sessions.open('jason'));

  test.each(['jason', 'Zoë 李', '<b>', 'a;b=c'])('reads back %s', (user) => {
    expect(sessions.read(`other=1; ${cookieOf(sessions.open(user))}; more=2`)).toBe(user);
  });

  test('is out of the reach of scripts', () => {
    expect(sessions.open('jason')).toMatch(/; Path=\/; HttpOnly; SameSite=Lax$/);
  });

  const payload = (user: string) => Buffer.from(user).toString('base64url');
  const signature = cookie.split('.')[1] ?? '';
  test.each([
    ['no cookie', undefined],
    ['an unsigned name', 'session=jason'],
    ['another name under the same signature', `session=${payload('admin')}.${signature}`],
    [
      'a changed signature',
      `session=${payload('jason')}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
    ],
    ['a cut signature', cookie.slice(0, -4)],
    ['an empty signature', `session=${payload('jason')}.`],
    ['a cookie whose name only ends so', `my${cookie}`],
    ['another process’s signature', cookieOf(createSessions().open('jason'))],
  ])('refuses %s', (_what, header) => {
    expect(sessions.read(header)).toBeUndefined();
  });
});

test('replicas with one key know each other’s sessions', () => {
  const cookie = cookieOf(createSessions('shared').open('jason'));
  expect(createSessions('shared').read(cookie)).toBe('jason');
  expect(createSessions('another').read(cookie)).toBeUndefined();
});

describe('user names', () => {
  test.each([
    [' jason ', 'jason'],
    ['Zoë', 'Zoë'],
    ['', undefined],
    [null, undefined],
    ['a\r\nx-admin: 1', undefined],
    ['a\0', undefined],
    ['a\ud800', undefined],
    ['x'.repeat(65), undefined],
  ])('%j becomes %j', (text, name) => {
    expect(userName(text)).toBe(name);
  });

  test('go into a header as ASCII', () => {
    expect(headerValue('jason')).toBe('jason');
    expect(headerValue('Zoë')).toBe('Zo%C3%AB');
  });
});
