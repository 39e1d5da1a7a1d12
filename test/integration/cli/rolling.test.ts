// Issue 4 §4: replacing proxies one after the other under load fails no request.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { type HttpUpstream, httpUpstream } from '../../support/upstream.ts';
import { bootstrap } from './bootstrap.ts';
import { Load } from './load.ts';
import { Remora } from './remora.ts';

const home = mkdtempSync(join(tmpdir(), 'remora-rolling-'));
const running: Remora[] = [];
let server: HttpUpstream | undefined;

afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.kill()));
  await server?.close();
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

interface Backend {
  readonly remora: Remora;
  readonly port: number;
  readonly admin: string;
  ready: boolean;
}

/** What a balancer does: asks each backend whether it is ready, and sends new connections to those that were. */
class Balancer {
  readonly backends: Backend[] = [];
  #turn = 0;
  #stopped = false;
  #watching = Promise.resolve();

  watch(): void {
    this.#watching = this.#look();
  }
  stop(): Promise<void> {
    this.#stopped = true;
    return this.#watching;
  }
  readonly pick = (): number => {
    const ready = this.backends.filter((one) => one.ready);
    return ready[this.#turn++ % ready.length]?.port ?? 0;
  };

  async #look(): Promise<void> {
    while (!this.#stopped) {
      for (const backend of this.backends) {
        const answer = await fetch(`${backend.admin}/ready`).catch(() => null);
        backend.ready = answer?.status === 200;
        await answer?.arrayBuffer();
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function start(file: string): Promise<Backend> {
  const flags = ['--termination-accept-s', '1', '--termination-grace-period-s', '6', '--drain-time-s', '2'];
  const remora = new Remora(['proxy', '-c', file, ...flags], home);
  running.push(remora);
  const [, admin] = await remora.said(/listening listener=admin address=(\S+)/);
  const [, port] = await remora.said(/listening listener=web address=\S+:(\d+)/);
  return { remora, port: Number(port), admin: `http://${admin}`, ready: true };
}

it('two proxies are replaced one after the other, and every request is answered', async () => {
  server = await httpUpstream((request, response) => response.end(request.url));
  const file = join(home, 'bootstrap.yaml');
  writeFileSync(file, bootstrap(server.port));
  const balancer = new Balancer();
  balancer.backends.push(...(await Promise.all([start(file), start(file)])));
  const old = [...balancer.backends];
  balancer.watch();
  const load = new Load(12, balancer.pick);
  await load.more(200);
  for (const leaving of old) {
    balancer.backends.push(await start(file));
    await load.more(50);
    const { code } = await leaving.remora.stop('SIGTERM');
    expect(code).toBe(0);
    balancer.backends.splice(balancer.backends.indexOf(leaving), 1);
  }
  await load.more(100);
  const { failures, served, asked } = await load.stop();
  await balancer.stop();
  expect(failures).toEqual([]);
  expect(served).toBe(server.requests.length);
  expect(asked).toBeGreaterThan(0);
}, 60_000);
