import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { proxyDecodeContext } from '../../../src/proxy/runtime/extensions.ts';
import { decodersOf } from '../../../src/xds/client/resource-decoder.ts';
import { standardResourceTypes } from '../../../src/xds/resources/standard.ts';
import { adsClient } from '../../integration/ads-client.ts';
import { freePort, Program, until } from '../support/process.ts';
import { type KubeApi, startKubeApi } from './api.ts';

const NODE = join(process.cwd(), 'node_modules/.bin/node');
const REMORA = join(process.cwd(), 'dist/remora.js');

let api: KubeApi;
const replicas: Program[] = [];
let xds: number;

/** A replica of the control server; they share a Lease. */
async function replica(name: string): Promise<{ program: Program; xds: number }> {
  const [port, http] = [await freePort(), await freePort()];
  const addresses = ['--xds', `127.0.0.1:${port}`, '--http', `127.0.0.1:${http}`];
  const flags = ['--kubeconfig', api.kubeconfig, '--namespace', 'mesh', '--replica', name];
  const program = new Program(name, NODE, [REMORA, 'control', ...flags, ...addresses], { TMPDIR: api.folder });
  replicas.push(program);
  await until(`${name} to be ready`, () =>
    fetch(`http://127.0.0.1:${http}/ready`).then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
  return { program, xds: port };
}

const client = (name: string) =>
  adsClient(`127.0.0.1:${xds}`, 'delta', {
    decoders: decodersOf(standardResourceTypes, proxyDecodeContext()),
    node: { id: `sidecar~10.0.0.7~${name}.shop~shop.svc.cluster.local`, metadata: { NAMESPACE: 'shop' } },
  });

function route(subset: string): string {
  return JSON.stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      hosts: ['web'],
      http: [{ headers: { response: { set: { 'x-mark': subset } } }, route: [{ destination: { host: 'web' } }] }],
    },
  });
}

interface Stored {
  readonly metadata: { readonly generation: number; readonly resourceVersion: string };
  readonly status?: { readonly observedGeneration?: number; readonly conditions?: readonly Record<string, string>[] };
}
const stored = async (): Promise<Stored> =>
  JSON.parse(await api.kubectl(['-n', 'shop', 'get', 'virtualservice', 'web', '-o', 'json']));
const message = async (): Promise<string> => {
  const { metadata, status } = await stored();
  const reconciled = status?.conditions?.find(({ type }) => type === 'Reconciled');
  return status?.observedGeneration === metadata.generation ? `${reconciled?.status} ${reconciled?.message}` : '';
};

beforeAll(async () => {
  api = await startKubeApi();
  await api.installCrds();
  for (const namespace of ['shop', 'mesh']) await api.kubectl(['create', 'namespace', namespace]);
  await api.kubectl(['-n', 'shop', 'create', 'service', 'clusterip', 'web', '--tcp=80:8080']);
}, 300_000);

afterAll(async () => {
  for (const program of replicas) await program.stop();
  await api.close();
});

it('says how many proxies run by an object, by one replica at a time, and nothing twice', async () => {
  const first = await replica('first');
  ({ xds } = first);
  const proxies = [client('a'), client('b')];
  for (const { config } of proxies) await until('a proxy to be served', () => config.ready.value);
  await api.apply(route('one'));
  await until('all proxies', async () => (await message()) === 'True applied by 2 of 2 proxies');
  await api.apply(route('two'));
  await until('all of them again', async () => (await message()) === 'True applied by 2 of 2 proxies');
  expect((await stored()).metadata.generation).toBe(2);

  // The other replica leads, reads what is there, and has nothing to say.
  const { resourceVersion } = (await stored()).metadata;
  await replica('second');
  await first.program.stop();
  const holder = ['-n', 'mesh', 'get', 'lease', 'remora-leader', '-o', 'jsonpath={.spec.holderIdentity}'];
  await until('the other replica to lead', async () => (await api.kubectl(holder)) === 'second');
  await api.apply(
    route('three')
      .replace('"web","namespace"', '"other","namespace"')
      .replaceAll('"hosts":["web"]', '"hosts":["other"]'),
  );
  await until('a status of the other object', async () =>
    (await api.kubectl(['-n', 'shop', 'get', 'virtualservice', 'other', '-o', 'json'])).includes('Reconciled'),
  );
  expect((await stored()).metadata.resourceVersion).toBe(resourceVersion);
  for (const { config } of proxies) await config.close();
});

it('sends the mesh’s config of its namespace as it changes', async () => {
  const config = (text: string): string =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'istio', namespace: 'mesh' },
      data: { mesh: text },
    });
  const second = replicas.at(-1);
  ({ xds } = await replica('third'));
  await second?.stop();
  const { config: proxy } = client('c');
  await until('a proxy to be served', () => proxy.ready.value);
  const timeout = (): number | undefined =>
    proxy.snapshot.value.clusters.get('outbound|80||web.shop.svc.cluster.local')?.connectTimeoutMs;
  expect(timeout()).toBe(10_000);
  await api.apply(config('connectTimeout: 3s'));
  await until('the timeout of the mesh', () => timeout() === 3000);
  await api.apply(config('connectTimeout: soon'));
  await api.apply(route('four'));
  await until('what comes after', async () => (await message()).startsWith('True applied by 1 of 1'));
  expect(timeout()).toBe(3000);
  await api.kubectl(['-n', 'mesh', 'delete', 'configmap', 'istio']);
  await until('the default', () => timeout() === 10_000);
  await proxy.close();
});
