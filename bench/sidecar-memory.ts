// Memory of one sidecar whose app calls three services, in meshes of different sizes.
//   node bench/sidecar-memory.ts [--services 10,1000,5000] [--endpoints 10] [--concurrency 1]
//   ENVOY=/path/to/envoy for Envoy beside it, and ISTIOD=/path/to/pilot-discovery for Envoy under istiod as well (as root)
// Remora asks for hosts when they are called; Envoy has the whole mesh, from the same control server and from istiod.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { kubeconfigAccess } from '../src/control/source/kube/access.ts';
import { KubeClient } from '../src/control/source/kube/client.ts';
import { proxyBootstrap } from '../src/xds/bootstrap/proxy-bootstrap.ts';
import { startKubeApi } from '../test/system/kube/api.ts';
import { ownFlags } from './rivals/remora.ts';
import { freePort, pause } from './support/ask.ts';
import { istioBootstrap, serveSecrets } from './support/istio-agent.ts';
import { type KubeObject, startIstiod, writeObjects } from './support/istiod.ts';
import { inNewNetwork, inOwnNetwork } from './support/own-network.ts';
import { memory } from './support/proc.ts';
import { descendants } from './support/processes.ts';
import { NODE } from './support/programs.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '10,1000,5000' },
    endpoints: { type: 'string', default: '10' },
    concurrency: { type: 'string', default: '1' },
  },
});
const REMORA = join(import.meta.dirname, '../dist/remora.js');
const { ENVOY, ISTIOD } = process.env;
const CALLED = [1, 2, 3];
const CALLS = 20;
const SERVICES = '10.96.0.0/16';
/** Where Istio's sidecars take what an app sends: the listener virtualOutbound. */
const OUTBOUND = 15001;
/** Filters that only Istio's build of Envoy has. */
const WITHOUT = { PILOT_ENABLE_METADATA_EXCHANGE: 'false', PILOT_ENABLE_ALPN_FILTER: 'false' };

if (ISTIOD !== undefined && !inOwnNetwork) {
  if (ENVOY === undefined) throw new Error('ISTIOD is set and ENVOY is not: the path of an envoy');
  process.exit(await inNewNetwork(SERVICES, OUTBOUND));
}
const folder = mkdtempSync(join(tmpdir(), 'remora-memory-'));
// What others make goes with it.
process.env.TMPDIR = folder;
const LOG = join(folder, 'log');
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    cleanUp();
    process.exit(130);
  });
}
try {
  for (const services of values.services.split(',').map(Number)) {
    console.log(`${services} services with ${values.endpoints} endpoints each`);
    const mesh = meshOf(services, Number(values.endpoints));
    await underRemora(mesh, services);
    if (ISTIOD !== undefined) await underIstiod(mesh, services);
  }
} finally {
  cleanUp();
}

