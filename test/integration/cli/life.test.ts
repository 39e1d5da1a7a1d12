// Issue 4 §4, pains rows 2 and 3: how a proxy process ends.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { type RawClient, rawClient } from '../../support/client.ts';
import { eventually } from '../../support/proxy.ts';
import { type HttpUpstream, httpUpstream } from '../../support/upstream.ts';
import { bootstrap } from './bootstrap.ts';
import { Remora } from './remora.ts';

const home = mkdtempSync(join(tmpdir(), 'remora-life-'));
const accessLog = join(home, 'access.log');
const running: Remora[] = [];
const clients: RawClient[] = [];
const upstreams: HttpUpstream[] = [];

afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.destroy();
  await Promise.all(running.splice(0).map((one) => one.kill()));
  await Promise.all(upstreams.splice(0).map((one) => one.close()));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

interface Running {
  readonly proxy: Remora;
  readonly port: number;
  readonly admin: string;
  readonly server: HttpUpstream;
}

const start = (...flags: string[]): Promise<Running> => startIn({}, ...flags);

async function startIn(env: Readonly<Record<string, string>>, ...flags: string[]): Promise<Running> {
  const server = await httpUpstream();
  upstreams.push(server);
  const file = join(home, 'bootstrap.yaml');
  writeFileSync(file, bootstrap(server.port, accessLog));
  const proxy = new Remora(['proxy', '-c', file, ...flags], home, undefined, env);
  running.push(proxy);
  const [, admin] = await proxy.said(/listening listener=admin address=(\S+)/);
  const [, web] = await proxy.said(/listening listener=web address=(\S+)/);
  return { proxy, port: Number(web!.split(':')[1]), admin: `http://${admin}`, server };
}

async function client(port: number): Promise<RawClient> {
  const made = await rawClient(port);
  clients.push(made);
  return made;
}

it.each(['1', '2'])(
  'SIGTERM with %s threads: not ready at once, serving meanwhile, exit 0 within the grace period',
  async (threads) => {
    const grace = ['--termination-accept-s', '1', '--termination-grace-period-s', '3'];
    const { proxy, port, admin } = await start(...grace, '--concurrency', threads);
    expect(await (await fetch(`${admin}/ready`)).text()).toBe('LIVE\n');
    const kept = await client(port);
    await kept.get().response();
    const ended = proxy.stop('SIGTERM');
    await proxy.said(/terminating: not ready any more/);
    expect((await fetch(`${admin}/ready`)).status).toBe(503);
    expect(await (await fetch(`${admin}/server_info`)).json()).toMatchObject({ state: 'DRAINING' });
    // Who has not heard of it yet is still served.
    const late = await client(port);
    expect((await late.get().response()).header('connection')).toBeUndefined();
    late.socket.destroy();
    await proxy.said(/terminating: inbound clients are asked to leave/);
    expect(await (await fetch(`${admin}/remora/drain`)).text()).toMatch(
      // What workers have is asked of them first, who load the page's code: their window may be over.
      threads === '1'
        ? /^DRAINING because of termination \(gradual\)\nweb: accepting, 1 connections/
        : /^DRAINING because of termination \(gradual\)\nweb: /,
    );
    await kept.untilEnded();
    kept.end();
    expect((await ended).code).toBe(0);
    // What Node says of its own modules is nothing that a reader of the log can act on.
    expect(proxy.stderr).not.toContain('ExperimentalWarning');
  },
);

it('POST /quitquitquit finishes the request in progress and exits 0', async () => {
  const { proxy, port, admin, server } = await start();
  const held = Promise.withResolvers<void>();
  const came = Promise.withResolvers<void>();
  server.answer = (_request, response) => {
    came.resolve();
    void held.promise.then(() => response.end('done'));
  };
  const [busy, idle] = [await client(port), await client(port)];
  busy.get();
  await came.promise;
  expect((await fetch(`${admin}/quitquitquit`, { method: 'POST' })).status).toBe(200);
  await idle.untilEnded();
  idle.end();
  held.resolve();
  const answer = await busy.response();
  expect([answer.body, answer.header('connection')]).toEqual(['done', 'close']);
  busy.end();
  expect((await proxy.ended).code).toBe(0);
});

it('a second signal does not wait', async () => {
  const { proxy, port } = await start();
  const idle = await client(port);
  await idle.get().response();
  const ended = proxy.stop('SIGTERM');
  await proxy.said(/terminating/);
  await proxy.stop('SIGTERM');
  expect((await ended).code).toBe(1);
});

it('SIGHUP, which is for a supervisor, is said and does nothing; SIGUSR1 opens no debugger', async () => {
  const { proxy, port } = await start();
  proxy.signal('SIGUSR1');
  proxy.signal('SIGHUP');
  await proxy.said(/SIGHUP does nothing here: it is for a supervisor \(--hot-restart\)/);
  expect((await (await client(port)).get().response()).status).toBe(200);
  expect(proxy.stderr).not.toContain('Debugger');
});

it('SIGUSR1 opens no debugger in a control server either', async () => {
  const control = new Remora(['control', '--files', home, '--xds', '127.0.0.1:0', '--http', '127.0.0.1:0'], home);
  running.push(control);
  const [, http] = await control.said(/serving .*http=(\S+)/);
  control.signal('SIGUSR1');
  // A program that starts takes longer than a debugger to say that it listens.
  await new Remora(['status', '--control', http!], home).ended;
  expect(control.stderr).not.toContain('Debugger');
});

it.each(['1', '2'])('SIGUSR1 with %s threads opens access logs anew', async (threads) => {
  const { proxy, port } = await start('--concurrency', threads);
  const logged = (): boolean => existsSync(accessLog) && readFileSync(accessLog, 'utf8').includes('GET /');
  await (await client(port)).get().response();
  await eventually(logged);
  renameSync(accessLog, `${accessLog}.1`);
  proxy.signal('SIGUSR1');
  await eventually(() => existsSync(accessLog));
  await (await client(port)).get().response();
  await eventually(logged);
});

it('an exception that nobody caught ends the process with one line that says where', async () => {
  const crash = 'process.on("SIGUSR2", () => { throw new TypeError("a mistake of ours"); })';
  const { proxy } = await startIn({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(crash)}` });
  proxy.signal('SIGUSR2');
  const { code, stderr } = await proxy.ended;
  expect(code).toBe(1);
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(
    /error {3}an exception ends the process stack="TypeError: a mistake of ours\\n +at /,
  );
});
