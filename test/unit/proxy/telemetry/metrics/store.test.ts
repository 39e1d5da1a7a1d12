import { describe, expect, test } from 'vitest';
import { StatStore } from '../../../../../src/proxy/telemetry/metrics/store.ts';

const GRACE_MS = 300_000;

function names(store: StatStore): string[] {
  return [...store.series()].map(({ name, labels }) => name + (labels['x'] ?? labels['overflow'] ?? ''));
}

/** Two sweeps: the first notes when, the second frees. */
function sweepAll(store: StatStore): void {
  store.sweep(0);
  store.sweep(GRACE_MS);
}

describe('scopes', () => {
  test('a released series can be read through the grace, and then its slot serves another', () => {
    const store = new StatStore();
    const scope = store.scope();
    const id = scope.counter('requests', { x: 'a' });
    store.add(id, 7);
    scope.release();
    store.sweep(1000);
    store.sweep(1000 + GRACE_MS - 1);
    expect([names(store), store.value(id)]).toEqual([['requestsa'], 7]);
    store.sweep(1000 + GRACE_MS);
    expect(names(store)).toEqual([]);
    const slots = store.slots;
    const next = store.counter('requests', { x: 'b' });
    expect([next, store.value(next), store.slots]).toEqual([id, 0, slots]);
  });

  test('what is busy stays, however long', () => {
    const store = new StatStore();
    const scope = store.scope();
    const active = scope.gauge('active', { x: 'a' });
    store.set(active, 1);
    scope.release(() => store.value(active) > 0);
    sweepAll(store);
    store.sweep(10 * GRACE_MS);
    expect(names(store)).toEqual(['activea']);
    store.add(active, -1);
    store.sweep(10 * GRACE_MS + 1);
    expect(names(store)).toEqual([]);
  });

  test('a series that another scope holds keeps its value', () => {
    const store = new StatStore();
    const [first, second] = [store.scope(), store.scope()];
    const id = first.counter('requests', { x: 'a' });
    store.add(id, 3);
    expect(second.counter('requests', { x: 'a' })).toBe(id);
    first.counter('requests', { x: 'a' });
    first.release();
    sweepAll(store);
    expect([names(store), store.value(id)]).toEqual([['requestsa'], 3]);
    second.release();
    store.sweep(2 * GRACE_MS);
    store.sweep(3 * GRACE_MS);
    expect(names(store)).toEqual([]);
  });

  test('a series that the store itself was asked for stays for good', () => {
    const store = new StatStore();
    const scope = store.scope();
    scope.counter('requests', { x: 'a' });
    store.counter('requests', { x: 'a' });
    scope.release();
    sweepAll(store);
    expect(names(store)).toEqual(['requestsa']);
  });

  test('those who ask for one name share a scope until the last has released it', () => {
    const store = new StatStore();
    const first = store.scope('http.main');
    const second = store.scope('http.main');
    expect(second).toBe(first);
    first.counter('requests');
    first.release();
    sweepAll(store);
    expect(names(store)).toEqual(['requests']);
    second.release();
    store.sweep(0);
    // Back within the grace: nothing is lost, and the grace begins anew with the next release.
    const third = store.scope('http.main');
    expect(third).toBe(first);
    store.sweep(2 * GRACE_MS);
    expect(names(store)).toEqual(['requests']);
    third.release();
    store.sweep(2 * GRACE_MS);
    store.sweep(3 * GRACE_MS);
    expect(names(store)).toEqual([]);
    expect(store.scope('http.main')).not.toBe(first);
  });

  test('whoever still counts in a freed scope spoils nothing', () => {
    const store = new StatStore();
    const scope = store.scope();
    scope.discard();
    const late = scope.counter('late');
    const histogram = scope.histogram('late_ms');
    store.inc(late);
    store.observe(histogram, 5);
    const id = store.counter('mine');
    expect([names(store), store.value(id)]).toEqual([['mine'], 0]);
  });

  test('a freed histogram leaves no count behind', () => {
    const store = new StatStore();
    const scope = store.scope();
    store.observe(scope.histogram('ms', { x: 'a' }), 3);
    scope.discard();
    const id = store.histogram('ms', { x: 'b' });
    expect(store.readHistogram(id).count).toBe(0);
    store.observe(id, 3);
    expect(store.readHistogram(id)).toMatchObject({ count: 1, sum: 3 });
  });
});

describe('the budget', () => {
  test('goes before the grace of what was released', () => {
    const store = new StatStore(3);
    const gone = store.scope();
    gone.counter('requests', { x: 'gone' });
    store.counter('requests', { x: 'a' });
    store.counter('requests', { x: 'b' });
    gone.release();
    store.counter('requests', { x: 'c' });
    expect(names(store)).toEqual(['requestsa', 'requestsb', 'requestsc']);
  });

  test('does not go before what is busy: then the new one counts with all that have no room', () => {
    const store = new StatStore(1);
    const gone = store.scope();
    gone.counter('requests', { x: 'gone' });
    gone.release(() => true);
    const first = store.counter('requests', { x: 'a' });
    expect(store.counter('requests', { x: 'b' })).toBe(first);
    expect(names(store)).toEqual(['requestsgone', 'requeststrue']);
  });

  test('10,000 scopes one after the other take the room of few', () => {
    const store = new StatStore(100);
    const living = store.scope();
    const mine = living.counter('requests', { x: 'living' });
    for (let i = 0; i < 10_000; i++) {
      const scope = store.scope();
      store.inc(scope.counter('requests', { x: String(i) }));
      store.observe(scope.histogram('ms', { x: String(i) }), i);
      store.inc(mine);
      scope.release();
      store.sweep(i);
    }
    expect(store.size).toBeLessThanOrEqual(100);
    expect(store.slots).toBeLessThan(2500);
    expect(store.value(mine)).toBe(10_000);
    expect(names(store)).not.toContain('requeststrue');
  });
});

test('reset leaves gauges as they are', () => {
  const store = new StatStore();
  const [counter, gauge, histogram] = [store.counter('c'), store.gauge('g'), store.histogram('h')];
  for (const id of [counter, gauge]) store.set(id, 4);
  store.observe(histogram, 4);
  store.resetCounters();
  expect([store.value(counter), store.value(gauge), store.readHistogram(histogram).count]).toEqual([0, 4, 0]);
});
