import type { Workload } from '../../mesh/service.ts';
import type { Decoded } from '../decoded.ts';

type Pod = Decoded<'Pod'>;

/** What a proxy may ride along with. A pod that has ended is none. */
export function podWorkload({ object, value }: Pod): Workload | null {
  const phase = value.status?.phase ?? '';
  if (phase === 'Succeeded' || phase === 'Failed') return null;
  const listed = (value.status?.podIPs ?? []).flatMap((entry) => (entry.ip ? [entry.ip] : []));
  const single = value.status?.podIP ? [value.status.podIP] : [];
  return {
    name: object.name,
    namespace: object.namespace,
    addresses: [...new Set([...single, ...listed])],
    labels: object.labels,
    serviceAccount: value.spec?.serviceAccountName || 'default',
  };
}

/** Pods to find labels by: by name, and by address where that is one pod's only (on a laptop many share 127.0.0.1). */
export class PodIndex {
  readonly #byName = new Map<string, Pod>();
  #byAddress: Map<string, Pod | null> | null = null;

  constructor(pods: readonly Pod[]) {
    for (const pod of pods) this.#byName.set(nameOf(pod), pod);
  }

  get all(): readonly Pod[] {
    return [...this.#byName.values()];
  }
  named(namespace: string, name: string): Pod | undefined {
    return this.#byName.get(`${namespace}/${name}`);
  }
  at(address: string): Pod | undefined {
    return this.#addresses().get(address) ?? undefined;
  }

  replace(before: Pod | null, after: Pod | null): void {
    if (before !== null) this.#byName.delete(nameOf(before));
    if (after !== null) this.#byName.set(nameOf(after), after);
    this.#byAddress = null;
  }

  /** Made when it is asked for: endpoints of a cluster name their pods. */
  #addresses(): ReadonlyMap<string, Pod | null> {
    if (this.#byAddress === null) {
      this.#byAddress = new Map();
      for (const pod of this.#byName.values()) {
        for (const address of podWorkload(pod)?.addresses ?? []) {
          this.#byAddress.set(address, this.#byAddress.has(address) ? null : pod);
        }
      }
    }
    return this.#byAddress;
  }
}

function nameOf({ object }: Pod): string {
  return `${object.namespace}/${object.name}`;
}

/** `region/zone/subzone` from Istio's label or Kubernetes' topology labels, of the pod or else its node; '' unknown. */
export function localityOf(
  labels: Readonly<Record<string, string>>,
  zone = '',
  node: Readonly<Record<string, string>> = {},
): string {
  // A label's value cannot have slashes, so Istio writes dots.
  const own = labels['istio-locality'] ?? labels['topology.istio.io/locality'];
  if (own !== undefined) return own.replaceAll('.', '/');
  const region = labels['topology.kubernetes.io/region'] ?? node['topology.kubernetes.io/region'] ?? '';
  const place = labels['topology.kubernetes.io/zone'] ?? (zone || (node['topology.kubernetes.io/zone'] ?? ''));
  const subzone = labels['topology.istio.io/subzone'] ?? node['topology.istio.io/subzone'] ?? '';
  return [region, place, subzone].join('/').replace(/\/+$/, '');
}
