import type { TcpProxy as TcpProxyModel } from '../../model/listener.ts';
import type { TcpProxy } from '../proto/gen/envoy/extensions/filters/network/tcp_proxy/v3.ts';
import { decodeAccessLogs } from './access-log.ts';
import type { Decoding } from './decoding.ts';

const HOUR_MS = 3_600_000;
const UINT32_MAX = 0xffff_ffff;

export function decodeTcpProxy(tcp: TcpProxy, path: string, s: Decoding): TcpProxyModel {
  return {
    statPrefix: tcp.stat_prefix ?? '',
    clusters: decodeClusters(tcp, path, s),
    idleTimeoutMs: tcp.idle_timeout ?? HOUR_MS,
    maxConnectAttempts: tcp.max_connect_attempts ?? 1,
    maxDurationMs: tcp.max_downstream_connection_duration ?? 0,
    accessLog: decodeAccessLogs(tcp.access_log, `${path}.access_log`, s),
    // The fields of the options are the newer ones.
    logIntervalMs: tcp.access_log_options?.access_log_flush_interval ?? tcp.access_log_flush_interval ?? 0,
    logOnConnected: tcp.access_log_options?.flush_access_log_on_connected ?? tcp.flush_access_log_on_connected ?? false,
  };
}

function decodeClusters(tcp: TcpProxy, path: string, s: Decoding): { name: string; weight: number }[] {
  const weighted = tcp.weighted_clusters?.clusters;
  if (weighted === undefined) {
    const name = tcp.cluster ?? '';
    s.clusters.push({ name, path: `${path}.cluster`, required: false });
    return [{ name, weight: 1 }];
  }
  const clusters = weighted.map((one) => ({ name: one.name ?? '', weight: one.weight ?? 0 }));
  for (const [i, one] of clusters.entries()) {
    s.clusters.push({ name: one.name, path: `${path}.weighted_clusters.clusters[${i}].name`, required: false });
  }
  const sum = clusters.reduce((total, one) => total + one.weight, 0);
  if (sum > UINT32_MAX)
    s.error(`${path}.weighted_clusters`, `the weights sum to ${sum}, which is more than ${UINT32_MAX}`);
  return clusters;
}
