import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { controlCommand } from '../../../../src/cli/control.ts';
import { drainCommand } from '../../../../src/cli/drain.ts';
import { chartFiles, parts, plainControl, plainGateway, toYaml } from '../../../../src/cli/install/render.ts';
import { defaultValues } from '../../../../src/cli/install/values.ts';
import { proxyCommand } from '../../../../src/cli/proxy.ts';
import { VERSION } from '../../../../src/cli/version.ts';
import { decide } from '../../../../src/control/injector/decide.ts';
import { readSettings } from '../../../../src/control/injector/read-settings.ts';
import { defaultSettings } from '../../../../src/control/injector/settings.ts';
import { ENDPOINTS, RESOURCES } from '../../../../src/control/source/kube/resource.ts';
import { kubernetesFaults } from '../../../support/kubernetes/check.ts';

const DEPLOY = join(import.meta.dirname, '../../../../deploy');
const values = defaultValues(VERSION);
const crdFiles = readdirSync(join(DEPLOY, 'crds')).sort();
const crds = crdFiles.map((file) => readFileSync(join(DEPLOY, 'crds', file), 'utf8'));
const chart = chartFiles(values, VERSION);

/** Every file of deploy/ that is written, by its path. UPDATE_GOLDEN=1 writes them. */
const WRITTEN: Readonly<Record<string, string>> = {
  'remora.yaml': plainControl(values, crds),
  'gateway/ingress.yaml': plainGateway(values, 'ingress'),
  'gateway/egress.yaml': plainGateway(values, 'egress'),
  ...Object.fromEntries(Object.entries(chart).map(([path, text]) => [`chart/${path}`, text])),
  ...Object.fromEntries(crdFiles.map((file, i) => [`chart/crds/${file}`, crds[i]!])),
};

type Json = Record<string, unknown>;
interface Named extends Json {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels: Json };
}

function objectsOf(text: string): Named[] {
  return parseAllDocuments(text).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as Named;
  });
}

const control = objectsOf(WRITTEN['remora.yaml']!);
const gateways = [...objectsOf(WRITTEN['gateway/ingress.yaml']!), ...objectsOf(WRITTEN['gateway/egress.yaml']!)];
const all = [...control, ...gateways];

function find(kind: string, name: string, namespace?: string): Named | undefined {
  return all.find((one) => one.kind === kind && one.metadata.name === name && one.metadata.namespace === namespace);
}

interface Container {
  readonly name: string;
  readonly args: string[];
  readonly ports: { readonly containerPort: number }[];
  readonly volumeMounts: { readonly name: string; readonly mountPath: string }[];
  readonly securityContext: Json;
  readonly lifecycle?: { readonly preStop: { readonly exec?: { readonly command: string[] } } };
}
interface Template {
  readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations?: object };
  readonly spec: Json & {
    readonly containers: Container[];
    readonly volumes: { readonly name: string; readonly configMap?: Json }[];
  };
}

const deployments = all
  .filter(({ kind }) => kind === 'Deployment')
  .map((one) => [one, (one.spec as { template: Template }).template] as const);

