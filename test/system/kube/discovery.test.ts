import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { proxyDecodeContext } from '../../../src/proxy/runtime/extensions.ts';
import { decodersOf } from '../../../src/xds/client/resource-decoder.ts';
import { standardResourceTypes } from '../../../src/xds/resources/standard.ts';
import { adsClient, ports } from '../../integration/ads-client.ts';
import { freePort, Program, until } from '../support/process.ts';
import { type KubeApi, NOBODY_TOKEN, startKubeApi } from './api.ts';

const NODE = join(process.cwd(), 'node_modules/.bin/node');
const REMORA = join(process.cwd(), 'dist/remora.js');
const CLUSTER = 'outbound|80||web.shop.svc.cluster.local';

let api: KubeApi;
let control: Program;
let xds: number;
let http: number;

async function startControl(kubeconfig: string): Promise<Program> {
  [xds, http] = [await freePort(), await freePort()];
  const addresses = ['--xds', `127.0.0.1:${xds}`, '--http', `127.0.0.1:${http}`];
  return new Program('remora control', NODE, [REMORA, 'control', '--kubeconfig', kubeconfig, ...addresses], {
    TMPDIR: api.folder,
  });
}

async function status(path: string): Promise<{ code: number; body: string }> {
  const answer = await fetch(`http://127.0.0.1:${http}${path}`);
  return { code: answer.status, body: await answer.text() };
}
const ready = (): Promise<boolean> =>
  status('/ready')
    .then(({ code }) => code === 200)
    .catch(() => false);
const services = async (): Promise<string[]> => JSON.parse((await status('/mesh')).body).services;

function client() {
  return adsClient(`127.0.0.1:${xds}`, 'delta', {
    decoders: decodersOf(standardResourceTypes, proxyDecodeContext()),
    node: { id: 'sidecar~10.0.0.7~web-1.shop~shop.svc.cluster.local', metadata: { NAMESPACE: 'shop' } },
  });
}

/** By SIGSTOP (proc(5): `T` in the third field of stat). */
function isStopped(pid: number): boolean {
  return /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

function slice(addresses: readonly string[], port = 8080): string {
  return JSON.stringify({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: 'http', port, protocol: 'TCP' }],
  });
}

beforeAll(async () => {
  api = await startKubeApi();
  await api.kubectl(['create', 'namespace', 'shop']);
  await api.kubectl(['-n', 'shop', 'create', 'service', 'clusterip', 'web', '--tcp=80:8080']);
  await api.kubectl([
    '-n',
    'shop',
    'patch',
    'service',
    'web',
    '--type=json',
    '-p',
    '[{"op":"replace","path":"/spec/ports/0/name","value":"http"}]',
  ]);
  await api.apply(slice(['10.0.0.1']));
  control = await startControl(api.kubeconfig);
  await until('the control server to be ready', ready);
}, 300_000);

afterAll(async () => {
  await control.stop();
  await api.close();
});

describe('a real API server', () => {
  it('is read before proxies are served, with no CRD installed', async () => {
    expect(await services()).toContain('web.shop.svc.cluster.local');
    const { config } = client();
    await until('the first endpoint', () => ports(config, CLUSTER).length === 1);
    await config.close();
  });

  it('pushes an EndpointSlice that changed', async () => {
    const { config } = client();
    await until('the first endpoint', () => ports(config, CLUSTER).length === 1);
    await api.apply(slice(['10.0.0.1', '10.0.0.2', '10.0.0.3'], 9090));
    await until('all endpoints', () => ports(config, CLUSTER).join() === '9090,9090,9090');
    await api.kubectl(['-n', 'shop', 'delete', 'endpointslice', 'web-1']);
    await until('no endpoint', () => ports(config, CLUSTER).length === 0);
    await api.apply(slice(['10.0.0.1']));
    await until('the endpoint again', () => ports(config, CLUSTER).length === 1);
    await config.close();
  });

  it('reads a CRD once it is installed, and names the object in what is wrong with it', async () => {
    await api.installCrds();
    await api.apply(
      JSON.stringify({
        apiVersion: 'networking.istio.io/v1',
        kind: 'VirtualService',
        metadata: { name: 'web', namespace: 'shop' },
        spec: { hosts: ['web'], http: [{ route: [{ destination: { host: 'web', subset: 'v9' } }] }] },
      }),
    );
    await until('the finding', async () => (await status('/findings')).body.includes('missing-subset'));
    const [finding] = JSON.parse((await status('/findings')).body);
    expect(finding.text).toMatch(/^VirtualService shop\/web spec\.http\[0\]/);
    await api.kubectl(['-n', 'shop', 'delete', 'virtualservice', 'web']);
    await until('it to be cured', async () => JSON.parse((await status('/findings')).body).length === 0);
  });

  it('serves what it knows while the API server is away, and catches up when it is back', async () => {
    await api.stopServer();
    await until('the watches to be stale', async () => {
      return JSON.parse((await status('/sources')).body).kubernetes.stale.length > 0;
    });
    expect(await ready()).toBe(true);
    const { config } = client();
    await until('the endpoint that was known', () => ports(config, CLUSTER).join() === '8080');
    await api.startServer();
    await api.apply(slice(['10.0.0.1', '10.0.0.2'], 7070));
    await until('what changed since', () => ports(config, CLUSTER).join() === '7070,7070');
    await until('all watches to be open', async () => {
      return JSON.parse((await status('/sources')).body).kubernetes.stale.length === 0;
    });
    await config.close();
  });

  it('goes on after an API server that stood still', async () => {
    const { config } = client();
    await until('the endpoints', () => ports(config, CLUSTER).length === 2);
    api.freeze(true);
    // Its connections are open, so nothing but its silence says so. Whoever comes meanwhile gets what is known.
    await until('the API server to stand still', () => isStopped(api.pids[1]!));
    expect(await ready()).toBe(true);
    const other = client();
    await until('what is known', () => ports(other.config, CLUSTER).length === 2);
    await other.config.close();
    expect(isStopped(api.pids[1]!)).toBe(true);
    api.freeze(false);
    await api.apply(slice(['10.0.0.1']));
    await until('the change', () => ports(config, CLUSTER).join() === '8080');
    await config.close();
  });

  it('says what it may not read, and goes on with the rest', async () => {
    await api.apply(
      JSON.stringify({
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata: { name: 'services-only' },
        rules: [
          {
            apiGroups: ['', 'discovery.k8s.io'],
            resources: ['services', 'endpointslices'],
            verbs: ['get', 'list', 'watch'],
          },
        ],
      }),
    );
    await api.kubectl(['create', 'clusterrolebinding', 'nobody', '--clusterrole=services-only', '--user=nobody']);
    await control.stop();
    control = await startControl(api.kubeconfigOf(NOBODY_TOKEN));
    await until('the control server to be ready', ready);
    expect(await services()).toContain('web.shop.svc.cluster.local');
    await until('the finding', async () => (await status('/findings')).body.includes('pods is forbidden'));
    expect((await status('/findings')).body).toContain('grant get, list and watch');
    expect(control.stderr).not.toContain(NOBODY_TOKEN);
    await api.kubectl(['create', 'clusterrole', 'pods', '--verb=get,list,watch', '--resource=pods']);
    await api.kubectl(['create', 'clusterrolebinding', 'pods', '--clusterrole=pods', '--user=nobody']);
    await until('pods to be read', async () => !(await status('/findings')).body.includes('pods is forbidden'));
  });
});
