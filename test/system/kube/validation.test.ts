// Issue 5, section 2: `kubectl apply` of a broken object is refused by the validating webhook with the words of
// `remora analyze`. The control server has the rights that are installed; the webhooks are those that are installed,
// but for their address: without nodes a Service leads nowhere.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { freePort, output, Program, until } from '../support/process.ts';
import { type KubeApi, startKubeApi } from './api.ts';

const NODE = join(process.cwd(), 'node_modules/.bin/node');
const REMORA = join(process.cwd(), 'dist/remora.js');
const SYSTEM = 'remora-system';

let api: KubeApi;
let control: Program;
let webhook: number;

const webhookRead = async (): Promise<string> =>
  api.kubectl([
    'get',
    'validatingwebhookconfiguration',
    'remora',
    '-o',
    'jsonpath={.webhooks[0].clientConfig.caBundle}',
  ]);

/** What `kubectl apply` says, warnings included. */
async function apply(yaml: string, ...flags: string[]): Promise<{ readonly ok: boolean; readonly said: string }> {
  const file = join(api.folder, 'applied.yaml');
  writeFileSync(file, yaml);
  const kubectl = join(api.cache, 'bin', 'kubectl');
  const { code, text } = await output(kubectl, ['--kubeconfig', api.kubeconfig, 'apply', ...flags, '-f', file]);
  return { ok: code === 0, said: text };
}

interface Analyzed {
  readonly severity: string;
  readonly object: string;
  readonly field: string;
  readonly message: string;
}

async function analyze(yaml: string): Promise<readonly Analyzed[]> {
  const file = join(api.folder, 'analyzed.yaml');
  writeFileSync(file, yaml);
  return JSON.parse((await output(NODE, [REMORA, 'analyze', '-o', 'json', file])).text);
}

const object = (kind: string, group: string, name: string, spec: object): string =>
  stringify({ apiVersion: `${group}/v1`, kind, metadata: { name, namespace: 'shop' }, spec });
const virtualService = (name: string, http: object, hosts: readonly string[] = [name]): string =>
  object('VirtualService', 'networking.istio.io', name, { hosts, http: [http] });
const to = (host: string, weight?: number): object => ({
  destination: { host },
  ...(weight === undefined ? {} : { weight }),
});

