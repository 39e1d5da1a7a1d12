// How a change in a real API server comes to many proxies: 1,000 services with 10 endpoints each, 200 ADS clients.
//   node bench/kube.ts [--services 1000] [--endpoints 10] [--clients 200] [--namespaces 1] [--changes 100] [--json FILE]
//   ISTIOD=/path/to/pilot-discovery node bench/kube.ts --istiod     the same with istiod
//   ISTIOD=/path/to/pilot-discovery node bench/kube-bars.ts         both in turn, and what is promised of Remora beside istiod
// FLAGS='--trace-gc' are more flags for our server's Node, PROFILE=FOLDER is for its CPU profile and its log.
// Times are from just before the write to the API until the last client has received it.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/clock.ts';
import { ENDPOINT, ROUTE, VIRTUAL_HOST } from '../src/control/serve/type-urls.ts';
import { kubeconfigAccess } from '../src/control/source/kube/access.ts';
import { KubeClient } from '../src/control/source/kube/client.ts';
import { type KubeApi, startKubeApi } from '../test/system/kube/api.ts';
import { ownFlags } from './rivals/remora.ts';
import type { ClientsAnswer, ClientsRequest } from './support/ads-clients.ts';
import { cpuMicros, memory } from './support/proc.ts';
import { BUNDLE, NODE } from './support/programs.ts';
import { quantile } from './support/quantile.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '1000' },
    endpoints: { type: 'string', default: '10' },
    clients: { type: 'string', default: '200' },
    namespaces: { type: 'string', default: '1' },
    changes: { type: 'string', default: '100' },
    rate: { type: 'string', default: '5' },
    istiod: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'string' },
  },
});
const services = Number(values.services);
const endpoints = Number(values.endpoints);
const clients = Number(values.clients);
const namespaces = Number(values.namespaces);
const changes = Number(values.changes);
let weight = 10;
/** What brings a change of routes: our server sends the host alone. */
const routeType = values.istiod ? ROUTE : VIRTUAL_HOST;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const api = await startKubeApi();
const kube = new KubeClient({ access: kubeconfigAccess(api.kubeconfig), clock: systemClock, agent: 'bench' });
let control: ChildProcess | null = null;
let worker: ChildProcess | null = null;
try {
  await api.installCrds();
  await writeMesh();
  const server = values.istiod ? await startIstiod(api) : await startRemora(api);
  control = server.child;
  const pid = control.pid ?? 0;
  console.log(`control server ready: RSS ${mb(memory(pid).rss)}, CPU so far ${seconds(cpuMicros(pid))}`);
  worker = fork(join(import.meta.dirname, 'support/ads-clients.ts'), [], { stdio: 'inherit' });
  worker.setMaxListeners(0);
  const begun = now();
  const connected = ask({ connect: { target: server.xds, clients, namespaces } }, (one) => one.connected);
  const counts = await connected;
  console.log(
    `${clients} clients have everything after ${Math.round(now() - begun)} ms: ${JSON.stringify(counts)}; RSS ${mb(memory(pid).rss)}, CPU so far ${seconds(cpuMicros(pid))}`,
  );
  await wait(2000);
  const connectedMb = memory(pid).rss;
  const result = {
    server: values.istiod ? 'istiod' : 'remora',
    services,
    endpoints,
    clients,
    connectedMb,
    endpoint: await measure('endpoint change', pid, changes, ENDPOINT, moveEndpoint),
    route:
      values.only === 'endpoints'
        ? null
        : await measure('route change', pid, Math.min(changes, 40), routeType, changeRoute),
    routesAtRate: values.only === 'endpoints' ? null : await measureRate(pid),
  };
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
} finally {
  worker?.disconnect();
  control?.kill('SIGTERM');
  kube.close();
  await api.close();
}

