import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, Program, until } from '../support/process.ts';
import { type KubeApi, startKubeApi } from './api.ts';

const NODE = join(process.cwd(), 'node_modules/.bin/node');
const REMORA = join(process.cwd(), 'dist/remora.js');

interface Candidate {
  readonly program: Program;
  readonly port: number;
}

let api: KubeApi;
const candidates: Candidate[] = [];

async function stand(identity: string): Promise<Candidate> {
  const port = await freePort();
  const flags = ['--kubeconfig', api.kubeconfig, '--lease', 'kube-system/test', '--identity', identity];
  const program = new Program(`elect ${identity}`, NODE, [REMORA, 'elect', ...flags, '--http', `127.0.0.1:${port}`]);
  const candidate = { program: await program.accepts(port), port };
  candidates.push(candidate);
  return candidate;
}

async function leaderBy({ port }: Candidate): Promise<{ name: string; leading: boolean; term: number }> {
  return JSON.parse(await (await fetch(`http://127.0.0.1:${port}/`)).text());
}
async function leads({ port }: Candidate): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${port}/leader`)).status === 200;
}

beforeAll(async () => {
  api = await startKubeApi();
}, 300_000);
afterAll(async () => {
  await Promise.all(candidates.map(({ program }) => program.stop()));
  await api.close();
});

describe('remora elect, on a real Lease', () => {
  it('has one leader, that everybody names; the next one takes over at once when it leaves', async () => {
    const a = await stand('a');
    await until('a to lead', () => leads(a));
    const b = await stand('b');
    await until('b to know', async () => (await leaderBy(b)).name === 'a');
    expect(await leads(b)).toBe(false);
    const { term } = await leaderBy(a);
    const begun = performance.now();
    await a.program.stop();
    await until('b to lead', () => leads(b));
    expect(performance.now() - begun).toBeLessThan(8_000);
    expect((await leaderBy(b)).term).toBe(term + 1);
  });

  it('stands down before anybody may follow, when the API server is away', async () => {
    const [, b] = candidates;
    if (b === undefined) throw new Error('no b');
    await api.stopServer();
    await until('b to stand down', async () => !(await leads(b)), 15_000);
    await api.startServer();
    await until('b to lead again', () => leads(b), 30_000);
  });
});
