// Memory of one sidecar whose app calls three services, in meshes of different sizes.
//   node bench/sidecar-memory.ts [--services 10,1000,5000] [--endpoints 10] [--concurrency 1]       ENVOY=/path/to/envoy for Envoy beside it
// Remora asks for hosts when they are called; Envoy has the whole mesh from the same control server, as it has from istiod.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { proxyBootstrap } from '../src/xds/bootstrap/proxy-bootstrap.ts';
import { memory } from './support/proc.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '10,1000,5000' },
    endpoints: { type: 'string', default: '10' },
    concurrency: { type: 'string', default: '1' },
  },
});
const ROOT = join(import.meta.dirname, '..');
const NODE = join(ROOT, 'node_modules/.bin/node');
const REMORA = join(ROOT, 'dist/remora.js');
const CALLED = ['svc1', 'svc2', 'svc3'];
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const folder = mkdtempSync(join(tmpdir(), 'remora-memory-'));
const children: ChildProcess[] = [];

try {
  for (const services of values.services.split(',').map(Number)) {
    console.log(`${services} services with ${values.endpoints} endpoints each`);
    await measure(services, Number(values.endpoints));
  }
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

async function measure(services: number, endpoints: number): Promise<void> {
  const mesh = join(folder, String(services));
  mkdirSync(mesh);
  writeFileSync(
    join(mesh, 'mesh.json'),
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: meshOf(services, endpoints) }),
  );
  const [xds, http] = [await freePort(), await freePort()];
  const control = run(NODE, [
    REMORA,
    'control',
    '--files',
    mesh,
    '--xds',
    `127.0.0.1:${xds}`,
    '--http',
    `127.0.0.1:${http}`,
  ]);
  await until('the control server', () => status(http, '/ready'));
  await proxy('remora', xds, (file) => run(NODE, [REMORA, 'proxy', '-c', file, '--concurrency', values.concurrency]));
  const envoy = process.env.ENVOY;
  if (envoy !== undefined) {
    await proxy('envoy', xds, (file) =>
      run(envoy, ['-c', file, '--use-dynamic-base-id', '--concurrency', values.concurrency]),
    );
  }
  console.log(`  control server: RSS ${Math.round(memory(control.pid ?? 0).rss)} MB`);
  control.kill('SIGTERM');
}

async function proxy(name: string, xds: number, start: (file: string) => ChildProcess): Promise<void> {
  const [port, admin] = [await freePort(), await freePort()];
  const bootstrap = proxyBootstrap({
    control: `127.0.0.1:${xds}`,
    ip: '127.0.0.1',
    namespace: 'ns0',
    type: 'sidecar',
    pod: name,
    labels: { app: name },
    admin: { host: '127.0.0.1', port: admin },
    metadata: { REMORA: { httpProxy: `127.0.0.1:${port}` } },
  });
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(bootstrap));
  const child = start(file);
  await until(name, () => status(admin, '/ready'));
  const idle = memory(child.pid ?? 0).rss;
  // Nobody is there: what comes back says that the route is known.
  for (let i = 0; i < 20; i++) for (const host of CALLED) await call(port, host);
  await wait(3000);
  const { rss, peak } = memory(child.pid ?? 0);
  console.log(
    `  ${name}: RSS ${rss.toFixed(0)} MB after calls of ${CALLED.length} services (${idle.toFixed(0)} before, peak ${peak.toFixed(0)})`,
  );
  child.kill('SIGKILL');
}

function meshOf(services: number, endpoints: number): object[] {
  return Array.from({ length: services }, (_, i) => [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `svc${i}`, namespace: 'ns0' },
      spec: { clusterIP: `10.96.${i >> 8}.${i & 255}`, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `svc${i}-a`, namespace: 'ns0', labels: { 'kubernetes.io/service-name': `svc${i}` } },
      addressType: 'IPv4',
      endpoints: Array.from({ length: endpoints }, (_, k) => ({
        addresses: [`127.${1 + (i >> 8)}.${i & 255}.${k + 1}`],
        conditions: { ready: true },
      })),
      ports: [{ name: 'http', port: 1, protocol: 'TCP' }],
    },
  ]).flat();
}

function run(program: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(folder, 'log'), 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, TMPDIR: folder } });
  children.push(child);
  return child;
}

/** Any answer is one of the proxy. */
function call(port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: `http://${host}/`, agent: false, headers: { host } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    }).on('error', reject);
  });
}

function status(port: number, path: string): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}${path}`).then(
    ({ status }) => status === 200,
    () => false,
  );
}

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1200; i++) {
    if (await test()) return;
    await wait(100);
  }
  throw new Error(`${what} is not ready`);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
