import { pack } from '../../../xds/proto/codec.ts';
import type { Cluster } from '../../../xds/proto/gen/envoy/config/cluster/v3.ts';
import type { Route, VirtualHost } from '../../../xds/proto/gen/envoy/config/route/v3.ts';
import { ClusterConfig } from '../../../xds/proto/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3.ts';
import type { DnsCacheConfig } from '../../../xds/proto/gen/envoy/extensions/common/dynamic_forward_proxy/v3.ts';
import { withoutMeshHeaders } from './header-ops.ts';
import { originMetadata } from './metadata.ts';

/** Istio's name for where calls go that the mesh does not know. */
export const PASSTHROUGH = 'PassthroughCluster';

/** Istio's name for where nobody is. */
export const BLACK_HOLE = 'BlackHoleCluster';

/** Istio's name for the routes to there. */
export const ALLOW_ANY = 'allow_any';
const BLOCK_ALL = 'block_all';

const ORIGIN = 'hosts outside the mesh';

/** Shared by the filter and all clusters: Envoy wants one config for each name. */
export const DNS_CACHE: DnsCacheConfig = { name: 'outside', dns_lookup_family: 'V4_PREFERRED' };

/** The request's own host is the endpoint. */
export const FORWARD = {
  cluster_type: {
    name: 'envoy.clusters.dynamic_forward_proxy',
    // Plain HTTP: what Envoy wants otherwise concerns TLS.
    typed_config: pack(ClusterConfig, { dns_cache_config: DNS_CACHE, allow_insecure_cluster_options: true }),
  },
  lb_policy: 'CLUSTER_PROVIDED',
} as const satisfies Partial<Cluster>;

/**
 * Calls of the app to hosts that the mesh does not know go there (Istio's outboundTrafficPolicy ALLOW_ANY), without
 * what is for the mesh only. Not those whose name can only be one of the mesh's: a single label, or its own domain;
 * a typing error in them is better answered by 404 NR than by a failed look-up.
 */
export function outsideHost(domain: string): VirtualHost {
  const ours = `.*\\.${domain.replaceAll('.', '\\.')}\\.?(:\\d+)?`;
  return {
    name: ALLOW_ANY,
    domains: ['*'],
    routes: [
      withoutMeshHeaders<Route>({
        name: ALLOW_ANY,
        match: {
          prefix: '/',
          headers: [
            { name: ':authority', string_match: { safe_regex: { regex: '[^:]*\\.[^:]*(:\\d+)?|\\[.*\\](:\\d+)?' } } },
            { name: ':authority', string_match: { safe_regex: { regex: ours } }, invert_match: true },
          ],
        },
        route: { cluster: PASSTHROUGH, timeout: 0 },
        metadata: originMetadata(ORIGIN, {}),
      }),
    ],
  };
}

/** For whoever was going there anyway: the connection says where. */
export function passthroughHost(): VirtualHost {
  const route: Route = {
    name: ALLOW_ANY,
    match: { prefix: '/' },
    route: { cluster: PASSTHROUGH, timeout: 0 },
    metadata: originMetadata(ORIGIN, {}),
  };
  return { name: ALLOW_ANY, domains: ['*'], routes: [withoutMeshHeaders(route)] };
}

/** REGISTRY_ONLY: Istio's 502, which says what is missing (pains row 29). */
export function blockedHost(): VirtualHost {
  const body =
    'outboundTrafficPolicy is REGISTRY_ONLY, and no rule lets this call out: a ServiceEntry with this host (or *.domain) ' +
    'and port is missing, or a Sidecar or exportTo keeps it from this namespace\n';
  return {
    name: BLOCK_ALL,
    domains: ['*'],
    routes: [
      {
        name: BLOCK_ALL,
        match: { prefix: '/' },
        direct_response: { status: 502, body: { inline_string: body } },
        metadata: originMetadata('outboundTrafficPolicy REGISTRY_ONLY', {}),
      },
    ],
  };
}
