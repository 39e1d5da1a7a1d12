import { fileURLToPath } from 'node:url';
import { firstAnswer, pause } from '../support/ask.ts';
import { type Scenario, SETTLE_MS, type Settings, sampleAll, WARM_UP_SECONDS, withProxy } from '../support/measure.ts';
import { smallBody, startOrigin } from '../support/origin.ts';
import { descriptors, memory } from '../support/proc.ts';
import { LOAD_CORE, start, stop } from '../support/processes.ts';
import { NODE } from '../support/programs.ts';
import type { Report } from '../support/report.ts';

/** Remora accepts as many as leave a descriptor for an upstream connection each. */
const CONNECTIONS = Math.min(10_000, Math.floor(descriptors() / 2) - 100);

/** What a connection weighs that asked once and waits. With features. */
export const idleConnections: Scenario = { name: 'idle-connections', run };

async function run(settings: Settings): Promise<Report> {
  const { rounds, load } = settings;
  const peers = settings.peers.filter(({ hasFeatures }) => hasFeatures);
  const client = fileURLToPath(new URL('../support/idle-client.ts', import.meta.url));
  const origin = await startOrigin(smallBody.length);
  const site = { backend: origin.port, features: true, connections: CONNECTIONS + 100 };
  try {
    const { series, notes } = await sampleAll('idle-connections', peers, settings, (peer) =>
      withProxy(peer, site, async (child, { port }) => {
        await firstAnswer(port, child);
        // Grown to its working size first, or that would count as the connections'.
        await load.run(port, 64, WARM_UP_SECONDS);
        await pause(SETTLE_MS);
        const before = memory(child.pid).rss;
        const holder = start('idle client', [NODE, client, String(port), String(CONNECTIONS)], { core: LOAD_CORE });
        try {
          while (!holder.stdout.includes('ready')) {
            if (!holder.running) throw new Error(holder.complaint());
            if (!child.running) throw new Error(`ended meanwhile. ${child.complaint()}`);
            await pause(20);
          }
          await pause(SETTLE_MS);
          const { rss } = memory(child.pid);
          return { each: ((rss - before) * 1024) / CONNECTIONS, before, rss };
        } finally {
          await stop(holder);
        }
      }),
    );
    return {
      scenario: 'idle-connections',
      title: `${CONNECTIONS} connections that asked once and stay open, as features, medians of ${rounds}`,
      columns: [
        { metric: 'each', title: 'KB/connection', digits: 1 },
        { metric: 'before', title: 'RSS before MB', digits: 0 },
        { metric: 'rss', title: 'RSS with them', digits: 0 },
      ],
      compared: 'each',
      series,
      bars: [{ text: 'memory per connection at most 1.5 × Envoy', metric: 'each', against: 'envoy', most: 1.5 }],
      notes,
    };
  } finally {
    await stop(origin.child);
  }
}
