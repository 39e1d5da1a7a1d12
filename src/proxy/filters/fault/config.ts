import type { HeaderMatcher } from '../../../model/matcher.ts';
import type { Problems } from '../../../xds/proto/codec.ts';
import type { FaultDelay } from '../../../xds/proto/gen/envoy/extensions/filters/common/fault/v3.ts';
import type { FaultAbort, HTTPFault } from '../../../xds/proto/gen/envoy/extensions/filters/http/fault/v3.ts';
import type { FractionalPercent } from '../../../xds/proto/gen/envoy/type/v3.ts';
import { decodeHeaderMatchers, decodePercent, reportUnused } from '../wire.ts';

/** The share of requests, and what 1 in a `…-percentage` header counts: the config's denominator. */
export interface Share {
  readonly partsPerMillion: number;
  readonly unit: number;
}

/** envoy.extensions.filters.http.fault.v3.HTTPFault, resolved. */
export interface FaultConfig {
  readonly delay: {
    /** null: the request's `x-envoy-fault-delay-request` header says. */
    readonly fixedMs: number | null;
    readonly share: Share;
  } | null;
  readonly abort: {
    readonly with:
      | { readonly kind: 'http' | 'grpc'; readonly status: number }
      /** `x-envoy-fault-abort-request` and `x-envoy-fault-abort-grpc-request` say. */
      | { readonly kind: 'header' };
    readonly share: Share;
  } | null;
  /** All must match. */
  readonly headers: readonly HeaderMatcher[];
  /** Values of `x-envoy-downstream-service-node`; empty: any. */
  readonly downstreamNodes: readonly string[];
  /** null: no limit. */
  readonly maxActiveFaults: number | null;
  /** Keys under which the runtime may override the numbers above. */
  readonly runtime: {
    readonly delayPercent: string;
    readonly delayMs: string;
    readonly abortPercent: string;
    readonly abortHttpStatus: string;
    readonly abortGrpcStatus: string;
    readonly maxActiveFaults: string;
  };
}

export function decodeFault(fault: HTTPFault, problems: Problems, warnings: Problems, path: string): FaultConfig {
  if (fault.upstream_cluster) {
    // Without it the fault would hit requests to every cluster.
    problems.add(
      `${path}.upstream_cluster`,
      'refused: not supported in this version; put the fault into the per-route config of the routes to that cluster',
    );
  }
  reportUnused(
    fault,
    {
      response_rate_limit: 'responses are not slowed down',
      response_rate_limit_percent_runtime: 'responses are not slowed down',
      filter_metadata: 'no filter of this version reads metadata',
    },
    warnings,
    path,
  );
  const key = (given: string | undefined, standard: string): string => given || `fault.http.${standard}`;
  return {
    delay: fault.delay === undefined ? null : decodeDelay(fault.delay),
    abort: fault.abort === undefined ? null : decodeAbort(fault.abort),
    headers: decodeHeaderMatchers(fault.headers, problems, `${path}.headers`),
    downstreamNodes: fault.downstream_nodes ?? [],
    maxActiveFaults: fault.max_active_faults ?? null,
    runtime: {
      delayPercent: key(fault.delay_percent_runtime, 'delay.fixed_delay_percent'),
      delayMs: key(fault.delay_duration_runtime, 'delay.fixed_duration_ms'),
      abortPercent: key(fault.abort_percent_runtime, 'abort.abort_percent'),
      abortHttpStatus: key(fault.abort_http_status_runtime, 'abort.http_status'),
      abortGrpcStatus: key(fault.abort_grpc_status_runtime, 'abort.grpc_status'),
      maxActiveFaults: key(fault.max_active_faults_runtime, 'max_active_faults'),
    },
  };
}

function decodeDelay(delay: FaultDelay): FaultConfig['delay'] {
  return { fixedMs: delay.fixed_delay ?? null, share: decodeShare(delay.percentage) };
}

function decodeAbort(abort: FaultAbort): FaultConfig['abort'] {
  const share = decodeShare(abort.percentage);
  if (abort.http_status !== undefined) return { with: { kind: 'http', status: abort.http_status }, share };
  if (abort.grpc_status !== undefined) return { with: { kind: 'grpc', status: abort.grpc_status }, share };
  return { with: { kind: 'header' }, share };
}

function decodeShare(percent: FractionalPercent | undefined): Share {
  return { partsPerMillion: decodePercent(percent), unit: decodePercent({ ...percent, numerator: 1 }) };
}
