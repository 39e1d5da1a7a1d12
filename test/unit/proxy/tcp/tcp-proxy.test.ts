import { expect, test } from 'vitest';
import { seededRandom } from '../../../../src/base/random.ts';
import type { TcpProxy as TcpProxyConfig } from '../../../../src/model/listener.ts';
import { type TcpEnvironment, TcpProxy } from '../../../../src/proxy/tcp/tcp-proxy.ts';
import { StatStore } from '../../../../src/proxy/telemetry/metrics/store.ts';

function picks(clusters: TcpProxyConfig['clusters'], times = 1000): Record<string, number> {
  const config = {
    statPrefix: 'x',
    clusters,
    idleTimeoutMs: 0,
    maxConnectAttempts: 1,
    maxDurationMs: 0,
    accessLog: [],
    logIntervalMs: 0,
    logOnConnected: false,
  };
  const env = { random: seededRandom(1), stats: new StatStore(), compileAccessLogs: () => null };
  const proxy = new TcpProxy(config, '', env as unknown as TcpEnvironment);
  const counts: Record<string, number> = {};
  for (let i = 0; i < times; i++) {
    const name = proxy.pickCluster({ host: '10.0.0.1', port: 80 });
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

test('clusters are drawn by weight, one of weight 0 never', () => {
  const counts = picks([
    { name: 'a', weight: 1 },
    { name: 'none', weight: 0 },
    { name: 'b', weight: 3 },
  ]);
  expect(Object.keys(counts).sort()).toEqual(['a', 'b']);
  expect(counts['b']! / counts['a']!).toBeGreaterThan(2.4);
  expect(counts['b']! / counts['a']!).toBeLessThan(3.7);
});

test('a single cluster is always it', () => {
  expect(picks([{ name: 'a', weight: 1 }], 10)).toEqual({ a: 10 });
});
