import { expect, test } from 'vitest';
import { TcpStats } from '../../../../src/proxy/tcp/stats.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';

test('the series of a prefix go when no proxy has it, and neither a connection nor a flush is under way', () => {
  const store = new StatStore();
  const stats = new TcpStats(store, 'db');
  stats.opened();
  stats.release();
  store.sweep(0);
  store.sweep(3_600_000);
  expect([...store.series()].find(({ dotted }) => dotted === 'tcp.db.downstream_cx_total')!.labels).toEqual({
    envoy_tcp_prefix: 'db',
  });
  stats.flushStarted();
  stats.closed();
  store.sweep(3_600_001);
  expect(store.size).toBeGreaterThan(0);
  stats.flushEnded();
  store.sweep(3_600_002);
  expect(store.size).toBe(0);
});
