import { readFileSync } from 'node:fs';

interface KubernetesType {
  readonly required: readonly string[];
  readonly fields: Readonly<Record<string, string>>;
}

const { kinds, types } = JSON.parse(readFileSync(new URL('types.json', import.meta.url), 'utf8')) as {
  readonly kinds: Readonly<Record<string, string>>;
  readonly types: Readonly<Record<string, KubernetesType>>;
};

/** What the API server would say about the form of an object: unknown fields, wrong types, what is missing. */
export function kubernetesFaults(object: unknown): string[] {
  const { apiVersion, kind } = (object ?? {}) as { apiVersion?: string; kind?: string };
  const type = kinds[`${apiVersion}/${kind}`];
  if (type === undefined) return [`${apiVersion}/${kind}: no kind that is known here`];
  return faults(object, type, '');
}

/** The same for a part of an object, such as `core.v1.PodSpec`. */
export function typeFaults(value: unknown, type: string): string[] {
  return faults(value, type, '');
}

function faults(value: unknown, type: string, path: string): string[] {
  // The API server takes null for absent.
  if (value === null || type === 'any') return [];
  if (type.startsWith('[]')) {
    if (!Array.isArray(value)) return [`${path}: not a list`];
    return value.flatMap((item, i) => faults(item, type.slice(2), `${path}[${i}]`));
  }
  const isObject = typeof value === 'object' && !Array.isArray(value);
  if (type.startsWith('{}')) {
    if (!isObject) return [`${path}: not an object`];
    return Object.entries(value as object).flatMap(([key, item]) => faults(item, type.slice(2), `${path}.${key}`));
  }
  const known = types[type];
  if (known === undefined) return isScalar(value, type) ? [] : [`${path}: ${JSON.stringify(value)} is no ${type}`];
  if (!isObject) return [`${path}: not an object`];
  const entries = Object.entries(value as object);
  return [
    ...known.required.filter((name) => !(name in (value as object))).map((name) => `${path}.${name}: missing`),
    ...entries.flatMap(([name, item]) => {
      const field = known.fields[name];
      return field === undefined ? [`${path}.${name}: no field of ${type}`] : faults(item, field, `${path}.${name}`);
    }),
  ];
}

function isScalar(value: unknown, type: string): boolean {
  if (type === 'string') return typeof value === 'string';
  if (type === 'boolean') return typeof value === 'boolean';
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'number') return typeof value === 'number';
  if (type === 'int-or-string') return typeof value === 'string' || Number.isInteger(value);
  if (type === 'quantity')
    return (
      /^[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/.test(String(value)) && typeof value !== 'object'
    );
  return type === 'object' && typeof value === 'object' && !Array.isArray(value);
}
