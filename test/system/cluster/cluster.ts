import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { pause } from '../support/process.ts';

const ROOT = new URL('../../..', import.meta.url).pathname;
const NODE_SH = join(ROOT, 'test/system/kube/node.sh');
const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'remora-system');
/** What the node keeps while it is up, logs among it. */
export const STATE = join(CACHE, 'node');
const VERSION = /k8s\.io\/kubernetes v([\d.]+)/.exec(readFileSync(join(ROOT, 'test/system/kube/go.mod'), 'utf8'))![1];
const PROGRAMS = join(CACHE, `kube-${VERSION}`);
const REMORA = [join(ROOT, 'node_modules/.bin/node'), join(ROOT, 'dist/remora.js')] as const;

/** Where the node answers NodePorts, as the host reaches it. */
export const NODE_ADDRESS = '10.243.0.2';
/** Where pods reach this machine. */
export const HOST_ADDRESS = '10.243.0.1';
export const SYSTEM = 'remora-system';

/** The image of remora and the same under another name; `pod` runs curl and busybox. */
export const IMAGE = `remora:${JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version}`;
export const NEXT_IMAGE = 'remora:next';
export const TOOLS_IMAGE = 'remora-test/tools:1';

/** Runs a program to its end; its output, or an error with what it said. */
export function run(command: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, KUBECONFIG: join(STATE, 'admin.conf') };
    const child = spawn(command, args, { cwd: ROOT, env });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(out);
      else reject(new Error(`${command.split('/').at(-1)} ${args.join(' ')}: ${code}: ${(err || out).slice(-4000)}`));
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** kubectl as administrator, in the namespace `default` unless it says another. */
export function kubectl(args: readonly string[] | string, input = ''): Promise<string> {
  return run(join(PROGRAMS, 'bin/kubectl'), typeof args === 'string' ? args.split(' ') : args, input);
}

export function apply(yaml: string): Promise<string> {
  return kubectl('apply --server-side --force-conflicts -f -', yaml);
}

export async function get<T>(what: string): Promise<T> {
  return JSON.parse(await kubectl(`get ${what} -o json`)) as T;
}

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly deletionTimestamp?: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly containers: readonly { readonly name: string; readonly readinessProbe?: { httpGet?: { path: string } } }[];
    readonly initContainers?: readonly { readonly name: string; readonly restartPolicy?: string }[];
  };
  readonly status: {
    readonly phase: string;
    readonly podIP: string;
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}

export function isReady({ metadata, status }: Pod): boolean {
  const ready = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  return metadata.deletionTimestamp === undefined && ready === true;
}

