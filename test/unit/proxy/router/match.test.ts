import { describe, expect, test } from 'vitest';
import type { HeaderMatcher, QueryParameterMatcher } from '../../../../src/model/matcher.ts';
import type { RouteMatch } from '../../../../src/model/route.ts';
import type { RequestHead } from '../../../../src/protocol/http/message.ts';
import {
  compileConditions,
  compilePath,
  type MatchContext,
  MatchInput,
  PLAINTEXT,
  queryValue,
} from '../../../../src/proxy/router/match.ts';
import { deps, fixedRandom, header, NO_RUNTIME, request, routeMatch, string } from './fixtures.ts';

function matches(match: Partial<RouteMatch>, head: RequestHead, context: MatchContext = PLAINTEXT, over = {}): boolean {
  const full = routeMatch(match);
  const input = new MatchInput();
  input.fill(head, context);
  return [compilePath(full), ...compileConditions(full, deps(over))].every((predicate) => predicate.test(input));
}

describe('path', () => {
  type Row = [kind: 'path' | 'prefix' | 'pathSeparatedPrefix' | 'regex', value: string, path: string, held: boolean];
  const rows: Row[] = [
    ['path', '/a', '/a', true],
    ['path', '/a', '/a?x=1', true],
    ['path', '/a', '/a#f', true],
    ['path', '/a', '/a/', false],
    ['path', '/a', '/A', false],
    ['prefix', '/', '/', true],
    ['prefix', '/', '*', false],
    ['prefix', '/a', '/ab', true],
    ['prefix', '/a/', '/a', false],
    ['prefix', '/ab', '/a?b', false],
    ['prefix', '/a?', '/a?', false],
    ['pathSeparatedPrefix', '/a', '/a', true],
    ['pathSeparatedPrefix', '/a', '/a/', true],
    ['pathSeparatedPrefix', '/a', '/a/b', true],
    ['pathSeparatedPrefix', '/a', '/a?x', true],
    ['pathSeparatedPrefix', '/a', '/ab', false],
    ['regex', '/v[12]/.*', '/v1/x', true],
    ['regex', '/v[12]', '/v1/x', false],
    ['regex', '/v[12]', '/v1?x', true],
    ['regex', '(?i)/A', '/a', true],
    ['path', '/ü', '/Ã¼', true],
    ['regex', '/.', '/Ã¼', true],
  ];
  test.each(rows)('%s %s on %s: %s', (kind, value, path, held) => {
    expect(matches({ path: { kind, value } }, request(path))).toBe(held);
  });

  test.each([
    ['path', '/A/b', '/a/B', true],
    ['prefix', '/API', '/api/x', true],
    ['pathSeparatedPrefix', '/Api', '/aPI/x', true],
    ['pathSeparatedPrefix', '/Api', '/apix', false],
  ] as const)('%s %s on %s without case: %s', (kind, value, path, held) => {
    expect(matches({ path: { kind, value }, caseSensitive: false }, request(path))).toBe(held);
  });

  test('CONNECT has no path and goes only to routes that match CONNECT', () => {
    const connect = request('', {}, { method: 'CONNECT', authority: 'a:1' });
    expect(matches({ path: { kind: 'connect' } }, connect)).toBe(true);
    expect(matches({ path: { kind: 'connect' } }, request('/'))).toBe(false);
    expect(matches({ path: { kind: 'prefix', value: '/' } }, connect)).toBe(false);
    expect(matches({ path: { kind: 'regex', value: '.*' } }, connect)).toBe(false);
  });

  test('a regex that RE2 refuses is a config error', () => {
    expect(() => compilePath(routeMatch({ path: { kind: 'regex', value: '(?=a)' } }))).toThrow(/regex/);
  });
});

