/**
 * Long differential run on every core:
 * node_modules/.bin/node test/fuzz/http1/run.ts --cases 10000000 --seed 1 [--show 5] [--workers 2]
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type FuzzOptions, type FuzzResult, fuzz } from './fuzz.ts';

if (isMainThread) await main();
else work(workerData as FuzzOptions);

/** One worker's share. */
function work(options: FuzzOptions): void {
  parentPort!.postMessage(fuzz(options));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
      show: { type: 'string', default: '10' },
      workers: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const cases = Number(values.cases);
  const seed = Number(values.seed);
  const workers = Number(values.workers);
  const started = process.hrtime.bigint();
  const shares = await Promise.all(
    Array.from({ length: workers }, (_, i) =>
      share({
        cases: Math.floor(cases / workers) + (i < cases % workers ? 1 : 0),
        seed,
        show: Number(values.show),
        first: i,
        step: workers,
      }),
    ),
  );
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const failed = shares.reduce((sum, one) => sum + one.failed, 0);

  const rate = Math.round(cases / seconds);
  console.log(
    `${cases} cases, seed ${seed}, ${workers} workers, node ${process.version} with llhttp ${process.versions['llhttp']}, ` +
      `${seconds.toFixed(0)} s, ${rate} cases/s\n`,
  );
  print(sum(shares.map(({ kinds }) => kinds)));
  console.log('');
  print(sum(shares.map(({ table }) => table)));
  for (const failure of shares.flatMap(({ failures }) => failures)) {
    console.log(
      `\nFAIL case ${failure.number}, ${failure.kind}: ${failure.why}\n  ${failure.type} cuts ${JSON.stringify(failure.cuts)} methods ${failure.methods}`,
    );
    console.log(`  ${failure.text}`);
  }
  if (failed > 0) {
    console.error(`\n${failed} cases differ without a rule`);
    process.exitCode = 1;
  }
}

function share(options: FuzzOptions): Promise<FuzzResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: options });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

function sum(tables: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  const all = new Map<string, number>();
  for (const table of tables) for (const [key, count] of table) all.set(key, (all.get(key) ?? 0) + count);
  return all;
}

function print(table: ReadonlyMap<string, number>): void {
  for (const [kind, count] of [...table].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log(`${String(count).padStart(9)}  ${kind}`);
  }
}
