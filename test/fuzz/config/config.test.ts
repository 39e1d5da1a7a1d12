import { describe, expect, it } from 'vitest';
import { bombConfig, bootstrapTarget, fuzzConfig, objectsTarget, wireTarget } from './targets.ts';

/** A few seconds of what `run.ts` does for as long as one likes. */
describe.each([
  ['xDS resources in binary', wireTarget, 400],
  ['bootstrap files', bootstrapTarget, 120],
  ['Kubernetes and Istio objects', objectsTarget, 120],
] as const)('%s', (_, make, cases) => {
  it('are taken or refused with a place and a reason, soon, whatever they hold', { timeout: 60_000 }, () => {
    const { faults, accepted, refused } = fuzzConfig(make(), { cases, seed: 20_261 });
    expect(faults).toEqual([]);
    expect(accepted).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(20);
  });
});

it.each([
  ['bootstrap files', bootstrapTarget],
  ['Kubernetes and Istio objects', objectsTarget],
] as const)('%s that are made to hurt do not', { timeout: 120_000 }, (_, make) => {
  expect(bombConfig(make(), 0.1).faults).toEqual([]);
});
