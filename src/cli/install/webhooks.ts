import { IGNORED_NAMESPACES } from '../../control/injector/settings.ts';
import { type Json, labelled } from './object.ts';
import type { Values } from './values.ts';

export const WEBHOOK_CONFIGURATION = 'remora';

interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

/**
 * Admission. A cluster cannot lock itself out: system namespaces and that of the control server are never asked about,
 * whatever their labels; of others, only pods that asked for a sidecar, themselves or by their namespace; and of
 * config, only kinds of the mesh, which pass while nobody answers. A pod for which several selectors hold is injected
 * by the first, and found injected by the rest.
 */
export function webhookManifests(values: Values): Json[] {
  const never: Requirement = {
    key: 'kubernetes.io/metadata.name',
    operator: 'NotIn',
    values: [...IGNORED_NAMESPACES, values.namespace],
  };
  const notRefused: Requirement[] = ['sidecar.istio.io/inject', 'remora.dev/inject'].map((key) => ({
    key,
    operator: 'NotIn',
    values: ['false'],
  }));
  const own = { key: 'istio.io/rev', operator: 'In', values: [values.revision] } as const;
  const notOurs: Requirement = { key: 'remora.dev/inject', operator: 'NotIn', values: ['false', 'disabled'] };
  const notIstio: Requirement = { key: 'istio-injection', operator: 'NotIn', values: ['disabled'] };
  // Istio's: a pod's label does not overrule its namespace's.
  const unsaid: Requirement[] = ['istio-injection', 'istio.io/rev'].map((key) => ({ key, operator: 'DoesNotExist' }));
  const pods = (name: string, namespace: readonly Requirement[], pod: readonly Requirement[]): Json => ({
    name: `${name}.inject.remora.dev`,
    ...called(values, '/inject'),
    failurePolicy: values.webhookFailurePolicy,
    reinvocationPolicy: 'Never',
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'], scope: 'Namespaced' }],
    namespaceSelector: { matchExpressions: [never, ...namespace] },
    objectSelector: { matchExpressions: pod },
  });
  const labelledNamespace = (key: string, ...texts: string[]): Requirement => ({ key, operator: 'In', values: texts });
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: labelled(WEBHOOK_CONFIGURATION),
      webhooks: [
        pods('namespace', [labelledNamespace('istio-injection', 'enabled'), notOurs], notRefused),
        pods('remora-namespace', [labelledNamespace('remora.dev/inject', 'enabled', 'true')], notRefused),
        pods(
          'revision-namespace',
          [own, { key: 'istio-injection', operator: 'DoesNotExist' }, notOurs],
          [...notRefused, { key: 'istio.io/rev', operator: 'DoesNotExist' }],
        ),
        pods('pod', [...unsaid, notOurs], [{ key: 'sidecar.istio.io/inject', operator: 'In', values: ['true'] }]),
        pods('remora-pod', [notOurs], [{ key: 'remora.dev/inject', operator: 'In', values: ['true'] }]),
        pods('revision-pod', [notIstio, notOurs], [own, ...notRefused]),
      ],
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: labelled(WEBHOOK_CONFIGURATION),
      webhooks: [
        {
          name: 'validate.remora.dev',
          ...called(values, '/validate'),
          // What slips through is read again by the control server, which says the same in its findings.
          failurePolicy: 'Ignore',
          rules: [
            {
              apiGroups: ['networking.istio.io', 'security.istio.io', 'telemetry.istio.io', 'remora.dev'],
              apiVersions: ['*'],
              operations: ['CREATE', 'UPDATE'],
              resources: ['*'],
              scope: 'Namespaced',
            },
          ],
        },
      ],
    },
  ];
}

/** Without caBundle: the control server writes it, and writes it anew when its CA changes. */
function called({ namespace }: Values, path: string): Json {
  return {
    clientConfig: { service: { name: 'remora-control', namespace, path, port: 443 } },
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    timeoutSeconds: 10,
    matchPolicy: 'Equivalent',
  };
}
