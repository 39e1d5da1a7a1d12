import type { Script } from 'node:vm';

// An `import` of node:fs would load all that it offers, streams and promises too.
const { existsSync, readFileSync } = process.getBuiltinModule('node:fs');
const { createRequire } = process.getBuiltinModule('node:module');
const { fileURLToPath } = process.getBuiltinModule('node:url');
const vm = process.getBuiltinModule('node:vm');

/** A bundle in one file (`NAME.cjs`) with the code that V8 has compiled of it (`NAME.cache`). */
export interface Precompiled {
  readonly script: Script;
  run(): void;
}

/**
 * The bundle `name` beside `base` with its compiled code: all that a proxy runs until its first answer, so that nothing
 * is parsed or compiled then. Null when there is none or V8 does not take it: it was made by another version, by other
 * flags than this process has, or of another text.
 */
export function precompiled(name: string, base: string): Precompiled | null {
  const cache = fileURLToPath(new URL(`${name}.cache`, base));
  if (!existsSync(cache)) return null;
  const bundle = loadBundle(name, base, readFileSync(cache));
  return bundle.script.cachedDataRejected === true ? null : bundle;
}

/** The bundle alone, to be compiled when it runs. */
export function loadBundle(name: string, base: string, cachedData?: Buffer): Precompiled {
  const url = new URL(`${name}.cjs`, base);
  const filename = fileURLToPath(url);
  // A function's expression; ASCII: a byte a character, here and in V8's heap.
  const text = readFileSync(filename, 'latin1');
  const script = new vm.Script(text, cachedData === undefined ? { filename } : { filename, cachedData });
  return { script, run: () => script.runInThisContext()(createRequire(url), url.href) };
}
