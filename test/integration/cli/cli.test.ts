import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { bookinfoInstances } from '../../simulation/bookinfo.ts';
import { type Ended, Remora } from './remora.ts';

const BOOKINFO = fileURLToPath(new URL('../../../config/bookinfo/', import.meta.url));
const BASE = ['services.yaml', 'gateway.yaml', 'destination-rules.yaml'];

const home = mkdtempSync(join(tmpdir(), 'remora-cli-'));
const running = new Set<Remora>();
let folders = 0;

afterEach(async () => {
  await Promise.all([...running].map((one) => one.kill()));
  running.clear();
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

function start(...args: string[]): Remora {
  const remora = new Remora(args, home);
  running.add(remora);
  return remora;
}

function run(...args: string[]): Promise<Ended> {
  return start(...args).ended;
}

/** A folder with Bookinfo, its instances, and files of `try/`. */
function bookinfo(...tries: string[]): string {
  const folder = join(home, `mesh-${++folders}`);
  mkdirSync(folder);
  for (const file of [...BASE, ...tries]) cpSync(join(BOOKINFO, file), join(folder, file.replace('try/', '')));
  writeFileSync(join(folder, 'instances.yaml'), bookinfoInstances());
  return folder;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('mistakes on the command line', () => {
  it.each([
    [['stauts'], 1, "remora: unknown command 'stauts' (did you mean status?); --help shows how\n"],
    [['analyze', '/nope'], 2, 'remora: cannot read /nope: no such file or folder\n'],
    [['control', '--files', '/nope'], 2, 'remora: cannot read /nope: no such file or folder\n'],
    [['gateway', '--files', '/nope'], 2, 'remora: cannot read /nope: no such file or folder\n'],
    [['proxy', '-c', '/nope'], 2, 'remora: cannot read /nope: no such file\n'],
    [
      ['status'],
      1,
      'remora: no mesh runs on this machine: start `remora demo`, or name a control server with --control ADDR\n',
    ],
    [
      ['explain', 'http://x/', '--files', 'a', '--admin', '127.0.0.1:1'],
      1,
      'remora: --files, --admin and --control are different places to ask: give one of them\n',
    ],
  ])('%j: exit and one line', async (args, code, stderr) => {
    expect(await run(...args)).toEqual({ code, stdout: '', stderr });
  });

  it('explain says what to ask, and that nobody listens', async () => {
    const port = await freePort();
    const [none, refused, control] = await Promise.all([
      run('explain', 'http://reviews:9080/'),
      run('status', '--control', `127.0.0.1:${port}`),
      run('explain', 'http://reviews:9080/', '--control', `127.0.0.1:${port}`),
    ]);
    expect(none.stderr).toMatch(/^remora: no mesh runs on this machine: .*--files.*\n$/);
    expect(refused.stderr).toBe(
      `remora: cannot reach the control server’s HTTP port at 127.0.0.1:${port}: nothing listens there\n`,
    );
    expect(control).toMatchObject({
      code: 1,
      stderr: `remora: cannot ask the control server at 127.0.0.1:${port} (its xDS port): nothing listens there\n`,
    });
  });
});

describe('remora analyze', () => {
  it('exits 0 for a good folder, 1 for errors, and reads stdin', async () => {
    const bad = 'apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { ports: [{ port: http }] }\n';
    const stdin = new Remora(['analyze', '-', '-o', 'json'], home, bad);
    running.add(stdin);
    const [good, broken] = await Promise.all([run('analyze', bookinfo()), stdin.ended]);
    expect(good).toMatchObject({ code: 0, stderr: '' });
    expect(good.stdout).toMatch(/^no mistakes found in \d+ objects in /);
    expect(broken.code).toBe(1);
    expect(JSON.parse(broken.stdout)).toEqual([
      expect.objectContaining({ severity: 'error', file: 'stdin', line: 4, field: 'spec.ports[0].port' }),
    ]);
  });
});

describe('remora explain --files', () => {
  it('prints for people and for programs', async () => {
    const folder = bookinfo('try/reviews-jason-v2.yaml');
    const request = ['GET', 'http://reviews:9080/reviews/0', '-H', 'end-user: jason', '--files', folder];
    const [text, json] = await Promise.all([run('explain', ...request), run('explain', '-o', 'json', ...request)]);
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toMatch(/\n→ reviews v2 at 127\.0\.0\.1:31005 \(1 healthy endpoint\)\n$/);
    expect(JSON.parse(json.stdout)).toMatchObject({ listener: { route: { name: 'jason' } } });
  });
});

describe('remora control', () => {
  it('is asked by status and explain, and Ctrl-C ends it silently', async () => {
    const control = start('control', '--files', bookinfo(), '--xds', '127.0.0.1:0', '--http', '127.0.0.1:0');
    const [, xds, http] = await control.said(/serving xds=(\S+) http=(\S+)/);
    const [status, explained, own] = await Promise.all([
      run('status', '--control', http!),
      run('explain', 'http://ratings:9080/', '--control', xds!, '--from', 'reviews-v2'),
      run('explain', 'http://ratings:9080/'),
    ]);
    expect(status.stdout).toMatch(/^(no proxy is connected|PROXY)/);
    expect(status.stdout).toContain('no mistakes in the config');
    expect(explained.stderr).toBe('');
    expect(explained.stdout).toMatch(/\n→ ratings at 127\.0\.0\.1:31003 \(1 healthy endpoint\)\n$/);
    expect(own.stdout).toContain('config: the mesh on this machine');
    const before = control.stderr;
    expect(await control.stop('SIGINT')).toMatchObject({ code: 0, stderr: before });
  });
});

describe('remora gateway', () => {
  it('serves what Gateways say, follows edits, is asked by explain, and drains', async () => {
    const folder = bookinfo();
    const [port, other] = [await freePort(), await freePort()];
    const flags = ['--files', folder, '--map', `80=${port}`, '--map', `81=${other}`, '--bind', '127.0.0.1'];
    const gateway = start('gateway', ...flags, '--admin', '127.0.0.1:0', '--explain');
    const [, admin] = await gateway.said(/admin http:\/\/(\S+)\n/);
    await gateway.said(new RegExp(`serving http://127\\.0\\.0\\.1:${port}\n`));
    const answer = await fetch(`http://127.0.0.1:${port}/nope`);
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain('remora explain');

    const explained = await run('explain', `http://127.0.0.1:${port}/nope`, '--admin', admin!);
    expect(explained.stdout).toContain('→ 404 NR: ');
    expect(explained.stdout).toContain(`VirtualService default/bookinfo (${folder}/gateway.yaml:31) http[0]`);

    const second = await run('gateway', ...flags, '--admin', '127.0.0.1:0');
    expect(second).toEqual({
      code: 1,
      stdout: '',
      stderr: `remora: listener 127.0.0.1_${port}: 127.0.0.1:${port} is in use: stop what listens there or change the listener's port, such as by --map 80=8080\n`,
    });

    const file = join(folder, 'gateway.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('number: 80\n', 'number: 81\n'));
    await gateway.said(new RegExp(`serving http://127\\.0\\.0\\.1:${other}\n`));
    expect((await gateway.stop('SIGTERM')).code).toBe(0);
  });
});

describe('remora proxy --explain', () => {
  it('works with a bootstrap of one’s own', async () => {
    const file = join(home, 'bootstrap.yaml');
    writeFileSync(file, BOOTSTRAP);
    const proxy = start('proxy', '-c', file, '--explain');
    const [, address] = await proxy.said(/listening listener=web address=(\S+)/);
    const answer = await fetch(`http://${address}/`);
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain('route table "none"');
    expect((await proxy.stop('SIGINT')).code).toBe(0);
  });
});

const BOOTSTRAP = `
static_resources:
  listeners:
    - name: web
      address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: web
                route_config: { name: none }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
`;
