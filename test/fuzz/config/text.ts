/** YAML and JSON texts and trees, changed here and there; and texts that are made to hurt. */
import { parseAllDocuments, stringify } from 'yaml';
import type { Random } from '../../../src/base/random.ts';

const PIECES = [
  '\n',
  ' ',
  '  ',
  '- ',
  ': ',
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '&a ',
  '*a',
  '!!binary ',
  '!!x ',
  '|',
  '>',
  '---\n',
  '...\n',
  '#',
  '\t',
  '\0',
  '? ',
  ',',
  '%YAML 9\n',
  '<<: ',
  '<<: *a',
  '__proto__',
  'null',
  '1e999',
  '0x',
  '.inf',
  '\ud800',
  '\ufeff',
  '\u2028',
  'é',
  '\r\n',
  '\r',
];
const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  4_294_967_296,
  2 ** 63,
  1e308,
  Number.NaN,
  '',
  '*',
  '0s',
  '-1s',
  '99999999999h',
  '(',
  '(a*)*$',
  '%',
  '%REQ(',
  '::1',
  'DEFAULT',
  '\0',
  '\n',
  '__proto__',
  'x'.repeat(70_000),
  [],
  {},
  [[]],
  [null],
  [{}],
  { a: 1 },
  { __proto__x: 1 },
  { '@type': 'x' },
  { '@type': 'type.googleapis.com/google.protobuf.Any' },
  { '@type': 'type.googleapis.com/google.protobuf.Struct', value: { a: { b: [{}] } } },
  { '@type': 'type.googleapis.com/xds.type.v3.TypedStruct' },
  { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
];

/** What is read in a tenth of the time a case may take. */
const MAX_LENGTH = 300_000;

function pick<T>(from: readonly T[], random: Random): T {
  return from[random.int(from.length)]!;
}

export function mutateText(text: string, random: Random): string {
  let out = text;
  for (let n = random.int(5) + 1; n > 0; n--) {
    const at = random.int(out.length + 1);
    const length = random.int(20);
    const piece = pick(PIECES, random);
    const kind = random.int(6);
    if (kind === 0) out = out.slice(0, at) + out.slice(at + length);
    else if (kind === 1) out = out.slice(0, at) + piece + out.slice(at);
    else if (kind === 2) out = out.slice(0, at) + piece + out.slice(at + piece.length);
    else if (kind === 3)
      out = out.slice(0, at) + out.slice(random.int(out.length + 1)).slice(0, length * 4) + out.slice(at);
    else if (kind === 4) out = out.slice(0, at) + String.fromCharCode(random.int(0x10000)) + out.slice(at + 1);
    else out = out.slice(0, at) + piece.repeat(pick([10, 300, 5000], random)) + out.slice(at);
  }
  return out;
}

/** Every place of a tree where something stands: its holder and its key. */
function places(value: unknown, found: [holder: Record<string, unknown>, key: string][] = []): typeof found {
  if (typeof value !== 'object' || value === null || found.length > 20_000) return found;
  for (const [key, item] of Object.entries(value)) {
    found.push([value as Record<string, unknown>, key]);
    places(item, found);
  }
  return found;
}

function mutateTree(tree: unknown, random: Random): void {
  const all = places(tree);
  if (all.length === 0) return;
  const [holder, key] = pick(all, random);
  const [other, otherKey] = pick(all, random);
  const how = random.int(6);
  if (how === 0) holder[key] = structuredClone(pick(VALUES, random));
  else if (how === 1) holder[key] = structuredClone(other[otherKey]);
  else if (how === 2) {
    let deep: unknown = holder[key];
    for (let i = pick([2, 20, 60, 90], random); i > 0; i--) deep = random.int(2) === 0 ? [deep] : { [key]: deep };
    holder[key] = deep;
  } else if (how === 3 && Array.isArray(holder)) {
    for (let i = pick([1, 50, 500], random); i > 0; i--) holder.push(holder[Number(key)]);
  } else if (how === 4 && !Array.isArray(holder)) {
    holder[otherKey] = holder[key];
    delete holder[key];
  } else if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
}

/** The text's documents with values replaced, moved, nested, repeated and taken out; YAML or JSON. */
export function mutateDocuments(text: string, random: Random): string {
  const documents = parseAllDocuments(text, { logLevel: 'silent' });
  if (!Array.isArray(documents)) return text;
  const trees = documents.map((document) => document.toJS() as unknown);
  const tree = pick(trees, random);
  for (let n = random.int(3) + 1; n > 0; n--) mutateTree(tree, random);
  const write = (one: unknown) => (random.int(2) === 0 ? stringify(one) : `${JSON.stringify(one)}\n`);
  // A tree that was put into itself again and again says no more than its beginning.
  return trees.map(write).join('---\n').slice(0, MAX_LENGTH);
}

