/** Who this proxy works for, as Istio's metrics name a workload. */
export interface WorkloadIdentity {
  readonly workload: string;
  readonly namespace: string;
  readonly app: string;
  readonly version: string;
  /** The mesh cluster it runs in. */
  readonly cluster: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  /** SPIFFE ID; '' without one. */
  readonly principal: string;
}

export const UNKNOWN = 'unknown';

const NOBODY: WorkloadIdentity = {
  workload: UNKNOWN,
  namespace: UNKNOWN,
  app: UNKNOWN,
  version: UNKNOWN,
  cluster: UNKNOWN,
  canonicalService: UNKNOWN,
  canonicalRevision: 'latest',
  principal: UNKNOWN,
};

/** The identity that Istio's node metadata tells (`WORKLOAD_NAME`, `NAMESPACE`, `LABELS`, `CLUSTER_ID`). */
export function identityOfNode(metadata: { readonly [key: string]: unknown }): WorkloadIdentity {
  const labels = isRecord(metadata.LABELS) ? metadata.LABELS : {};
  const workload = text(metadata.WORKLOAD_NAME);
  const app = text(labels.app, labels['app.kubernetes.io/name'], labels['service.istio.io/canonical-name']);
  const version = text(labels.version, labels['app.kubernetes.io/version']);
  return {
    workload: workload || UNKNOWN,
    namespace: text(metadata.NAMESPACE) || UNKNOWN,
    app: app || UNKNOWN,
    version: version || UNKNOWN,
    cluster: text(metadata.CLUSTER_ID) || UNKNOWN,
    canonicalService: text(labels['service.istio.io/canonical-name'], app, workload) || UNKNOWN,
    canonicalRevision: text(labels['service.istio.io/canonical-revision'], version) || 'latest',
    principal: UNKNOWN,
  };
}

/**
 * The identity behind an endpoint, from Istio's endpoint metadata `name;namespace;service;version;cluster`.
 * It tells the canonical service and version only, so these are the app and the version too.
 */
export function identityOfEndpoint(workload: string): WorkloadIdentity {
  if (workload === '') return NOBODY;
  const [name = '', namespace = '', service = '', version = '', cluster = ''] = workload.split(';');
  return {
    workload: name || UNKNOWN,
    namespace: namespace || UNKNOWN,
    app: service || UNKNOWN,
    version: version || UNKNOWN,
    cluster: cluster || UNKNOWN,
    canonicalService: service || UNKNOWN,
    canonicalRevision: version || 'latest',
    principal: UNKNOWN,
  };
}

function text(...candidates: unknown[]): string {
  for (const candidate of candidates) if (typeof candidate === 'string' && candidate !== '') return candidate;
  return '';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
