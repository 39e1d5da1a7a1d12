/**
 * The order in which requests meet the HTTP filters, everywhere the same. What answers itself and costs nothing comes
 * first; what must know the caller comes after what finds out who he is.
 */
export const FILTER_ORDER = [
  // A fault stands for the network and the upstream, so it comes before any policy spends work or tokens on the request.
  'envoy.filters.http.fault',
  // Preflights carry no credentials: they are answered before anything could ask for some.
  'envoy.filters.http.cors',
  // Slots of later steps, in their places:
  //   'envoy.filters.http.jwt_authn'   who the caller is; rules below may read its claims
  //   'envoy.filters.http.rbac'        may he; in memory, so before what calls out
  //   'envoy.filters.http.ext_authz'   may he, says somebody else
  // Behind authorization, so that strangers cannot use up the tokens of others.
  'envoy.filters.http.local_ratelimit',
  //   'envoy.filters.http.ratelimit'   global: calls out, so only for what the local limit let pass
  //   'envoy.filters.http.lua'         users' own, on requests that are going to be forwarded
  //   'envoy.filters.http.compressor'
  // Looks the host up for the router.
  'envoy.filters.http.dynamic_forward_proxy',
  // Terminal.
  'envoy.filters.http.router',
] as const;

export type FilterName = (typeof FILTER_ORDER)[number];

/** Names of what a route configures per filter. */
export const FAULT = 'envoy.filters.http.fault';
export const CORS = 'envoy.filters.http.cors';
export const LOCAL_RATE_LIMIT = 'envoy.filters.http.local_ratelimit';
