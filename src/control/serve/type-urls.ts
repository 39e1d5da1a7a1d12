import { typeUrl } from '../../xds/proto/codec.ts';
import { Cluster } from '../../xds/proto/gen/envoy/config/cluster/v3.ts';
import { ClusterLoadAssignment } from '../../xds/proto/gen/envoy/config/endpoint/v3.ts';
import { Listener } from '../../xds/proto/gen/envoy/config/listener/v3.ts';
import { RouteConfiguration, VirtualHost } from '../../xds/proto/gen/envoy/config/route/v3.ts';
import { Secret } from '../../xds/proto/gen/envoy/extensions/transport_sockets/tls/v3.ts';
import { NameTable } from '../../xds/proto/gen/istio/networking/nds/v1.ts';

export const LISTENER = typeUrl(Listener);
export const ROUTE = typeUrl(RouteConfiguration);
export const CLUSTER = typeUrl(Cluster);
export const ENDPOINT = typeUrl(ClusterLoadAssignment);
/** Resources named `<route configuration>/<host>` (VHDS): delta only. */
export const VIRTUAL_HOST = typeUrl(VirtualHost);
export const SECRET = typeUrl(Secret);
/** Istio's NDS: what the DNS proxy beside a sidecar answers. */
export const NAME_TABLE = typeUrl(NameTable);

/** Types that a client may ask for as a whole, and whose SotW responses are all there is. */
export const WHOLE_WORLD: ReadonlySet<string> = new Set([LISTENER, CLUSTER, NAME_TABLE]);

/** What is new goes out in this order, so that nothing names what is not there yet. */
export const ADDITION_ORDER: readonly string[] = [CLUSTER, ENDPOINT, SECRET, LISTENER, ROUTE, VIRTUAL_HOST, NAME_TABLE];
/** What is gone goes out in this one, after all that is new, so that nothing loses what it still names. */
export const REMOVAL_ORDER: readonly string[] = [NAME_TABLE, LISTENER, ROUTE, VIRTUAL_HOST, CLUSTER, ENDPOINT, SECRET];

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
