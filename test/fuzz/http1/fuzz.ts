import { compare } from './compare.ts';
import { Dice, generate } from './generate.ts';
import { boundaries, octets, type Variant } from './sweep.ts';

export interface Failure {
  /** Which generated case, and which of its neighbours. */
  number: number;
  kind: Variant['kind'];
  why: string;
  type: string;
  cuts: number[];
  methods: string[];
  text: string;
}

export interface FuzzResult {
  cases: number;
  /** How the cases came about → how many. */
  kinds: Map<Variant['kind'], number>;
  /** Classification and rule → how many cases. */
  table: Map<string, number>;
  failed: number;
  /** The first few, one of each shape. */
  failures: Failure[];
}

export interface FuzzOptions {
  cases: number;
  seed: number;
  /** Failures to keep. */
  show?: number;
  /** Generated cases `first`, `first + step`, …: a share of a run. */
  first?: number;
  step?: number;
}

/** Of so many generated cases the first two have all their boundaries swept, or all their octets. */
const BOUNDARIES_EVERY = 256;
const OCTETS_EVERY = 8192;
/** Longer ones are about a bound alone. */
const MAX_SWEPT = 4096;

export function fuzz({ cases, seed, show = 10, first = 0, step = 1 }: FuzzOptions): FuzzResult {
  const result: FuzzResult = { cases: 0, kinds: new Map(), table: new Map(), failed: 0, failures: [] };
  const seen = new Set<string>();
  const { stackTraceLimit } = Error;
  // A quarter of the time went into stacks of refusals that nobody reads.
  Error.stackTraceLimit = 0;
  for (let number = first; result.cases < cases; number += step) {
    for (const variant of variants(number, seed)) {
      take(result, seen, variant, number, show);
      if (result.cases === cases) break;
    }
  }
  Error.stackTraceLimit = stackTraceLimit;
  return result;
}

function* variants(number: number, seed: number): Generator<Variant> {
  const test = generate(new Dice(seed * 1_000_003 + number));
  yield { kind: 'generated', test };
  if (test.bytes.length > MAX_SWEPT) return;
  // Two beside each other, so that each half of a run on two cores sweeps its share.
  if (number % BOUNDARIES_EVERY < 2) yield* boundaries(test);
  if (number % OCTETS_EVERY < 2) yield* octets(test);
}

function take(result: FuzzResult, seen: Set<string>, { kind, test }: Variant, number: number, show: number): void {
  const { table, kinds, failures } = result;
  const outcome = compare(test);
  const { why } = outcome;
  const label = outcome.kind === 'FAIL' || why === '' ? outcome.kind : `${outcome.kind}: ${why}`;
  table.set(label, (table.get(label) ?? 0) + 1);
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  result.cases++;
  if (outcome.kind !== 'FAIL') return;
  result.failed++;
  const shape = why.replace(/[0-9"'].*/, '');
  if (failures.length >= show || seen.has(shape)) return;
  seen.add(shape);
  const text = JSON.stringify(test.bytes.toString('latin1'));
  failures.push({ number, kind, why, type: test.type, cuts: test.cuts, methods: test.methods, text });
}
