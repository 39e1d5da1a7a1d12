import type { CircuitBreakerThresholds, Cluster, OutlierDetection } from '../../model/cluster.ts';
import type * as wire from '../proto/gen/envoy/config/cluster/v3.ts';
import type { RoutingPriority } from '../proto/gen/envoy/config/core/v3.ts';

/** The first thresholds of a priority hold; where none are given, Envoy's defaults. */
export function decodeBreakers(breakers: wire.CircuitBreakers | undefined): Cluster['circuitBreakers'] {
  const of = (priority: RoutingPriority): CircuitBreakerThresholds =>
    decodeThresholds(breakers?.thresholds?.find((one) => (one.priority ?? 'DEFAULT') === priority) ?? {});
  return { default: of('DEFAULT'), high: of('HIGH') };
}

function decodeThresholds(thresholds: wire.CircuitBreakers_Thresholds): CircuitBreakerThresholds {
  const budget = thresholds.retry_budget;
  return {
    maxConnections: thresholds.max_connections ?? 1024,
    maxPendingRequests: thresholds.max_pending_requests ?? 1024,
    maxRequests: thresholds.max_requests ?? 1024,
    maxRetries: thresholds.max_retries ?? 3,
    retryBudget:
      budget === undefined
        ? null
        : {
            budgetPercent: budget.budget_percent === undefined ? 20 : (budget.budget_percent.value ?? 0),
            minRetryConcurrency: budget.min_retry_concurrency ?? 3,
          },
  };
}

export function decodeOutlier(outlier: wire.OutlierDetection | undefined): OutlierDetection | null {
  if (outlier === undefined) return null;
  const baseEjectionTimeMs = outlier.base_ejection_time ?? 30_000;
  return {
    consecutive5xx: outlier.consecutive_5xx ?? 5,
    enforcingConsecutive5xx: outlier.enforcing_consecutive_5xx ?? 100,
    consecutiveGatewayFailure: outlier.consecutive_gateway_failure ?? 5,
    enforcingConsecutiveGatewayFailure: outlier.enforcing_consecutive_gateway_failure ?? 0,
    splitExternalLocalOriginErrors: outlier.split_external_local_origin_errors ?? false,
    consecutiveLocalOriginFailure: outlier.consecutive_local_origin_failure ?? 5,
    enforcingConsecutiveLocalOriginFailure: outlier.enforcing_consecutive_local_origin_failure ?? 100,
    intervalMs: outlier.interval ?? 10_000,
    baseEjectionTimeMs,
    maxEjectionTimeMs: outlier.max_ejection_time ?? Math.max(300_000, baseEjectionTimeMs),
    maxEjectionTimeJitterMs: outlier.max_ejection_time_jitter ?? 0,
    maxEjectionPercent: outlier.max_ejection_percent ?? 10,
  };
}
