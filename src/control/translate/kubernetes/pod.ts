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
  readonly #byAddress = new Map<string, Pod | null>();

  constructor(pods: readonly Pod[]) {
    for (const pod of pods) {
      this.#byName.set(`${pod.object.namespace}/${pod.object.name}`, pod);
      for (const address of podWorkload(pod)?.addresses ?? []) {
        this.#byAddress.set(address, this.#byAddress.has(address) ? null : pod);
      }
    }
  }
  named(namespace: string, name: string): Pod | undefined {
    return this.#byName.get(`${namespace}/${name}`);
  }
  at(address: string): Pod | undefined {
    return this.#byAddress.get(address) ?? undefined;
  }
}

/** `region/zone/subzone` from Istio's label or Kubernetes' topology labels; '' unknown. */
export function localityOf(labels: Readonly<Record<string, string>>, zone = ''): string {
  // A label's value cannot have slashes, so Istio writes dots.
  const own = labels['istio-locality'] ?? labels['topology.istio.io/locality'];
  if (own !== undefined) return own.replaceAll('.', '/');
  const region = labels['topology.kubernetes.io/region'] ?? '';
  const place = labels['topology.kubernetes.io/zone'] ?? zone;
  const subzone = labels['topology.istio.io/subzone'] ?? '';
  return [region, place, subzone].join('/').replace(/\/+$/, '');
}
