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
