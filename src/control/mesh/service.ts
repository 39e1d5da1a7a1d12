import type { Written } from './mesh.ts';

/** The protocol of a service port, from appProtocol, the port's name, or `auto` where neither says. */
export type PortProtocol = 'http' | 'http2' | 'grpc' | 'https' | 'tls' | 'tcp' | 'auto';

export interface ServicePort {
  readonly number: number;
  readonly name: string;
  readonly protocol: PortProtocol;
}

/** A callable host: a Kubernetes Service or one host of a ServiceEntry. */
export interface MeshService {
  /** `reviews.default.svc.cluster.local`, `api.example.com`, `*.example.com`. */
  readonly host: string;
  /** `reviews`; for a ServiceEntry the host. */
  readonly name: string;
  readonly namespace: string;
  readonly ports: readonly ServicePort[];
  /** How endpoints are found: `endpoints` are listed here; `dns` resolves `endpoints` (or the host itself); `dynamic` looks up the host of each request; `passthrough` calls the original destination. */
  readonly resolution: 'endpoints' | 'dns' | 'dns-round-robin' | 'dynamic' | 'passthrough';
  readonly external: boolean;
  /** ClusterIPs or ServiceEntry addresses. */
  readonly addresses: readonly string[];
  /** Where there are none: those of a ServiceEntry's host for proxies that answer DNS, one of each family. */
  readonly autoAddresses?: readonly string[];
  /** The host of the service of the mesh that an ExternalName is another name of. */
  readonly aliasOf?: string;
  readonly endpoints: readonly ServiceEndpoint[];
  /** Its clients prefer endpoints of their own zone, or node; absent: none. */
  readonly near?: 'zone' | 'node';
  /** Namespaces that may see it; ['*'] all, '.' already resolved. */
  readonly exportTo: readonly string[];
  readonly written: Written;
}

/** One instance behind one or more ports of a service. */
export interface ServiceEndpoint {
  /** IP address, or a name where resolution is DNS. */
  readonly address: string;
  /** The same instance's addresses of the other family, in the order to be tried after `address`; absent: none. */
  readonly moreAddresses?: readonly string[];
  /** Endpoint port by service port number. */
  readonly ports: ReadonlyMap<number, number>;
  readonly labels: Readonly<Record<string, string>>;
  /** Ready and not terminating; others are emitted as DRAINING or left out. */
  readonly health: 'healthy' | 'unhealthy' | 'draining';
  readonly weight: number;
  /** `region/zone/subzone`, '' unknown. */
  readonly locality: string;
  /** Node that it runs on. */
  readonly node?: string;
  /** Zones that Kubernetes means it for (EndpointSlice hints). */
  readonly zones?: readonly string[];
  /** Its name under that of a headless service, as a StatefulSet's pods have. */
  readonly hostname?: string;
  /** Workload (pod) behind it, '' unknown: `reviews-v1-abc.default`. */
  readonly workload: string;
  /** `namespace/service-account` of its proxy, which speaks mutual TLS; absent: it is called in plain text. */
  readonly identity?: string;
  /** Ports of its own that take plain text all the same (PeerAuthentication DISABLE). */
  readonly plainPorts?: ReadonlySet<number>;
}

/** A pod (or WorkloadEntry): what a proxy rides along with. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
}
