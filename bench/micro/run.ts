/** Runs every microbenchmark of this folder, one after the other: `node bench/micro/run.ts [NAME…]`. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = import.meta.dirname;
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.ts') && file !== 'run.ts')
  .map((file) => file.slice(0, -3));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`bench: there is no ${unknown.join(', ')}; there are ${names.join(', ')}\n`);
  process.exit(1);
}
for (const name of wanted.length > 0 ? wanted : names) {
  process.stdout.write(`\n=== ${name}\n`);
  const { status, signal } = spawnSync(process.execPath, [join(folder, `${name}.ts`)], { stdio: 'inherit' });
  if (signal !== null) process.exit(130);
  if (status !== 0) process.exitCode = 1;
}
