// Issue 3: the Dockerfile is built where buildah can, and what comes out is the proxy, run by nobody in particular.
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { output } from './support/process.ts';

const ROOT = new URL('../..', import.meta.url).pathname;

/** EX_TEMPFAIL of image.sh. */
const CANNOT_BUILD = 75;

/** The commands of the install and build stages, in a folder instead of an image. */
async function runStages(folder: string): Promise<void> {
  const stages = readFileSync(join(folder, 'Dockerfile'), 'utf8').split(/^FROM /m);
  const commands = stages.flatMap((stage) =>
    [...stage.matchAll(/^RUN (.*(?:\\\n.*)*)$/gm)].map(([, command]) => command!),
  );
  const here = commands
    .filter((command) => !/apt-get|ldconfig/.test(command))
    .map((command) => command.replaceAll('/out', `${folder}/out`));
  expect(here).toHaveLength(2);
  for (const command of here) {
    const { code, text } = await output('sh', ['-ec', `cd ${folder}; mkdir -p out; ${command}`]);
    expect(code, text).toBe(0);
  }
}

test('the image builds from a clone, is not root, and runs the proxy', { timeout: 600_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'remora-system-image-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const files = await output('git', ['-C', ROOT, 'ls-files', '-z', '--cached']);
  for (const file of files.text.split('\0').filter(Boolean)) {
    cpSync(join(ROOT, file), join(folder, file), { recursive: dirname(file) !== '.' });
  }
  const { code, text } = await output('bash', [join(ROOT, 'test/system/support/image.sh'), folder]);
  if (code === CANNOT_BUILD) {
    console.warn(`no image can be built here, so its stages' commands are run as they are: ${text}`);
    await runStages(folder);
    return;
  }
  expect(code, text).toBe(0);
  const [config, megabytes, version, validation, disk] = text.trim().split('\n').slice(-5);
  expect(config).toBe(
    '1337:1337 [node --no-concurrent-recompilation --min-semi-space-size=4 --max-semi-space-size=4 --no-async-context-frame /app/dist/remora.js] [--help]',
  );
  expect(Number(megabytes)).toBeLessThan(450);
  expect(version).toBe(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version);
  expect(validation).toBe('configuration is valid');
  expect(disk).toBe('read-only');
});
