import type { PeerAuthenticationRule } from './authentication.ts';
import type { GatewayServer } from './gateway.ts';
import type { RouteTableRule } from './route-rule.ts';
import type { GatewaySecret } from './secret.ts';
import type { MeshService, Workload } from './service.ts';
import type { MeshSettings } from './settings.ts';
import type { SidecarScope } from './sidecar-scope.ts';
import type { TlsRouteRule } from './tls-route.ts';
import type { RateLimitPolicy, TrafficPolicyRule } from './traffic-policy.ts';

/**
 * The control server's intermediate representation: what the mesh *is*, independent of the API it was written
 * in. Plain immutable data. `translate/istio` (and later `translate/gateway-api`) makes it, `translate/emit`
 * turns it into xDS for one proxy. Durations are milliseconds; hosts are lower case and fully qualified.
 */
export interface Mesh {
  /** By fully qualified host, e.g. `reviews.default.svc.cluster.local`; ServiceEntry hosts included (wildcards as written). */
  readonly services: ReadonlyMap<string, MeshService>;
  readonly workloads: readonly Workload[];
  /** Localities of nodes by their names: `region/zone/subzone`. */
  readonly places: ReadonlyMap<string, string>;
  /** Routing rules by host, merged and ordered: first match wins. A host without an entry is routed to its service. */
  readonly routes: readonly RouteTableRule[];
  /** Of TLS that gateways pass on, oldest first. */
  readonly tlsRoutes: readonly TlsRouteRule[];
  /** Traffic policies (DestinationRule), most specific host first. */
  readonly policies: readonly TrafficPolicyRule[];
  readonly gateways: readonly GatewayServer[];
  /** By `namespace/name`. */
  readonly secrets: ReadonlyMap<string, GatewaySecret>;
  /** What workloads take from their callers, oldest first. */
  readonly peerAuthentications: readonly PeerAuthenticationRule[];
  readonly rateLimits: readonly RateLimitPolicy[];
  /** What workloads may call, oldest first. */
  readonly sidecars: readonly SidecarScope[];
  readonly settings: MeshSettings;
  /** `cluster.local` */
  readonly domain: string;
}

/** Where something was written: for route metadata, explain, and findings. */
export interface Written {
  /** `VirtualService default/reviews` */
  readonly object: string;
  /** `reviews.yaml:12`; '' unknown. */
  readonly place: string;
}
