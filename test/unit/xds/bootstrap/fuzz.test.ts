import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { readBootstrap } from '../../../../src/xds/bootstrap/bootstrap.ts';
import { describeProblems } from '../../../../src/xds/bootstrap/document.ts';
import { timed } from '../../../support/cpu-time.ts';
import { testContext } from '../resources/support.ts';

/** A small generator with a seed, so that a failure can be had again. (mulberry32) */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const EXAMPLES = new URL('../../../../config/proxy/', import.meta.url);
const texts = readdirSync(EXAMPLES).map((name) => readFileSync(new URL(name, EXAMPLES), 'utf8'));
const context = testContext();

/** Whatever the text: a bootstrap or problems, each of one line, and soon. */
function holds(text: string, what: string): boolean {
  const { result, took } = timed(() => readBootstrap(text, context));
  expect(took, what).toBeLessThan(2000);
  if (result.ok) return true;
  expect(result.problems.length, what).toBeGreaterThan(0);
  for (const line of describeProblems('f', result.problems)) expect(line, what).not.toMatch(/\n|undefined|\[object/);
  return false;
}

const SNIPPETS = [
  '{',
  '}',
  '[',
  ']',
  ':',
  '- ',
  '&a ',
  '*a',
  '<<: *a',
  '\t',
  '"',
  "'",
  '!!binary ',
  '|',
  '\0',
  '%',
  '~',
  '1e999',
  '#',
  '\n',
  '---\n',
];

test('texts with octets changed, dropped, doubled and put in', () => {
  const next = generator(1);
  let good = 0;
  for (let i = 0; i < 150; i++) {
    let text = texts[next(texts.length)]!;
    for (let n = next(4) + 1; n > 0; n--) {
      const at = next(text.length);
      const cut = at + next(8);
      const piece = SNIPPETS[next(SNIPPETS.length)]!;
      const how = next(4);
      if (how === 0) text = text.slice(0, at) + text.slice(cut);
      else if (how === 1) text = text.slice(0, at) + piece + text.slice(at);
      else if (how === 2) text = text.slice(0, cut) + text.slice(at);
      else text = text.slice(0, at) + String.fromCharCode(next(256)) + text.slice(at + 1);
    }
    if (holds(text, `seed 1, round ${i}`)) good++;
  }
  expect(good).toBeGreaterThan(0);
  expect(good).toBeLessThan(150);
});

const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  4294967296,
  1e308,
  '',
  '*',
  '0s',
  '-1s',
  '(',
  '%',
  '%REQ(',
  'DEFAULT',
  '::1',
  [],
  {},
  [[]],
  [null],
  [{}],
  { a: 1 },
  { '@type': 'x' },
  { '@type': 'type.googleapis.com/google.protobuf.Any' },
  { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s' },
  { '@type': 'type.googleapis.com/xds.type.v3.TypedStruct' },
  { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true },
  { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
  {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    stat_prefix: 'a',
    cluster: 'a',
  },
];

/** Every place of a tree where something stands: its holder and its key. */
function places(value: unknown, found: [holder: Record<string, unknown>, key: string][] = []): typeof found {
  if (typeof value !== 'object' || value === null) return found;
  for (const [key, item] of Object.entries(value)) {
    found.push([value as Record<string, unknown>, key]);
    places(item, found);
  }
  return found;
}

test('trees with values put in the place of others, moved, renamed and taken out', () => {
  const next = generator(2);
  let good = 0;
  for (let i = 0; i < 200; i++) {
    const tree: unknown = parse(texts[next(texts.length)]!);
    for (let n = next(3) + 1; n > 0; n--) {
      const all = places(tree);
      const [holder, key] = all[next(all.length)]!;
      const [other, otherKey] = all[next(all.length)]!;
      const how = next(4);
      if (how === 0) holder[key] = VALUES[next(VALUES.length)];
      else if (how === 1) holder[key] = structuredClone(other[otherKey]);
      else if (how === 2 && !Array.isArray(holder)) {
        const { [key]: value } = holder;
        delete holder[key];
        holder[otherKey] = value;
      } else if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
    }
    if (holds(i % 2 === 0 ? stringify(tree) : JSON.stringify(tree), `seed 2, round ${i}`)) good++;
  }
  expect(good).toBeGreaterThan(0);
  expect(good).toBeLessThan(200);
});