/** Pods that are not about to go. */
export async function podsOf(namespace: string, selector = ''): Promise<readonly Pod[]> {
  const list = await kubectl(['get', 'pods', '-n', namespace, '-l', selector, '-o', 'json']);
  const { items } = JSON.parse(list) as { items: Pod[] };
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

/** Waits for Deployments to be whole. */
export async function rolledOut(namespace: string, ...deployments: string[]): Promise<void> {
  for (const name of deployments) await kubectl(`rollout status -n ${namespace} deployment/${name} --timeout=120s`);
}

/** What a test has to report; with the file's others in the output of `npm run test:system`. */
export function report(line: string): void {
  console.log(`cluster: ${line}`);
}

/** The node, up: where it is not yet, that takes half a minute. */
export async function bringUp(): Promise<void> {
  await run('bash', [NODE_SH, 'up']);
}

/** Two cores have to hold everything, and twice while it is rolled. */
const SMALL = ['resources.cpu=20m', 'proxyResources.cpu=20m'];

/** The CRDs, the control server and the ingress gateway, by our own manifests; `name=value`. Idempotent. */
export async function installRemora(...values: readonly string[]): Promise<void> {
  const sets = [...SMALL, ...values].flatMap((value) => ['--set', value]);
  await kubectl(['apply', '--server-side', '-f', join(PROGRAMS, 'istio-crds.yaml')]);
  const install = (...flags: string[]) => run(REMORA[0], [REMORA[1], 'install', '--dry-run', ...flags]);
  await apply(await install(...sets));
  await rolledOut(SYSTEM, 'remora-control');
  await apply(await install('--part', 'ingress', '--set', 'ingressServiceType=NodePort', ...sets));
  await rolledOut(SYSTEM, 'remora-ingressgateway');
}

/** Bookinfo as a user deploys it: `config/bookinfo` and `deploy/demo`. */
export async function installBookinfo(): Promise<void> {
  const file = (path: string) => join(ROOT, path);
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', file('config/bookinfo/services.yaml')]);
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', file('deploy/demo/bookinfo.yaml')]);
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', file('config/bookinfo')]);
  await rolledOut('default', ...BOOKINFO);
}

export const BOOKINFO = ['productpage-v1', 'details-v1', 'ratings-v1', 'reviews-v1', 'reviews-v2', 'reviews-v3'];

/** One of `config/bookinfo/try`. */
export function tryFile(name: string): Promise<string> {
  return kubectl(['apply', '--server-side', '--force-conflicts', '-f', join(ROOT, 'config/bookinfo/try', name)]);
}

/** `http://…` of the ingress gateway's port 80. */
export async function gatewayUrl(): Promise<string> {
  const service = await get<{ spec: { ports: { port: number; nodePort: number }[] } }>(
    `service -n ${SYSTEM} remora-ingressgateway`,
  );
  return `http://${NODE_ADDRESS}:${service.spec.ports.find(({ port }) => port === 80)!.nodePort}`;
}

/** Where `find` gives something; rejects with what it said last. */
export async function eventually<T>(what: string, find: () => Promise<T>, ms = 60_000): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    try {
      return await find();
    } catch (error) {
      if (performance.now() > deadline) throw new Error(`waited ${ms / 1000} s for ${what}`, { cause: error });
    }
    await pause(100);
  }
}

/** What a person would look at first: pods, events, and the last lines of whoever is not well. */
export async function diagnosis(): Promise<string> {
  if (!existsSync(join(STATE, 'admin.conf'))) return `the node did not come up: see ${STATE}`;
  const said = (args: string) => kubectl(args).catch((error: Error) => error.message);
  const parts = [
    await said('get pods -A -o wide'),
    (await said('get events -A --sort-by=.lastTimestamp')).split('\n').slice(-40).join('\n'),
    await said(`logs -n ${SYSTEM} -l app=remora-control --tail=20 --prefix`),
    await said(`logs -n ${SYSTEM} -l app=remora-ingressgateway --tail=20 --prefix`),
  ];
  const { items } = await get<{ items: Pod[] }>('pods -A').catch(() => ({ items: [] as Pod[] }));
  const sidecars = items.filter(({ spec }) => spec.initContainers?.some(({ name }) => name === 'remora-proxy'));
  for (const pod of [...sidecars].sort((a, b) => Number(isReady(a)) - Number(isReady(b))).slice(0, 8)) {
    const { name, namespace } = pod.metadata;
    for (const container of ['remora-init', 'remora-proxy'])
      parts.push(
        `--- ${namespace}/${name} ${container}`,
        await said(`logs -n ${namespace} ${name} -c ${container} --tail=15`),
      );
  }
  return parts.join('\n');
}

/** Has each failed test of the file say what the cluster looked like; wrap `beforeAll` in it as well. */
export function diagnoseFailures(): void {
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(`cluster, after "${task.name}" failed:\n${await diagnosis()}`);
  });
}

export async function diagnosed(setUp: () => Promise<void>): Promise<void> {
  try {
    await setUp();
  } catch (error) {
    console.error(`cluster, after the set-up failed:\n${await diagnosis()}`);
    throw error;
  }
}
