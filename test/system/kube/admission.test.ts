// Issue 5, sections 3 and 6: what the API server itself says of our manifests, of injected pods and of the webhooks while
// nobody answers them. No program of ours runs.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { run } from '../cluster/cluster.ts';
import { type KubeApi, startKubeApi } from './api.ts';

const NODE = join(process.cwd(), 'node_modules/.bin/node');
const REMORA = join(process.cwd(), 'dist/remora.js');
const SYSTEM = 'remora-system';

let api: KubeApi;

const remora = (args: readonly string[], input = ''): Promise<string> => run(NODE, [REMORA, ...args], input);
const install = (...flags: string[]): Promise<string> => remora(['install', '--dry-run', ...flags]);

/** As the API server takes it, with every unknown field an error; what it said where it does not. */
async function create(namespace: string, yaml: string, ...flags: string[]): Promise<string> {
  const args = ['-n', namespace, 'create', '--validate=strict', ...flags, '-f', '-'];
  return api.kubectl(args, yaml).then(
    () => '',
    (error: Error) => error.message,
  );
}

interface Manifest {
  readonly kind: string;
  readonly spec: { readonly template: { readonly metadata: object; readonly spec: object } };
}

function deploymentPod(manifests: string, name: string): string {
  const documents = parseAllDocuments(manifests).map((one) => one.toJS() as Manifest);
  const { template } = documents.find(({ kind }) => kind === 'Deployment')!.spec;
  return stringify({ apiVersion: 'v1', kind: 'Pod', ...template, metadata: { ...template.metadata, name } });
}

interface PodSpec {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A program that itself is of the restricted profile. */
function pod(name: string, { annotations = {}, labels = {} }: PodSpec = {}): string {
  return stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels, annotations }, spec: PROGRAM });
}

const PROGRAM = {
  // Here nobody gives pods one.
  serviceAccountName: 'default',
  securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  containers: [
    {
      name: 'app',
      image: 'app:1',
      ports: [{ name: 'web', containerPort: 8080 }],
      securityContext: { allowPrivilegeEscalation: false, runAsUser: 1000, capabilities: { drop: ['ALL'] } },
      readinessProbe: { httpGet: { path: '/ready', port: 'web' } },
      livenessProbe: { grpc: { port: 8080 } },
      startupProbe: { tcpSocket: { port: 8080 } },
    },
  ],
} as const;

beforeAll(async () => {
  api = await startKubeApi();
  await api.installCrds();
  for (const namespace of ['plain', 'asked', 'restricted']) await api.kubectl(['create', 'namespace', namespace]);
  await api.kubectl(['label', 'namespace', 'asked', 'kube-system', 'istio-injection=enabled']);
  await api.kubectl(['label', 'namespace', 'restricted', 'pod-security.kubernetes.io/enforce=restricted']);
}, 300_000);

afterAll(async () => {
  await api.close();
});

