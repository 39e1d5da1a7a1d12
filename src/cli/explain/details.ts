import type { CircuitBreakerThresholds, Cluster } from '../../model/cluster.ts';
import { type HttpConnectionManager, routeSources } from '../../model/http-connection-manager.ts';
import type { Listener } from '../../model/listener.ts';
import type { RedirectAction } from '../../model/route.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ListenerExplanation } from '../../proxy/admin/explain.ts';
import { count, duration } from '../output.ts';
import type { Details, Policy } from './answer.ts';

/** What a config says that an explanation leaves out. */
export function detailsIn(snapshot: Snapshot, explained: ListenerExplanation, policies: readonly Policy[]): Details {
  const { trace, route } = explained;
  const manager = managerOf(snapshot.listeners.get(explained.listener), explained);
  const sources = manager === undefined ? [] : routeSources(manager.routes);
  const inline = sources.flatMap((source) => (source.kind === 'inline' ? [source.config] : []));
  const table = inline.find(({ name }) => name === explained.routeTable) ?? snapshot.routes.get(explained.routeTable);
  const host = table?.virtualHosts.find(({ name }) => name === route?.virtualHost);
  const matched = host?.routes[trace?.routes.find(({ matched }) => matched)?.index ?? -1];
  const clusters: Record<string, readonly string[]> = {};
  for (const target of route?.targets ?? []) {
    const cluster = snapshot.clusters.get(target.cluster);
    if (cluster !== undefined) clusters[target.cluster] = describeCluster(cluster);
  }
  const redirect = matched?.action.kind === 'redirect' ? describeRedirect(matched.action) : '';
  return { redirect, clusters, policies };
}

/** The connection manager that an explanation is of. */
function managerOf(listener: Listener | undefined, explained: ListenerExplanation): HttpConnectionManager | undefined {
  for (const { name, filter } of listener?.filterChains ?? []) {
    if (filter.kind === 'http' && name === explained.filterChain) return filter.http;
  }
  return undefined;
}

function describeRedirect({ scheme, httpsRedirect, host, port, path }: RedirectAction): string {
  const newScheme = scheme !== '' ? scheme : httpsRedirect ? 'https' : '';
  const parts = [
    newScheme === '' ? '' : `scheme ${newScheme}`,
    host === '' ? '' : `host ${host}`,
    port === 0 ? '' : `port ${port}`,
    path.kind === 'path' ? `path ${path.value}` : path.kind === 'prefix' ? `path prefix ${path.value}` : '',
  ].filter((part) => part !== '' && part !== 'path ');
  return parts.length === 0 ? 'the same address' : `${parts.join(', ')}, else the same`;
}

const UNLIMITED = 2 ** 32 - 1;

/** What a DestinationRule (or the mesh's defaults) says of a cluster beyond its balancing. */
function describeCluster({ circuitBreakers, outlierDetection, maxRequestsPerConnection }: Cluster): string[] {
  const says: string[] = [];
  const limits = describeLimits(circuitBreakers.default);
  if (limits !== '') says.push(limits);
  if (outlierDetection !== null) {
    const counts = [
      [outlierDetection.enforcingConsecutive5xx, outlierDetection.consecutive5xx, 'answers of 5xx'],
      [
        outlierDetection.enforcingConsecutiveGatewayFailure,
        outlierDetection.consecutiveGatewayFailure,
        'gateway errors',
      ],
    ] as const;
    const after = counts.filter(([enforced]) => enforced > 0).map(([, number, what]) => `${number} ${what}`);
    if (after.length > 0) {
      const { baseEjectionTimeMs, maxEjectionPercent } = outlierDetection;
      says.push(
        `ejects an endpoint after ${after.join(' or ')} in a row, for ${duration(baseEjectionTimeMs)} (longer each time), at most ${maxEjectionPercent} % of them`,
      );
    }
  }
  if (maxRequestsPerConnection > 0) says.push(`${count(maxRequestsPerConnection, 'request')} on a connection`);
  return says;
}

function describeLimits(limits: CircuitBreakerThresholds): string {
  const { maxConnections, maxPendingRequests, maxRequests, maxRetries, retryBudget } = limits;
  const numbers = [
    [maxConnections, 'connections'],
    [maxPendingRequests, 'waiting requests'],
    [maxRequests, 'requests at once'],
    [retryBudget === null ? maxRetries : UNLIMITED, 'retries at once'],
  ] as const;
  const said = numbers.filter(([number]) => number < UNLIMITED).map(([number, what]) => `${number} ${what}`);
  return said.length === 0 ? '' : `at most ${said.join(', ')}; beyond that 503, UO`;
}