describe('headers', () => {
  const head = request('/p?q=1', {
    One: 'Value',
    Two: ['a', 'b'],
    Empty: '',
    Number: '-5',
    Big: '12345678901234567890123',
  });
  const rows: [matcher: HeaderMatcher, held: boolean][] = [
    [header('one', string('exact', 'Value')), true],
    [header('one', string('exact', 'value')), false],
    [header('one', string('exact', 'vALUE', true)), true],
    [header('one', string('prefix', 'Val')), true],
    [header('one', string('prefix', 'VAL', true)), true],
    [header('one', string('suffix', 'lue')), true],
    [header('one', string('suffix', 'LUE', true)), true],
    [header('one', string('suffix', 'xValue')), false],
    [header('one', string('contains', 'alu')), true],
    [header('one', string('contains', 'ALU', true)), true],
    [header('one', string('regex', 'V.*e')), true],
    [header('one', string('regex', 'alu')), false],
    // Several lines are one value.
    [header('two', string('exact', 'a,b')), false],
    [header('two', string('exact', 'a')), true],
    [header('number', { kind: 'range', start: -10, end: 0 }), true],
    [header('number', { kind: 'range', start: -4, end: 0 }), false],
    [header('number', { kind: 'range', start: -10, end: -5 }), false],
    [header('one', { kind: 'range', start: 0, end: 10 }), false],
    [header('big', { kind: 'range', start: 0, end: 1e30 }), false],
    [header('one', { kind: 'present', present: true }), true],
    [header('one', { kind: 'present', present: false }), false],
    [header('none', { kind: 'present', present: true }), false],
    [header('none', { kind: 'present', present: false }), true],
    [header('none', { kind: 'present', present: true }, { invert: true }), true],
    [header('one', { kind: 'present', present: true }, { invert: true }), false],
    [header('empty', { kind: 'present', present: true }), true],
    [header('empty', string('exact', '')), true],
    [header('one', string('exact', 'x'), { invert: true }), true],
    [header('one', string('exact', 'Value'), { invert: true }), false],
    // An absent header fails, inverted or not…
    [header('none', string('exact', 'x')), false],
    [header('none', string('exact', 'x'), { invert: true }), false],
    [header('none', { kind: 'range', start: 0, end: 1 }, { invert: true }), false],
    // …unless it counts as empty.
    [header('none', string('exact', ''), { treatMissingAsEmpty: true }), true],
    [header('none', string('exact', 'x'), { treatMissingAsEmpty: true }), false],
    [header('none', string('exact', 'x'), { treatMissingAsEmpty: true, invert: true }), true],
    [header(':method', string('exact', 'GET')), true],
    [header(':path', string('exact', '/p?q=1')), true],
    [header(':authority', string('exact', 'a.test')), true],
    [header('host', string('exact', 'a.test')), true],
    [header(':scheme', string('exact', 'http')), true],
  ];
  test.each(rows)('%j: %s', (matcher, held) => {
    expect(matches({ headers: [matcher] }, head)).toBe(held);
  });

  test('all matchers must hold', () => {
    const good = header('one', string('exact', 'Value'));
    expect(matches({ headers: [good, header('none', string('exact', 'x'))] }, head)).toBe(false);
  });
});

test('a segment ends at its parameters where they are ignored', () => {
  const input = new MatchInput();
  const held = (match: RouteMatch['path'], path: string): boolean => {
    input.fill(request(path), PLAINTEXT, true);
    return compilePath(routeMatch({ path: match })).test(input);
  };
  expect(held({ kind: 'path', value: '/a/d' }, '/a;b=c/d;e;f?e;f')).toBe(true);
  expect(held({ kind: 'path', value: '/a' }, '/a;b=c/d')).toBe(false);
  expect(held({ kind: 'template', value: '/*.jpg' }, '/a.jpg;b')).toBe(false);
  expect(held({ kind: 'path', value: '/a' }, '/a?e;f')).toBe(true);
  expect(held({ kind: 'path', value: '/a' }, '/ab;c')).toBe(false);
  expect(held({ kind: 'prefix', value: '/a;b' }, '/a;b')).toBe(false);
  expect(held({ kind: 'regex', value: '/[a-z]' }, '/a;b')).toBe(true);
  expect(held({ kind: 'pathSeparatedPrefix', value: '/a' }, '/a;b')).toBe(true);
});

