import { buffer } from './buffer/buffer.ts';
import { cors } from './cors/cors.ts';
import { dynamicForwardProxy } from './dynamic-forward-proxy/dynamic-forward-proxy.ts';
import { fault } from './fault/fault.ts';
import type { HttpFilterType, NetworkFilterType } from './filter.ts';
import { headerMutation } from './header-mutation/header-mutation.ts';
import { localRateLimit } from './local-rate-limit/local-rate-limit.ts';
import { onDemand } from './on-demand/on-demand.ts';
import { networkRbac } from './rbac/network.ts';
import { rbac } from './rbac/rbac.ts';

/** The HTTP filters this proxy knows, in no particular order. The router, which ends every chain, is not one of them. */
export const HTTP_FILTER_TYPES: readonly HttpFilterType[] = [
  fault,
  cors,
  localRateLimit,
  headerMutation,
  dynamicForwardProxy,
  onDemand,
  rbac,
  buffer,
];

/** Those of connections, which stand before a TCP proxy. */
export const NETWORK_FILTER_TYPES: readonly NetworkFilterType[] = [networkRbac as NetworkFilterType];