async function startControl(): Promise<Program> {
  const token = (await api.kubectl(['-n', SYSTEM, 'create', 'token', 'remora-control'])).trim();
  const config = JSON.parse(readFileSync(api.kubeconfig, 'utf8'));
  const kubeconfig = join(api.folder, 'control.conf');
  writeFileSync(kubeconfig, JSON.stringify({ ...config, users: [{ name: 'user', user: { token } }] }), { mode: 0o600 });
  const [xds, http] = [await freePort(), await freePort()];
  const addresses = ['--xds', `127.0.0.1:${xds}`, '--http', `127.0.0.1:${http}`, '--webhook', `127.0.0.1:${webhook}`];
  const flags = ['control', '--kubeconfig', kubeconfig, '--ca-namespace', SYSTEM, ...addresses];
  const program = new Program('remora control', NODE, [REMORA, ...flags], { TMPDIR: api.folder });
  await until(
    'the control server',
    () =>
      fetch(`http://127.0.0.1:${http}/ready`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    60_000,
  );
  return program;
}

beforeAll(async () => {
  api = await startKubeApi();
  await api.installCrds();
  for (const namespace of [SYSTEM, 'shop']) await api.kubectl(['create', 'namespace', namespace]);
  await api.kubectl(['-n', 'shop', 'create', 'service', 'clusterip', 'web', '--tcp=80:8080']);
  webhook = await freePort();
  const { text } = await output(NODE, [REMORA, 'install', '--dry-run']);
  const rights = /^(?:ServiceAccount|ClusterRole|ClusterRoleBinding|Role|RoleBinding)$/;
  const documents = parseAllDocuments(text).map((one) => one.toJS() as Record<string, unknown> & { kind: string });
  const installed = documents.filter(({ kind }) => rights.test(kind) || kind === 'ValidatingWebhookConfiguration');
  const hooks = installed.find(({ kind }) => kind === 'ValidatingWebhookConfiguration')!;
  for (const hook of hooks.webhooks as { clientConfig: object }[])
    hook.clientConfig = { url: `https://localhost:${webhook}/validate` };
  await api.apply(installed.map((one) => stringify(one)).join('---\n'));
  control = await startControl();
  // The API server verifies the webhook by what the control server wrote.
  await until('the roots in the configuration', async () => (await webhookRead()) !== '', 30_000);
  const probe = virtualService('probe', { route: [to('web', -1)] });
  await until('the API server to ask', async () => !(await apply(probe, '--dry-run=server')).ok, 30_000);
}, 300_000);

afterAll(async () => {
  await control?.stop();
  await api.close();
});

describe('a broken object', () => {
  const broken: Readonly<Record<string, string>> = {
    'a regex that does not compile': virtualService('regex', {
      match: [{ uri: { regex: '/a(b' } }],
      route: [to('web')],
    }),
    'a negative weight': virtualService('weights', { route: [to('web', 110), to('web', -10)] }),
    'two answers in one route': virtualService('both', { route: [to('web')], directResponse: { status: 200 } }),
    'a host that is none': virtualService('host', { route: [to('web')] }, ['web_1!']),
    'a DestinationRule with a subset twice': object('DestinationRule', 'networking.istio.io', 'web', {
      host: 'web',
      subsets: [
        { name: 'v1', labels: { version: 'v1' } },
        { name: 'v1', labels: { version: 'v2' } },
      ],
    }),
  };

  for (const [what, yaml] of Object.entries(broken)) {
    it(`is refused as remora analyze says it: ${what}`, async () => {
      const errors = (await analyze(yaml)).filter(({ severity }) => severity === 'error');
      expect(errors).not.toEqual([]);
      const { ok, said } = await apply(yaml);
      expect(ok).toBe(false);
      expect(said).toContain('admission webhook "validate.remora.dev" denied the request');
      for (const { object: of, field, message } of errors) expect(said).toContain(`${of} ${field}: ${message}`);
    });
  }

  it('does not replace the good one that is in force', async () => {
    expect((await apply(virtualService('kept', { timeout: '3s', route: [to('web')] }))).ok).toBe(true);
    const worse = virtualService('kept', { timeout: '4s', route: [to('web', -1)] });
    expect((await apply(worse)).ok).toBe(false);
    const timeout = 'jsonpath={.spec.http[0].timeout}';
    expect(await api.kubectl(['-n', 'shop', 'get', 'virtualservice', 'kept', '-o', timeout])).toBe('3s');
  });
});

describe('a good object', () => {
  it('is taken without a word, weights that sum to 0 and to anything else too', async () => {
    for (const [name, weights] of Object.entries({ a: [0, 0], b: [1, 2], c: [90, 10] })) {
      const { ok, said } = await apply(
        virtualService(name, { route: weights.map((weight) => to('web', weight)) }, [`${name}.example.com`]),
      );
      expect(ok, said).toBe(true);
    }
  });

  it('is taken with a warning where it names what is not there yet', async () => {
    const yaml = virtualService('later', { route: [to('nowhere')] }, ['later.example.com']);
    const { ok, said } = await apply(yaml);
    expect(ok, said).toBe(true);
    expect(said).toMatch(/Warning: VirtualService shop\/later .*nowhere/);
  });
});

describe('without the control server', () => {
  it('everything is taken, and what is broken is refused again when it is back', async () => {
    const yaml = virtualService('slipped', { route: [to('web', -1)] });
    expect((await apply(yaml, '--dry-run=server')).ok).toBe(false);
    await control.stop();
    const { ok, said } = await apply(yaml);
    expect(ok, said).toBe(true);
    control = await startControl();
    await until('it to be asked again', async () => !(await apply(yaml.replace('-1', '-2'))).ok, 30_000);
    // Who repairs or deletes what slipped through is not in its way.
    expect((await apply(yaml.replace('-1', '1'))).ok).toBe(true);
    await api.kubectl(['-n', 'shop', 'delete', 'virtualservice', 'slipped']);
  });
});