describe('the files of deploy/', () => {
  it.each(Object.entries(WRITTEN))('are those that `remora install` prints: %s', (path, text) => {
    const file = join(DEPLOY, path);
    if (process.env.UPDATE_GOLDEN === '1') {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    expect(existsSync(file) ? readFileSync(file, 'utf8') : '').toBe(text);
  });

  it('are all written so, but for README.md and the CRDs', () => {
    const files = readdirSync(DEPLOY, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(DEPLOY.length + 1));
    const others = files.filter((file) => WRITTEN[file] === undefined && !file.startsWith('crds/'));
    expect(others.sort()).toEqual(['README.md', 'demo/bookinfo.yaml']);
  });
});

describe('the manifests', () => {
  it('are what the API server takes', () => {
    expect(
      all.flatMap((one) => kubernetesFaults(one).map((fault) => `${one.kind} ${one.metadata.name}${fault}`)),
    ).toEqual([]);
    const names = all.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  it('refer only to what is there', () => {
    for (const [{ metadata, spec }, template] of deployments) {
      const { labels } = template.metadata;
      const selected = (selector: unknown): boolean =>
        Object.entries(selector as Json).every(([key, value]) => labels[key] === value);
      expect(selected((spec as { selector: { matchLabels: Json } }).selector.matchLabels)).toBe(true);
      expect(find('ServiceAccount', String(template.spec.serviceAccountName), metadata.namespace)).toBeDefined();
      const service = find('Service', metadata.name, metadata.namespace)!.spec as {
        selector: Json;
        ports: { targetPort: number }[];
      };
      expect(selected(service.selector)).toBe(true);
      const [container] = template.spec.containers as [Container];
      const open = container.ports.map(({ containerPort }) => containerPort);
      for (const { targetPort } of service.ports) expect(open).toContain(targetPort);
      const budget = find('PodDisruptionBudget', metadata.name, metadata.namespace)!.spec as {
        selector: { matchLabels: Json };
      };
      expect(selected(budget.selector.matchLabels)).toBe(true);
      const scaler = find('HorizontalPodAutoscaler', metadata.name, metadata.namespace)!.spec as {
        scaleTargetRef: Json;
      };
      expect(scaler.scaleTargetRef).toEqual({ apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name });
      const volumes = template.spec.volumes.map(({ name }) => name);
      for (const { name } of container.volumeMounts) expect(volumes).toContain(name);
      for (const { configMap } of template.spec.volumes)
        if (configMap !== undefined && configMap.optional !== true)
          expect(find('ConfigMap', String(configMap.name), metadata.namespace)).toBeDefined();
    }
    for (const { kind, metadata, roleRef, subjects } of all as (Named & { roleRef: Json; subjects: Json[] })[]) {
      if (!kind.endsWith('Binding')) continue;
      expect(find(String(roleRef.kind), String(roleRef.name), metadata.namespace)).toBeDefined();
      for (const { name, namespace } of subjects)
        expect(find('ServiceAccount', String(name), String(namespace))).toBeDefined();
    }
  });

  it('are pods of the restricted profile, in a namespace that asks for it', () => {
    expect(deployments).toHaveLength(3);
    for (const [, template] of deployments) {
      expect(template.spec.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(template.spec).not.toHaveProperty('hostNetwork');
      for (const { securityContext } of template.spec.containers)
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
          runAsNonRoot: true,
        });
    }
    expect(find('Namespace', values.namespace)?.metadata.labels['pod-security.kubernetes.io/enforce']).toBe(
      'restricted',
    );
  });

  it('start programs with flags that they have', () => {
    const commands = { control: controlCommand, proxy: proxyCommand };
    for (const [, { spec }] of deployments) {
      for (const { args, lifecycle } of spec.containers) {
        const [verb, ...flags] = args;
        const command = commands[verb as keyof typeof commands]().exitOverride();
        const { unknown, operands } = command.parseOptions(flags);
        expect([unknown, operands]).toEqual([[], []]);
        const hook = lifecycle?.preStop.exec?.command;
        if (hook !== undefined) expect(drainCommand().parseOptions(hook.slice(2)).unknown).toEqual([]);
      }
    }
  });

  it('let the control server read what it watches, and nothing of other namespaces’ secrets', () => {
    const { rules } = find('ClusterRole', 'remora-control') as unknown as {
      rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
    };
    const may = (verb: string, group: string, resource: string): boolean =>
      rules.some(
        ({ apiGroups, resources, verbs }) =>
          verbs.includes(verb) &&
          apiGroups.includes(group) &&
          (resources.includes(resource) || resources.includes('*')),
      );
    for (const { group, plural } of [...RESOURCES, ENDPOINTS])
      for (const verb of ['list', 'watch'])
        expect([group, plural, may(verb, group, plural)]).toEqual([group, plural, true]);
    expect(may('list', '', 'secrets')).toBe(false);
    for (const { apiGroups, verbs } of rules) expect([...apiGroups, ...verbs]).not.toContain('*');
  });

  it('say to Prometheus a port that is open', () => {
    for (const [, { metadata, spec }] of deployments) {
      const { annotations } = metadata as { annotations: Readonly<Record<string, string>> };
      const open = spec.containers.flatMap(({ ports }) => ports.map(({ containerPort }) => String(containerPort)));
      expect(open).toContain(annotations['prometheus.io/port']);
      expect(['/metrics', '/stats/prometheus']).toContain(annotations['prometheus.io/path']);
    }
  });

  it('give injection settings that it reads, and that lead to the control server', () => {
    const { data } = find('ConfigMap', 'remora-inject', values.namespace) as unknown as {
      data: Record<string, string>;
    };
    const defaults = defaultSettings(VERSION, values.namespace);
    const settings = readSettings(data['settings.yaml']!, '', defaults);
    expect({ ...settings, resources: defaults.resources }).toEqual(defaults);
    expect(settings.control).toBe(`remora-control.${values.namespace}.svc:15012`);
  });
});

describe('the webhooks', () => {
  interface Webhook {
    readonly name: string;
    readonly failurePolicy: string;
    readonly clientConfig: { readonly service: Json & { readonly path: string; readonly port: number } };
    readonly namespaceSelector?: { readonly matchExpressions: Requirement[] };
    readonly objectSelector?: { readonly matchExpressions: Requirement[] };
    readonly rules: { readonly apiGroups: string[]; readonly operations: string[] }[];
  }
  interface Requirement {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }
  type Labels = Readonly<Record<string, string>>;
  const webhooksOf = (kind: string): Webhook[] => (find(kind, 'remora') as unknown as { webhooks: Webhook[] }).webhooks;
  const holds =
    (labels: Labels) =>
    ({ key, operator, values: wanted = [] }: Requirement): boolean => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      return wanted.includes(value ?? '\0') === (operator === 'In');
    };
  const asked = (namespace: string, namespaceLabels: Labels, podLabels: Labels): string[] =>
    webhooksOf('MutatingWebhookConfiguration')
      .filter(
        ({ namespaceSelector, objectSelector }) =>
          namespaceSelector!.matchExpressions.every(
            holds({ 'kubernetes.io/metadata.name': namespace, ...namespaceLabels }),
          ) && objectSelector!.matchExpressions.every(holds(podLabels)),
      )
      .map(({ name }) => name.split('.')[0]!);

  it('ask about pods that asked for a sidecar', () => {
    expect(asked('shop', { 'istio-injection': 'enabled' }, {})).toEqual(['namespace']);
    expect(asked('shop', { 'remora.dev/inject': 'enabled' }, {})).toEqual(['remora-namespace']);
    expect(asked('shop', { 'istio.io/rev': 'default' }, {})).toEqual(['revision-namespace']);
    expect(asked('shop', {}, { 'sidecar.istio.io/inject': 'true' })).toEqual(['pod']);
    expect(asked('shop', {}, { 'istio.io/rev': 'default' })).toEqual(['revision-pod']);
  });

  it('ask about no other', () => {
    expect(asked('shop', {}, {})).toEqual([]);
    expect(asked('shop', { 'istio-injection': 'disabled' }, {})).toEqual([]);
    expect(asked('shop', { 'istio-injection': 'enabled', 'remora.dev/inject': 'disabled' }, {})).toEqual([]);
    expect(asked('shop', { 'istio.io/rev': 'other' }, {})).toEqual([]);
    expect(asked('shop', { 'istio-injection': 'enabled' }, { 'sidecar.istio.io/inject': 'false' })).toEqual([]);
    // A pod does not overrule its namespace, as with Istio's.
    const wants = { 'sidecar.istio.io/inject': 'true' };
    expect(asked('shop', { 'istio-injection': 'disabled' }, wants)).toEqual([]);
    expect(asked('shop', { 'istio.io/rev': 'other' }, wants)).toEqual([]);
    expect(asked('shop', { 'istio-injection': 'disabled' }, { 'istio.io/rev': 'default' })).toEqual([]);
  });

  it('ask about every pod that would be injected, whatever its labels and its namespace’s', () => {
    const each = (labels: Readonly<Record<string, readonly string[]>>): Labels[] =>
      Object.entries(labels).reduce<Labels[]>(
        (all, [key, texts]) => all.flatMap((one) => [one, ...texts.map((text) => ({ ...one, [key]: text }))]),
        [{}],
      );
    const namespaces = each({
      'istio-injection': ['enabled', 'disabled'],
      'remora.dev/inject': ['true', 'false'],
      'istio.io/rev': ['default', 'other'],
    });
    const pods = each({
      'sidecar.istio.io/inject': ['true', 'false'],
      'remora.dev/inject': ['true', 'false'],
      'istio.io/rev': ['default', 'other'],
    });
    let injected = 0;
    for (const namespaceLabels of namespaces) {
      for (const labels of pods) {
        const subject = { namespace: 'shop', annotations: {}, hostNetwork: false, containers: [], otherwise: false };
        const decision = decide({ ...subject, namespaceLabels, labels, revision: 'default' });
        if (!('inject' in decision) || !decision.inject) continue;
        injected++;
        expect(asked('shop', namespaceLabels, labels), JSON.stringify([namespaceLabels, labels])).not.toEqual([]);
      }
    }
    expect(injected).toBeGreaterThan(100);
  });

  it('cannot lock a cluster out: never in system namespaces, nor in their own, whatever the labels', () => {
    const labels = { 'istio-injection': 'enabled', 'remora.dev/inject': 'enabled', 'istio.io/rev': 'default' };
    const pod = { 'sidecar.istio.io/inject': 'true', 'remora.dev/inject': 'true', 'istio.io/rev': 'default' };
    for (const namespace of ['kube-system', 'kube-public', 'kube-node-lease', values.namespace])
      expect(asked(namespace, labels, pod)).toEqual([]);
    for (const { failurePolicy, rules } of webhooksOf('ValidatingWebhookConfiguration')) {
      expect(failurePolicy).toBe('Ignore');
      for (const { apiGroups, operations } of rules) {
        expect(apiGroups.every((group) => group.includes('.') && group !== '*')).toBe(true);
        expect(operations).not.toContain('DELETE');
      }
    }
  });

  it('lead to a port of the control server’s Service', () => {
    const ports = (find('Service', 'remora-control', values.namespace)!.spec as { ports: { port: number }[] }).ports;
    for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'])
      for (const { clientConfig } of webhooksOf(kind)) {
        expect(clientConfig.service).toMatchObject({ name: 'remora-control', namespace: values.namespace });
        expect(ports.map(({ port }) => port)).toContain(clientConfig.service.port);
      }
  });
});

/** What of Helm's templates the chart uses: values, `default`, `quote`, `toJson`, `if`, `if not` and `with`. */
function helm(text: string, given: Json): string {
  const lookUp = (path: string): unknown =>
    path
      .split('.')
      .slice(1)
      .reduce<unknown>((node, part) => (node as Json)[part], given);
  const isEmpty = (value: unknown): boolean =>
    typeof value === 'object' && value !== null ? Object.keys(value).length === 0 : !value;
  // From within: a body has no block of its own any more.
  const block = /^ *\{\{- (if not|if|with) (\S+) \}\}\n((?:(?!^ *\{\{- (?:if|with) ).*\n)*?)^ *\{\{- end \}\}\n/m;
  let whole = text;
  for (let found = block.exec(whole); found !== null; found = block.exec(whole)) {
    const [all, verb, path = '', body = ''] = found;
    const value = lookUp(path);
    const kept = isEmpty(value) === (verb === 'if not');
    const shown = body
      .replaceAll('{{ toJson . | quote }}', () => JSON.stringify(JSON.stringify(value)))
      .replaceAll('{{ toJson . }}', () => JSON.stringify(value));
    whole = whole.replace(all, () => (kept ? shown : ''));
  }
  return whole
    .replaceAll('{{ $.', '{{ .')
    .replaceAll(/\{\{ (?:default (\S+) )?(\S+)( \| quote)? \}\}/g, (_all, otherwise, path, quote) => {
      const own = lookUp(path);
      const value = otherwise !== undefined && own === '' ? lookUp(otherwise) : own;
      if (value === undefined) throw new Error(`${path} is no value`);
      return quote === undefined ? String(value) : JSON.stringify(value);
    });
}

describe('the chart', () => {
  const chartValues = parse(chart['values.yaml']!) as Json;
  const render = (more: Json): string[] =>
    Object.entries(chart)
      .filter(([path]) => path.startsWith('templates/'))
      .map(([, text]) => helm(text, { Values: { ...chartValues, ...more }, Release: { Namespace: values.namespace } }));

  it('renders to the plain manifests', () => {
    const enabled = { ingressGateway: { enabled: true }, egressGateway: { enabled: true } };
    const rendered = render(enabled).flatMap((text) => objectsOf(text));
    const plain = Object.values(parts(values)).flatMap((objects) => objectsOf(toYaml(objects)));
    expect(rendered).toEqual(plain);
  });

  it('puts gateways where they are wanted, with the right to read certificates there and nowhere else', () => {
    const elsewhere = render({ ingressGateway: { enabled: true }, gatewayNamespace: 'edge' }).flatMap(objectsOf);
    const there = elsewhere.filter(({ metadata }) => metadata.namespace === 'edge');
    const plain = objectsOf(toYaml(parts({ ...values, gatewayNamespace: 'edge' }).ingress ?? []));
    expect(there).toEqual(plain);
    const role = there.find(({ kind }) => kind === 'Role');
    expect(role).toMatchObject({
      metadata: { name: 'remora-ingressgateway-certificates' },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }],
    });
    expect(there.find(({ kind }) => kind === 'RoleBinding')).toMatchObject({
      roleRef: { kind: 'Role', name: role?.metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: 'remora-control', namespace: values.namespace }],
    });
  });

  const objects = (more: Json): ReturnType<typeof objectsOf> =>
    render(more)
      .filter((text) => text !== '')
      .flatMap((text) => objectsOf(text));

  it('leaves out what is off', () => {
    const off = { enabled: false };
    const rendered = objects({ networkPolicy: off, podDisruptionBudget: off, autoscaling: off });
    const kinds = rendered.map(({ kind }) => kind);
    for (const kind of ['NetworkPolicy', 'PodDisruptionBudget', 'HorizontalPodAutoscaler'])
      expect(kinds).not.toContain(kind);
    expect(rendered.filter(({ metadata }) => /gateway/.test(metadata.name))).toEqual([]);
    expect(rendered.some(({ metadata }) => metadata.name === 'istio')).toBe(false);
  });

  it('has a number of replicas where nothing else says it, and what a cluster asks of pods', () => {
    const more = {
      autoscaling: { enabled: false },
      minReplicas: 3,
      ingressGateway: { enabled: true },
      imagePullSecrets: [{ name: 'registry' }],
      nodeSelector: { pool: 'mesh' },
      tolerations: [{ key: 'mesh', operator: 'Exists' }],
      priorityClassName: 'system-cluster-critical',
    };
    const deployments = objects(more).filter(({ kind }) => kind === 'Deployment');
    expect(deployments).toHaveLength(2);
    for (const { spec } of deployments) {
      const { imagePullSecrets, nodeSelector, tolerations, priorityClassName } = more;
      const fields = { imagePullSecrets, nodeSelector, tolerations, priorityClassName };
      expect(spec).toMatchObject({ replicas: 3, template: { spec: fields } });
      expect((spec as { template: { spec: Json } }).template.spec).not.toHaveProperty('affinity');
    }
    expect(objects(more).flatMap(kubernetesFaults)).toEqual([]);
  });

  it('writes the mesh’s config where it is given', () => {
    const given = { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' }, accessLogFormat: '%PROTOCOL% "quoted"\n' };
    const config = objects({ meshConfig: given }).find(({ metadata }) => metadata.name === 'istio');
    expect(config).toMatchObject({ kind: 'ConfigMap', metadata: { namespace: values.namespace } });
    expect(parse((config as unknown as { data: { mesh: string } }).data.mesh)).toEqual(given);
  });

  it('says what each value is', () => {
    const text = chart['values.yaml']!;
    for (const name of Object.keys(chartValues)) expect(text).toMatch(new RegExp(`^# .{15,}\\n${name}:`, 'm'));
  });
});
