/**
 * Long run of what config comes in through, on every core:
 * node_modules/.bin/node test/fuzz/config/run.ts --cases 100000 --seed 1 [--target 0|1|2]
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import {
  bombConfig,
  bootstrapTarget,
  type ConfigFuzzResult,
  fuzzConfig,
  objectsTarget,
  wireTarget,
} from './targets.ts';

const TARGETS = [wireTarget, bootstrapTarget, objectsTarget];
/** A case that takes this long hangs; the bombs at the end count as one. */
const HANG_MS = 120_000;

interface Share {
  readonly target: number;
  readonly cases: number;
  readonly seed: number;
  readonly first: number;
  readonly step: number;
  /** The number of the case under way, for whoever watches. */
  readonly at: SharedArrayBuffer;
}

if (isMainThread) await main();
else work(workerData as Share);

function work({ target, at, ...options }: Share): void {
  const made = TARGETS[target]!();
  const present = new Int32Array(at);
  const result = fuzzConfig(made, options, (number) => {
    Atomics.store(present, 0, number);
  });
  const bombs = options.first === 0 && target > 0 ? bombConfig(made, 1) : null;
  parentPort!.postMessage({ name: made.name, result, bombs });
}

interface Done {
  readonly name: string;
  readonly result: ConfigFuzzResult;
  readonly bombs: ConfigFuzzResult | null;
}

function share(options: Share): Promise<Done> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: options });
    const present = new Int32Array(options.at);
    let last = -1;
    let since = performance.now();
    const watch = setInterval(() => {
      const now = Atomics.load(present, 0);
      if (now !== last) {
        last = now;
        since = performance.now();
      } else if (performance.now() - since > HANG_MS) {
        reject(new Error(`target ${options.target}: case ${now} of seed ${options.seed} hangs`));
      }
    }, 1000);
    worker.once('message', resolve);
    worker.once('error', (error) => reject(new Error(`case ${Atomics.load(present, 0)}`, { cause: error })));
    worker.once('exit', () => clearInterval(watch));
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: '20000' },
      seed: { type: 'string', default: '1' },
      target: { type: 'string' },
      workers: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const workers = Number(values.workers);
  const wanted = values.target === undefined ? TARGETS.keys() : [Number(values.target)];
  for (const target of wanted) {
    const started = performance.now();
    const done = await Promise.all(
      Array.from({ length: workers }, (_, i) =>
        share({
          target,
          cases: Math.ceil(Number(values.cases) / workers),
          seed: Number(values.seed),
          first: i,
          step: workers,
          at: new SharedArrayBuffer(4),
        }),
      ),
    );
    const results = done.flatMap(({ result, bombs }) => (bombs === null ? [result] : [result, bombs]));
    const total = (of: (one: ConfigFuzzResult) => number) => results.reduce((sum, one) => sum + of(one), 0);
    const slowest = Math.max(...results.map(({ slowestMs }) => slowestMs));
    const seconds = (performance.now() - started) / 1000;
    console.log(
      `${done[0]!.name}: ${total(({ accepted }) => accepted)} taken, ${total(({ refused }) => refused)} refused, ` +
        `slowest ${Math.round(slowest)} ms, ${seconds.toFixed(0)} s, ${total(({ faults }) => faults.length)} faults`,
    );
    for (const { number, fault, input } of results.flatMap(({ faults }) => faults)) {
      console.log(`\nFAULT case ${number}: ${fault}\n  ${input}`);
      process.exitCode = 1;
    }
  }
}