const laughs = (levels: number, width: number) =>
  Array.from({ length: levels }, (_, i) =>
    i === 0
      ? 'a0: &a0 [x]'
      : `a${i}: &a${i} [${Array(width)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
  ).join('\n');

/** Each takes a careless reader down or holds it up; `scale` 1 is megabytes. */
export const bombs = (scale: number): Readonly<Record<string, string>> => ({
  'a billion laughs': laughs(30, 9),
  'laughs by two': laughs(64, 2),
  'laughs of maps': Array.from({ length: 40 }, (_, i) =>
    i === 0 ? 'a0: &a0 {x: y}' : `a${i}: &a${i} {l: *a${i - 1}, r: *a${i - 1}}`,
  ).join('\n'),
  'merge upon merge': Array.from({ length: 60 }, (_, i) =>
    i === 0 ? 'a0: &a0 {x: y}' : `a${i}: &a${i} {<<: [*a${i - 1}, *a${i - 1}]}`,
  ).join('\n'),
  'an alias in what it names': 'a: &a [*a]',
  'a merge of itself': 'a: &a {<<: *a}',
  'ten thousand aliases of one': `a: &a x\nb:\n${'- *a\n'.repeat(scale * 10_000)}`,
  'aliases of nothing': '- *a\n'.repeat(scale * 20_000),
  'anchors in thousands': Array.from({ length: scale * 20_000 }, (_, i) => `- &a${i} x`).join('\n'),
  'lists in lists': '['.repeat(scale * 100_000),
  'lists in lists that close': `${'['.repeat(scale * 5000)}${']'.repeat(scale * 5000)}`,
  'maps in maps': '{a: '.repeat(scale * 50_000),
  'JSON in JSON': `${'{"a":'.repeat(scale * 5000)}1${'}'.repeat(scale * 5000)}`,
  'dashes in one line': `${'- '.repeat(scale * 20_000)}x`,
  'question marks in one line': `${'? '.repeat(scale * 20_000)}x`,
  indents: Array.from({ length: scale * 1500 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
  'indents of lists': Array.from({ length: scale * 1500 }, (_, i) => `${' '.repeat(i)}-`).join('\n'),
  'flow in block, often': 'a: [[[[[[\n'.repeat(scale * 3000),
  'one key often': 'a: 1\n'.repeat(scale * 50_000),
  'keys in thousands': Array.from({ length: scale * 50_000 }, (_, i) => `k${i}: 1`).join('\n'),
  'a long text': `a: "${'x'.repeat(scale * 4_000_000)}"`,
  'a text of escapes': `a: "${'\\u0041'.repeat(scale * 200_000)}"`,
  'a text without an end': `a: "${'x\n'.repeat(scale * 200_000)}`,
  'a block without an end': `a: |\n${' x\n'.repeat(scale * 200_000)}`,
  comments: '# x\n'.repeat(scale * 200_000),
  colons: ':'.repeat(scale * 100_000),
  'a key without an end': 'x'.repeat(scale * 1_000_000),
  quotes: '"" '.repeat(scale * 50_000),
  documents: '---\n'.repeat(scale * 20_000),
  'documents with an end': '...\n'.repeat(scale * 20_000),
  directives: '%TAG ! x\n'.repeat(scale * 20_000),
  tags: `a: ${'!!x '.repeat(scale * 5000)}y`,
  'white space': ' '.repeat(scale * 1_000_000),
  tabs: '\t\n'.repeat(scale * 100_000),
  'numbers that overflow': `a: ${'9'.repeat(scale * 100_000)}`,
  binary: `a: !!binary ${'A'.repeat(scale * 1_000_000)}`,
  'prototype keys': '__proto__: {polluted: 1}\nconstructor: {prototype: {polluted: 1}}',
  'bytes that are no UTF-8': Buffer.from('613a20fffec0af', 'hex').toString('utf8'),
  'half of a surrogate pair': 'a: \ud800',
  NUL: 'a: \0'.repeat(scale * 1000),
  'a byte order mark': '\ufeffa: 1',
  'UTF-16': Buffer.from('a: 1', 'utf16le').toString('latin1'),
});
