// Writes types.json from Kubernetes' own API schema: fields, types and what is required of every kind that injection
// and deploy/ write, and of all they contain.
//   node test/support/kubernetes/generate.mjs …/k8s.io/kubernetes@v1.34.4/api/openapi-spec/swagger.json
import { readFileSync, writeFileSync } from 'node:fs';

const { definitions, info } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const KINDS = [
  'v1/Pod v1/PodTemplateSpec v1/Namespace v1/Service v1/ServiceAccount v1/ConfigMap v1/Secret v1/ReplicationController',
  'apps/v1/Deployment apps/v1/StatefulSet apps/v1/DaemonSet apps/v1/ReplicaSet batch/v1/Job batch/v1/CronJob',
  'rbac.authorization.k8s.io/v1/ClusterRole rbac.authorization.k8s.io/v1/ClusterRoleBinding',
  'rbac.authorization.k8s.io/v1/Role rbac.authorization.k8s.io/v1/RoleBinding',
  'admissionregistration.k8s.io/v1/MutatingWebhookConfiguration',
  'admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration',
  'policy/v1/PodDisruptionBudget autoscaling/v2/HorizontalPodAutoscaler networking.k8s.io/v1/NetworkPolicy',
  'apiextensions.k8s.io/v1/CustomResourceDefinition',
]
  .join(' ')
  .split(' ');

const short = (ref) =>
  ref
    .replace(/^#\/definitions\//, '')
    .replace(/^io\.k8s\.(?:kube-aggregator\.pkg\.apis|apiextensions-apiserver\.pkg\.apis|apimachinery\.pkg|api)\./, '');
const types = {};

function typeOf(schema) {
  if (schema.$ref) return add(schema.$ref);
  if (schema.type === 'array') return `[]${typeOf(schema.items)}`;
  if (schema.additionalProperties) return `{}${typeOf(schema.additionalProperties)}`;
  return schema.format === 'int-or-string' ? 'int-or-string' : (schema.type ?? 'any');
}

function add(ref) {
  const name = short(ref);
  const schema = definitions[ref.replace(/^#\/definitions\//, '')];
  if (name.endsWith('.Quantity')) return 'quantity';
  if (name.endsWith('.IntOrString')) return 'int-or-string';
  if (schema.properties === undefined) return schema.type ?? 'any';
  if (types[name] === undefined) {
    types[name] = { required: schema.required ?? [], fields: {} };
    for (const [field, value] of Object.entries(schema.properties)) types[name].fields[field] = typeOf(value);
  }
  return name;
}

const kinds = {};
for (const kind of KINDS) {
  const last = kind.slice(kind.lastIndexOf('/') + 1);
  const [, version, group = ''] = /^(?:(.*)\/)?(v\w+)\//.test(kind) ? [0, RegExp.$2, RegExp.$1] : [];
  const found = Object.entries(definitions).find(
    ([name, { 'x-kubernetes-group-version-kind': gvks }]) =>
      gvks?.some((gvk) => gvk.group === group && gvk.version === version && gvk.kind === last) ||
      name === `io.k8s.api.core.${version}.${last}`,
  );
  kinds[kind] = add(`#/definitions/${found[0]}`);
}
const lines = Object.entries(types).map(([name, type]) => `  ${JSON.stringify(name)}: ${JSON.stringify(type)}`);
writeFileSync(
  new URL('types.json', import.meta.url),
  `{"from": ${JSON.stringify(`Kubernetes ${info.version}`)},\n"kinds": ${JSON.stringify(kinds, null, 1)},\n"types": {\n${lines.join(',\n')}\n}}\n`,
);
