import { isDeepStrictEqual } from 'node:util';
import type { ConfigObject, Origin } from '../collection.ts';
import { isRecord } from '../schema/type.ts';
import { apiVersionOf, type KubeResource } from './resource.ts';

/** On a cluster there are no lines: an object's name is its place. */
class KubeOrigin implements Origin {
  readonly where: string;
  readonly line = 0;

  constructor(where: string) {
    this.where = where;
  }
  lineOf(): number {
    return 0;
  }
}

/** Annotations that anybody here reads; kubectl's copy of the whole object is not one of them. */
const OURS = /(^|[./])(istio\.io|remora\.dev)\//;
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

const NO_TEXTS: Readonly<Record<string, string>> = {};

/** What is kept of an object that the API server sent; null for something that is none. */
export function kubeObject(value: unknown, resource: KubeResource, version: string): ConfigObject | null {
  if (!isRecord(value) || !isRecord(value.metadata)) return null;
  const { name, namespace, labels, annotations, creationTimestamp, resourceVersion, generation } = value.metadata;
  if (typeof name !== 'string' || typeof resourceVersion !== 'string') return null;
  const space = typeof namespace === 'string' ? namespace : '';
  const created = typeof creationTimestamp === 'string' ? Date.parse(creationTimestamp) : Number.NaN;
  const apiVersion = apiVersionOf(resource, version);
  return {
    apiVersion,
    kind: resource.kind,
    namespace: space,
    name,
    labels: texts(labels, () => true),
    annotations: texts(annotations, (key) => key !== LAST_APPLIED && (resource.annotations || OURS.test(key))),
    createdAt: Number.isNaN(created) ? 0 : created,
    resourceVersion,
    ...(!resource.builtIn && typeof generation === 'number' ? { generation } : {}),
    raw: { apiVersion, kind: resource.kind, ...resource.keep(value) },
    origin: new KubeOrigin(space === '' ? name : `${space}/${name}`),
  };
}

function texts(value: unknown, wanted: (key: string) => boolean): Readonly<Record<string, string>> {
  if (!isRecord(value)) return NO_TEXTS;
  const kept = Object.entries(value).filter(([key, text]) => typeof text === 'string' && wanted(key));
  return kept.length === 0 ? NO_TEXTS : (Object.fromEntries(kept) as Record<string, string>);
}

/** Whether two versions of an object are the same in all that is kept: a heartbeat is no change. */
export function sameObject(a: ConfigObject, b: ConfigObject): boolean {
  return (
    a.apiVersion === b.apiVersion &&
    a.createdAt === b.createdAt &&
    a.generation === b.generation &&
    isDeepStrictEqual(a.labels, b.labels) &&
    isDeepStrictEqual(a.annotations, b.annotations) &&
    isDeepStrictEqual(a.raw, b.raw)
  );
}
