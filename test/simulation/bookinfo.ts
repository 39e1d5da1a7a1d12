/** Bookinfo's instances as the demo writes them: a Pod and an endpoint each, on loopback ports of their own. */
const INSTANCES = [
  ['productpage', 'v1', 31001],
  ['details', 'v1', 31002],
  ['ratings', 'v1', 31003],
  ['reviews', 'v1', 31004],
  ['reviews', 'v2', 31005],
  ['reviews', 'v3', 31006],
] as const;

/** YAML of Pods and EndpointSlices; `without` names instances (`reviews-v2`) that are down. */
export function bookinfoInstances(without: readonly string[] = []): string {
  const up = INSTANCES.filter(([app, version]) => !without.includes(`${app}-${version}`));
  const pods = up.map(([app, version]) => pod(app, version));
  const apps = [...new Set(INSTANCES.map(([app]) => app))];
  const slices = apps.flatMap((app) =>
    up.filter(([name]) => name === app).map(([, version, port]) => slice(app, version, port)),
  );
  return [...pods, ...slices].join('---\n');
}

function pod(app: string, version: string): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: ${app}-${version}
  namespace: default
  labels: { app: ${app}, version: ${version} }
spec:
  serviceAccountName: bookinfo-${app}
status:
  phase: Running
  podIP: 127.0.0.1
  conditions: [{ type: Ready, status: "True" }]
`;
}

function slice(app: string, version: string, port: number): string {
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: ${app}-${version}
  namespace: default
  labels: { kubernetes.io/service-name: ${app} }
addressType: IPv4
ports:
  - { name: http, port: ${port}, protocol: TCP }
endpoints:
  - addresses: ["127.0.0.1"]
    conditions: { ready: true }
    targetRef: { kind: Pod, name: ${app}-${version}, namespace: default }
`;
}
