import { truth } from './annotations.ts';
import { IGNORED_NAMESPACES, PROXY_NAME } from './settings.ts';

export type Decision =
  | { readonly inject: true }
  | { readonly inject: false; readonly reason: string }
  /** Nobody can say what was meant. */
  | { readonly refused: true; readonly field: string; readonly message: string };

/** What the decision is about; everything untrusted has been read into texts. */
export interface Subject {
  readonly namespace: string;
  /** Null when nobody knows them: a manifest on its own. */
  readonly namespaceLabels: Readonly<Record<string, string>> | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hostNetwork: boolean;
  /** Names of all containers, of the init ones too. */
  readonly containers: readonly string[];
  readonly revision: string;
  /** Where neither pod nor namespace says anything: manual injection was asked for, a webhook was not. */
  readonly otherwise: boolean;
}

/** Labels and annotations of pods, the first before the second. */
export const POD_INJECT = ['remora.dev/inject', 'sidecar.istio.io/inject'] as const;
const REVISION = 'istio.io/rev';

/**
 * Whether a pod gets a sidecar. What makes it impossible comes first; then who says no, the pod (labels before
 * annotations) or its namespace; then who says yes: a pod does not overrule its namespace, as with the selectors of
 * Istio's webhooks. Only our own label does, where the namespace's word is for Istio.
 */
export function decide(subject: Subject): Decision {
  const { namespace, containers, annotations } = subject;
  if (subject.hostNetwork)
    return no('hostNetwork is true: the pod shares its node’s network, and the rules would capture the whole node');
  if (IGNORED_NAMESPACES.includes(namespace)) return no(`nothing is injected in namespace ${namespace}`);
  if ('sidecar.istio.io/status' in annotations) return no('it was injected before (sidecar.istio.io/status)');
  for (const name of [PROXY_NAME, 'istio-proxy'])
    if (containers.includes(name)) return no(`it has a container ${name} already`);
  const pod = fromPod(subject);
  if (pod !== null && !('inject' in pod && pod.inject)) return pod;
  const space = fromNamespace(subject);
  if (pod === null) return space ?? otherwise(subject);
  if (space === null || ('inject' in space && space.inject) || overrules(subject)) return pod;
  return space;
}

/** null: it says nothing. */
function fromPod({ labels, annotations, revision }: Subject): Decision | null {
  const own = labels[REVISION];
  for (const [field, given] of [
    ['metadata.labels', labels],
    ['metadata.annotations', annotations],
  ] as const) {
    for (const name of POD_INJECT) {
      const text = given[name];
      if (text === undefined) continue;
      const value = truth(text);
      if (value === null)
        return {
          refused: true,
          field: `${field}["${name}"]`,
          message: `must be "true" or "false", got ${JSON.stringify(text)}`,
        };
      if (!value) return no(`its ${field === 'metadata.labels' ? 'label' : 'annotation'} ${name} is "false"`);
      return own === undefined || own === revision ? { inject: true } : no(otherRevision('its', own, revision));
    }
  }
  if (own === undefined) return null;
  return own === revision ? { inject: true } : no(otherRevision('its', own, revision));
}

/** The pod has our own label, and its namespace does not. */
function overrules({ labels, annotations, namespaceLabels }: Subject): boolean {
  const [ours] = POD_INJECT;
  return truth(labels[ours] ?? annotations[ours] ?? '') === true && namespaceLabels?.[ours] === undefined;
}

/** null: it says nothing. */
function fromNamespace({ namespace, namespaceLabels, labels: pod, revision }: Subject): Decision | null {
  const labels = namespaceLabels ?? {};
  const ours = labels['remora.dev/inject'];
  if (ours === 'true' || ours === 'enabled') return { inject: true };
  if (ours === 'false' || ours === 'disabled') return no(`namespace ${namespace} has remora.dev/inject=${ours}`);
  // Istio's selectors: a namespace with istio-injection is not asked for its revision.
  const istio = labels['istio-injection'];
  if (istio === 'enabled') return { inject: true };
  if (istio !== undefined) return no(`namespace ${namespace} has istio-injection=${istio}`);
  // A pod's own revision is nearer.
  const namespaceRevision = pod[REVISION] === undefined ? labels[REVISION] : undefined;
  if (namespaceRevision === undefined) return null;
  return namespaceRevision === revision
    ? { inject: true }
    : no(otherRevision(`namespace ${namespace}’s`, namespaceRevision, revision));
}

function otherwise({ namespace, otherwise }: Subject): Decision {
  return otherwise ? { inject: true } : no(`neither the pod nor namespace ${namespace} asks for injection`);
}

function otherRevision(whose: string, revision: string, own: string): string {
  return `${whose} ${REVISION} is ${JSON.stringify(revision)}, this injector’s is ${JSON.stringify(own)}`;
}

function no(reason: string): Decision {
  return { inject: false, reason };
}