/** One after another, each awaited. */
async function measure(
  what: string,
  pid: number,
  count: number,
  typeUrl: string,
  change: (i: number) => { name: string; write(): Promise<unknown> },
) {
  for (let i = 0; i < 3; i++) await one(-1 - i, typeUrl, change(i));
  await wait(1000);
  await ask({ reset: true, report: true }, (got) => got.report);
  const cpu = cpuMicros(pid);
  const all: number[] = [];
  for (let i = 0; i < count; i++) {
    all.push(await one(i, typeUrl, change(i + 3)));
    await wait(50);
  }
  await wait(500);
  const report = await ask({ report: true }, (got) => got.report);
  const result = {
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    max: Math.max(...all),
    /** In order: what is slow at first only is not what is slow now and then. */
    all,
    bytesPerChange: (report?.bytes ?? 0) / count,
    responsesPerChange: (report?.responses ?? 0) / count,
    cpuMsPerChange: (cpuMicros(pid) - cpu) / 1000 / count,
    rssMb: memory(pid).rss,
    peakMb: memory(pid).peak,
  };
  console.log(
    `${what}: p50 ${result.p50.toFixed(1)} p99 ${result.p99.toFixed(1)} max ${result.max.toFixed(1)} ms; ` +
      `${Math.round(result.bytesPerChange)} bytes in ${result.responsesPerChange} responses and ${result.cpuMsPerChange.toFixed(1)} ms CPU a change; RSS ${mb(result.rssMb)}, peak ${mb(result.peakMb)}`,
  );
  return result;
}

/** Route changes at a fixed rate, whether the one before has arrived or not. */
async function measureRate(pid: number) {
  const rate = Number(values.rate);
  const count = rate * 10;
  const cpu = cpuMicros(pid);
  const arrivals: Promise<number>[] = [];
  const start = now();
  for (let i = 0; i < count; i++) {
    const due = start + (i * 1000) / rate;
    if (now() < due) await wait(due - now());
    arrivals.push(one(1000 + i, routeType, changeRoute(i + 100)));
  }
  const all = await Promise.all(arrivals);
  const result = {
    rate,
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    last: quantile(all.slice(-rate * 2), 0.5),
    cpuMsPerChange: (cpuMicros(pid) - cpu) / 1000 / count,
    rssMb: memory(pid).rss,
  };
  console.log(
    `${rate} route changes a second: p50 ${result.p50.toFixed(1)} p99 ${result.p99.toFixed(1)}, of the last two seconds p50 ${result.last.toFixed(1)} ms; ` +
      `${result.cpuMsPerChange.toFixed(1)} ms CPU a change; RSS ${mb(result.rssMb)}`,
  );
  return result;
}

