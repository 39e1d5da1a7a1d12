/**
 * Config churn under load for as long as you like: `node test/soak/config-churn.ts --seconds 600`.
 * Prints a line every tenth of the time; exits 1 when a request failed, a connection was closed or memory grew.
 */
import { parseArgs } from 'node:util';
import { systemClock } from '../../src/base/clock.ts';
import { churn, churnMesh, counts, EDITS_PER_ROUND, heapUsed } from '../support/mesh-churn.ts';
import { Load } from '../support/mesh-load.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '3' },
    /** Growth of the heap that counts as noise, KiB. */
    noise: { type: 'string', default: '1024' },
  },
});
const seconds = Number(values.seconds);
const mesh = await churnMesh();
const load = new Load({ port: mesh.gatewayPort, target: '/', clients: Number(values.clients) });
const start = systemClock.now();
const marks: { heap: number; counts: string }[] = [];
let round = 0;
for (let tenth = 1; tenth <= 10; tenth++) {
  while (systemClock.now() - start < (tenth * seconds * 1000) / 10) {
    await churn(mesh, ++round);
    await load.more(3);
  }
  // The same place in the cycle of edits each time, so that counts compare.
  while (round % 60 !== 0) await churn(mesh, ++round);
  mesh.forgetLines();
  const heap = heapUsed();
  marks.push({ heap, counts: JSON.stringify(counts(mesh)) });
  const changes = round * EDITS_PER_ROUND;
  const rss = process.memoryUsage().rss / 1024;
  console.log(
    `${String(Math.round((systemClock.now() - start) / 1000)).padStart(5)} s  ${changes} changes  ${load.sent} requests  ` +
      `${load.failed} failed  ${load.connections} connections  heap ${Math.round(heap / 1024)} KiB  rss ${Math.round(rss)} KiB`,
  );
}
await load.stop();
await mesh.close();
// The first third of the time warms caches and compiled code.
const settled = marks[3]!;
const last = marks.at(-1)!;
const growth = Math.round((last.heap - settled.heap) / 1024);
const problems = [
  ...[...load.failures].map(([what, count]) => `${count} requests failed: ${what}`),
  ...(load.connections === load.clients ? [] : [`${load.connections - load.clients} client connections were closed`]),
  ...(last.counts === settled.counts ? [] : [`counts changed:\n${settled.counts}\n${last.counts}`]),
  ...(growth <= Number(values.noise) ? [] : [`the heap grew by ${growth} KiB`]),
];
console.log(problems.length === 0 ? `ok, heap ${growth} KiB` : problems.join('\n'));
process.exitCode = problems.length === 0 ? 0 : 1;
