import { expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import {
  type ClusterTarget,
  clusterName,
  runtimeWeightedTargets,
  weightedTargets,
} from '../../../../src/proxy/router/weighted.ts';
import { fixedRandom, request } from './fixtures.ts';

function target(cluster: string, clusterHeader = ''): ClusterTarget {
  return {
    cluster,
    clusterHeader,
    requestMutations: null,
    responseMutations: null,
    hostRewrite: null,
    perFilterConfig: new Map(),
  };
}

const targets = [
  { target: target('a'), weight: 20 },
  { target: target('none'), weight: 0 },
  { target: target('b'), weight: 80 },
];

test('clusters get their share', () => {
  const picker = weightedTargets(targets, '');
  const random = seededRandom(5);
  const counts: Record<string, number> = {};
  for (let i = 0; i < 20_000; i++) {
    const name = picker.pick(request(), random)!.cluster;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  expect(counts.none).toBeUndefined();
  expect(counts.a! / 20_000).toBeCloseTo(0.2, 1);
});

test.each([
  ['0', 'a'],
  ['19', 'a'],
  ['20', 'b'],
  ['119', 'a'],
  ['18446744073709551615', 'a'],
  // Not a number of 64 bits: the random value decides, here for b.
  ['18446744073709551616', 'b'],
  ['-1', 'b'],
  ['x', 'b'],
])('header value %s chooses %s', (value, expected) => {
  const picker = weightedTargets(targets, 'x-random');
  expect(picker.pick(request('/', { 'X-Random': value }), fixedRandom(0.9))?.cluster).toBe(expected);
});

test('several values of the header are none', () => {
  const picker = weightedTargets(targets, 'x-random');
  expect(picker.pick(request('/', { 'x-random': ['0', '0'] }), fixedRandom(0.9))?.cluster).toBe('b');
});

test('weights that sum to 0 choose nothing', () => {
  expect(weightedTargets([{ target: target('a'), weight: 0 }], '').pick(request(), fixedRandom(0))).toBeNull();
  expect(weightedTargets([], '').pick(request(), fixedRandom(0))).toBeNull();
});

test('a cluster may be named by a header', () => {
  expect(clusterName(target('', 'x-cluster'), request('/', { 'X-Cluster': 'c9' }))).toBe('c9');
  expect(clusterName(target('', 'x-cluster'), request())).toBe('');
  expect(clusterName(target('c'), request())).toBe('c');
});

test('the runtime overrides weights, as it is when a request comes', () => {
  const values = new Map<string, number>();
  const runtime = {
    number: (key: string, fallback: number) => values.get(key) ?? fallback,
    boolean: (_key: string, fallback: boolean) => fallback,
  };
  const picker = runtimeWeightedTargets(targets, 'x-random', 'split', runtime);
  const pick = (value: number): string | undefined => {
    const head = request('/');
    head.headers.set('x-random', String(value));
    return picker.pick(head, fixedRandom(0))?.cluster;
  };
  expect([pick(0), pick(19), pick(20), pick(99)]).toEqual(['a', 'a', 'b', 'b']);
  values.set('split.a', 0).set('split.none', 5.9).set('split.b', 5);
  expect([pick(0), pick(4), pick(5), pick(9), pick(10)]).toEqual(['none', 'none', 'b', 'b', 'none']);
  expect(picker.pick(request('/'), fixedRandom(0.7))?.cluster).toBe('b');
  values.set('split.none', -3).set('split.b', 0);
  expect(pick(0)).toBeUndefined();
});
