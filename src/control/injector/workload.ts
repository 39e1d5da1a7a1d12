import { isRecord } from '../source/schema/type.ts';
import type { PatchPath } from './json-patch.ts';

/** What a pod is a part of, as its telemetry names it. */
export interface Workload {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Where the pod is in each kind that holds one; the API group stands before the kind. */
const TEMPLATES: Readonly<Record<string, PatchPath>> = {
  Pod: [],
  PodTemplate: ['template'],
  ReplicationController: ['spec', 'template'],
  'apps/Deployment': ['spec', 'template'],
  'apps/StatefulSet': ['spec', 'template'],
  'apps/DaemonSet': ['spec', 'template'],
  'apps/ReplicaSet': ['spec', 'template'],
  'batch/Job': ['spec', 'template'],
  'batch/CronJob': ['spec', 'jobTemplate', 'spec', 'template'],
};

/** The path of the pod in an object; null where there is none. */
export function templatePath(apiVersion: unknown, kind: unknown): PatchPath | null {
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return null;
  const slash = apiVersion.indexOf('/');
  const key = slash < 0 ? kind : `${apiVersion.slice(0, slash)}/${kind}`;
  return Object.hasOwn(TEMPLATES, key) ? (TEMPLATES[key] ?? null) : null;
}

/**
 * The workload of a pod that exists: its controller, and that one's own where its name tells (a ReplicaSet's ends in
 * the pod's template hash, a CronJob's Job in the minute it was due).
 */
export function workloadOfPod(metadata: Readonly<Record<string, unknown>>, namespace: string): Workload {
  const own = typeof metadata.name === 'string' ? metadata.name : '';
  const generated = typeof metadata.generateName === 'string' ? metadata.generateName.replace(/-$/, '') : '';
  const pod: Workload = { apiVersion: 'v1', kind: 'Pod', namespace, name: own || generated };
  const owners: readonly unknown[] = Array.isArray(metadata.ownerReferences) ? metadata.ownerReferences : [];
  const owner = owners.find((one) => isRecord(one) && one.controller === true);
  if (!isRecord(owner)) return pod;
  const { apiVersion, kind, name } = owner;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string' || typeof name !== 'string') return pod;
  const labels = isRecord(metadata.labels) ? metadata.labels : {};
  const hash = labels['pod-template-hash'];
  if (kind === 'ReplicaSet' && typeof hash === 'string' && hash !== '' && name.endsWith(`-${hash}`))
    return { apiVersion, kind: 'Deployment', namespace, name: name.slice(0, -hash.length - 1) };
  const due = kind === 'Job' ? /^(.+)-\d{8,10}$/.exec(name) : null;
  if (due !== null) return { apiVersion, kind: 'CronJob', namespace, name: due[1]! };
  return { apiVersion, kind, namespace, name };
}
