import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { loadBundle, precompiled } from '../../../src/cli/precompiled.ts';

let base = '';
let folder = '';
const ran = (): unknown => (globalThis as { ran?: unknown }).ran;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remora-precompiled-'));
  base = pathToFileURL(join(folder, 'remora.js')).href;
  writeFileSync(
    join(folder, 'x.cjs'),
    '(function (require, bundleUrl) { globalThis.ran = [require("node:path").sep, bundleUrl]; })',
  );
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
    delete (globalThis as { ran?: unknown }).ran;
  });
});

function compile(): void {
  writeFileSync(join(folder, 'x.cache'), loadBundle('x', base).script.createCachedData());
}

describe('a precompiled bundle', () => {
  it('runs with require and its own place', () => {
    compile();
    precompiled('x', base)?.run();
    expect(ran()).toEqual(['/', new URL('x.cjs', base).href]);
  });

  it('is none without compiled code', () => expect(precompiled('x', base)).toBeNull());

  it('is none when the code is of another text', () => {
    compile();
    writeFileSync(join(folder, 'x.cjs'), '(function () { globalThis.ran = "another"; })');
    expect(precompiled('x', base)).toBeNull();
    expect(ran()).toBeUndefined();
  });

  it('is none when the code is of another V8, or damaged', () => {
    compile();
    const code = readFileSync(join(folder, 'x.cache'));
    // Each elsewhere: V8 remembers what this process compiled, by its file.
    let tries = 0;
    const taken = (bytes: Uint8Array): boolean => {
      const moved = join(folder, `moved-${++tries}`);
      mkdirSync(moved);
      cpSync(join(folder, 'x.cjs'), join(moved, 'x.cjs'));
      writeFileSync(join(moved, 'x.cache'), bytes);
      return precompiled('x', pathToFileURL(join(moved, 'remora.js')).href) !== null;
    };
    // A magic number comes first, then what V8 derives from its version.
    expect(taken(Buffer.from(code).fill(0xff, 4, 8))).toBe(false);
    expect(taken(code.subarray(0, 40))).toBe(false);
    expect(taken(new Uint8Array())).toBe(false);
    expect(taken(code)).toBe(true);
  });
});
