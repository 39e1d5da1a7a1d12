// Makes dist/proxy.cache: what V8 has compiled of dist/proxy.cjs when a proxy has read its command line and its config,
// talked to a control server and answered. A proxy starts in 60 % of the time by it. Without it everything works the
// same, so that a machine where it cannot be made is told why and goes on. Runs by the pinned Node, after bundle.mjs.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import v8 from 'node:v8';
import { proxyBootstrap } from '../src/xds/bootstrap/proxy-bootstrap.ts';

const ENTRY = 'dist/remora.js';
const CACHE = 'dist/proxy.cache';
const INSTANCES = ['details-v1', 'ratings-v1', 'reviews-v1', 'reviews-v2', 'reviews-v3', 'productpage-v1'];
const PATIENCE_MS = 60_000;
const flags = readFileSync(ENTRY, 'utf8')
  .split('\n', 1)[0]
  .split(' ')
  .filter((word) => word.startsWith('--'));

if (process.argv[2] === '--proxy') await proxy();
else await make();

/** Makes the cache by a proxy beside a control server with the demo's config. */
async function make() {
  const folder = mkdtempSync(join(tmpdir(), 'remora-precompile-'));
  let control;
  rmSync(CACHE, { force: true });
  const origin = createServer((_request, response) => response.end('{}')).listen(0, '127.0.0.1');
  try {
    await once(origin, 'listening');
    const [xds, http, admin, outbound] = await freePorts(4);
    const live = join(folder, 'live');
    mkdirSync(live);
    for (const file of ['services.yaml', 'destination-rules.yaml'])
      cpSync(join('config/bookinfo', file), join(live, file));
    cpSync('config/bookinfo/try/reviews-90-10.yaml', join(live, 'reviews.yaml'));
    writeFileSync(join(live, 'pods.yaml'), INSTANCES.map((name) => instance(name, origin.address().port)).join(''));
    const addresses = ['--xds', `127.0.0.1:${xds}`, '--http', `127.0.0.1:${http}`];
    control = spawn(process.execPath, [ENTRY, 'control', '--files', live, ...addresses], { stdio: 'ignore' });
    await until(
      () => answers({ port: http, path: '/ready' }),
      () => control.exitCode === null,
      'the control server',
    );
    const bootstrap = join(folder, 'bootstrap.json');
    writeFileSync(bootstrap, bootstrapOf(xds, admin, outbound));
    await writtenByProxy(bootstrap, outbound, join(folder, 'cache'));
    cpSync(join(folder, 'cache'), `${CACHE}.new`);
    renameSync(`${CACHE}.new`, CACHE);
    if (isTaken()) return;
    rmSync(CACHE);
    throw new Error('V8 does not take what it compiled');
  } catch (error) {
    console.error(`remora: proxies start without precompiled code: ${error.message}`);
  } finally {
    control?.kill();
    origin.close();
    origin.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs this file again as a proxy, which writes the cache; the flags must be those of later starts. */
async function writtenByProxy(bootstrap, outbound, file) {
  const args = [...flags, '.ci/precompile.mjs', '--proxy', file, String(outbound), bootstrap];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  if (code !== 0) throw new Error(`the proxy failed: ${said.trim() || (signal ?? `code ${code}`)}`);
}

/** The proxy's process: its bundle with a command line, asked from within. */
async function proxy() {
  const [file, outbound, bootstrap] = process.argv.slice(3);
  // Code bears V8's flags, and a proxy sets more of them when it has started: those of later starts are what counts here.
  // Only the collector's is set, which is taken back at once.
  const { setFlagsFromString } = v8;
  v8.setFlagsFromString = (flag) => flag.endsWith('expose-gc') && setFlagsFromString(flag);
  const { loadBundle } = await import('../src/cli/precompiled.ts');
  const bundle = loadBundle('proxy', pathToFileURL(resolve(ENTRY)));
  // All in one thread, where the code is kept of: with more of them, it is workers that compile a config and serve.
  const args = ['-c', bootstrap, '--log-level', 'warning', '--concurrency', '1'];
  process.argv = [process.execPath, resolve(ENTRY), 'proxy', ...args];
  bundle.run();
  const target = { port: Number(outbound), path: 'http://reviews:9080/reviews/0', headers: { host: 'reviews:9080' } };
  await until(
    () => answers(target),
    () => true,
    'the proxy',
  );
  // Once more, for what runs from the second request on.
  await answers(target);
  writeFileSync(file, bundle.script.createCachedData());
  process.exit(0);
}

/** Whether a start takes it: what is here may be seen by the flags of a start only. */
function isTaken() {
  const text = `import('./src/cli/precompiled.ts').then(({ precompiled }) => process.exit(precompiled('proxy', ${JSON.stringify(pathToFileURL(resolve(ENTRY)).href)}) === null ? 1 : 0))`;
  return spawnSync(process.execPath, [...flags, '-e', text], { stdio: 'ignore' }).status === 0;
}

async function until(holds, alive, what) {
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    if (await holds()) return;
    if (!alive() || Date.now() > deadline) throw new Error(`${what} did not answer`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

function answers(options) {
  return new Promise((done) => {
    get({ host: '127.0.0.1', agent: false, ...options }, (response) => {
      response.resume().on('end', () => done(response.statusCode === 200));
    }).on('error', () => done(false));
  });
}

/** As `remora proxy --sidecar` writes it, with a listener for clients that ask by URL. */
function bootstrapOf(xds, admin, outbound) {
  return JSON.stringify(
    proxyBootstrap({
      type: 'sidecar',
      control: `127.0.0.1:${xds}`,
      ip: '127.0.0.1',
      pod: 'precompile',
      namespace: 'default',
      workload: 'precompile',
      labels: { app: 'precompile' },
      admin: { host: '127.0.0.1', port: admin },
      metadata: { REMORA: { httpProxy: `127.0.0.1:${outbound}` } },
    }),
  );
}

function instance(name, port) {
  const [app, version] = name.split('-');
  return `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, labels: { app: ${app}, version: ${version} } }
status: { phase: Running, podIP: 127.0.0.1, conditions: [{ type: Ready, status: "True" }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}, namespace: default, labels: { kubernetes.io/service-name: ${app} } }
addressType: IPv4
ports: [{ name: http, port: ${port}, protocol: TCP }]
endpoints:
  - addresses: [127.0.0.1]
    conditions: { ready: true }
    targetRef: { kind: Pod, name: ${name}, namespace: default }
`;
}

/** All open at the same time, so that no two are the same. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