test('a template is the whole path', () => {
  const template = { kind: 'template', value: '/api/{version}/**.json' } as const;
  expect(matches({ path: template }, request('/api/v1/x/y.json?z'))).toBe(true);
  expect(matches({ path: template }, request('/api/v1/x'))).toBe(false);
  expect(compilePath(routeMatch({ path: template })).describe()).toBe(
    'path fits the template "/api/{version}/**.json"',
  );
});

describe('query parameters', () => {
  const rows: [path: string, parameter: QueryParameterMatcher, held: boolean][] = [
    ['/?a=1', { name: 'a', matcher: null, present: true }, true],
    ['/?a', { name: 'a', matcher: null, present: true }, true],
    ['/?ab=1', { name: 'a', matcher: null, present: true }, false],
    ['/', { name: 'a', matcher: null, present: true }, false],
    ['/?x=1&a=2', { name: 'a', matcher: string('exact', '2'), present: true }, true],
    // The first of several counts.
    ['/?a=1&a=2', { name: 'a', matcher: string('exact', '2'), present: true }, false],
    ['/?a=1=2', { name: 'a', matcher: string('exact', '1=2'), present: true }, true],
    ['/?a', { name: 'a', matcher: string('exact', ''), present: true }, true],
    // Nothing is decoded.
    ['/?a=%41', { name: 'a', matcher: string('exact', 'A'), present: true }, false],
    ['/?a=xyz', { name: 'a', matcher: string('regex', 'x.z'), present: true }, true],
    ['/?a=1', { name: 'a', matcher: null, present: false }, false],
    ['/?b=1', { name: 'a', matcher: null, present: false }, true],
    ['/', { name: 'a', matcher: null, present: false }, true],
  ];
  test.each(rows)('%s %j: %s', (path, parameter, held) => {
    expect(matches({ queryParameters: [parameter] }, request(path))).toBe(held);
  });
  test('the value of the first parameter', () => {
    expect(queryValue('/?&&a=1&b', 'b')).toBe('');
    expect(queryValue('/?a=', 'a')).toBe('');
    expect(queryValue('/a=1', 'a')).toBeUndefined();
  });
});

describe('runtime fraction', () => {
  const half = { runtimeFraction: { partsPerMillion: 500_000, runtimeKey: '' } };
  test('takes its share', () => {
    expect(matches(half, request(), PLAINTEXT, { random: fixedRandom(0.49) })).toBe(true);
    expect(matches(half, request(), PLAINTEXT, { random: fixedRandom(0.51) })).toBe(false);
  });
  test('a runtime value is a percentage', () => {
    const keyed = { runtimeFraction: { partsPerMillion: 0, runtimeKey: 'k' } };
    const runtime = { ...NO_RUNTIME, number: (key: string, fallback: number) => (key === 'k' ? 20 : fallback) };
    expect(matches(keyed, request(), PLAINTEXT, { runtime, random: fixedRandom(0.19) })).toBe(true);
    expect(matches(keyed, request(), PLAINTEXT, { runtime, random: fixedRandom(0.21) })).toBe(false);
    expect(matches(keyed, request(), PLAINTEXT, { random: fixedRandom(0) })).toBe(false);
  });
});

describe('grpc and tls', () => {
  test.each([
    ['application/grpc', true],
    ['application/grpc+proto', true],
    ['application/grpc-web', false],
    ['application/json', false],
  ])('content type %s: %s', (type, held) => {
    expect(matches({ grpc: true }, request('/', { 'content-type': type }))).toBe(held);
  });
  test('no content type is no gRPC', () => {
    expect(matches({ grpc: true }, request('/'))).toBe(false);
  });
  test('client certificate', () => {
    const tls: MatchContext = {
      internal: false,
      tls: true,
      peerPresented: true,
      peerValidated: false,
    };
    expect(matches({ tls: { presented: true, validated: null } }, request(), tls)).toBe(true);
    expect(matches({ tls: { presented: true, validated: true } }, request(), tls)).toBe(false);
    expect(matches({ tls: { presented: null, validated: false } }, request(), tls)).toBe(true);
    expect(matches({ tls: { presented: true, validated: null } }, request())).toBe(false);
    expect(matches({ tls: { presented: false, validated: null } }, request())).toBe(true);
  });
});
