import { RE2JS } from 're2js';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.ts';
import { compileRegex, type Regex, toOctets } from '../../../src/base/regex.ts';
import { timed } from '../../support/cpu-time.ts';

function compile(pattern: string): Regex {
  const { ok, error } = compileRegex(pattern);
  if (ok === undefined) throw new Error(error);
  return ok;
}

describe('matches', () => {
  test.each([
    ['/a', '/a', true],
    ['/a', '/ab', false],
    ['a|b', 'b', true],
    ['^a|b$', 'xb', false],
    ['.', '\n', false],
    ['é', toOctets('é'), true],
    ['.', toOctets('é'), true],
    ['[^a]', toOctets('日'), true],
    ['\\d+', '12', true],
    ['a{2}', 'aa', true],
    ['a$', 'a', true],
    ['a\\$', 'a$', true],
    ['(?:a)b', 'ab', true],
    ['[]a]', ']', true],
    ['a.c', 'a\rc', true],
  ])('%s on %j: %s', (pattern, text, held) => {
    expect(compile(pattern).matches(text)).toBe(held);
  });

  test.each(['(?=a)', '(a', 'a**', '\\1', '[b-a]', 'x{1001}'])('%s is refused with a reason', (pattern) => {
    expect(compileRegex(pattern).error).toMatch(/regexp/);
  });

  test.each(['(a+)+$', '(a|a)*b', '(.*)(.*)(.*)(.*)(.*)x', '.*.*.*.*=.*', '(a?){50}a{50}', '([a-z]+)*!'])(
    'hostile %s takes linear time',
    (pattern) => {
      const regex = compile(pattern);
      expect(regex.isNative).toBe(false);
      expect(timed(() => regex.matches(`${'a'.repeat(20_000)}!`)).took).toBeLessThan(1500);
    },
  );

  test.each(['/api/v[0-9]+/users', '/a/[^/]+/b', '/(?:v1|v2)/.*', '^/x$', '.*\\.png', '\\w-\\d'])(
    'plain %s runs natively',
    (pattern) => {
      expect(compile(pattern).isNative).toBe(true);
    },
  );

  test('a native expression agrees with RE2 on random patterns and texts', () => {
    const random = seededRandom(3);
    const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
    const atoms = ['a', 'b', '/', '.', '[ab]', '[^a]', '[a-c]', '\\.', '\\d', '\\w', '-', '[0-9-]', '^', '$', '\\/'];
    const marks = ['', '', '', '', '', '*', '+', '?', '*?', '+?', '{2}'];
    let native = 0;
    for (let round = 0; round < 1_500; round++) {
      let pattern = Array.from({ length: 1 + random.int(5) }, () => pick(atoms) + pick(marks)).join('');
      if (random.int(4) === 0) pattern = `(${pattern}|${pick(atoms)})${pick(atoms)}`;
      if (random.int(6) === 0) pattern = `${pattern}|${pick(atoms)}`;
      const { ok: regex } = compileRegex(pattern);
      if (regex === undefined || !regex.isNative) continue;
      native++;
      const re2 = RE2JS.compile(pattern);
      for (let i = 0; i < 15; i++) {
        const text = Array.from({ length: random.int(6) }, () =>
          pick(['a', 'b', 'c', '/', '.', '1', '-', '\n', '_', '$']),
        ).join('');
        expect(regex.matches(text), `${pattern} on ${JSON.stringify(text)}`).toBe(re2.matches(text));
      }
    }
    expect(native).toBeGreaterThan(250);
  });
});

test('a pattern too large for the native engine is matched by the other, and does not throw', () => {
  for (const [pattern, text] of [
    ['x'.repeat(70_000), 'x'.repeat(70_000)],
    [`${'('.repeat(900)}a${')'.repeat(900)}`, 'a'],
    ['[ab]'.repeat(16_000), 'ab'.repeat(8000)],
  ] as const) {
    const regex = compile(pattern);
    expect(regex.matches(text)).toBe(true);
    expect(regex.matches(`${text}!`)).toBe(false);
  }
});

describe('replaceAll', () => {
  test.each([
    ['/a', '/b', '/a/a', '/b/b'],
    ['^/v1/(.*)$', '/v2/\\1', '/v1/x', '/v2/x'],
    ['(\\w+)-(\\w+)', '\\2-\\1', 'a-b', 'b-a'],
    ['a', '[\\0]', 'aba', '[a]b[a]'],
    ['a', '\\\\', 'a', '\\'],
    ['x*', '-', 'abc', '-a-b-c-'],
    ['a*', '-', 'baac', '-b-c-'],
    ['(a)|b', '<\\1>', 'ab', '<a><>'],
    ['nope', 'x', 'abc', 'abc'],
    ['é', 'e$&', toOctets('caféx'), 'cafe$&x'],
    ['a', 'é', 'a', toOctets('é')],
  ])('%s by %s in %j', (pattern, substitution, text, expected) => {
    expect(compile(pattern).replaceAll(text, substitution)).toBe(expected);
  });

  test('a substitution that names no group is found beforehand', () => {
    expect(compile('(a)').checkSubstitution('\\1 \\0 \\\\')).toBeNull();
    expect(compile('(a)').checkSubstitution('\\2')).toMatch(/group 2/);
    expect(compile('(a)').checkSubstitution('\\x')).toMatch(/neither/);
    expect(compile('(a)').checkSubstitution('x\\')).toMatch(/backslash/);
  });
});
