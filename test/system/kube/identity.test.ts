// Issue 5, section 5, with a real API server: the CA's Secret shared by replicas, tokens reviewed, roots in each namespace.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, output, Program, until } from '../support/process.ts';
import { type KubeApi, startKubeApi } from './api.ts';

const NODE = join(process.cwd(), 'node_modules/.bin/node');
const REMORA = join(process.cwd(), 'dist/remora.js');

interface Replica {
  readonly program: Program;
  readonly tls: number;
  readonly http: number;
}

let api: KubeApi;
let rootFile: string;
const replicas: Replica[] = [];

/** A kubeconfig for a token that the API server itself gave. */
async function kubeconfigOf(namespace: string, account: string): Promise<string> {
  const token = (await api.kubectl(['-n', namespace, 'create', 'token', account])).trim();
  const config = JSON.parse(readFileSync(api.kubeconfig, 'utf8'));
  const file = join(api.folder, `${account}.conf`);
  writeFileSync(file, JSON.stringify({ ...config, users: [{ name: 'user', user: { token } }] }), { mode: 0o600 });
  return file;
}

async function replica(kubeconfig: string): Promise<Replica> {
  const [xds, tls, http] = [await freePort(), await freePort(), await freePort()];
  const addresses = ['--xds', `127.0.0.1:${xds}`, '--xds-tls', `127.0.0.1:${tls}`, '--http', `127.0.0.1:${http}`];
  const flags = ['control', '--kubeconfig', kubeconfig, '--ca-namespace', 'remora-system', ...addresses];
  const program = new Program('remora control', NODE, [REMORA, ...flags], { TMPDIR: api.folder });
  const one = { program, tls, http };
  replicas.push(one);
  return one;
}

const ready = ({ http }: Replica): Promise<boolean> =>
  fetch(`http://127.0.0.1:${http}/ready`).then(
    ({ status }) => status === 200,
    () => false,
  );

async function rootOf(namespace: string): Promise<string> {
  const path = 'jsonpath={.data.root-cert\\.pem}';
  return api.kubectl(['-n', namespace, 'get', 'configmap', 'istio-ca-root-cert', '-o', path]).catch(() => '');
}

interface Sidecar {
  readonly program: Program;
  readonly admin: number;
}

/** A sidecar of `account`, with a token of the API server's for `audience`. */
async function sidecar({ tls }: Replica, account: string, audience: string, namespace = 'shop'): Promise<Sidecar> {
  const token = await api.kubectl(['-n', 'shop', 'create', 'token', account, `--audience=${audience}`]);
  const file = join(api.folder, `${account}-${audience}-${namespace}.token`);
  writeFileSync(file, token, { mode: 0o600 });
  const admin = await freePort();
  const program = new Program(
    `remora proxy ${account}`,
    NODE,
    [
      REMORA,
      'proxy',
      '--sidecar',
      '--control',
      `https://localhost:${tls}`,
      '--admin',
      `127.0.0.1:${admin}`,
      '--ca-token',
      file,
      '--ca-root',
      rootFile,
    ],
    {
      POD_NAME: `${account}-1`,
      POD_NAMESPACE: namespace,
      INSTANCE_IP: '127.0.0.1',
      SERVICE_ACCOUNT: account,
      CA_ADDR: `https://localhost:${tls}`,
      ISTIO_META_INTERCEPTION_MODE: 'NONE',
    },
  );
  return { program, admin };
}

beforeAll(async () => {
  api = await startKubeApi();
  const { text: manifests } = await output(NODE, [REMORA, 'install', '--dry-run']);
  // The namespace and the rights, as they are installed; no program runs here.
  const documents = manifests
    .split(/^---$/m)
    .filter((one) => /^kind: (?:Namespace|ServiceAccount|ClusterRole|ClusterRoleBinding|Role|RoleBinding)$/m.test(one));
  await api.kubectl(['create', 'namespace', 'remora-system']).catch(() => '');
  await api.apply(documents.join('---\n'));
  await api.kubectl(['create', 'namespace', 'shop']);
  for (const account of ['reviews', 'ratings']) await api.kubectl(['-n', 'shop', 'create', 'serviceaccount', account]);
  // No CRD is installed: the control server must not need one.
  const kubeconfig = await kubeconfigOf('remora-system', 'remora-control');
  const [first, second] = await Promise.all([replica(kubeconfig), replica(kubeconfig)]);
  await until('both replicas', async () => (await ready(first)) && (await ready(second)), 60_000);
  rootFile = join(api.folder, 'root-cert.pem');
}, 300_000);

