import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { applyPatch, type PatchOperation } from '../../../../src/control/injector/json-patch.ts';
import { injectManifest } from '../../../../src/control/injector/manifest.ts';
import { defaultSettings } from '../../../../src/control/injector/settings.ts';
import { type AdmissionResponse, admitPod, readReview } from '../../../../src/control/injector/webhook.ts';
import { templatePath } from '../../../../src/control/injector/workload.ts';

const FOLDER = join(import.meta.dirname, '../../../golden/inject');
const settings = defaultSettings('1.2.3');

type Json = Record<string, unknown>;

/** The pod as Kubernetes' controllers make it of a workload's template. */
function podOf(object: Json): Json {
  const metadata = object.metadata as Json;
  const { apiVersion, kind } = object as { apiVersion: string; kind: string };
  const path = templatePath(apiVersion, kind)!;
  const template = path.reduce<unknown>((node, part) => (node as Json)[part], object) as Json;
  if (path.length === 0) return object;
  const own = (template.metadata ?? {}) as Json;
  const owner =
    kind === 'Deployment'
      ? { apiVersion, kind: 'ReplicaSet', name: `${metadata.name}-5d4f8` }
      : kind === 'CronJob'
        ? { apiVersion, kind: 'Job', name: `${metadata.name}-29384750` }
        : { apiVersion, kind, name: metadata.name };
  const labels = kind === 'Deployment' ? { 'pod-template-hash': '5d4f8' } : {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...own,
      generateName: `${owner.name}-`,
      ownerReferences: [{ ...owner, uid: '1', controller: true }],
      labels: { ...(own.labels as Json), ...labels },
    },
    spec: template.spec,
  };
}

function admit(object: Json, namespace = 'default'): AdmissionResponse {
  const review = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: 'u1', namespace, operation: 'CREATE', object },
  };
  const request = readReview(JSON.stringify(review));
  if (typeof request === 'string') throw new Error(request);
  return admitPod(request, settings);
}

function patchOf({ patch }: AdmissionResponse): PatchOperation[] {
  return patch === undefined ? [] : JSON.parse(Buffer.from(patch, 'base64').toString());
}

function objectsOf(text: string): Json[] {
  return parseAllDocuments(text, { merge: true }).flatMap((document) => {
    const value = JSON.parse(JSON.stringify(document.toJS() ?? null)) as Json | null;
    if (value === null) return [];
    const { apiVersion, kind, items } = value;
    if (kind === 'List') return items as Json[];
    if (!String(kind).endsWith('List')) return [value];
    return (items as Json[]).map((one) => ({ apiVersion, kind: String(kind).slice(0, -4), ...one }));
  });
}

/** What injection has to say about the pod, whoever made it: controllers add labels and owners. */
function comparable(pod: Json): Json {
  const metadata = { ...(pod.metadata as Json) };
  const labels = { ...(metadata.labels as Json) };
  delete labels['pod-template-hash'];
  return { labels, annotations: metadata.annotations, spec: pod.spec };
}

describe('the mutating webhook', () => {
  const cases = readdirSync(FOLDER).map((file) => [file, readFileSync(join(FOLDER, file), 'utf8')] as const);
  const plain = cases.filter(([file, text]) => !/^(refused|broken|skipped)/.test(file) && !/^Settings:/m.test(text));

  it.each(plain)('does what manual injection does: %s', (_file, text) => {
    const input = /^```(?:yaml|json) input\n([\s\S]*?)^```$/m.exec(text)![1]!;
    const output = injectManifest(input, { settings, namespace: 'default', file: '' });
    const before = objectsOf(input);
    const after = objectsOf(output.text);
    let compared = 0;
    for (const [i, object] of before.entries()) {
      const path = templatePath(object.apiVersion, object.kind);
      if (path === null) continue;
      const namespace = ((object.metadata as Json).namespace as string | undefined) ?? 'default';
      const pod = podOf(object);
      const patched = applyPatch(pod, patchOf(admit(pod, namespace))) as Json;
      const manual = path.reduce<unknown>((node, part) => (node as Json)[part], after[i]) as Json;
      expect(comparable(patched)).toEqual(comparable(manual));
      compared++;
    }
    expect(compared).toBeGreaterThan(0);
  });

  it('lets through what manual injection skips', () => {
    const pod = { metadata: { name: 'a' }, spec: { hostNetwork: true, containers: [{ name: 'a' }] } };
    expect(admit(pod)).toEqual({ uid: 'u1', allowed: true });
    expect(admit({ metadata: { name: 'a' }, spec: { containers: [{ name: 'a' }] } }, 'kube-system')).toEqual({
      uid: 'u1',
      allowed: true,
    });
  });

  it('refuses what manual injection refuses, with object, annotation and remedy', () => {
    const annotations = { 'sidecar.istio.io/nativeSidecar': 'yes' };
    const answer = admit({ metadata: { name: 'a', annotations }, spec: { containers: [{ name: 'a' }] } }, 'shop');
    expect(answer).toEqual({
      uid: 'u1',
      allowed: false,
      status: {
        code: 422,
        message:
          'Pod shop/a metadata.annotations["sidecar.istio.io/nativeSidecar"]: must be "true" or "false", got "yes"',
      },
    });
  });

  it('passes warnings on', () => {
    const annotations = { 'sidecar.istio.io/componentLogLevel': 'http:debug' };
    const answer = admit({ metadata: { name: 'a', annotations }, spec: { containers: [{ name: 'a' }] } });
    expect(answer.warnings).toEqual([expect.stringContaining('componentLogLevel"]: has no effect')]);
  });

  it('asks the namespace where its labels are known', () => {
    const request = {
      uid: 'u',
      namespace: 'shop',
      operation: 'CREATE',
      object: { metadata: { name: 'a' }, spec: { containers: [{ name: 'a' }] } },
    };
    expect(admitPod(request, settings, {}).patch).toBeUndefined();
    expect(admitPod(request, settings, { 'istio-injection': 'enabled' }).patch).toBeDefined();
    expect(admitPod(request, settings, { 'remora.dev/inject': 'enabled' }).patch).toBeDefined();
    expect(admitPod(request, settings, { 'istio.io/rev': 'default' }).patch).toBeDefined();
    expect(admitPod(request, settings, { 'istio.io/rev': 'other' }).patch).toBeUndefined();
  });

  it('says what is wrong with a body that is no review', () => {
    expect(readReview('{')).toBe('the body is not JSON');
    expect(readReview('{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}')).toBe(
      'the body is no AdmissionReview of admission.k8s.io/v1',
    );
    expect(readReview('{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}')).toBe(
      'the review has no request with a uid',
    );
  });
});
