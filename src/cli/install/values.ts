/**
 * What an installation may decide; the chart's values.yaml has the same names. Where a chart is written, a value is
 * the template's expression for it instead (`chart.ts`), so nothing may compute with one.
 */
export interface Values {
  readonly namespace: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly revision: string;
  readonly clusterId: string;
  readonly trustDomain: string;
  /** Life of workloads' certificates, `24h` or `90m`. */
  readonly workloadCertTtl: string;
  readonly clusterDomain: string;
  readonly logLevel: string;
  /** What the ports of the control server bind: `[::]` in a cluster of IPv6 alone. */
  readonly bind: string;
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly resources: { readonly cpu: string; readonly memory: string; readonly memoryLimit: string };
  readonly proxyResources: { readonly cpu: string; readonly memory: string; readonly memoryLimit: string };
  readonly nativeSidecar: boolean;
  readonly captureDns: boolean;
  /** `Fail`: a pod that asked for a sidecar does not start without. */
  readonly webhookFailurePolicy: string;
  readonly ingressServiceType: string;
  /** Where gateways are, with their certificates; '' beside the control server. */
  readonly gatewayNamespace: string;
}

export function defaultValues(version: string): Values {
  return {
    namespace: 'remora-system',
    image: `remora:${version}`,
    imagePullPolicy: 'IfNotPresent',
    revision: 'default',
    clusterId: 'Kubernetes',
    trustDomain: 'cluster.local',
    workloadCertTtl: '24h',
    clusterDomain: 'cluster.local',
    logLevel: 'info',
    bind: '0.0.0.0',
    minReplicas: 2,
    maxReplicas: 5,
    resources: { cpu: '200m', memory: '256Mi', memoryLimit: '2Gi' },
    proxyResources: { cpu: '100m', memory: '128Mi', memoryLimit: '1Gi' },
    nativeSidecar: true,
    captureDns: false,
    webhookFailurePolicy: 'Fail',
    ingressServiceType: 'LoadBalancer',
    gatewayNamespace: '',
  };
}

/** A line for each value of the chart; the last ones are the chart's alone. */
export const VALUE_NOTES = {
  image: 'Of control server, proxies and gateways.',
  imagePullPolicy: 'Always, IfNotPresent or Never.',
  revision: 'The istio.io/rev that namespaces and pods ask for it by.',
  clusterId: 'The cluster that proxies say they are in.',
  trustDomain: 'Of the identities: spiffe://TRUST-DOMAIN/ns/…',
  workloadCertTtl: 'Life of the workloads’ certificates; they are renewed at half of it.',
  clusterDomain: 'Of the names of Services.',
  logLevel: 'trace, debug, info, warning, error or off, of the control server and gateways.',
  bind: 'What the control server listens on; "[::]" in a cluster of IPv6 alone.',
  minReplicas: 'Of the control server and of each gateway; all there are without autoscaling.',
  maxReplicas: 'Where autoscaling ends.',
  resources: 'Of the control server.',
  proxyResources: 'Of sidecars and gateways.',
  nativeSidecar:
    'The proxy as an init container that goes on (Kubernetes 1.29 and later), not as a container of the pod.',
  captureDns: 'Sidecars answer their apps’ DNS, and so hosts of ServiceEntries without an address have one.',
  webhookFailurePolicy: 'Fail: a pod that asked for a sidecar does not start without; Ignore: it does.',
  ingressServiceType: 'LoadBalancer, NodePort or ClusterIP.',
  gatewayNamespace: 'Where gateways are, with their certificates; "" beside the control server.',
  ingressGateway: 'The way into the mesh, istio: ingressgateway.',
  egressGateway: 'The way out of it, istio: egressgateway.',
  networkPolicy: 'Nothing but its ports of the control server is reached.',
  podDisruptionBudget: 'One of each stays while nodes are drained.',
  autoscaling: 'By CPU; needs a metrics server.',
  imagePullSecrets:
    'For the pods of control server and gateways, such as [{name: registry}]; injected pods have their own.',
  nodeSelector: 'Labels of the nodes for control server and gateways.',
  tolerations: 'Taints that control server and gateways bear.',
  affinity: 'Of control server and gateways.',
  priorityClassName: 'Of control server and gateways, such as system-cluster-critical.',
  meshConfig:
    'MeshConfig as Istio’s, such as {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}; ConfigMap istio, which is not touched where this is empty.',
} as const;
