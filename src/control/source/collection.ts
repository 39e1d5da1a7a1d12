/**
 * The contract of every source of configuration (files, the API server, other registries): Kubernetes-shaped
 * objects with the place they came from. A source keeps the last good form of each object.
 */

/** Where an object was written, for messages to people. */
export interface Origin {
  /** File path as the user gave it, or `namespace/name` on a cluster. */
  readonly where: string;
  /** 1-based; 0 when there are no lines. */
  readonly line: number;
  /** Line of a field given by its path (`['spec','http',0,'route']`), or the nearest ancestor's line; 0 unknown. */
  lineOf(path: readonly (string | number)[]): number;
}

/** One object as it was read. `spec` and the rest are untrusted until a decoder has checked them. */
export interface ConfigObject {
  /** `networking.istio.io/v1`; the version is kept, decoders accept the older ones. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Ms since epoch from `creationTimestamp`; 0 unknown (files). Ties are broken by namespace/name. */
  readonly createdAt: number;
  readonly resourceVersion: string;
  /** Of `metadata.generation`, where objects have a status; else absent. */
  readonly generation?: number;
  /** The whole object as plain JSON. */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly origin: Origin;
}

export type Severity = 'error' | 'warning';

/** Something to tell a person about an object: file, line, object, field, reason and, where there is one, the remedy. */
export interface Finding {
  readonly severity: Severity;
  /** Stable code, e.g. `unknown-field`, `missing-subset`, `shadowed-route`. */
  readonly code: string;
  /** `VirtualService default/reviews`; '' when the file itself is broken. */
  readonly object: string;
  /** `spec.http[0].route[1].weight`; '' for the whole. */
  readonly field: string;
  readonly message: string;
  /** `reviews.yaml` or ''. */
  readonly file: string;
  /** 1-based; 0 unknown. */
  readonly line: number;
}

/** All objects at one moment, and what was wrong while reading them (broken files: their last good objects stay in). */
export interface ConfigState {
  readonly objects: readonly ConfigObject[];
  readonly findings: readonly Finding[];
}

/** What a change may touch: endpoints are pushed at once, the rest is debounced. */
export type ChangeScope = 'endpoints' | 'config';

/** One object that came (`before` is null), went (`after` is null) or is otherwise now. */
export interface ObjectChange {
  readonly before: ConfigObject | null;
  readonly after: ConfigObject | null;
}

/** `changes` is all that differs from the state before, where the source can tell; findings are then the same. */
export type ChangeListener = (scope: ChangeScope, changes?: readonly ObjectChange[]) => void;

/** Kinds that say nothing but where a service's instances are. */
export const ENDPOINT_KINDS: ReadonlySet<string> = new Set(['EndpointSlice', 'Endpoints', 'Pod']);

export interface ConfigSource {
  readonly state: ConfigState;
  /** Reads everything once, then watches. */
  start(): Promise<void>;
  onChange(listener: ChangeListener): () => void;
  close(): Promise<void>;
}

/** `Kind namespace/name`. */
export function objectName(object: Pick<ConfigObject, 'kind' | 'namespace' | 'name'>): string {
  return `${object.kind} ${object.namespace === '' ? '' : `${object.namespace}/`}${object.name}`;
}

/** What makes two objects the same one, whatever version of its API it was written in. */
export function objectKey(object: Pick<ConfigObject, 'apiVersion' | 'kind' | 'namespace' | 'name'>): string {
  const slash = object.apiVersion.indexOf('/');
  return `${slash < 0 ? '' : object.apiVersion.slice(0, slash)}|${object.kind}|${object.namespace}|${object.name}`;
}

/** `reviews.yaml:12 VirtualService default/reviews spec.http[0].weight: message`, as every command prints it; on a cluster without the place. */
export function formatFinding(finding: Finding): string {
  // On a cluster the object's name is its place.
  const known = finding.line === 0 && finding.object.endsWith(` ${finding.file}`);
  const place = finding.file === '' || known ? '' : `${finding.file}${finding.line > 0 ? `:${finding.line}` : ''}`;
  return [place, finding.object, finding.field === '' ? '' : `${finding.field}:`, finding.message]
    .filter(Boolean)
    .join(' ');
}
