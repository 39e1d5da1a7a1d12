import { typeUrl } from '../proto/codec.ts';
import { Cluster } from '../proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration, VirtualHost } from '../proto/gen/envoy/config/route/v3.ts';
import { Secret } from '../proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { NameTable } from '../proto/gen/istio/networking/nds/v1.ts';

export const LISTENER = typeUrl(Listener);
export const ROUTE = typeUrl(RouteConfiguration);
export const CLUSTER = typeUrl(Cluster);
export const ENDPOINT = typeUrl(ClusterLoadAssignment);
export const VIRTUAL_HOST = typeUrl(VirtualHost);
export const SECRET = typeUrl(Secret);
export const NAME_TABLE = typeUrl(NameTable);

/** In SotW these responses are the whole world: what is absent is removed. */
export const WHOLE_WORLD: ReadonlySet<string> = new Set([LISTENER, CLUSTER, NAME_TABLE]);

const SHORT = new Map([
  [LISTENER, 'LDS'],
  [ROUTE, 'RDS'],
  [VIRTUAL_HOST, 'VHDS'],
  [CLUSTER, 'CDS'],
  [ENDPOINT, 'EDS'],
  [SECRET, 'SDS'],
  [NAME_TABLE, 'NDS'],
]);

/** `LDS`, `RDS`, … for people; the URL itself for any other type. */
export function shortName(typeUrl: string): string {
  return SHORT.get(typeUrl) ?? typeUrl;
}
