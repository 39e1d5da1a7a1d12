import { compare } from './compare.ts';
import { Dice, generate } from './generate.ts';

export interface Failure {
  number: number;
  why: string;
  type: string;
  cuts: number[];
  methods: string[];
  text: string;
}

export interface FuzzResult {
  /** Classification and rule → how many cases. */
  table: Map<string, number>;
  failed: number;
  /** The first few, one of each kind. */
  failures: Failure[];
}

export function fuzz(cases: number, seed: number, show = 10): FuzzResult {
  const table = new Map<string, number>();
  const failures: Failure[] = [];
  const seen = new Set<string>();
  let failed = 0;
  for (let number = 0; number < cases; number++) {
    const test = generate(new Dice(seed * 1_000_003 + number));
    const { kind, why } = compare(test);
    const label = kind === 'FAIL' || why === '' ? kind : `${kind}: ${why}`;
    table.set(label, (table.get(label) ?? 0) + 1);
    if (kind !== 'FAIL') continue;
    failed++;
    const shape = why.replace(/[0-9"'].*/, '');
    if (failures.length >= show || seen.has(shape)) continue;
    seen.add(shape);
    const text = JSON.stringify(test.bytes.toString('latin1'));
    failures.push({ number, why, type: test.type, cuts: test.cuts, methods: test.methods, text });
  }
  return { table, failed, failures };
}
