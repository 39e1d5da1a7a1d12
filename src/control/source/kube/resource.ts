import { isRecord } from '../schema/type.ts';

/** One kind as the API serves it, and what is kept of its objects. */
export interface KubeResource {
  /** '' for the core group. */
  readonly group: string;
  /** In the order of preference; the first that the server has is read. */
  readonly versions: readonly string[];
  /** As in URLs. */
  readonly plural: string;
  readonly kind: string;
  /** Comes with every cluster; others are there once their CRD is installed. */
  readonly builtIn: boolean;
  /** Only labels and the like are sent to us: images of a node, for example, are not our business. */
  readonly metadataOnly: boolean;
  /** Whether all annotations are kept; else those of the mesh. */
  readonly annotations: boolean;
  /** What is kept beside apiVersion, kind and metadata: objects are held for as long as they exist. */
  keep(raw: Raw): Raw;
}

export type Raw = Readonly<Record<string, unknown>>;

const NONE: Raw = {};

/** Those of `value`'s fields; absent ones stay absent. Anything but an object stays as it is, for the decoder to refuse. */
function pick(value: unknown, ...keys: readonly string[]): unknown {
  if (!isRecord(value)) return value;
  const kept: Record<string, unknown> = {};
  for (const key of keys) if (value[key] !== undefined) kept[key] = value[key];
  return kept;
}

function each(value: unknown, change: (item: unknown) => unknown): unknown {
  return Array.isArray(value) ? value.map(change) : value;
}

function present(fields: Readonly<Record<string, unknown>>): Raw {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function builtIn(group: string, plural: string, kind: string, keep: KubeResource['keep']): KubeResource {
  return { group, versions: ['v1'], plural, kind, builtIn: true, metadataOnly: false, annotations: false, keep };
}

function custom(group: string, versions: readonly string[], plural: string, kind: string): KubeResource {
  return {
    group,
    versions,
    plural,
    kind,
    builtIn: false,
    metadataOnly: false,
    annotations: true,
    keep: ({ spec }) => present({ spec }),
  };
}

const ISTIO = ['v1', 'v1beta1', 'v1alpha3'];
const TARGET = ['kind', 'name', 'namespace'] as const;

export const ENDPOINT_SLICES: KubeResource = builtIn('discovery.k8s.io', 'endpointslices', 'EndpointSlice', (raw) =>
  present({
    addressType: raw.addressType,
    endpoints: each(raw.endpoints, (one) =>
      isRecord(one)
        ? present({
            addresses: one.addresses,
            conditions: one.conditions,
            targetRef: pick(one.targetRef, ...TARGET),
            nodeName: one.nodeName,
            zone: one.zone,
            hostname: one.hostname,
            hints: pick(one.hints, 'forZones'),
          })
        : one,
    ),
    ports: raw.ports,
  }),
);

/** Where no EndpointSlices are served; Kubernetes mirrors them into slices otherwise. */
export const ENDPOINTS: KubeResource = builtIn('', 'endpoints', 'Endpoints', ({ subsets }) => {
  const address = (one: unknown) =>
    isRecord(one)
      ? present({
          ip: one.ip,
          hostname: one.hostname,
          nodeName: one.nodeName,
          targetRef: pick(one.targetRef, ...TARGET),
        })
      : one;
  return present({
    subsets: each(subsets, (one) =>
      isRecord(one)
        ? present({
            addresses: each(one.addresses, address),
            notReadyAddresses: each(one.notReadyAddresses, address),
            ports: one.ports,
          })
        : one,
    ),
  });
});

/** A Secret that a Gateway names: its certificate, and nothing else. */
export const SECRETS: KubeResource = builtIn('', 'secrets', 'Secret', ({ type, data }) =>
  present({ type, data: pick(data, 'tls.crt', 'tls.key', 'ca.crt', 'cert', 'key', 'cacert') }),
);

/** The mesh's own config, by its name. */
export const CONFIG_MAPS: KubeResource = builtIn('', 'configmaps', 'ConfigMap', ({ data }) =>
  present({ data: pick(data, 'mesh') }),
);

/** Everything that is read of a cluster as a whole. */
export const RESOURCES: readonly KubeResource[] = [
  builtIn('', 'services', 'Service', ({ spec }) =>
    present({
      spec: pick(
        spec,
        'type',
        'clusterIP',
        'clusterIPs',
        'ipFamilies',
        'externalName',
        'selector',
        'ports',
        'publishNotReadyAddresses',
        'trafficDistribution',
      ),
    }),
  ),
  ENDPOINT_SLICES,
  builtIn('', 'pods', 'Pod', ({ spec, status }) =>
    present({
      spec: isRecord(spec)
        ? present({
            serviceAccountName: spec.serviceAccountName,
            nodeName: spec.nodeName,
            containers: each(spec.containers, (one) => pick(one, 'ports')),
          })
        : spec,
      status: pick(status, 'phase', 'podIP', 'podIPs'),
    }),
  ),
  { ...builtIn('', 'nodes', 'Node', () => NONE), metadataOnly: true },
  { ...builtIn('', 'namespaces', 'Namespace', () => NONE), metadataOnly: true },
  custom('networking.istio.io', ISTIO, 'virtualservices', 'VirtualService'),
  custom('networking.istio.io', ISTIO, 'destinationrules', 'DestinationRule'),
  custom('networking.istio.io', ISTIO, 'gateways', 'Gateway'),
  custom('networking.istio.io', ISTIO, 'serviceentries', 'ServiceEntry'),
  custom('networking.istio.io', ISTIO, 'workloadentries', 'WorkloadEntry'),
  custom('networking.istio.io', ISTIO, 'sidecars', 'Sidecar'),
  custom('networking.istio.io', ISTIO, 'envoyfilters', 'EnvoyFilter'),
  custom('security.istio.io', ['v1', 'v1beta1'], 'authorizationpolicies', 'AuthorizationPolicy'),
  custom('security.istio.io', ['v1', 'v1beta1'], 'peerauthentications', 'PeerAuthentication'),
  custom('security.istio.io', ['v1', 'v1beta1'], 'requestauthentications', 'RequestAuthentication'),
  custom('telemetry.istio.io', ['v1', 'v1alpha1'], 'telemetries', 'Telemetry'),
  custom('remora.dev', ['v1alpha1'], 'resiliencepolicies', 'ResiliencePolicy'),
];

export function apiVersionOf({ group }: KubeResource, version: string): string {
  return group === '' ? version : `${group}/${version}`;
}

/** `/apis/networking.istio.io/v1/virtualservices`, or that of one namespace. */
export function pathOf(resource: KubeResource, version: string, namespace = ''): string {
  const root = resource.group === '' ? '/api' : `/apis/${resource.group}`;
  const within = namespace === '' ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}/${version}${within}/${resource.plural}`;
}
