import { type Json, labelled, restricted } from './object.ts';
import type { Values } from './values.ts';

const NAME = 'remora-control';
const SELECTOR = { app: NAME };
export const SETTINGS = 'remora-inject';

/** The control server: who it is, what it runs, how it is reached and kept alive. */
export function controlManifests(values: Values): Json[] {
  const { namespace } = values;
  const metadata = (name: string) => labelled(name, namespace);
  return [
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: metadata(NAME),
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: metadata(SETTINGS),
      data: { 'settings.yaml': injectSettings(values) },
    },
    deployment(values),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadata(NAME),
      spec: {
        selector: SELECTOR,
        ports: [
          { name: 'grpc-xds', port: 15010, targetPort: 15010, protocol: 'TCP' },
          { name: 'https-dns', port: 15012, targetPort: 15012, protocol: 'TCP' },
          { name: 'http-monitoring', port: 15014, targetPort: 15014, protocol: 'TCP' },
          { name: 'https-webhook', port: 443, targetPort: 15017, protocol: 'TCP' },
        ],
      },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: metadata(NAME),
      spec: { minAvailable: 1, selector: { matchLabels: SELECTOR } },
    },
    {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: metadata(NAME),
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: NAME },
        minReplicas: values.minReplicas,
        maxReplicas: values.maxReplicas,
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
        ],
      },
    },
    {
      // Proxies are everywhere and the API server is no pod, so it is ports that are allowed, not peers.
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: metadata(NAME),
      spec: {
        podSelector: { matchLabels: SELECTOR },
        policyTypes: ['Ingress'],
        ingress: [{ ports: [15010, 15012, 15014, 15017].map((port) => ({ port, protocol: 'TCP' })) }],
      },
    },
  ];
}

function deployment(values: Values): Json {
  const { namespace, bind } = values;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: labelled(NAME, namespace),
    // The autoscaler counts the replicas: to give a number here would undo it at each apply.
    spec: {
      selector: { matchLabels: SELECTOR },
      strategy: { rollingUpdate: { maxSurge: '100%', maxUnavailable: 0 } },
      template: {
        metadata: {
          // Its own webhook must not be needed to start it.
          labels: { ...SELECTOR, 'app.kubernetes.io/part-of': 'remora', 'sidecar.istio.io/inject': 'false' },
          annotations: {
            'prometheus.io/scrape': 'true',
            'prometheus.io/port': '15014',
            'prometheus.io/path': '/metrics',
          },
        },
        spec: {
          serviceAccountName: NAME,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
          topologySpreadConstraints: [
            {
              maxSkew: 1,
              topologyKey: 'kubernetes.io/hostname',
              whenUnsatisfiable: 'ScheduleAnyway',
              labelSelector: { matchLabels: SELECTOR },
            },
          ],
          containers: [
            {
              name: 'control',
              image: values.image,
              imagePullPolicy: values.imagePullPolicy,
              args: [
                'control',
                '--in-cluster',
                `--xds=${bind}:15010`,
                `--xds-tls=${bind}:15012`,
                `--trust-domain=${values.trustDomain}`,
                `--workload-cert-ttl=${values.workloadCertTtl}`,
                `--http=${bind}:15014`,
                `--webhook=${bind}:15017`,
                '--inject-settings=/etc/remora/inject/settings.yaml',
                `--log-level=${values.logLevel}`,
              ],
              env: [
                { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
                // Large blocks go back to the kernel at once: what a wave of proxies needed does not stay.
                { name: 'MALLOC_TRIM_THRESHOLD_', value: '131072' },
              ],
              ports: [
                { name: 'grpc-xds', containerPort: 15010, protocol: 'TCP' },
                { name: 'https-dns', containerPort: 15012, protocol: 'TCP' },
                { name: 'http-monitoring', containerPort: 15014, protocol: 'TCP' },
                { name: 'https-webhook', containerPort: 15017, protocol: 'TCP' },
              ],
              readinessProbe: { httpGet: { path: '/ready', port: 15014 }, periodSeconds: 3, timeoutSeconds: 5 },
              livenessProbe: { tcpSocket: { port: 15014 }, periodSeconds: 10, failureThreshold: 6 },
              // Proxies that it sends away, and the API server with its pods, must not come back to it.
              lifecycle: { preStop: { sleep: { seconds: 5 } } },
              resources: requested(values.resources),
              securityContext: restricted(),
              volumeMounts: [
                { name: 'tmp', mountPath: '/tmp' },
                { name: 'inject', mountPath: '/etc/remora/inject', readOnly: true },
              ],
            },
          ],
          volumes: [
            { name: 'tmp', emptyDir: {} },
            { name: 'inject', configMap: { name: SETTINGS } },
          ],
        },
      },
    },
  };
}

export function requested({ cpu, memory, memoryLimit }: Values['resources']): Json {
  return { requests: { cpu, memory }, limits: { memory: memoryLimit } };
}

/** `InjectionSettings`, as far as an installation decides them. */
function injectSettings(values: Values): string {
  const { namespace, proxyResources: proxy } = values;
  return `image: ${JSON.stringify(values.image)}
imagePullPolicy: ${values.imagePullPolicy}
revision: ${values.revision}
control: ${NAME}.${namespace}.svc:15012
ca: ${NAME}.${namespace}.svc:15012
clusterId: ${values.clusterId}
meshId: ${values.trustDomain}
trustDomain: ${values.trustDomain}
clusterDomain: ${values.clusterDomain}
nativeSidecar: ${values.nativeSidecar}
captureDns: ${values.captureDns}
resources:
  requests: {cpu: "${proxy.cpu}", memory: "${proxy.memory}"}
  limits: {memory: "${proxy.memoryLimit}"}
`;
}
