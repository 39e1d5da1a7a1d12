import type { OnDemand } from '../../../xds/proto/gen/envoy/extensions/filters/http/on_demand/v3.ts';
import type { HttpFilterType } from '../filter.ts';
import { reportUnused } from '../wire.ts';

const CLUSTERS = 'the control server sends the clusters of a virtual host before the host';

/**
 * Envoy's filter that holds a request until its virtual host is discovered. Here the stream does that, before it chooses
 * the route and so before any filter (`http/host-requests.ts`): that a chain has the filter is what turns it on.
 */
export const onDemand: HttpFilterType<null, null> = {
  kind: 'on_demand',
  configType: 'envoy.extensions.filters.http.on_demand.v3.OnDemand',
  routeConfigType: 'envoy.extensions.filters.http.on_demand.v3.PerRouteConfig',
  decode(message, _problems, warnings, path) {
    reportUnused(message as OnDemand, { odcds: CLUSTERS }, warnings, path);
    return null;
  },
  decodeRoute(message, _problems, warnings, path) {
    reportUnused(message as OnDemand, { odcds: CLUSTERS }, warnings, path);
    return null;
  },
  create: () => ({}),
};
