import type { MemoryUse } from '../admin/view.ts';
import type { SnapshotApplier } from './apply.ts';
import type { ProxyEnvironment } from './environment.ts';

/** What runs now. */
export interface RunningCounts {
  readonly activeClusters: number;
  readonly warmingClusters: number;
  readonly connections: number;
  readonly activeListeners: number;
  readonly drainingListeners: number;
  /** null: there is no certificate. */
  readonly daysUntilExpiry: number | null;
}

export function runningCounts({
  env,
  applier,
}: {
  readonly env: ProxyEnvironment;
  readonly applier: SnapshotApplier;
}): RunningCounts {
  let activeClusters = 0;
  let warmingClusters = 0;
  for (const { warm } of env.clusters.clusters()) {
    if (warm) activeClusters++;
    else warmingClusters++;
  }
  let connections = 0;
  for (const { connectionCount } of applier.listeners.values()) connections += connectionCount;
  return {
    activeClusters,
    warmingClusters,
    connections,
    activeListeners: applier.listeners.size,
    drainingListeners: [...applier.drainingListeners].length,
    daysUntilExpiry: env.tls.daysUntilExpiry(),
  };
}

/** Of this thread; `physical` is the process's. */
export function memoryUse(): MemoryUse {
  const { heapUsed, heapTotal, external, rss } = process.memoryUsage();
  return { allocated: heapUsed + external, heapSize: heapTotal, heapFree: heapTotal - heapUsed, physical: rss };
}
