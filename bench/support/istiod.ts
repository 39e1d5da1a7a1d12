import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { KubeClient } from '../../src/control/source/kube/client.ts';
import type { KubeApi } from '../../test/system/kube/api.ts';
import { freePort, pause } from './ask.ts';

/** A control server that is up. */
export interface Served {
  readonly child: ChildProcess;
  /** `host:port` of its plain xDS. */
  readonly xds: string;
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: 'Namespace' | 'Service' | 'EndpointSlice';
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: object };
  readonly [more: string]: unknown;
}

const PATHS = {
  Namespace: () => '/api/v1/namespaces',
  Service: (namespace: string) => `/api/v1/namespaces/${namespace}/services`,
  EndpointSlice: (namespace: string) => `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
} as const;

/** Creates objects in any order, 16 at a time. */
export async function writeObjects(kube: KubeClient, objects: readonly KubeObject[]): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let body = objects[next++]; body !== undefined; body = objects[next++]) {
      await kube.send({ method: 'POST', path: PATHS[body.kind](body.metadata.namespace ?? ''), body });
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
}

export interface IstiodOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** MeshConfig; absent: istiod's defaults. */
  readonly mesh?: object;
}

/** The istiod of `ISTIOD` (the path of pilot-discovery), on free ports of the loopback; its log is istiod.log in the API's folder. */
export async function startIstiod(api: KubeApi, { env = {}, mesh = {} }: IstiodOptions = {}): Promise<Served> {
  const program = process.env.ISTIOD;
  if (program === undefined) throw new Error('ISTIOD is not set: the path of pilot-discovery');
  await api.apply('{ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "istio-system" } }');
  const cwd = join(api.folder, 'istiod');
  const config = join(cwd, 'etc/istio/config');
  mkdirSync(config, { recursive: true });
  writeFileSync(join(config, 'mesh'), JSON.stringify(mesh));
  const [xds, http] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const flags = ['--grpcAddr', xds, '--secureGRPCAddr', '', '--httpAddr', http, '--httpsAddr', ''];
  const rest = ['--monitoringAddr', `127.0.0.1:${await freePort()}`, '--ctrlz_port', '0'];
  const log = openSync(join(api.folder, 'istiod.log'), 'a');
  const child = spawn(program, ['discovery', '--kubeconfig', api.kubeconfig, ...flags, ...rest], {
    stdio: ['ignore', log, log],
    cwd,
    env: { ...process.env, POD_NAME: 'istiod', POD_NAMESPACE: 'istio-system', ENABLE_LEADER_ELECTION: 'false', ...env },
  });
  await untilReady(child, `http://${http}/ready`);
  return { child, xds };
}

export async function untilReady(child: ChildProcess, url: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error('the control server ended');
    if ((await fetch(url).catch(() => null))?.status === 200) return;
    await pause(100);
  }
  throw new Error('the control server is not ready after 60 s');
}
