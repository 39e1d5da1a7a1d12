import { describe, expect, test } from 'vitest';
import { compileRegex } from '../../../src/base/regex.ts';
import { parseUriTemplate, templateSubstitution } from '../../../src/base/uri-template.ts';

function matches(template: string, path: string): boolean {
  const { ok, error } = parseUriTemplate(template);
  if (ok === undefined) throw new Error(error);
  return compileRegex(`^${ok.pattern}$`).ok!.matches(path);
}

test.each([
  ['/', '/', true],
  ['/', '/a', false],
  ['/a/b', '/a/b', true],
  ['/a/b', '/a/b/', false],
  ['/a/b/', '/a/b/', true],
  ['/a.b', '/axb', false],
  ['/a/*', '/a/b', true],
  ['/a/*', '/a/', false],
  ['/a/*', '/a/b/c', false],
  ['/a/**', '/a/', true],
  ['/a/**', '/a/b/c/', true],
  ['/a/**', '/a', false],
  ['/a/*.jpg', '/a/b.jpg', true],
  ['/a/**.jpg', '/a/b/c.jpg', true],
  ['/a/**.jpg', '/a/b/c.png', false],
  ['/{x}/b', '/a/b', true],
  ['/{x}/b', '/a=c*/b', true],
  ['/{x}/b', '/a"c/b', false],
  ['/{x=a/*}/{y=**}', '/a/b/c/d', true],
  ['/{x=a/*}/{y=**}', '/b/b/c/d', false],
  ['/media/{id}.m4s', '/media/7.m4s', true],
])('%s and %s: %s', (template, path, held) => expect(matches(template, path)).toBe(held));

describe('refused', () => {
  test.each([
    ['', /begins with \//],
    ['a', /begins with \//],
    ['/a b', /white space/],
    ['/a//b', /may not stand/],
    ['/a=b', /ends a template|may not stand/],
    ['/**/*', /may follow \*\*/],
    ['/**/{x}', /may follow \*\*/],
    ['/{x=**}/**', /may follow \*\*/],
    ['/{x}/{x}', /twice/],
    ['/{1}', /\{name\}/],
    ['/{}', /\{name\}/],
    ['/{x', /lacks its \}/],
    ['/{x=}', /may not stand/],
    ['/{x={y}}', /may not stand/],
    ['/*.jpg/b', /ends a template/],
    ['/a{x}', /may not stand|ends a template/],
    ['/{seventeen_letters}', /more than 16/],
    ['/{a}/{b}/{c}/{d}/{e}/{f}', /more than 5/],
  ])('%s', (template, why) => expect(parseUriTemplate(template).error).toMatch(why));
});

test('a rewrite names variables by their groups', () => {
  const template = parseUriTemplate('/{a}/{b=x/**}').ok!;
  expect(templateSubstitution('/', template).ok).toBe('/');
  expect(templateSubstitution('/{b}/y-{a}', template).ok).toBe('/\\2/y-\\1');
  expect(templateSubstitution('/{c}', template).error).toContain('no variable');
  for (const bad of ['', 'a', '/a//b', '/{a', '/a}', '/a b', '/\\1', '/*']) {
    expect(templateSubstitution(bad, template).ok, bad).toBeUndefined();
  }
});
