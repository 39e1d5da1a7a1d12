import { connect, type OnReadOpts, type Socket } from 'node:net';
import { isIPv6 } from '../../base/ip.ts';
import type { SocketAddress } from '../../model/address.ts';
import type { UpstreamCluster } from './cluster.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { ANY_SERVER, type ConnectOptions, type ServerIdentity } from './tls.ts';

/**
 * Opens a connection to an endpoint as the cluster says: TCP, or TLS by the endpoint's metadata; it may be written to
 * once it emits its `readyEvent`. Half-close is ours to handle. `onread`: where its bytes go instead of `data` events.
 */
export function connectTo(
  endpoint: UpstreamEndpoint,
  { config: cluster, tls }: UpstreamCluster,
  onread?: OnReadOpts,
  server: ServerIdentity = ANY_SERVER,
): Socket {
  const { eyeballs } = endpoint;
  const bind = sourceFor(endpoint.host, cluster.bindAddresses);
  const options: ConnectOptions = {
    ...(eyeballs === null
      ? { host: endpoint.host, port: endpoint.port }
      : bind === null
        ? eyeballs.options
        : { host: eyeballs.of(isIPv6(bind.host)), port: endpoint.port }),
    noDelay: true,
    allowHalfOpen: true,
    // What may wait for a slow server before its source is stopped (`per_connection_buffer_limit_bytes`).
    highWaterMark: cluster.perConnectionBufferLimitBytes,
    ...(cluster.tcpKeepalive === null ? {} : { keepAlive: true, keepAliveInitialDelay: cluster.tcpKeepalive.timeMs }),
    ...(onread === undefined ? {} : { onread }),
    ...(bind === null ? {} : { localAddress: bind.host, localPort: bind.port }),
  };
  const secure = tls === null ? null : tls.of(endpoint.socketMatch);
  const socket = secure === null ? connect(options) : secure.connect(options, endpoint.address, server);
  if (eyeballs !== null) eyeballs.follow(socket);
  return socket;
}

/** The first of the endpoint's family, else the first (Envoy's default local address selector). */
function sourceFor(host: string, sources: readonly SocketAddress[]): SocketAddress | null {
  if (sources.length === 0) return null;
  const six = isIPv6(host);
  return sources.find((source) => isIPv6(source.host) === six) ?? sources[0]!;
}
