import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const MODULE = new URL('../../../src/base/c-library.ts', import.meta.url).href;

/** What a process of its own says that loads the C library and then runs `more`: Node warns once a process. */
async function says(more: string): Promise<{ stdout: string; stderr: string }> {
  const program = `
    const { loadCLibrary } = await import(${JSON.stringify(MODULE)});
    const getpid = loadCLibrary().library.getFunction('getpid', { arguments: [], return: 'int32' });
    console.log(getpid() === process.pid);
    ${more}`;
  return await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
}

test.runIf(process.platform === 'linux')('the C library is called without a word about the module', async () => {
  expect(await says('')).toEqual({ stdout: 'true\n', stderr: '' });
});

test.runIf(process.platform === 'linux')('every other warning is still given', async () => {
  const { stderr } = await says(`process.emitWarning('of another', 'ExperimentalWarning');`);
  expect(stderr).toContain('ExperimentalWarning: of another');
});

test.runIf(process.platform === 'linux')('nor is it in a thread of its own', async () => {
  const inThread = `
    const { loadCLibrary } = await import(${JSON.stringify(MODULE)});
    console.log(loadCLibrary() !== null);`;
  const { stdout, stderr } = await says(`
    const { Worker } = await import('node:worker_threads');
    new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(inThread)})));`);
  expect({ stdout, stderr }).toEqual({ stdout: 'true\ntrue\n', stderr: '' });
});
