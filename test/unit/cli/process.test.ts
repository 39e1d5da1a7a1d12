import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import { expect, it } from 'vitest';
import { collectStart, ENGINE_FLAGS } from '../../../src/cli/process.ts';
import { manualClock } from '../../support/clock.ts';

/** What is large and referred to by nobody when it has returned. */
function litter(): WeakRef<object> {
  const objects = Array.from({ length: 1_500_000 }, (_, i) => ({ i, text: [i] }));
  return new WeakRef(objects);
}

it('collects a large heap at once, and leaves no collector behind', async () => {
  const left = litter();
  // A WeakRef holds its object to the end of the turn that made it.
  await new Promise((resolve) => setImmediate(resolve));
  expect(getHeapStatistics().used_heap_size).toBeGreaterThan(64 * 1024 * 1024);
  const clock = manualClock();
  collectStart(clock);
  expect(left.deref()).toBeUndefined();
  // The program's pages go later.
  expect(clock.pending).toBe(1);
  expect('gc' in globalThis).toBe(false);
});

const MODULE = new URL('../../../src/cli/process.ts', import.meta.url).href;

/** What a Node of its own prints, as JSON; flags are set for good, and are none of this process's. */
async function inNode(flags: readonly string[], script: string): Promise<unknown> {
  const own = ['--disable-warning=ExperimentalWarning', '--input-type=module'];
  const code = `const own = await import(${JSON.stringify(MODULE)});\n${script}`;
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, ...own, '-e', code]);
  return JSON.parse(stdout);
}

/** Replaces everything that it keeps again and again, as changes of a config do; how large it is, and before collections. */
const CHANGES = `
  const { getHeapStatistics } = await import('node:v8');
  const used = () => getHeapStatistics().used_heap_size;
  const make = (i) => ({ i, text: [i] });
  const size = 200_000;
  const kept = Array.from({ length: size }, (_, i) => make(i));
  gc();
  const alive = used();
  const peaks = [];
  for (let i = 0, last = alive; i < size * 6; i++) {
    kept[i % size] = make(i);
    if (i % 1000 !== 0) continue;
    const now = used();
    if (now < last - alive / 8) peaks.push(last);
    last = now;
  }
  console.log(JSON.stringify({ alive, peaks }));`;

it('lets a heap grow to about 60 % more than what is alive', async () => {
  // A small nursery, so that what is kept for a while is not collected in it.
  const got = await inNode(['--max-semi-space-size=1', '--expose-gc'], `own.collectOften();${CHANGES}`);
  const { alive, peaks } = got as { alive: number; peaks: number[] };
  // V8 by itself collects twice here, at four times what is alive.
  expect(peaks.length).toBeGreaterThan(4);
  expect(Math.max(...peaks)).toBeLessThan(alive * 2);
}, 60_000);

it('begins anew with compilation on threads beside, in the same process, and once', async () => {
  const script = `
    const before = process.env.PID_BEFORE;
    process.env.PID_BEFORE = process.pid;
    own.compileBeside();
    console.log(JSON.stringify({ same: before === String(process.pid), flags: process.execArgv }));`;
  const { same, flags } = (await inNode(ENGINE_FLAGS, script)) as { same: boolean; flags: string[] };
  expect(same).toBe(true);
  expect(flags).toContain('--max-semi-space-size=4');
  expect(flags).toContain('--no-async-context-frame');
  expect(flags).not.toContain('--no-concurrent-recompilation');
  // Started so already, it stays.
  expect(await inNode([], script)).toMatchObject({ same: false });
});
