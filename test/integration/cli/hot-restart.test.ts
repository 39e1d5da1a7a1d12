// Issue 4 §4, pains row 5: a new process takes the listening sockets over; no accepted or queued connection is lost.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rawClient } from '../../support/client.ts';
import { type HttpUpstream, httpUpstream } from '../../support/upstream.ts';
import { bootstrap } from './bootstrap.ts';
import { Load } from './load.ts';
import { Remora } from './remora.ts';

const home = mkdtempSync(join(tmpdir(), 'remora-restart-'));
const file = join(home, 'bootstrap.yaml');
let server: HttpUpstream;
let supervisor: Remora;

beforeEach(async () => {
  server = await httpUpstream((request, response) => response.end(request.url));
  writeFileSync(file, bootstrap(server.port));
});
afterEach(async () => {
  await supervisor.kill();
  await server.close();
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function start(...flags: string[]): Promise<{ port: number; admin: string }> {
  supervisor = new Remora(['proxy', '-c', file, '--hot-restart', '--termination-accept-s', '0', ...flags], home);
  const [, admin] = await supervisor.said(/listening listener=admin address=(\S+)/);
  const [, web] = await supervisor.said(/listening listener=web address=\S+:(\d+)/);
  return { port: Number(web), admin: `http://${admin}` };
}

/** The pid of the process that serves as this epoch, once it does. */
async function serving(epoch: number): Promise<number> {
  const [, pid] = await supervisor.said(new RegExp(`the process serves epoch=${epoch} pid=(\\d+)`));
  return Number(pid);
}

function isRunning(pid: number): boolean {
  try {
    // A process that ended and was not waited for yet has no command line.
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1') !== '';
  } catch {
    return false;
  }
}

describe('hot restart', () => {
  it.each([1, 2])(
    'two restarts of %d threads under load fail no request, on new connections and on kept ones',
    async (threads) => {
      const flags = ['--drain-time-s', '1', '--parent-shutdown-time-s', '10', '--concurrency', String(threads)];
      const { port, admin } = await start(...flags);
      const first = await serving(0);
      const load = new Load(16, () => port);
      await load.more(200);
      const pids = [first];
      for (const epoch of [1, 2]) {
        supervisor.signal('SIGHUP');
        pids.push(await serving(epoch));
        // Until those before have drained, and then some.
        while (isRunning(pids[epoch - 1]!)) await load.more(50);
        await load.more(100);
      }
      const info = await (await fetch(`${admin}/server_info`)).json();
      expect(info).toMatchObject({
        state: 'LIVE',
        command_line_options: { restart_epoch: 2, disable_hot_restart: false },
      });
      const { failures, served, asked, connections } = await load.stop();
      expect(failures).toEqual([]);
      expect(served).toBe(server.requests.length);
      // Those that the processes before have served are among them.
      const stats = await (await fetch(`${admin}/stats?filter=^http.web.downstream_rq_total`)).text();
      expect(stats).toBe(`http.web.downstream_rq_total: ${served}\n`);
      // Each of the clients that keep their connections was asked to leave by each of the two that left.
      expect(asked).toBeGreaterThanOrEqual(16);
      expect(connections).toBeGreaterThan(200);
      expect(new Set(pids).size).toBe(3);
      expect((await supervisor.stop('SIGTERM')).code).toBe(0);
      expect(isRunning(pids[2]!)).toBe(false);
    },
    60_000,
  );

  it('a request in progress is finished by the process that has it', async () => {
    const { port } = await start('--drain-time-s', '0');
    const before = await serving(0);
    const came = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    server.answer = (request, response) => {
      if (request.url !== '/slow') {
        response.end(request.url);
        return;
      }
      came.resolve();
      void held.promise.then(() => response.end('slow'));
    };
    const slow = await rawClient(port);
    slow.get('/slow');
    await came.promise;
    supervisor.signal('SIGHUP');
    await serving(1);
    const fresh = await rawClient(port);
    expect((await fresh.get('/fresh').response()).body).toBe('/fresh');
    fresh.socket.destroy();
    expect(isRunning(before)).toBe(true);
    held.resolve();
    const answer = await slow.response();
    expect([answer.body, answer.header('connection')]).toEqual(['slow', 'close']);
    slow.socket.destroy();
  });

  it('a configuration that cannot be read changes nothing, and is said', async () => {
    const { port } = await start();
    await serving(0);
    writeFileSync(file, 'static_resources: { listeners: 7 }');
    supervisor.signal('SIGHUP');
    await supervisor.said(/the next process ended with code 2 before it was ready: nothing changes/);
    const client = await rawClient(port);
    expect((await client.get('/still').response()).body).toBe('/still');
    client.socket.destroy();
    // Mended, it is what the next one starts with.
    writeFileSync(file, bootstrap(server.port).replace('name: web', 'name: web\n      stat_prefix: mended'));
    supervisor.signal('SIGHUP');
    await serving(2);
  });

  it('connections that come while a crashed proxy is started again wait and are served', async () => {
    const { port } = await start();
    process.kill(await serving(0), 'SIGKILL');
    await supervisor.said(/the proxy ended by SIGKILL: it is started again/);
    const client = await rawClient(port);
    expect((await client.get('/patient').response()).body).toBe('/patient');
    client.socket.destroy();
    await serving(1);
  });

  it('quitquitquit ends the supervisor too', async () => {
    const { admin } = await start();
    await serving(0);
    expect((await fetch(`${admin}/quitquitquit`, { method: 'POST' })).status).toBe(200);
    expect((await supervisor.ended).code).toBe(0);
  });

  it('a start that fails is the supervisor’s own failure', async () => {
    supervisor = new Remora(['proxy', '-c', join(home, 'nowhere.yaml'), '--hot-restart'], home);
    expect(await supervisor.ended).toMatchObject({
      code: 2,
      stderr: `remora: cannot read ${home}/nowhere.yaml: no such file\n`,
    });
  });

  it('the proxies do not outlive a supervisor that is killed', async () => {
    await start();
    const pid = await serving(0);
    supervisor.signal('SIGKILL');
    // Its output is open as long as the proxy's is.
    await supervisor.ended;
    expect(isRunning(pid)).toBe(false);
  });
});
