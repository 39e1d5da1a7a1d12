import type { CircuitBreakerThresholds, Cluster } from '../../model/cluster.ts';
import type { HttpConnectionManager } from '../../model/http-connection-manager.ts';
import type { Listener } from '../../model/listener.ts';
import type { PerFilterConfig, RedirectAction } from '../../model/route.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ListenerExplanation } from '../../proxy/admin/explain.ts';
import type { CorsPolicy } from '../../proxy/filters/cors/config.ts';
import type { Cors } from '../../proxy/filters/cors/cors.ts';
import type { FaultConfig } from '../../proxy/filters/fault/config.ts';
import type { Fault } from '../../proxy/filters/fault/fault.ts';
import type { LocalRateLimitConfig } from '../../proxy/filters/local-rate-limit/config.ts';
import type { Limit } from '../../proxy/filters/local-rate-limit/local-rate-limit.ts';
import { count, duration } from '../output.ts';
import type { Details, InjectedFault, Policy } from './answer.ts';

/** What a config says that an explanation leaves out. */
export function detailsIn(snapshot: Snapshot, explained: ListenerExplanation, policies: readonly Policy[]): Details {
  const { trace, route } = explained;
  const manager = managerOf(snapshot.listeners.get(explained.listener), explained);
  const table = manager?.routes.kind === 'inline' ? manager.routes.config : snapshot.routes.get(explained.routeTable);
  const host = table?.virtualHosts.find(({ name }) => name === route?.virtualHost);
  const matched = host?.routes[trace?.routes.find(({ matched }) => matched)?.index ?? -1];
  const levels = [matched?.perFilterConfig, host?.perFilterConfig, table?.perFilterConfig];
  const filters: Record<string, string> = {};
  let fault: InjectedFault | null = null;
  for (const { name, kind, config: own, disabled } of manager?.filters ?? []) {
    const config = configOf(name, kind, levels, disabled ? null : own);
    if (config === null) continue;
    if (kind === 'fault' && (config as FaultConfig).headers.length === 0) fault = faultOf(config as FaultConfig);
    const says = describeFilter(kind, config);
    if (says !== '') filters[name] = says;
  }
  const clusters: Record<string, readonly string[]> = {};
  for (const target of route?.targets ?? []) {
    const cluster = snapshot.clusters.get(target.cluster);
    if (cluster !== undefined) clusters[target.cluster] = describeCluster(cluster);
  }
  const redirect = matched?.action.kind === 'redirect' ? describeRedirect(matched.action) : '';
  return { filters, fault, redirect, clusters, policies };
}

/** The connection manager that an explanation is of. */
function managerOf(listener: Listener | undefined, explained: ListenerExplanation): HttpConnectionManager | undefined {
  for (const { name, filter } of listener?.filterChains ?? []) {
    if (filter.kind === 'http' && name === explained.filterChain) return filter.http;
  }
  return undefined;
}

/** The config nearest to the route, as it was written; null for a filter that is off or says nothing. */
function configOf(name: string, kind: string, levels: readonly (PerFilterConfig | undefined)[], own: unknown): unknown {
  for (const level of levels) {
    const ofRoute = level?.get(name);
    if (ofRoute !== undefined) return ofRoute.disabled ? null : decodedOf(kind, ofRoute.config);
  }
  return own;
}

/** Routes carry their configs compiled, with what they were compiled from. */
function decodedOf(kind: string, config: unknown): unknown {
  if (config === null) return null;
  switch (kind) {
    case 'fault':
      return (config as Fault).config;
    case 'local_rate_limit':
      return (config as Limit).config;
    case 'cors':
      return (config as Cors).policy;
    default:
      return config;
  }
}

function describeFilter(kind: string, config: unknown): string {
  switch (kind) {
    case 'fault': {
      const says = describeFault(faultOf(config as FaultConfig));
      return says === '' || (config as FaultConfig).headers.length === 0 ? says : `${says}, where its headers match`;
    }
    case 'local_rate_limit':
      return describeLimit(config as LocalRateLimitConfig);
    case 'cors':
      return describeCors(config as CorsPolicy);
    default:
      return '';
  }
}

function faultOf({ delay, abort }: FaultConfig): InjectedFault {
  const fixed = abort !== null && abort.with.kind !== 'header' ? abort.with : null;
  return {
    delayMs: delay?.fixedMs ?? 0,
    delayPercent: (delay?.share.partsPerMillion ?? 0) / 10_000,
    abort: fixed === null ? '' : fixed.kind === 'http' ? String(fixed.status) : `gRPC status ${fixed.status}`,
    abortPercent: fixed === null ? 0 : (abort?.share.partsPerMillion ?? 0) / 10_000,
  };
}

function describeFault({ delayMs, delayPercent, abort, abortPercent }: InjectedFault): string {
  const parts: string[] = [];
  if (delayMs > 0 && delayPercent > 0) parts.push(`delays ${delayPercent} % of requests by ${duration(delayMs)}`);
  if (abort !== '' && abortPercent > 0) parts.push(`answers ${abortPercent} % of requests with ${abort}`);
  return parts.join(', ');
}

function describeLimit({ bucket, status, perConnection }: LocalRateLimitConfig): string {
  if (bucket === null) return '';
  const { maxTokens, tokensPerFill, fillIntervalMs } = bucket;
  const rate = `${count(tokensPerFill, 'request')} every ${duration(fillIntervalMs)}, at most ${maxTokens} at once`;
  return `admits ${rate}${perConnection ? ' on a connection' : ''}; beyond that ${status}`;
}

function describeCors({ allowOrigins, allowMethods }: CorsPolicy): string {
  const origins = count(allowOrigins.length, 'pattern of origins', 'patterns of origins');
  return `answers preflights for ${origins}${allowMethods === '' ? '' : `, ${allowMethods}`}`;
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
