import { expect, test } from 'vitest';
import { type Random, seededRandom } from '../../../../src/base/random.ts';
import type { RouteMatch } from '../../../../src/model/route.ts';
import { compileConditions, compilePath, MatchInput, PLAINTEXT } from '../../../../src/proxy/router/match.ts';
import { firstMatch, literalPrefix, RouteIndex, type Rule } from '../../../../src/proxy/router/route-index.ts';
import { deps, header, request, routeMatch, string } from './fixtures.ts';

const SEGMENTS = ['', 'a', 'b', 'ab', 'aB', 'A', 'api', 'api-v1', 'ü'];

function path(random: Random): string {
  const count = 1 + random.int(3);
  return Array.from({ length: count }, () => `/${SEGMENTS[random.int(SEGMENTS.length)]}`).join('');
}

function regex(random: Random): string {
  const tails = ['.*', '[ab]+', 'b?', '(/x)?', '$', 'a|/b', '\\w', '(?:a|b)', ''];
  return `${random.int(4) === 0 ? '^' : ''}${path(random)}${tails[random.int(tails.length)]}`;
}

function match(random: Random): RouteMatch {
  const value = path(random);
  const kinds = [
    { kind: 'path', value },
    { kind: 'path', value },
    { kind: 'prefix', value: random.int(3) === 0 ? value.slice(0, -1) || '/' : value },
    { kind: 'prefix', value },
    { kind: 'pathSeparatedPrefix', value },
    { kind: 'regex', value: regex(random) },
    { kind: 'connect' },
  ] as const;
  return routeMatch({
    path: kinds[random.int(kinds.length)]!,
    caseSensitive: random.int(3) > 0,
    headers: random.int(2) === 0 ? [header('h', string('exact', String(random.int(3))))] : [],
    queryParameters: random.int(5) === 0 ? [{ name: 'q', matcher: null, present: true }] : [],
    runtimeFraction: random.int(10) === 0 ? { partsPerMillion: 500_000, runtimeKey: '' } : null,
  });
}

test('the index finds what looking at every route in order finds', () => {
  const random = seededRandom(20);
  let hits = 0;
  for (let round = 0; round < 200; round++) {
    // The draw of a match is the same on both sides: it is one number a match.
    const draw = random.next();
    const dependencies = deps({ random: { next: () => draw, int: (bound) => Math.floor(draw * bound) } });
    const rules = Array.from({ length: 1 + random.int(60) }, (_, order): Rule<number> => {
      const one = match(random);
      return {
        order,
        match: one,
        path: compilePath(one),
        conditions: compileConditions(one, dependencies),
        value: order,
      };
    });
    const index = new RouteIndex(rules);
    const input = new MatchInput();
    for (let i = 0; i < 50; i++) {
      const head =
        random.int(15) === 0
          ? request('', { h: '1' }, { method: 'CONNECT' })
          : request(Buffer.from(path(random) + ['', '?q=1', '#f', '/x'][random.int(4)]).toString('latin1'), {
              h: String(random.int(3)),
            });
      input.fill(head, PLAINTEXT);
      const expected = firstMatch(rules, input);
      expect(index.find(input)?.order ?? null, `${head.method} ${head.path}`).toBe(expected?.order ?? null);
      if (expected !== null) hits++;
    }
  }
  expect(hits).toBeGreaterThan(2_500);
});

test.each([
  ['/api/v1/.*', '/api/v1/'],
  ['^/api', '/api'],
  ['/apis?', '/api'],
  ['/a*', '/'],
  ['/ab+', '/a'],
  ['/a{2}', '/'],
  ['/a|/b', ''],
  ['(?i)/a', ''],
  ['/a\\.b', '/a'],
])('every match of %s begins with "%s"', (pattern, prefix) => {
  expect(literalPrefix(pattern)).toBe(prefix);
});
