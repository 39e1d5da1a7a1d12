import { connect, type Socket } from 'node:net';
import type { Cluster } from '../../model/cluster.ts';
import type { UpstreamEndpoint } from './endpoint.ts';

/** Opens a TCP connection to an endpoint as the cluster says. Half-close is ours to handle. */
export function connectTo(endpoint: UpstreamEndpoint, cluster: Cluster): Socket {
  const bind = cluster.bindAddress;
  return connect({
    host: endpoint.host,
    port: endpoint.port,
    noDelay: true,
    allowHalfOpen: true,
    ...(cluster.tcpKeepalive === null ? {} : { keepAlive: true, keepAliveInitialDelay: cluster.tcpKeepalive.timeMs }),
    ...(bind === null ? {} : { localAddress: bind.host, localPort: bind.port }),
  });
}
