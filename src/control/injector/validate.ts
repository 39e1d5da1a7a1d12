import { examine } from '../analyze/examine.ts';
import { type ConfigObject, type ConfigState, type Finding, formatFinding, objectName } from '../source/collection.ts';
import { readObjects } from '../source/files/yaml.ts';
import { decodeObject } from '../translate/decode.ts';
import type { AdmissionRequest, AdmissionResponse } from './webhook.ts';

/** With more objects than this, what only shows across them is left to `remora analyze`: admission must be quick. */
const MAX_ACROSS = 2000;
/** As many warnings as a person reads after `kubectl apply`. */
const MAX_WARNINGS = 20;

/**
 * What the validating webhook says of an object. Refused is what cannot be read: a broken field, an unknown one, one
 * that excludes another. What is wrong between objects is a warning only, because objects are applied one after the
 * other. The texts are those of `remora analyze`.
 */
export function admitObject(
  { uid, operation, namespace, object }: AdmissionRequest,
  state: ConfigState,
): AdmissionResponse {
  if (operation === 'DELETE') return { uid, allowed: true };
  const read = readObjects(JSON.stringify(withNamespace(object, namespace)), '');
  const [one] = read.objects;
  if (one === undefined) return refused(uid, read.findings);
  const { findings } = decodeObject(one);
  // A kind that has no effect yet is a gap of ours, not a mistake in the object.
  const broken = [...read.findings, ...findings].filter(
    ({ severity, code }) => severity === 'error' && code !== 'unread-kind' && code !== 'unknown-kind',
  );
  if (broken.length > 0) return refused(uid, broken);
  const warnings = state.objects.length > MAX_ACROSS ? findings : across(one, state);
  return { uid, allowed: true, ...(warnings.length === 0 ? {} : { warnings: texts(warnings) }) };
}

/** Everything about this object, were it in force beside the others. */
function across(one: ConfigObject, state: ConfigState): readonly Finding[] {
  const others = state.objects.filter(({ kind, namespace, name }) => !same(one, { kind, namespace, name }));
  const name = objectName(one);
  const { findings } = examine({ objects: [...others, one], findings: [] });
  // A Secret is asked for when a Gateway that names it is there.
  return findings.filter(({ object, code }) => object === name && code !== 'missing-secret');
}

function same(a: ConfigObject, b: Pick<ConfigObject, 'kind' | 'namespace' | 'name'>): boolean {
  return a.kind === b.kind && a.namespace === b.namespace && a.name === b.name;
}

function withNamespace(object: Readonly<Record<string, unknown>>, namespace: string): unknown {
  const { metadata } = object;
  if (namespace === '' || typeof metadata !== 'object' || metadata === null || 'namespace' in metadata) return object;
  return { ...object, metadata: { ...metadata, namespace } };
}

function refused(uid: string, findings: readonly Finding[]): AdmissionResponse {
  const message = texts(findings).join('; ') || 'it is no object that can be read';
  return { uid, allowed: false, status: { code: 422, message } };
}

/** Without places: the line of a request means nothing to who wrote the file. */
function texts(findings: readonly Finding[]): string[] {
  return findings.slice(0, MAX_WARNINGS).map((finding) => formatFinding({ ...finding, file: '', line: 0 }));
}
