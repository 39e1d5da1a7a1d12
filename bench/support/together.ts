import type { Peer } from '../rivals/peer.ts';
import { firstAnswer } from './ask.ts';
import { type LoadScenario, type Settings, WARM_UP_SECONDS, withProxy } from './measure.ts';
import { startOrigin } from './origin.ts';
import { cpuMicros } from './proc.ts';
import { stop } from './processes.ts';
import { median } from './report.ts';

/** Who is under load: what the load asks, and whose CPU counts. */
interface Running {
  readonly pid: number;
  readonly port: number;
}

/**
 * Two builds under load at the same time, on one core: what the machine does to one it does to the other, so that the ratio
 * of their CPU per request is steady where each by itself moves by half. Each runs twice, A B A B, and what the two of a
 * build differ by is chance. The numbers themselves mean nothing: four share the core and its caches.
 */
export async function measureTogether(
  scenario: LoadScenario,
  { peers, load, rounds, seconds, progress }: Settings,
): Promise<string> {
  const [a, b] = peers as [Peer, Peer];
  const tls = scenario.ask?.tls === true;
  const origin = await startOrigin(scenario.bodyBytes, scenario.ask?.uploadBytes !== undefined, scenario.ask?.tls);
  const site = { backend: origin.port, features: scenario.features, tls };
  const running: Running[] = [];
  const connections = Math.ceil(scenario.connections / 4);
  const askAll = (forSeconds: number): Promise<{ readonly answered: number }[]> =>
    Promise.all(running.map(({ port }) => load.run(port, connections, forSeconds, scenario.ask)));

  /** CPU per request of each, by round. */
  const measure = async (): Promise<number[][]> => {
    const taken: number[][] = [];
    await askAll(WARM_UP_SECONDS * running.length);
    for (let round = 0; round < rounds; round++) {
      progress(`${scenario.name}: round ${round + 1} of ${rounds}`);
      const before = running.map(({ pid }) => cpuMicros(pid));
      const answers = await askAll(seconds);
      taken.push(running.map(({ pid }, i) => (cpuMicros(pid) - before[i]!) / answers[i]!.answered));
    }
    return taken;
  };
  const startAll = (waiting: readonly Peer[]): Promise<number[][]> => {
    const [peer, ...others] = waiting;
    if (peer === undefined) return measure();
    return withProxy(peer, site, async (child, { port }) => {
      await firstAnswer(port, child, undefined, undefined, tls);
      running.push({ pid: child.pid, port });
      return startAll(others);
    });
  };
  try {
    const taken = await startAll([a, b, a, b]);
    const ratio = (of: (round: readonly number[]) => number): string => median(taken.map(of)).toFixed(3);
    return (
      `${scenario.name}: ${scenario.title}, both at the same time, ${rounds} × ${seconds} s\n` +
      `  CPU per request  B / A = ${ratio(([a1, b1, a2, b2]) => (b1! + b2!) / (a1! + a2!))}` +
      `   (A / A = ${ratio(([a1, , a2]) => a2! / a1!)}, B / B = ${ratio(([, b1, , b2]) => b2! / b1!)})`
    );
  } finally {
    await stop(origin.child);
  }
}
