import { stringify } from 'yaml';
import { PORT } from './mesh.ts';

type Json = { readonly [key: string]: unknown };

function yaml(apiVersion: string, kind: string, name: string, rest: Json, namespace = 'default'): string {
  return stringify({ apiVersion, kind, metadata: { name, namespace }, ...rest }, { aliasDuplicateObjects: false });
}

/** Several objects in one file. */
export function file(...objects: readonly string[]): string {
  return objects.join('---\n');
}

export function service(name: string, namespace = 'default'): string {
  return yaml(
    'v1',
    'Service',
    name,
    { spec: { selector: { app: name }, ports: [{ name: 'http', port: PORT }] } },
    namespace,
  );
}

export function virtualService(name: string, spec: Json, namespace = 'default'): string {
  return yaml('networking.istio.io/v1', 'VirtualService', name, { spec }, namespace);
}

export function destinationRule(host: string, spec: Json, namespace = 'default'): string {
  return yaml('networking.istio.io/v1', 'DestinationRule', host, { spec: { host, ...spec } }, namespace);
}

/** Subsets by the `version` label. */
export function versions(host: string, ...names: readonly string[]): string {
  return destinationRule(host, { subsets: names.map((version) => ({ name: version, labels: { version } })) });
}

export function gateway(name = 'edge', hosts: readonly string[] = ['*'], port = 80): string {
  return yaml('networking.istio.io/v1', 'Gateway', name, {
    spec: {
      selector: { istio: 'ingressgateway' },
      servers: [{ port: { number: port, name: 'http', protocol: 'HTTP' }, hosts }],
    },
  });
}

/** Everything that comes in by the gateway goes to one service. */
export function edge(to: string, http: Json = {}): string {
  return virtualService('edge', {
    hosts: ['*'],
    gateways: ['edge'],
    http: [{ route: [{ destination: { host: to, port: { number: PORT } } }], ...http }],
  });
}

/** Calls to a service by weight of its subsets: `split('reviews', { v1: 90, v2: 10 })`. */
export function split(host: string, weights: Readonly<Record<string, number>>, http: Json = {}): string {
  const route = Object.entries(weights).map(([subset, weight]) => ({ destination: { host, subset }, weight }));
  return virtualService(host, { hosts: [host], http: [{ route, ...http }] });
}

/** A Pod and its EndpointSlice, as `remora run` announces an instance. */
export function instance(app: string, version: string, port: number, pod = `${app}-${version}`): string {
  return file(
    yaml('v1', 'Pod', pod, {
      metadata: { name: pod, namespace: 'default', labels: { app, version } },
      status: { phase: 'Running', podIP: '127.0.0.1', conditions: [{ type: 'Ready', status: 'True' }] },
    }),
    yaml('discovery.k8s.io/v1', 'EndpointSlice', pod, {
      metadata: { name: pod, namespace: 'default', labels: { 'kubernetes.io/service-name': app } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port, protocol: 'TCP' }],
      endpoints: [
        {
          addresses: ['127.0.0.1'],
          conditions: { ready: true },
          targetRef: { kind: 'Pod', name: pod, namespace: 'default' },
        },
      ],
    }),
  );
}

/** A host outside of the mesh, on an address of this machine that nobody calls. */
export function serviceEntry(name: string, host: string, port: number): string {
  return yaml('networking.istio.io/v1', 'ServiceEntry', name, {
    spec: {
      hosts: [host],
      ports: [{ number: port, name: 'http', protocol: 'HTTP' }],
      location: 'MESH_EXTERNAL',
      resolution: 'STATIC',
      endpoints: [{ address: '127.0.0.1' }],
    },
  });
}

export function rateLimit(target: string, requests: number): string {
  return yaml('remora.dev/v1alpha1', 'ResiliencePolicy', `${target}-limit`, {
    spec: {
      targetRefs: [{ group: '', kind: 'Service', name: target }],
      rateLimit: { local: { requests, per: '1s', burst: requests } },
    },
  });
}

/** `peerAuthentication('STRICT')`: of a namespace, or with a selector. */
export function peerAuthentication(mode: string, namespace = 'default', more: Json = {}): string {
  return yaml(
    'security.istio.io/v1',
    'PeerAuthentication',
    'default',
    { spec: { mtls: { mode }, ...more } },
    namespace,
  );
}
