import { requested } from './control.ts';
import { type Json, labelled, restricted } from './object.ts';
import type { Values } from './values.ts';

/** A gateway's proxy with its Service. Listeners bind the Gateway's ports + 8000 below 1024, as nobody is root. */
export function gatewayManifests(values: Values, kind: 'ingress' | 'egress'): Json[] {
  const { namespace } = values;
  const name = `remora-${kind}gateway`;
  // The label that Gateway objects select by default in Istio's examples.
  const selector = { app: name, istio: `${kind}gateway` };
  const own = values.gatewayNamespace || namespace;
  const metadata = labelled(name, own);
  const certificates = labelled(`${name}-certificates`, own);
  const field = (env: string, fieldPath: string): Json => ({ name: env, valueFrom: { fieldRef: { fieldPath } } });
  const health = { httpGet: { path: '/healthz/ready', port: 15021 }, timeoutSeconds: 3 };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    // The control server reads credentialName's Secrets here; it may read no others of the cluster.
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: certificates,
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: certificates,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: `${name}-certificates` },
      subjects: [{ kind: 'ServiceAccount', name: 'remora-control', namespace }],
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        selector: { matchLabels: selector },
        strategy: { rollingUpdate: { maxSurge: '100%', maxUnavailable: 0 } },
        template: {
          metadata: {
            labels: { ...selector, 'app.kubernetes.io/part-of': 'remora', 'sidecar.istio.io/inject': 'false' },
            annotations: {
              'prometheus.io/scrape': 'true',
              'prometheus.io/port': '15090',
              'prometheus.io/path': '/stats/prometheus',
            },
          },
          spec: {
            serviceAccountName: name,
            securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
            terminationGracePeriodSeconds: 45,
            containers: [
              {
                name: 'remora-proxy',
                image: values.image,
                imagePullPolicy: values.imagePullPolicy,
                args: [
                  'proxy',
                  '--router',
                  `--control=remora-control.${namespace}.svc:15012`,
                  `--domain-suffix=${values.clusterDomain}`,
                  '--map=80=8080',
                  '--map=443=8443',
                  '--health=[::]:15021',
                  '--prometheus=[::]:15090',
                  '--last-good=/var/lib/istio/data/last-good',
                  '--last-good-identity=/run/remora/identity',
                  '--termination-grace-period-s=45',
                  `--log-level=${values.logLevel}`,
                ],
                env: [
                  field('POD_NAME', 'metadata.name'),
                  field('POD_NAMESPACE', 'metadata.namespace'),
                  field('INSTANCE_IP', 'status.podIP'),
                  field('INSTANCE_IPS', 'status.podIPs'),
                  field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
                  field('NODE_NAME', 'spec.nodeName'),
                  { name: 'CA_ADDR', value: `remora-control.${namespace}.svc:15012` },
                  { name: 'TRUST_DOMAIN', value: values.trustDomain },
                  { name: 'ISTIO_META_CLUSTER_ID', value: values.clusterId },
                  { name: 'ISTIO_META_WORKLOAD_NAME', value: name },
                ],
                ports: [
                  { name: 'http', containerPort: 8080, protocol: 'TCP' },
                  { name: 'https', containerPort: 8443, protocol: 'TCP' },
                  { name: 'http-envoy-prom', containerPort: 15090, protocol: 'TCP' },
                  { name: 'remora-health', containerPort: 15021, protocol: 'TCP' },
                ],
                startupProbe: { ...health, periodSeconds: 1, failureThreshold: 600 },
                readinessProbe: { ...health, periodSeconds: 5, failureThreshold: 3 },
                lifecycle: { preStop: { exec: { command: ['remora', 'drain'] } } },
                resources: requested(values.proxyResources),
                securityContext: restricted(),
                volumeMounts: [
                  { name: 'istiod-ca-cert', mountPath: '/var/run/secrets/istio', readOnly: true },
                  { name: 'istio-token', mountPath: '/var/run/secrets/tokens', readOnly: true },
                  { name: 'istio-podinfo', mountPath: '/etc/istio/pod', readOnly: true },
                  { name: 'istio-data', mountPath: '/var/lib/istio/data' },
                  { name: 'tmp', mountPath: '/tmp' },
                  { name: 'run', mountPath: '/run/remora' },
                ],
              },
            ],
            volumes: [
              { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert', optional: true } },
              {
                name: 'istio-token',
                projected: {
                  sources: [
                    { serviceAccountToken: { path: 'istio-token', audience: 'istio-ca', expirationSeconds: 43200 } },
                  ],
                },
              },
              {
                name: 'istio-podinfo',
                downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] },
              },
              { name: 'istio-data', emptyDir: {} },
              { name: 'tmp', emptyDir: {} },
              { name: 'run', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
            ],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        type: kind === 'ingress' ? values.ingressServiceType : 'ClusterIP',
        selector,
        ports: [
          { name: 'status-port', port: 15021, targetPort: 15021, protocol: 'TCP', appProtocol: 'http' },
          { name: 'http2', port: 80, targetPort: 8080, protocol: 'TCP' },
          { name: 'https', port: 443, targetPort: 8443, protocol: 'TCP' },
        ],
      },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata,
      spec: { minAvailable: 1, selector: { matchLabels: selector } },
    },
    {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata,
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
        minReplicas: values.minReplicas,
        maxReplicas: values.maxReplicas,
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
        ],
      },
    },
  ];
}
