import { describe, expect, test } from 'vitest';
import {
  type ConfigDocument,
  describeProblems,
  type LocatedProblem,
  readDocument,
} from '../../../../src/xds/bootstrap/document.ts';
import { timed } from '../../../support/cpu-time.ts';

function read(text: string): ConfigDocument {
  const problems: LocatedProblem[] = [];
  const document = readDocument(text, problems);
  if (document === undefined) throw new Error(JSON.stringify(problems));
  return document;
}

function faults(text: string): string[] {
  const problems: LocatedProblem[] = [];
  expect(readDocument(text, problems)).toBeUndefined();
  return describeProblems('f', problems);
}

describe('places', () => {
  const document = read(`a:
  - b: 1
    camelCase: {x.y: 2, "z": 3}
  - &anchor
    c: 4
d: *anchor
e: {<<: *anchor, f: 5}
`);

  test.each([
    ['a', 1, 1],
    ['a[0]', 2, 5],
    ['a[0].b', 2, 5],
    ['a[0].camel_case', 3, 5],
    ['a[0].camelCase["x.y"]', 3, 17],
    ['d.c', 5, 5],
    ['e.c', 5, 5],
    ['e.f', 7, 18],
    ['a[1].gone.further', 5, 5],
    ['nowhere', 1, 1],
    ['', 1, 1],
  ])('%s', (path, line, column) => {
    expect(document.locate(path)).toEqual({ line, column });
  });

  test('data is found by the same paths', () => {
    expect(document.get('a[0].camel_case["x.y"]')).toBe(2);
    expect(document.get('a[7].b')).toBeUndefined();
  });
});

test('JSON is read as it is, with its places', () => {
  const document = read('{"a": {\n  "b": [true]\n}}');
  expect(document.value).toEqual({ a: { b: [true] } });
  expect(document.locate('a.b')).toEqual({ line: 2, column: 3 });
});

test.each([
  ['a: 1\nb: 2\na: 3\n', ['f:3:1: "a" stands twice in one map']],
  ['{"a": 1, "a": 2}', ['f:1:10: "a" stands twice in one map']],
  ['a: [1', ['f:1:6: Flow sequence in block collection must be sufficiently indented and end with a ]']],
  ['a: *gone', ['f:1:1: Unresolved alias (the anchor must be set before the alias): gone']],
  ['a: 1\n---\nb: 2\n', [expect.stringContaining('f:2:1: Source contains multiple documents')]],
])('%j', (text, lines) => {
  expect(faults(text)).toEqual(lines);
});

test('aliases of aliases are stopped before they laugh', () => {
  const levels = Array.from(
    { length: 30 },
    (_, i) =>
      `a${i}: &a${i} [${Array(10)
        .fill(i === 0 ? 'lol' : `*a${i - 1}`)
        .join(', ')}]`,
  );
  const { result, took } = timed(() => faults(levels.join('\n')));
  expect(result).toEqual(['f:1:1: Excessive alias count indicates a resource exhaustion attack']);
  expect(took).toBeLessThan(2000);
});

test('YAML of many megabytes is refused at once, with what to do', () => {
  const { result, took } = timed(() => faults(`a: "${'x'.repeat(8 * 1024 * 1024)}"`));
  expect(result).toEqual(['f: larger than 8 MiB: write it as plain JSON, which is read faster']);
  expect(took).toBeLessThan(2000);
});

test('a key that is a deep tree is refused, not written out', () => {
  const deep = `${'['.repeat(200)}x${']'.repeat(200)}`;
  const { result, took } = timed(() => faults(`? ${deep}\n: 1\n`));
  expect(result).toEqual(['f:1:3: With stringKeys, all keys must be strings']);
  expect(took).toBeLessThan(2000);
});

test('one large anchor used often is stopped too', () => {
  const text = `big: &big [${Array(2000).fill('x').join(', ')}]\nuses: [${Array(1500).fill('*big').join(', ')}]\n`;
  expect(faults(text)).toEqual(['f:1:1: aliases blow the file up beyond all measure']);
});

test('many aliases are too many, since each is looked for from the top', () => {
  expect(faults(`one: &one 1\nuses: [${Array(3000).fill('*one').join(', ')}]\n`)).toEqual([
    'f:1:1: more than 2000 aliases',
  ]);
});

test.each([
  ['['.repeat(100_000)],
  ['{a: '.repeat(50_000)],
  [`${Array.from({ length: 3000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')}`],
  ['- '.repeat(20_000)],
])('depth is bounded', (text) => {
  const problems: LocatedProblem[] = [];
  expect(timed(() => readDocument(text, problems)).took).toBeLessThan(5000);
  expect(problems.length).toBeGreaterThan(0);
});

test('an unknown field stands at its place, the path says in what', () => {
  const problem = {
    path: 'a[0].filtres',
    reason: 'unknown field "filtres": did you mean "filters"?',
    line: 14,
    column: 9,
  };
  expect(describeProblems('bootstrap.yaml', [problem])).toEqual([
    'bootstrap.yaml:14:9 a[0]: unknown field "filtres": did you mean "filters"?',
  ]);
});

test('a problem without a place or a path is still one line', () => {
  expect(describeProblems('f', [{ path: '', reason: 'no' }])).toEqual(['f: no']);
});

describe('JSON', () => {
  test.each([
    ['plain', '{"a": [1, 2.5, -3e2, true, null, "x"], "b": {}}'],
    ['escapes and colons in strings', String.raw`{"a:\"b\\": "::\\", "é": "\u00e9:\"", "c": ":"}`],
    ['the same name in different objects', '{"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 2}]}'],
    ['names that objects have', '{"__proto__": {"a": 1}, "constructor": 2}'],
  ])('reads as YAML does: %s', (_, text) => {
    // A comment is no JSON: the same text goes through the YAML parser.
    expect(JSON.stringify(read(text).value)).toBe(JSON.stringify(read(`${text} # YAML`).value));
    expect(JSON.stringify(read(text).value)).toBe(JSON.stringify(JSON.parse(text)));
  });

  test('finds places though no tree was made', () => {
    expect(read('{\n  "a": [\n    {"b": 1}\n  ]\n}').locate('a[0].b')).toEqual({ line: 3, column: 6 });
  });

  test('refuses two members of one name, however they are written', () => {
    expect(faults('{"a": 1,\n"a": 2}')).toEqual(['f:2:1: "a" stands twice in one map']);
    expect(faults(String.raw`{"x": {"a": 1, "\u0061": 2}}`)).toHaveLength(1);
  });
});
