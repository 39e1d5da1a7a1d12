import type { FilterConfig } from '../../../xds/proto/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3.ts';
import type { HttpFilterType } from '../filter.ts';
import { reportUnused } from '../wire.ts';

/**
 * Envoy's partner of the cluster of the same name: there it holds a request until the host is looked up. Here the
 * cluster looks hosts up as it connects, so the filter has nothing to do and no hooks.
 */
export const dynamicForwardProxy: HttpFilterType<null, null> = {
  kind: 'dynamic_forward_proxy',
  configType: 'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig',
  routeConfigType: 'envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig',
  decode(message, _problems, warnings, path) {
    const config = message as FilterConfig;
    reportUnused(
      config,
      {
        sub_cluster_config: 'hosts share one cluster',
        save_upstream_address: 'the address is in the access log anyway (%UPSTREAM_HOST%)',
      },
      warnings,
      path,
    );
    return null;
  },
  decodeRoute(_message, problems, _warnings, path) {
    problems.add(path, "is not supported: use the route's host_rewrite_literal or host_rewrite_header");
    return null;
  },
  create: () => ({}),
};