afterAll(async () => {
  await Promise.all(replicas.map(({ program }) => program.stop()));
  await api.close();
});

describe('identities on a real API server', () => {
  it('have one root, whichever replica came first, and it is in every namespace', async () => {
    await until('the root of shop', async () => (await rootOf('shop')) !== '', 60_000);
    const root = await rootOf('shop');
    expect(await rootOf('kube-system')).toBe('');
    const secret = await api.kubectl([
      '-n',
      'remora-system',
      'get',
      'secret',
      'remora-ca-secret',
      '-o',
      'jsonpath={.data.root-cert\\.pem}',
    ]);
    expect(Buffer.from(secret, 'base64').toString()).toBe(root);
    writeFileSync(rootFile, root);
    await api.kubectl(['create', 'namespace', 'later']);
    await until('the root of a later namespace', async () => (await rootOf('later')) === root, 30_000);
  });

  it('have one Lease for all that one replica alone may do', async () => {
    expect((await api.kubectl(['-n', 'remora-system', 'get', 'leases', '-o', 'name'])).trim()).toBe(
      'lease.coordination.k8s.io/remora-leader',
    );
  });

  it('are given by either replica to who has a token for the CA', async () => {
    for (const one of replicas) {
      const { program, admin } = await sidecar(one, 'reviews', 'istio-ca');
      await until('the certificate', () => /certificate in force/.test(program.stderr), 30_000);
      expect(program.stderr).toContain('spiffe://cluster.local/ns/shop/sa/reviews');
      expect(program.stderr).not.toContain('PRIVATE KEY');
      await until('config over TLS', async () => (await fetch(`http://127.0.0.1:${admin}/ready`)).ok, 30_000);
      await program.stop();
    }
  });

  it('are refused to a token for somebody else, and config to a node of another namespace', async () => {
    const [one] = replicas;
    if (one === undefined) throw new Error('no replica');
    const stranger = await sidecar(one, 'ratings', 'vault');
    await until('the refusal', () => /UNAUTHENTICATED/.test(stranger.program.stderr), 30_000);
    const liar = await sidecar(one, 'reviews', 'istio-ca', 'later');
    await until('the other refusal', () => /PERMISSION_DENIED/.test(liar.program.stderr), 30_000);
    expect(liar.program.stderr).toMatch(
      /the caller is spiffe:\/\/cluster\.local\/ns\/shop\/sa\/reviews|the proxy is shop\/reviews|INVALID_ARGUMENT/,
    );
    await Promise.all([stranger, liar].map(({ program }) => program.stop()));
  });
});

describe('certificates of gateways, with the rights that are installed', () => {
  it('are read in the namespace of a gateway that was installed there; elsewhere the missing right is named', async () => {
    const [one] = replicas;
    if (one === undefined) throw new Error('no replica');
    const findings = async (): Promise<string> => (await fetch(`http://127.0.0.1:${one.http}/findings`)).text();
    await api.installCrds();
    await api.kubectl(['create', 'namespace', 'edge']);
    const server = {
      port: { number: 443, name: 'https', protocol: 'HTTPS' },
      hosts: ['shop.example.com'],
      tls: { mode: 'SIMPLE', credentialName: 'shop-certificate' },
    };
    await api.apply(
      JSON.stringify({
        apiVersion: 'networking.istio.io/v1',
        kind: 'Gateway',
        metadata: { name: 'shop', namespace: 'default' },
        spec: { selector: { istio: 'ingressgateway' }, servers: [server] },
      }),
    );
    // Secrets are those beside the gateway's pods, wherever the Gateway is.
    await api.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'gateway', namespace: 'edge', labels: { istio: 'ingressgateway' } },
        spec: { containers: [{ name: 'proxy', image: 'none' }], automountServiceAccountToken: false },
      }),
    );
    const missing = 'Secret edge/shop-certificate may not be read by the control server';
    await until('the finding', async () => (await findings()).includes(missing), 30_000);
    expect(await findings()).toContain('remora install --part ingress --set gatewayNamespace=edge');
    const flags = ['install', '--dry-run', '--part', 'ingress', '--set', 'gatewayNamespace=edge'];
    const { text } = await output(NODE, [REMORA, ...flags]);
    const rights = text.split(/^---$/m).filter((object) => /^kind: Role(?:Binding)?$/m.test(object));
    expect(rights).toHaveLength(2);
    await api.apply(rights.join('---\n'));
    await until('it to be cured', async () => !(await findings()).includes(missing), 30_000);
  });
});
