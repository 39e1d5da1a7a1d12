// pains.md row 2: `remora run` is a program with a sidecar: when the program ends, so does the sidecar, with its code.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Remora } from './remora.ts';

const home = mkdtempSync(join(tmpdir(), 'remora-run-'));
let control: Remora;
const running: Remora[] = [];

beforeAll(async () => {
  const yaml = 'apiVersion: v1\nkind: Service\nmetadata: {name: jobs}\nspec: {ports: [{name: http, port: 80}]}\n';
  writeFileSync(join(home, 'mesh.yaml'), yaml);
  const flags = ['--files', join(home, 'mesh.yaml'), '--xds', '127.0.0.1:0', '--http', '127.0.0.1:0'];
  control = new Remora(['control', ...flags], home);
  await control.said(/serving/);
});
afterAll(async () => {
  await Promise.all([control, ...running].map((one) => one.kill()));
  rmSync(home, { recursive: true, force: true });
});

function run(...command: string[]): Remora {
  const one = new Remora(['run', '--service', 'jobs', '--', ...command], home);
  running.push(one);
  return one;
}

const SERVE = `require('node:http').createServer((_, r) => r.end('hi')).listen(process.env.PORT, '127.0.0.1');`;

describe('remora run', () => {
  it('ends with a program that has done its work, which it lent its sidecar to', async () => {
    // A program that never listens, as a Job does, and calls the mesh.
    const job = `fetch('http://jobs/', {signal: AbortSignal.timeout(5000)}).then((r) => console.log('status ' + r.status), (e) => console.log(String(e))).finally(() => { process.exitCode = 0; })`;
    expect(await run(process.execPath, '-e', job).ended).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/status 503/),
    });
  });

  it.each([
    ['its code', 'process.exit(3)', 3],
    ['128 and the number of the signal that killed it', 'process.kill(process.pid, "SIGKILL")', 137],
  ])('ends with %s', async (_, script, code) => {
    expect(await run(process.execPath, '-e', script).ended).toMatchObject({ code });
  });

  it('says that a program cannot be started, and ends with 127', async () => {
    expect(await run(join(home, 'no-such-program')).ended).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('cannot start'),
    });
  });

  it('hands a signal on, and ends when the program does', async () => {
    const one = run(process.execPath, '-e', `${SERVE} process.on('SIGTERM', () => process.exit(5));`);
    await one.said(/is on the mesh as jobs:80/);
    expect(await one.stop('SIGTERM')).toMatchObject({ code: 5 });
  });
});
