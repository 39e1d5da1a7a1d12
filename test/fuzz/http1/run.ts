/** Long differential run: node_modules/.bin/node test/fuzz/http1/run.ts --cases 1000000 --seed 1 [--show 5] */
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    show: { type: 'string', default: '10' },
  },
});
const cases = Number(values.cases);
const started = process.hrtime.bigint();
const result = fuzz(cases, Number(values.seed), Number(values.show));
const seconds = Number(process.hrtime.bigint() - started) / 1e9;

console.log(`${cases} cases, seed ${values.seed}, ${seconds.toFixed(1)} s, ${Math.round(cases / seconds)} cases/s\n`);
for (const [kind, count] of [...result.table].sort(([a], [b]) => (a < b ? -1 : 1))) {
  console.log(`${String(count).padStart(9)}  ${kind}`);
}
for (const failure of result.failures) {
  console.log(
    `\nFAIL case ${failure.number}: ${failure.why}\n  ${failure.type} cuts ${JSON.stringify(failure.cuts)} methods ${failure.methods}`,
  );
  console.log(`  ${failure.text}`);
}
if (result.failed > 0) {
  console.error(`\n${result.failed} cases differ without a rule`);
  process.exitCode = 1;
}
