import { stringify } from 'yaml';
import { controlManifests } from './control.ts';
import { gatewayManifests } from './gateway.ts';
import { type Json, labelled } from './object.ts';
import { rbacManifests } from './rbac.ts';
import { VALUE_NOTES, type Values } from './values.ts';
import { webhookManifests } from './webhooks.ts';

/** The parts of an installation, by the names of their files. */
export function parts(values: Values): Readonly<Record<string, readonly Json[]>> {
  return {
    control: controlManifests(values),
    rbac: rbacManifests(values),
    webhooks: webhookManifests(values),
    ingress: gatewayManifests(values, 'ingress'),
    egress: gatewayManifests(values, 'egress'),
  };
}

/** The namespace: with Helm, its own business. Pods in it have to pass Pod Security's `restricted` profile. */
export function namespaceManifest({ namespace }: Values): Json {
  const { name, labels } = labelled(namespace) as { name: string; labels: Json };
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { ...labels, 'pod-security.kubernetes.io/enforce': 'restricted' } },
  };
}

export function toYaml(objects: readonly Json[]): string {
  return objects.map((object) => `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`).join('');
}

/** Plain manifests of the control server, for `kubectl apply`; CRDs go before them. */
export function plainControl(values: Values, crds: readonly string[]): string {
  const { rbac = [], control = [], webhooks = [] } = parts(values);
  const crdText = crds.map((crd) => `---\n${crd.replace(/^---\n/, '')}`).join('');
  return `${toYaml([namespaceManifest(values)])}${crdText}${toYaml([...rbac, ...control, ...webhooks])}`;
}

export function plainGateway(values: Values, kind: 'ingress' | 'egress'): string {
  return toYaml(parts(values)[kind] ?? []);
}

/** What each value is called in the chart; those in `RAW` are no texts, and so without quotes. */
const PREFIX = '@@';

/** The chart's files by their paths, from the same manifests: each value is the template's expression for it. */
export function chartFiles(defaults: Values, version: string): Readonly<Record<string, string>> {
  const files: Record<string, string> = {
    'Chart.yaml': stringify({
      apiVersion: 'v2',
      name: 'remora',
      description: 'Remora, a service mesh in TypeScript: control server, injection and gateways',
      type: 'application',
      version,
      appVersion: version,
      kubeVersion: '>=1.30.0-0',
    }),
    'values.yaml': valuesFile({ ...withoutNamespace(defaults), ...CHART_ALONE }),
    'templates/mesh-config.yaml': MESH_CONFIG,
  };
  for (const [name, objects] of Object.entries(parts(templateValues(defaults)))) {
    const text = objects.map(template).join('');
    files[`templates/${name}.yaml`] =
      name === 'ingress' || name === 'egress' ? `{{- if .Values.${name}Gateway.enabled }}\n${text}{{- end }}\n` : text;
  }
  return files;
}

function withoutNamespace({ namespace: _namespace, ...values }: Values): object {
  return values;
}

/** Kinds that an installation may go without. */
const OPTIONAL: Readonly<Record<string, string>> = {
  NetworkPolicy: 'networkPolicy',
  PodDisruptionBudget: 'podDisruptionBudget',
  HorizontalPodAutoscaler: 'autoscaling',
};

/** Fields of pods that are the cluster's business; empty they are left out. */
const POD_FIELDS = ['imagePullSecrets', 'nodeSelector', 'tolerations', 'affinity', 'priorityClassName'] as const;

/** Values of the chart that plain manifests have no word for: there the objects are edited. */
const CHART_ALONE = {
  ingressGateway: { enabled: false },
  egressGateway: { enabled: false },
  networkPolicy: { enabled: true },
  podDisruptionBudget: { enabled: true },
  autoscaling: { enabled: true },
  imagePullSecrets: [],
  nodeSelector: {},
  tolerations: [],
  affinity: {},
  priorityClassName: '',
  meshConfig: {},
};

/** JSON is YAML, and of one line. */
const MESH_CONFIG = `{{- with .Values.meshConfig }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: istio
  namespace: {{ $.Release.Namespace | quote }}
  labels:
    app.kubernetes.io/name: istio
    app.kubernetes.io/part-of: remora
data:
  mesh: {{ toJson . | quote }}
{{- end }}
`;

function valuesFile(values: object): string {
  const blocks = Object.entries(values).map(([name, value]) => {
    const about = VALUE_NOTES[name as keyof typeof VALUE_NOTES];
    return `# ${about}\n${stringify({ [name]: value })}`;
  });
  return `# Written by \`remora install\` (src/cli/install).\n\n${blocks.join('\n')}`;
}

function template(object: Json): string {
  const text = toYaml([object])
    // A number or a truth is no text: its quotes go.
    .replaceAll(/"@@raw:([\w.]+)@@"|'@@raw:([\w.]+)@@'|@@raw:([\w.]+)@@/g, (_all, a, b, c) => `{{ ${a ?? b ?? c} }}`)
    .replaceAll(/"@@([\w. ]+)@@"/g, '{{ $1 | quote }}')
    .replaceAll(/@@([\w. ]+)@@/g, '{{ $1 }}');
  if (object.kind === 'Deployment') return deploymentTemplate(text);
  const option = OPTIONAL[String(object.kind)];
  return option === undefined ? text : `{{- if .Values.${option}.enabled }}\n${text}{{- end }}\n`;
}

/** Without an autoscaler somebody must say how many; and what pods have of the cluster. */
function deploymentTemplate(text: string): string {
  const fields = POD_FIELDS.map(
    (field) => `      {{- with .Values.${field} }}\n      ${field}: {{ toJson . }}\n      {{- end }}\n`,
  );
  const replicas = '  {{- if not .Values.autoscaling.enabled }}\n  replicas: {{ .Values.minReplicas }}\n  {{- end }}\n';
  return text.replace(/^spec:\n/m, `$&${replicas}`).replace(/^ {4}spec:\n/m, `$&${fields.join('')}`);
}

/** The same shape, with a mark for each value that names it in the chart. */
function templateValues(defaults: Values): Values {
  const mark = (value: unknown, path: string): unknown => {
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mark(item, `${path}.${name}`)]));
    if (path === '.Values.gatewayNamespace') return `${PREFIX}default .Release.Namespace ${path}${PREFIX}`;
    if (path === '.Values.namespace') return `${PREFIX}.Release.Namespace${PREFIX}`;
    return typeof value === 'string' ? `${PREFIX}${path}${PREFIX}` : `${PREFIX}raw:${path}${PREFIX}`;
  };
  return mark(defaults, '.Values') as Values;
}
