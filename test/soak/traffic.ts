/**
 * Mixed traffic for as long as you like: `node test/soak/traffic.ts --seconds 1800 [--clients 12] [--seed 1]`.
 * Prints a line every tenth of the time; exits 1 when an answer was not octet for octet what it must be, memory or
 * handles grew, or the counters do not add up.
 */
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
  },
});
const result = await soak({
  seconds: Number(values.seconds),
  clients: Number(values.clients),
  seed: Number(values.seed),
  report: (line) => console.log(line),
});
const { tally, end, problems } = result;
const list = (counts: Iterable<readonly [string, number]>) =>
  [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
console.log(`\nscenarios: ${list(tally.done)}`);
console.log(`answers: ${list(tally.answers)}; ${tally.aborted} aborted, ${tally.repeated} sent again`);
console.log(
  `configs ${result.configs}, restarts of a server ${result.restarts}, requests the servers saw ${result.upstreamRequests}`,
);
console.log(
  `stats: ${list(Object.entries(end.stats).filter(([name, value]) => value !== 0 && /rq_total|rq_completed|_\dxx$|reset|active|timeout|retry|cx_total|connect_fail|overflow/.test(name)))}`,
);
console.log(problems.length === 0 ? '\nok' : `\n${problems.length} problems:\n${problems.join('\n')}`);
process.exitCode = problems.length === 0 ? 0 : 1;
