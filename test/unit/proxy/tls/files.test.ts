import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LogRoot } from '../../../../src/base/log.ts';
import { WatchedFiles } from '../../../../src/proxy/tls/files.ts';
import { manualClock } from '../../../support/clock.ts';

let folder: string;
let files: WatchedFiles;
const clock = manualClock();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remora-watched-'));
  files = new WatchedFiles(clock, new LogRoot(clock, () => {}, 'error').logger());
});
afterEach(() => {
  files.close();
  rmSync(folder, { recursive: true });
});

/** Writes the file and lets what comes of it settle. */
async function write(text: string): Promise<void> {
  writeFileSync(join(folder, 'tls.crt'), text);
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(200);
}

it('tells of every change to who watches anew each time, before he leaves off', async () => {
  let changes = 0;
  let unwatch = (): void => {};
  const follow = (): void => {
    const before = unwatch;
    unwatch = files.watch([join(folder, 'tls.crt')], [], onChange);
    before();
  };
  const onChange = (): void => {
    changes++;
    follow();
  };
  follow();
  for (let i = 1; i <= 3; i++) {
    await write(`${i}`);
    expect(changes).toBe(i);
  }
  unwatch();
});

it('tells each of two, and no longer who left', async () => {
  const seen: string[] = [];
  const first = files.watch([join(folder, 'tls.crt')], [], () => seen.push('first'));
  const second = files.watch([], [folder], () => seen.push('second'));
  await write('1');
  expect(seen).toEqual(['first', 'second']);
  first();
  await write('2');
  expect(seen).toEqual(['first', 'second', 'second']);
  second();
});
