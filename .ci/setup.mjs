// Brings a clone to the point where its scripts can run: packages, generated xDS types, bundles.
// Plain JavaScript for any Node from 20 on, since it runs before the pinned Node is installed.
// Each step is skipped when its inputs have not changed since it last succeeded.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const stamps = join('node_modules', '.remora-setup');
const node = join('node_modules', '.bin', 'node');

step('packages', ['package-lock.json', 'package.json'], 'node_modules/.package-lock.json', () => {
  console.error('remora: installing packages (npm ci) …');
  // `npm run` sets npm_config_* for itself; a nested npm reads what the user has.
  run('npm', ['ci', '--no-audit', '--no-fund']);
});
// The Dockerfile's first stage wants no more than this.
if (process.argv[2] === 'packages') process.exit(0);
step('xds-types', ['src/xds/proto', 'package-lock.json'], 'src/xds/proto/gen/tables.ts', () => {
  console.error('remora: generating xDS message types …');
  run(node, ['src/xds/proto/generate.ts']);
});
step('bundles', ['src', '.ci/bundle.mjs', '.ci/precompile.mjs', 'package-lock.json'], 'dist/remora.js', () => {
  run(node, ['.ci/bundle.mjs']);
  run(node, ['.ci/precompile.mjs']);
});

function step(name, inputs, product, work) {
  const stamp = join(stamps, name);
  const wanted = fingerprint(inputs);
  if (existsSync(product) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  work();
  mkdirSync(stamps, { recursive: true });
  // Generated files may be among the inputs of a later step, never of their own.
  writeFileSync(stamp, fingerprint(inputs));
}

/** Names, sizes and times of all files below; contents of single files. */
function fingerprint(inputs) {
  const hash = createHash('sha256');
  for (const input of inputs) {
    if (statSync(input).isDirectory()) walk(input, hash);
    else hash.update(readFileSync(input));
  }
  return hash.digest('hex');
}

function walk(folder, hash) {
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (path !== join('src', 'xds', 'proto', 'gen')) walk(path, hash);
    } else {
      const { size, mtimeMs } = statSync(path);
      hash.update(`${path} ${size} ${mtimeMs}\n`);
    }
  }
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === 0) return;
  console.error(`remora: \`${command} ${args.join(' ')}\` failed${error === undefined ? '' : `: ${error.message}`}`);
  process.exit(1);
}
