import { type Any, type MessageType, Problems, typeUrl, unpack } from '../../xds/proto/codec.ts';
import type { Cluster } from '../../xds/proto/gen/envoy/config/cluster/v3.ts';
import type { Listener } from '../../xds/proto/gen/envoy/config/listener/v3.ts';
import type { RouteAction, RouteConfiguration, VirtualHost } from '../../xds/proto/gen/envoy/config/route/v3.ts';
import { HttpConnectionManager } from '../../xds/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3.ts';
import { TcpProxy } from '../../xds/proto/gen/envoy/extensions/filters/network/tcp_proxy/v3.ts';
import { CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST } from './type-urls.ts';

/** Another resource that one cannot work without. */
export interface Reference {
  readonly typeUrl: string;
  readonly name: string;
}

/** What a resource refers to, each once. Types that refer to nothing have none. */
export function referencesOf(url: string, message: unknown): readonly Reference[] {
  const found = new Map<string, Reference>();
  const add = (typeUrl: string, name: string | undefined): void => {
    if (name !== undefined && name !== '') found.set(`${typeUrl} ${name}`, { typeUrl, name });
  };
  if (url === LISTENER) ofListener(message as Listener, add);
  else if (url === ROUTE) ofRoutes(message as RouteConfiguration, add);
  else if (url === VIRTUAL_HOST) ofHost(message as VirtualHost, add);
  else if (url === CLUSTER) ofCluster(message as Cluster, add);
  return [...found.values()];
}

type Add = (typeUrl: string, name: string | undefined) => void;

function ofListener(listener: Listener, add: Add): void {
  const chains = [
    ...(listener.filter_chains ?? []),
    ...(listener.default_filter_chain ? [listener.default_filter_chain] : []),
  ];
  for (const chain of chains) {
    for (const { typed_config: config } of chain.filters ?? []) {
      if (config === undefined) continue;
      const http = open(HttpConnectionManager, config);
      add(ROUTE, http?.rds?.route_config_name);
      if (http?.route_config !== undefined) ofRoutes(http.route_config, add);
      const tcp = open(TcpProxy, config);
      const byAddress = chain.metadata?.filter_metadata?.['remora']?.['address_routes'];
      if (tcp !== undefined && typeof byAddress === 'string') add(ROUTE, byAddress);
      add(CLUSTER, tcp?.cluster);
      for (const { name } of tcp?.weighted_clusters?.clusters ?? []) add(CLUSTER, name);
    }
  }
}

function ofRoutes(config: RouteConfiguration, add: Add): void {
  for (const host of config.virtual_hosts ?? []) ofHost(host, add);
}

function ofHost({ routes, metadata }: VirtualHost, add: Add): void {
  const bytes = metadata?.filter_metadata?.['remora']?.['bytes_cluster'];
  if (typeof bytes === 'string') add(CLUSTER, bytes);
  for (const { route } of routes ?? []) if (route !== undefined) ofAction(route, add);
}

function ofAction(action: RouteAction, add: Add): void {
  add(CLUSTER, action.cluster);
  for (const { name } of action.weighted_clusters?.clusters ?? []) add(CLUSTER, name);
  for (const { cluster } of action.request_mirror_policies ?? []) add(CLUSTER, cluster);
}

function ofCluster(cluster: Cluster, add: Add): void {
  if (cluster.type === 'EDS') add(ENDPOINT, cluster.eds_cluster_config?.service_name || cluster.name);
}

function open<T>(type: MessageType<T>, any: Any): T | undefined {
  return any.type_url === typeUrl(type) ? unpack(any, type, new Problems(), '') : undefined;
}
