import { firstAnswer } from '../support/ask.ts';
import { findOha, OHA_MISSING } from '../support/load.ts';
import { type Scenario, type Settings, sampleAll, WARM_UP_SECONDS, withProxy } from '../support/measure.ts';
import { smallBody, startOrigin } from '../support/origin.ts';
import { cpuMicros, memory } from '../support/proc.ts';
import { stop } from '../support/processes.ts';
import type { Report } from '../support/report.ts';

const CONNECTIONS = 64;
/** Of what the reference answers at most. */
const SHARE = 0.4;
/**
 * At this rate V8 has compiled all that it will after about 7 s; before that its compiler stops everything for as much as
 * 0.3 s in all. What callers see of that is a column of its own, not a part of what they see from then on.
 */
const FIRST_SECONDS = 10;

/** Latency at a rate that everybody can bear, whoever is slow: what callers in a mesh see. With features. */
export const openLoop: Scenario = { name: 'open-loop', run };

async function run(settings: Settings): Promise<Report> {
  const { load, seconds, rounds, progress } = settings;
  const peers = settings.peers.filter(({ hasFeatures }) => hasFeatures);
  const columns = [
    { metric: 'p50', title: 'p50 ms', digits: 2 },
    { metric: 'p99', title: 'p99 ms', digits: 2 },
    { metric: 'p999', title: 'p99.9 ms', digits: 2 },
    { metric: 'first', title: `p99 first ${FIRST_SECONDS} s`, digits: 1 },
    { metric: 'cpu', title: 'CPU µs/request', digits: 1 },
    { metric: 'rate', title: 'requests/s', digits: 0 },
    { metric: 'rss', title: 'RSS MB', digits: 0 },
  ];
  const report = {
    scenario: 'open-loop',
    columns,
    compared: 'p99',
    bars: [
      { text: 'p50 at most 0.8 × Envoy', metric: 'p50', against: 'envoy', most: 0.8 },
      { text: 'p99 at most 0.8 × Envoy', metric: 'p99', against: 'envoy', most: 0.8 },
    ],
  } as const;
  const oha = findOha();
  if (oha === null) return { ...report, title: 'latency at a fixed rate', series: [], notes: [OHA_MISSING] };
  const origin = await startOrigin(smallBody.length);
  const site = { backend: origin.port, features: true };
  try {
    const reference = peers.find(({ name }) => name === 'envoy') ?? peers[0]!;
    progress(`open-loop: what ${reference.name} answers at most`);
    const most = await withProxy(reference, site, async (child, { port }) => {
      await firstAnswer(port, child);
      await load.run(port, CONNECTIONS, WARM_UP_SECONDS);
      return (await load.run(port, CONNECTIONS, seconds)).perSecond;
    });
    const rate = Math.round(most * SHARE);
    const { series, notes } = await sampleAll('open-loop', peers, settings, (peer) =>
      withProxy(peer, site, async (child, { port }) => {
        await firstAnswer(port, child);
        const { p99: first } = await oha.run(port, CONNECTIONS, rate, FIRST_SECONDS);
        const before = cpuMicros(child.pid);
        const { answered, perSecond, p50, p99, p999, failed } = await oha.run(port, CONNECTIONS, rate, seconds);
        if (answered === 0) throw new Error(`${peer.name} answered nothing in ${seconds} s. ${child.complaint()}`);
        const cpu = (cpuMicros(child.pid) - before) / answered;
        return { p50, p99, p999, first, cpu, rate: perSecond, rss: memory(child.pid).rss, failed };
      }),
    );
    return {
      ...report,
      title: `${rate} requests/s (${SHARE * 100} % of ${reference.name}'s most), ${CONNECTIONS} connections, as features, oha corrected for coordinated omission, medians of ${rounds} × ${seconds} s`,
      series,
      notes,
    };
  } finally {
    await stop(origin.child);
  }
}
