import { cpSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Peer, Site } from '../rivals/peer.ts';
import { firstAnswer } from '../support/ask.ts';
import { type Scenario, type Settings, withProxy } from '../support/measure.ts';
import { smallBody, startOrigin } from '../support/origin.ts';
import { cpuMicros, memory } from '../support/proc.ts';
import { stop, temporaryFolder } from '../support/processes.ts';
import { NODE } from '../support/programs.ts';
import type { Report, Series } from '../support/report.ts';

const STARTS = 10;

/** From spawn to the first byte of a 200 that came through the proxy, and what it weighs then. */
export const startup: Scenario = { name: 'startup', run };

async function run({ peers, progress }: Settings): Promise<Report> {
  const subjects = peers.filter(({ name }) => name !== 'http-proxy').flatMap(withPlain);
  subjects.push(bareNode());
  const series = subjects.map(({ name }): Series => ({ peer: name, samples: { first: [], cpu: [], rss: [] } }));
  const origin = await startOrigin(smallBody.length);
  try {
    // The first round fills caches and counts for nothing.
    for (let round = 0; round <= STARTS; round++) {
      progress(`startup: start ${round} of ${STARTS}`);
      for (let i = 0; i < subjects.length; i++) {
        const at = (i + round) % subjects.length;
        await withProxy(subjects[at]!, { backend: origin.port, features: false }, async (child, site, startedAt) => {
          const answer = await firstAnswer(site.port, child);
          if (round === 0) return;
          series[at]!.samples.first!.push(answer.at - startedAt);
          series[at]!.samples.cpu!.push(cpuMicros(child.pid) / 1000);
          series[at]!.samples.rss!.push(memory(child.pid).rss);
        });
      }
    }
  } finally {
    await stop(origin.child);
  }
  return {
    scenario: 'startup',
    title: `spawn to first answer, medians of ${STARTS}`,
    columns: [
      { metric: 'first', title: 'first answer ms', digits: 0 },
      { metric: 'cpu', title: 'CPU ms', digits: 0 },
      { metric: 'rss', title: 'RSS then MB', digits: 0 },
    ],
    compared: 'first',
    series,
    bars: [{ text: 'first answer within 300 ms of start', metric: 'first', against: null, most: 300 }],
    notes: [],
  };
}

/** Remora three times: as it ships; with code that an earlier start compiled, as other verbs start; and with none. */
function withPlain(peer: Peer): Peer[] {
  if (peer.name !== 'remora') return [peer];
  const folder = temporaryFolder();
  const command = (site: Site): readonly string[] =>
    peer.command(site).map((word) => {
      if (basename(word) !== 'remora.js') return word;
      cpSync(dirname(word), folder, { recursive: true, filter: (file) => !file.endsWith('.cache') });
      return join(folder, 'remora.js');
    });
  return [
    peer,
    { ...peer, command, name: 'remora, compile cache', env: { ...peer.env, NODE_COMPILE_CACHE: temporaryFolder() } },
    { ...peer, command, name: 'remora, no cache', env: { ...peer.env, NODE_DISABLE_COMPILE_CACHE: '1' } },
  ];
}

/** The least that Node can do: a server of its own that answers, with nothing behind it. */
function bareNode(): Peer {
  const script = `require('net').createServer((s) => s.on('data', () => s.end('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok'))).listen(Number(process.argv[1]), '127.0.0.1')`;
  return {
    name: 'bare node',
    missing: null,
    hasFeatures: false,
    version: [NODE, '--version'],
    command: (site) => [NODE, '-e', script, String(site.port)],
  };
}
