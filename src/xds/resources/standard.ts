import type { Cluster } from '../../model/cluster.ts';
import type { LoadAssignment } from '../../model/endpoint.ts';
import type { Listener } from '../../model/listener.ts';
import type { RouteConfig, VirtualHost } from '../../model/route.ts';
import type { TlsSecret } from '../../model/tls.ts';
import * as wireCluster from '../proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../proto/gen/envoy/config/endpoint/v3.ts';
import * as wireListener from '../proto/gen/envoy/config/listener/v3.ts';
import * as wireRoute from '../proto/gen/envoy/config/route/v3.ts';
import * as tls from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { decodeCluster } from './cluster.ts';
import { decodeAssignment } from './endpoint.ts';
import { decodeListener } from './listener.ts';
import { type ResourceType, resourceType } from './resource-type.ts';
import { decodeDiscoveredHost, decodeRouteConfig } from './route.ts';
import { decodeSecret } from './secret.ts';

export const LISTENER: ResourceType<Listener> = resourceType(
  wireListener.Listener,
  (m) => m.name ?? '',
  decodeListener,
);

export const ROUTE: ResourceType<RouteConfig> = resourceType(
  wireRoute.RouteConfiguration,
  (m) => m.name ?? '',
  (m, path, s) => decodeRouteConfig(m, path, s, false),
);

/** The resource's name says whose host it is; the host has a name of its own. */
export const VIRTUAL_HOST: ResourceType<VirtualHost> = {
  ...resourceType(wireRoute.VirtualHost, (m) => m.name ?? '', decodeDiscoveredHost),
  unnamed: true,
};

export const CLUSTER: ResourceType<Cluster> = resourceType(
  wireCluster.Cluster,
  (m) => m.name ?? '',
  (m, path, s) => decodeCluster(m, path, s),
);

export const ENDPOINT: ResourceType<LoadAssignment> = resourceType(
  ClusterLoadAssignment,
  (m) => m.cluster_name ?? '',
  (m, path, s) => decodeAssignment(m, path, s),
);

export const SECRET: ResourceType<TlsSecret> = resourceType(tls.Secret, (m) => m.name ?? '', decodeSecret);

/** Every kind of resource that discovery serves. */
export const standardResourceTypes = [LISTENER, ROUTE, VIRTUAL_HOST, CLUSTER, ENDPOINT, SECRET] as const;