async function one(id: number, typeUrl: string, { name, write }: { name: string; write(): Promise<unknown> }) {
  await ask({ expect: { id, typeUrl, name } }, (got) => got.expecting === id || undefined);
  const received = new Promise<readonly number[]>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name} did not come to every client in 60 s`)), 60_000);
    const listen = (got: ClientsAnswer): void => {
      if (got.received?.id !== id) return;
      clearTimeout(timer);
      worker?.off('message', listen);
      resolve(got.received.at);
    };
    worker?.on('message', listen);
  });
  const at = now();
  await write();
  return Math.max(...(await received)) - at;
}

function ask<T>(request: ClientsRequest, pick: (answer: ClientsAnswer) => T | undefined): Promise<T> {
  return new Promise((resolve) => {
    const listen = (answer: ClientsAnswer): void => {
      const value = pick(answer);
      if (value === undefined) return;
      worker?.off('message', listen);
      resolve(value);
    };
    worker?.on('message', listen);
    worker?.send(request);
  });
}

function slice(i: number, change = 0): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `svc${i}-abcde`, namespace: spaceOf(i), labels: { 'kubernetes.io/service-name': `svc${i}` } },
    addressType: 'IPv4',
    endpoints: Array.from({ length: endpoints }, (_, k) => ({
      addresses: [`10.${100 + (k === 0 ? change % 99 : 100)}.${i % 250}.${k + 1 + Math.floor(i / 250) * 50}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node${k % 3}`,
      zone: `zone${k % 3}`,
    })),
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  };
}

function spaceOf(i: number): string {
  return `ns${i % Math.max(1, namespaces)}`;
}

function moveEndpoint(change: number) {
  const i = (change * 37) % services;
  const path = `/apis/discovery.k8s.io/v1/namespaces/${spaceOf(i)}/endpointslices/svc${i}-abcde`;
  return {
    name: `svc${i}.${spaceOf(i)}.`,
    write: () => kube.send({ method: 'PUT', path, body: slice(i, (change % 98) + 1) }),
  };
}

function virtualService(i: number, weight: number): object {
  const to = (name: number, share: number) => ({
    destination: { host: `svc${name}.${spaceOf(name)}.svc.cluster.local` },
    weight: share,
  });
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: `vs${i}`, namespace: spaceOf(i) },
    spec: {
      hosts: [`svc${i}.${spaceOf(i)}.svc.cluster.local`],
      http: [{ route: [to(i, weight), to((i + namespaces) % services, 100 - weight)] }],
    },
  };
}

function changeRoute(_change: number) {
  const i = 1;
  weight = weight >= 90 ? 10 : weight + 1;
  const path = `/apis/networking.istio.io/v1/namespaces/${spaceOf(i)}/virtualservices/vs${i}`;
  const body = { spec: (virtualService(i, weight) as { spec: object }).spec };
  return {
    name: values.istiod ? '' : `svc${i}.`,
    write: () => kube.send({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' }),
  };
}

async function writeMesh(): Promise<void> {
  const begun = now();
  const post = (path: string, body: object): Promise<unknown> => kube.send({ method: 'POST', path, body });
  for (let n = 0; n < namespaces; n++) {
    await post('/api/v1/namespaces', { metadata: { name: `ns${n}` } });
  }
  const work = Array.from({ length: services }, (_, i) => async () => {
    const space = spaceOf(i);
    await post(`/api/v1/namespaces/${space}/services`, {
      metadata: { name: `svc${i}` },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    });
    await post(`/apis/discovery.k8s.io/v1/namespaces/${space}/endpointslices`, slice(i));
  });
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let task = work.pop(); task !== undefined; task = work.pop()) await task();
    }),
  );
  await post(`/apis/networking.istio.io/v1/namespaces/${spaceOf(1)}/virtualservices`, virtualService(1, 10));
  console.log(`${services} services with ${endpoints} endpoints each written in ${Math.round(now() - begun)} ms`);
}

async function startRemora({ kubeconfig, folder }: KubeApi): Promise<{ child: ChildProcess; xds: string }> {
  const [xds, http] = [25010, 25014];
  const flags = ['--xds', `127.0.0.1:${xds}`, '--http', `127.0.0.1:${http}`, '--log-level', 'warning'];
  const { PROFILE, FLAGS = '' } = process.env;
  const profile = PROFILE === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${PROFILE}`];
  const node = [...ownFlags(BUNDLE), ...FLAGS.split(' ').filter((flag) => flag !== ''), ...profile];
  // As the chart has it.
  const env = { ...process.env, TMPDIR: folder, MALLOC_TRIM_THRESHOLD_: '131072' };
  const log = openSync(join(PROFILE ?? folder, 'control.log'), 'a');
  const child = spawn(NODE, [...node, BUNDLE, 'control', '--kubeconfig', kubeconfig, ...flags], {
    stdio: ['ignore', log, log],
    env,
  });
  await untilReady(child, `http://127.0.0.1:${http}/ready`);
  return { child, xds: `127.0.0.1:${xds}` };
}

async function startIstiod({ kubeconfig, folder }: KubeApi): Promise<{ child: ChildProcess; xds: string }> {
  const program = process.env.ISTIOD;
  if (program === undefined) throw new Error('ISTIOD is not set: the path of pilot-discovery');
  await api.kubectl(['create', 'namespace', 'istio-system']);
  const cwd = join(folder, 'istiod');
  mkdirSync(cwd);
  const flags = ['--grpcAddr', '127.0.0.1:25010', '--secureGRPCAddr', '', '--httpAddr', '127.0.0.1:25014'];
  const rest = ['--httpsAddr', '', '--monitoringAddr', '127.0.0.1:25016', '--ctrlz_port', '0'];
  const child = spawn(program, ['discovery', '--kubeconfig', kubeconfig, ...flags, ...rest], {
    stdio: ['ignore', 'ignore', 'ignore'],
    cwd,
    env: { ...process.env, POD_NAME: 'istiod', POD_NAMESPACE: 'istio-system', ENABLE_LEADER_ELECTION: 'false' },
  });
  await untilReady(child, 'http://127.0.0.1:25014/ready');
  return { child, xds: '127.0.0.1:25010' };
}

async function untilReady(child: ChildProcess, url: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error('the control server ended');
    if ((await fetch(url).catch(() => null))?.status === 200) return;
    await wait(100);
  }
  throw new Error('the control server is not ready after 60 s');
}

function mb(value: number): string {
  return `${Math.round(value)} MB`;
}
function seconds(micros: number): string {
  return `${(micros / 1e6).toFixed(1)} s`;
}
