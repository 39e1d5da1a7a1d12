import { type InterceptionMode, NO_PROXY_CONFIG, type ProxyConfig } from '../translate/istio/proxy-config.ts';

/** What injection does where a pod says nothing else; one value for a whole mesh. */
export interface InjectionSettings {
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Which `istio.io/rev` is meant for this injector. */
  readonly revision: string;
  /** `host:port` of the control server's xDS and of its CA. */
  readonly control: string;
  readonly ca: string;
  readonly clusterDomain: string;
  readonly clusterId: string;
  readonly meshId: string;
  readonly trustDomain: string;
  /** '' none. */
  readonly network: string;
  /** Who the projected token is for: the CA refuses others. */
  readonly tokenAudience: string;
  /** The ConfigMap of each namespace that holds the mesh's root certificate. */
  readonly rootConfigMap: string;
  /** The proxy as an init container with restartPolicy Always (Kubernetes ≥ 1.29), otherwise as a container. */
  readonly nativeSidecar: boolean;
  /** Containers wait for the proxy. A native sidecar always does that. */
  readonly holdApplication: boolean;
  readonly interceptionMode: InterceptionMode;
  readonly rewriteProbes: boolean;
  readonly mergeMetrics: boolean;
  /**
   * Seconds that the application goes on after its pod's end began (preStop sleep, Kubernetes ≥ 1.30), until callers have
   * heard; 0 ends it at once.
   */
  readonly preStopDelayS: number;
  readonly logLevel: string;
  /** CIDRs, or `*`. */
  readonly includeOutboundIPRanges: string;
  readonly excludeOutboundIPRanges: string;
  readonly excludeInboundPorts: string;
  readonly excludeOutboundPorts: string;
  /** Answer DNS in the proxy. */
  readonly captureDns: boolean;
  readonly resources: Resources;
  readonly ports: ProxyPorts;
  /** User and group of the proxy, by which the rules tell its traffic from the application's. */
  readonly proxyUser: number;
  /** The mesh's own (MeshConfig's defaultConfig), which annotations of pods go over. */
  readonly proxyConfig: ProxyConfig;
}

export interface ProxyPorts {
  readonly outbound: number;
  readonly inbound: number;
  readonly health: number;
  readonly prometheus: number;
  readonly admin: number;
  readonly dns: number;
}

export interface Resources {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits: Readonly<Record<string, string>>;
}

export const INIT_NAME = 'remora-init';
export const PROXY_NAME = 'remora-proxy';

/** Where nothing is injected: what a cluster needs to start, and to mend a broken webhook. */
export const IGNORED_NAMESPACES: readonly string[] = ['kube-system', 'kube-public', 'kube-node-lease'];

/** `namespace` is where the control server runs. */
export function defaultSettings(version: string, namespace = 'remora-system'): InjectionSettings {
  return {
    image: `remora:${version}`,
    imagePullPolicy: 'IfNotPresent',
    revision: 'default',
    control: `remora-control.${namespace}.svc:15012`,
    ca: `remora-control.${namespace}.svc:15012`,
    clusterDomain: 'cluster.local',
    clusterId: 'Kubernetes',
    meshId: 'cluster.local',
    trustDomain: 'cluster.local',
    network: '',
    tokenAudience: 'istio-ca',
    rootConfigMap: 'istio-ca-root-cert',
    nativeSidecar: true,
    holdApplication: true,
    interceptionMode: 'REDIRECT',
    rewriteProbes: true,
    mergeMetrics: true,
    preStopDelayS: 5,
    logLevel: 'warning',
    includeOutboundIPRanges: '*',
    excludeOutboundIPRanges: '',
    excludeInboundPorts: '',
    excludeOutboundPorts: '',
    captureDns: false,
    resources: {
      requests: { cpu: '100m', memory: '128Mi' },
      limits: { cpu: '2', memory: '1Gi' },
    },
    ports: { outbound: 15001, inbound: 15006, health: 15021, prometheus: 15090, admin: 15000, dns: 15053 },
    proxyUser: 1337,
    proxyConfig: NO_PROXY_CONFIG,
  };
}
