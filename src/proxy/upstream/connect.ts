import { connect, isIPv6, type NetConnectOpts, type OnReadOpts, type Socket } from 'node:net';
import type { DuplexOptions } from 'node:stream';
import type { SocketAddress } from '../../model/address.ts';
import type { Cluster } from '../../model/cluster.ts';
import type { UpstreamEndpoint } from './endpoint.ts';

/** Opens a TCP connection to an endpoint as the cluster says. Half-close is ours to handle. `onread`: where its bytes go instead of `data` events. */
export function connectTo(endpoint: UpstreamEndpoint, cluster: Cluster, onread?: OnReadOpts): Socket {
  const bind = sourceFor(endpoint.host, cluster.bindAddresses);
  const options: NetConnectOpts & DuplexOptions = {
    host: endpoint.host,
    port: endpoint.port,
    noDelay: true,
    allowHalfOpen: true,
    // What may wait for a slow server before its source is stopped (`per_connection_buffer_limit_bytes`).
    highWaterMark: cluster.perConnectionBufferLimitBytes,
    ...(cluster.tcpKeepalive === null ? {} : { keepAlive: true, keepAliveInitialDelay: cluster.tcpKeepalive.timeMs }),
    ...(onread === undefined ? {} : { onread }),
    ...(bind === null ? {} : { localAddress: bind.host, localPort: bind.port }),
  };
  return connect(options);
}

/** The first of the endpoint's family, else the first (Envoy's default local address selector). */
function sourceFor(host: string, sources: readonly SocketAddress[]): SocketAddress | null {
  if (sources.length === 0) return null;
  const six = isIPv6(host);
  return sources.find((source) => isIPv6(source.host) === six) ?? sources[0]!;
}