describe('injected pods', () => {
  const injected = (yaml: string): Promise<string> => remora(['inject', '-f', '-'], yaml);
  const mode = (interception: string): PodSpec => ({
    annotations: { 'sidecar.istio.io/interceptionMode': interception },
    labels: { 'sidecar.istio.io/inject': 'true' },
  });

  it('break Pod Security’s restricted profile by the init container alone', async () => {
    const said = await create('restricted', await injected(pod('redirected', mode('REDIRECT'))));
    expect(said).toContain('violates PodSecurity "restricted:latest"');
    const blamed = [...said.matchAll(/containers? "([^"]+)"/g)].map(([, name]) => name);
    expect(new Set(blamed)).toEqual(new Set(['remora-init']));
    expect(said).toContain('"NET_ADMIN"');
  });

  it('keep it without interception, as native and as classic sidecar', async () => {
    expect(await create('restricted', await injected(pod('unprivileged', mode('NONE'))))).toBe('');
    const classic = { ...mode('NONE') };
    const annotations = { ...classic.annotations, 'sidecar.istio.io/nativeSidecar': 'false' };
    expect(await create('restricted', await injected(pod('classic', { ...classic, annotations })))).toBe('');
  });

  it('keep it in the proxy by TPROXY too, but for the one capability and its user', async () => {
    const said = await create('restricted', await injected(pod('transparent', mode('TPROXY'))));
    expect(said).toMatch(/containers "remora-init", "remora-proxy" must not include "NET_ADMIN", "NET_RAW"/);
    expect(said).not.toContain('"app"');
    expect(said).not.toMatch(/allowPrivilegeEscalation|seccompProfile|hostPath|privileged/);
  });

  it('are valid objects of every kind, with no field that the API server does not know', async () => {
    const metadata = { labels: { app: 'a' } };
    const template = { metadata, spec: PROGRAM };
    const selector = { matchLabels: { app: 'a' } };
    const once = { ...template, spec: { ...PROGRAM, restartPolicy: 'Never' } };
    const one = (apiVersion: string, kind: string, spec: object) => ({
      apiVersion,
      kind,
      metadata: { name: 'a' },
      spec,
    });
    const objects = [
      one('v1', 'Pod', PROGRAM),
      one('apps/v1', 'Deployment', { selector, template }),
      one('apps/v1', 'StatefulSet', { selector, serviceName: 'a', template }),
      one('apps/v1', 'DaemonSet', { selector, template }),
      one('batch/v1', 'Job', { template: once }),
      one('batch/v1', 'CronJob', { schedule: '* * * * *', jobTemplate: { spec: { template: once } } }),
    ];
    const list = { apiVersion: 'v1', kind: 'List', items: [one('apps/v1', 'ReplicaSet', { selector, template })] };
    const text = await injected([...objects, list].map((object) => `---\n${stringify(object)}`).join(''));
    expect(text.split('name: remora-proxy')).toHaveLength(8);
    expect(await create('plain', text, '--dry-run=server')).toBe('');
  });
});

describe('an installation', () => {
  let control: string;

  beforeAll(async () => {
    control = await install();
    await api.apply(control);
  });

  it('is of fields that the API server knows, gateways included', async () => {
    for (const part of ['ingress', 'egress'])
      expect(await create(SYSTEM, await install('--part', part), '--dry-run=server'), part).toBe('');
    const args = ['apply', '--server-side', '--validate=strict', '--dry-run=server', '--force-conflicts', '-f', '-'];
    expect(await api.kubectl(args, control)).toContain('mutatingwebhookconfiguration');
  });

  // Nobody answers at remora-control: this is a cluster whose control server is gone.
  it('does not lock a cluster out while nobody answers its webhooks', async () => {
    expect(await create('plain', pod('a'))).toBe('');
    expect(await create('kube-system', pod('a'))).toBe('');
    expect(await create('asked', pod('b', { labels: { 'sidecar.istio.io/inject': 'false' } }))).toBe('');
    const object = { apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata: { name: 'a' } };
    expect(await create('plain', stringify({ ...object, spec: { hosts: ['a'], http: [{ route: [] }] } }))).toBe('');
  });

  it('lets its own pods start, in a namespace of the restricted profile', async () => {
    const parts = { control, ingress: await install('--part', 'ingress'), egress: await install('--part', 'egress') };
    for (const [name, manifests] of Object.entries(parts))
      expect(await create(SYSTEM, deploymentPod(manifests, name)), name).toBe('');
  });

  it('refuses a pod that asked for a sidecar, with the name of the webhook, or lets it start without where that was chosen', async () => {
    const said = await create('asked', pod('c'));
    expect(said).toContain('failed calling webhook "namespace.inject.remora.dev"');
    await api.apply(await install('--set', 'webhookFailurePolicy=Ignore'));
    expect(await create('asked', pod('c'))).toBe('');
    expect(await api.kubectl(['-n', 'asked', 'get', 'pod', 'c', '-o', 'json'])).not.toContain('remora-proxy');
  });
});