function cleanUp(): void {
  for (const pid of descendants(process.pid)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}

/** Remora, and Envoy beside it, with all of it from our control server. */
async function underRemora(objects: readonly KubeObject[], services: number): Promise<void> {
  const mesh = join(folder, String(services));
  mkdirSync(mesh);
  writeFileSync(join(mesh, 'mesh.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  const [xds, http] = [`127.0.0.1:${await freePort()}`, await freePort()];
  const control = remora('control', '--files', mesh, '--xds', xds, '--http', `127.0.0.1:${http}`);
  await until('the control server', control, () => status(http, '/ready'));
  for (const name of ['remora', ...(ENVOY === undefined ? [] : ['envoy'])]) {
    const [port, admin] = [await freePort(), await freePort()];
    const bootstrap = proxyBootstrap({
      ...sidecar(name, xds, admin),
      metadata: { REMORA: { httpProxy: `127.0.0.1:${port}` } },
    });
    const at = (i: number): Call => ({ host: '127.0.0.1', port, path: `http://svc${i}/` });
    await measure(name, name === 'remora' ? null : services, admin, bootstrap, at);
  }
  console.log(`  control server: RSS ${memory(control.pid ?? 0).rss.toFixed(0)} MB`);
  await end(control);
}

/** Envoy as a pod has it: its app calls the services' addresses, and is redirected. */
async function underIstiod(objects: readonly KubeObject[], services: number): Promise<void> {
  const api = await startKubeApi();
  const kube = new KubeClient({ access: kubeconfigAccess(api.kubeconfig), clock: systemClock, agent: 'bench' });
  const socket = join(folder, `${services}.sock`);
  const secrets = await serveSecrets(socket);
  try {
    await api.installCrds();
    await writeObjects(kube, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ns0' } }]);
    await writeObjects(kube, objects);
    for (const mtls of [true, false]) {
      const istiod = await startIstiod(api, { env: WITHOUT, mesh: { enableAutoMtls: mtls } });
      const admin = await freePort();
      const bootstrap = istioBootstrap({ ...sidecar('envoy', istiod.xds, admin), ip: '10.127.0.1', secrets: socket });
      const at = (i: number): Call => ({ host: serviceAddress(i), port: 80, path: '/' });
      await measure(`envoy under istiod${mtls ? '' : ' without mTLS'}`, services, admin, bootstrap, at);
      console.log(`  istiod: RSS ${memory(istiod.child.pid ?? 0).rss.toFixed(0)} MB`);
      await end(istiod.child);
    }
  } finally {
    secrets.forceShutdown();
    kube.close();
    await api.close();
  }
}

function sidecar(name: string, control: string, admin: number) {
  return {
    control,
    ip: '127.0.0.1',
    namespace: 'ns0',
    type: 'sidecar',
    pod: name,
    labels: { app: name },
    admin: { host: '127.0.0.1', port: admin },
  } as const;
}

/** `services`: how many Envoy must have; null for Remora, which has what was called. */
async function measure(
  name: string,
  services: number | null,
  admin: number,
  bootstrap: object,
  at: (service: number) => Call,
): Promise<void> {
  const file = join(folder, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const child =
    services === null
      ? remora('proxy', '-c', file, '--concurrency', values.concurrency)
      : run(ENVOY ?? '', ['-c', file, '--use-dynamic-base-id', '--concurrency', values.concurrency]);
  await until(name, child, () => status(admin, '/ready'));
  const idle = memory(child.pid ?? 0).rss;
  let failed = 0;
  for (let i = 0; i < CALLS; i++) {
    for (const service of CALLED) if (!(await call(at(service), `svc${service}`))) failed++;
  }
  await pause(3000);
  const { rss, peak, anonymous } = memory(child.pid ?? 0);
  console.log(
    `  ${name}: RSS ${rss.toFixed(0)} MB after calls of ${CALLED.length} services (${idle.toFixed(0)} before, peak ${peak.toFixed(0)}, ${anonymous.toFixed(0)} anonymous)${failed === 0 ? '' : `; ${failed} CALLS FAILED`}`,
  );
  if (services !== null) console.log(`    ${await holdings(admin, services)}`);
  await end(child);
}

/** What an Envoy has of the mesh. Asked after the memory is read, for the answer costs it some. */
async function holdings(admin: number, services: number): Promise<string> {
  const { cluster_statuses = [] } = await ask<Clusters>(admin, '/clusters?format=json');
  const ofMesh = cluster_statuses.filter(({ name }) => /\bsvc\d+\b/.test(name));
  const hosts = ofMesh.reduce((sum, { host_statuses = [] }) => sum + host_statuses.length, 0);
  const refused = ofMesh.reduce((sum, { host_statuses = [] }) => sum + host_statuses.reduce(connectFailures, 0), 0);
  const counts = await ask<Stats>(admin, '/stats?format=json&filter=update_rejected');
  const rejected = counts.stats.reduce((sum, { value = 0 }) => sum + value, 0);
  const wrong = [
    ...(ofMesh.length < services ? [`NOT ALL ${services} SERVICES`] : []),
    ...(hosts < services * Number(values.endpoints) ? ['NOT ALL ENDPOINTS'] : []),
    ...(rejected > 0 ? [`${rejected} UPDATES REJECTED`] : []),
    ...(refused < CALLS * CALLED.length ? [`ONLY ${refused} OF ${CALLS * CALLED.length} CALLS CAME TO ENDPOINTS`] : []),
  ];
  const has = `it has ${ofMesh.length} clusters with ${hosts} endpoints of the mesh`;
  return wrong.length === 0 ? `${has}, and rejected nothing` : `${has}: ${wrong.join(', ')}`;
}

interface Clusters {
  readonly cluster_statuses?: readonly {
    readonly name: string;
    readonly host_statuses?: readonly Host[];
  }[];
}
interface Host {
  readonly stats?: readonly { readonly name: string; readonly value?: string }[];
}
interface Stats {
  readonly stats: readonly { readonly name?: string; readonly value?: number }[];
}

function connectFailures(sum: number, { stats = [] }: Host): number {
  return sum + Number(stats.find(({ name }) => name === 'cx_connect_fail')?.value ?? 0);
}

/** Nobody is at the endpoints. The API refuses loopback addresses; in a network of our own, 10.0.0.0/8 is the loopback. */
function meshOf(services: number, endpoints: number): KubeObject[] {
  const net = inOwnNetwork ? 10 : 127;
  return Array.from({ length: services }, (_, i): KubeObject[] => [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `svc${i}`, namespace: 'ns0' },
      spec: { clusterIP: serviceAddress(i), ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `svc${i}-a`, namespace: 'ns0', labels: { 'kubernetes.io/service-name': `svc${i}` } },
      addressType: 'IPv4',
      endpoints: Array.from({ length: endpoints }, (_, k) => ({
        addresses: [`${net}.${1 + (i >> 8)}.${i & 255}.${k + 1}`],
        conditions: { ready: true },
      })),
      ports: [{ name: 'http', port: 1, protocol: 'TCP' }],
    },
  ]).flat();
}

/** In SERVICES, whose first addresses the API takes for itself. */
function serviceAddress(i: number): string {
  return `10.96.${1 + (i >> 8)}.${i & 255}`;
}

/** As it ships. */
function remora(...args: readonly string[]): ChildProcess {
  return run(NODE, [...ownFlags(REMORA), REMORA, ...args]);
}

function run(program: string, args: readonly string[]): ChildProcess {
  const log = openSync(LOG, 'a');
  return spawn(program, args, { stdio: ['ignore', log, log] });
}

async function end(child: ChildProcess): Promise<void> {
  const over = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await over;
}

interface Call {
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/** Whether the proxy knows the service: then it says 503, for it called an endpoint, where nobody is. */
function call(at: Call, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    get({ ...at, agent: false, headers: { host } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 503));
    }).on('error', () => resolve(false));
  });
}

function status(port: number, path: string): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}${path}`).then(
    ({ status }) => status === 200,
    () => false,
  );
}

async function ask<T>(port: number, path: string): Promise<T> {
  return (await (await fetch(`http://127.0.0.1:${port}${path}`)).json()) as T;
}

async function until(what: string, child: ChildProcess, test: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1200; i++) {
    if (await test()) return;
    if (child.exitCode !== null) throw new Error(`${what} ended: ${readFileSync(LOG, 'utf8').slice(-2000)}`);
    await pause(100);
  }
  throw new Error(`${what} is not ready: ${readFileSync(LOG, 'utf8').slice(-2000)}`);
}
