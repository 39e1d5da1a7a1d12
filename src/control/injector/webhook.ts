import { formatFinding } from '../source/collection.ts';
import { isRecord } from '../source/schema/type.ts';
import { injectPod } from './inject-pod.ts';
import type { InjectionSettings } from './settings.ts';
import { workloadOfPod } from './workload.ts';

/** The part of an AdmissionReview v1 request that is read, decoded. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly namespace: string;
  readonly operation: string;
  readonly object: Readonly<Record<string, unknown>>;
}

/** `response` of an AdmissionReview v1. */
export interface AdmissionResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: { readonly code: number; readonly message: string };
  readonly warnings?: readonly string[];
  readonly patchType?: 'JSONPatch';
  /** Base64 of the JSON. */
  readonly patch?: string;
}

const API_VERSION = 'admission.k8s.io/v1';

/** Reads a review; a text says why it is none, for a 400. */
export function readReview(body: string): AdmissionRequest | string {
  let review: unknown;
  try {
    review = JSON.parse(body);
  } catch {
    return 'the body is not JSON';
  }
  if (!isRecord(review) || review.kind !== 'AdmissionReview' || review.apiVersion !== API_VERSION)
    return `the body is no AdmissionReview of ${API_VERSION}`;
  const { request } = review;
  if (!isRecord(request) || typeof request.uid !== 'string') return 'the review has no request with a uid';
  const { uid, namespace, operation, object } = request;
  return {
    uid,
    namespace: typeof namespace === 'string' ? namespace : '',
    operation: typeof operation === 'string' ? operation : '',
    object: isRecord(object) ? object : {},
  };
}

export function writeReview(response: AdmissionResponse): object {
  return { apiVersion: API_VERSION, kind: 'AdmissionReview', response };
}

/** What the mutating webhook does with a new pod: the patch of manual injection, or a refusal that says what to mend. */
export function admitPod(
  { uid, namespace, object }: AdmissionRequest,
  settings: InjectionSettings,
  namespaceLabels: Readonly<Record<string, string>> | null = null,
): AdmissionResponse {
  const metadata = isRecord(object.metadata) ? object.metadata : {};
  const own = typeof metadata.namespace === 'string' && metadata.namespace !== '' ? metadata.namespace : namespace;
  const result = injectPod(object, {
    settings,
    workload: workloadOfPod(metadata, own),
    namespaceLabels,
    // The selectors of the webhook's configuration have decided already: they know namespaces that are not told here.
    otherwise: namespaceLabels === null,
  });
  if (result.kind === 'skipped') return { uid, allowed: true };
  if (result.kind === 'refused')
    return { uid, allowed: false, status: { code: 422, message: result.problems.map(formatFinding).join('; ') } };
  const warnings = result.warnings.map(formatFinding);
  return {
    uid,
    allowed: true,
    ...(warnings.length === 0 ? {} : { warnings }),
    patchType: 'JSONPatch',
    patch: Buffer.from(JSON.stringify(result.patch)).toString('base64'),
  };
}
