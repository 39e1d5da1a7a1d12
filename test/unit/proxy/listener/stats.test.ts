import { expect, test } from 'vitest';
import { ListenerStats } from '../../../../src/proxy/listener/stats.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';

const HOUR = 3_600_000;

function dotted(store: StatStore): string[] {
  return [...store.series()].map((series) => series.dotted);
}

test("the address is Envoy's: dots stay, colons do not", () => {
  const store = new StatStore();
  new ListenerStats(store, '127.0.0.1_8080');
  new ListenerStats(store, '[::1]_8080');
  expect(dotted(store)).toContain('listener.127.0.0.1_8080.downstream_cx_total');
  expect(dotted(store)).toContain('listener.[__1]_8080.downstream_cx_total');
  expect(new Set([...store.series()].map(({ labels }) => labels['envoy_listener_address']))).toEqual(
    new Set(['127.0.0.1_8080', '[__1]_8080']),
  );
});

test('the series go with the last listener of an address and its last connection', () => {
  const store = new StatStore();
  const old = new ListenerStats(store, 'a');
  old.accepted();
  const next = new ListenerStats(store, 'a');
  old.release();
  old.release();
  next.accepted();
  next.closed(5);
  next.release();
  store.sweep(0);
  store.sweep(HOUR);
  expect(dotted(store)).toContain('listener.a.downstream_cx_active');
  old.closed(7);
  store.sweep(2 * HOUR);
  expect(store.size).toBe(0);
});
