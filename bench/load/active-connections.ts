import { firstAnswer } from '../support/ask.ts';
import { type Scenario, type Settings, sampleAll, WARM_UP_SECONDS, withProxy } from '../support/measure.ts';
import { smallBody, startOrigin } from '../support/origin.ts';
import { cpuMicros, memory } from '../support/proc.ts';
import { stop } from '../support/processes.ts';
import type { Report } from '../support/report.ts';

const FEW = 64;
const MANY = 1000;

/** What many busy connections cost beside few. With features. */
export const activeConnections: Scenario = { name: 'active-connections', run };

async function run(settings: Settings): Promise<Report> {
  const { rounds, seconds, load } = settings;
  const peers = settings.peers.filter(({ hasFeatures }) => hasFeatures);
  const origin = await startOrigin(smallBody.length);
  try {
    const { series, notes } = await sampleAll('active-connections', peers, settings, (peer) =>
      withProxy(peer, { backend: origin.port, features: true }, async (child, { port }) => {
        await firstAnswer(port, child);
        const loaded = async (connections: number) => {
          await load.run(port, connections, WARM_UP_SECONDS);
          const before = cpuMicros(child.pid);
          const { answered, perSecond, failed } = await load.run(port, connections, seconds);
          if (answered === 0) throw new Error(`${peer.name} answered nothing. ${child.complaint()}`);
          return { rate: perSecond, cpu: (cpuMicros(child.pid) - before) / answered, failed };
        };
        const few = await loaded(FEW);
        const many = await loaded(MANY);
        return {
          few: few.rate,
          many: many.rate,
          loss: few.rate / many.rate,
          fewCpu: few.cpu,
          manyCpu: many.cpu,
          rss: memory(child.pid).rss,
          failed: few.failed + many.failed,
        };
      }),
    );
    return {
      scenario: 'active-connections',
      title: `${MANY} busy connections beside ${FEW}, as features, ${load.name}, medians of ${rounds} × ${seconds} s`,
      columns: [
        { metric: 'few', title: `requests/s of ${FEW}`, digits: 0 },
        { metric: 'many', title: `of ${MANY}`, digits: 0 },
        { metric: 'loss', title: 'ratio', digits: 2 },
        { metric: 'fewCpu', title: `CPU µs/request of ${FEW}`, digits: 1 },
        { metric: 'manyCpu', title: `of ${MANY}`, digits: 1 },
        { metric: 'rss', title: 'RSS MB', digits: 0 },
      ],
      compared: 'manyCpu',
      series,
      bars: [
        // 1 / 0.85
        { text: `rate of ${FEW} at most 1.18 × that of ${MANY}`, metric: 'loss', against: null, most: 1.1765 },
      ],
      notes,
    };
  } finally {
    await stop(origin.child);
  }
}
