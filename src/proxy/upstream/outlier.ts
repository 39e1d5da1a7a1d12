import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import type { SharedCounts } from '../../base/shared-counts.ts';
import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { OutlierDetection } from '../../model/cluster.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import { Run, SharedOutlierState } from './outlier-state.ts';
import type { ClusterStats } from './stats.ts';

/** What the detector asks of the cluster it watches. */
export interface OutlierHost {
  readonly name: string;
  /** All endpoints, the ejected included. */
  readonly total: number;
  endpoints(): Iterable<UpstreamEndpoint>;
  onHealthChange(endpoint: UpstreamEndpoint): void;
}

interface OutlierEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly log: Logger;
  /** What workers have in common; absent: this thread is the only one. */
  readonly workers?: SharedEjections | null;
}

/** Numbers that workers share, and how each hears of what another has ejected. */
export interface SharedEjections {
  readonly counts: SharedCounts;
  tellEjected(cluster: string, address: string): void;
}

type Kind = 'consecutive_5xx' | 'consecutive_gateway_failure' | 'consecutive_local_origin_failure';

/**
 * Passive health: takes an endpoint out of balancing after a run of errors and lets it back after a while
 * (docs: arch_overview/upstream/outlier; source/common/upstream/outlier_detection_impl.cc).
 *
 * Counts live on the endpoints and so outlive config changes. The sweep timer runs only while an endpoint is
 * ejected or still carries a multiplier from an earlier ejection.
 *
 * `max_ejection_percent` is literal: an ejection that would take the cluster over it does not happen, except that
 * one endpoint may always be ejected while the percentage is above 0. (Envoy by default compares before ejecting,
 * and so may overshoot by one.) 0 ejects nobody.
 */
export class OutlierDetector {
  readonly #config: OutlierDetection;
  readonly #host: OutlierHost;
  readonly #env: OutlierEnvironment;
  readonly #stats: ClusterStats;
  /** Those that the sweep has something to do for. */
  readonly #troubled = new Set<UpstreamEndpoint>();
  readonly #sweepTimer = new WheelTimer(() => this.#sweep());
  readonly #activeGauge: number;
  /** Those that are ejected, as far as this thread has acted on it. */
  readonly #out = new Set<UpstreamEndpoint>();
  /** What of the gauge is ours. */
  #shown = 0;

  constructor(config: OutlierDetection, host: OutlierHost, stats: ClusterStats, env: OutlierEnvironment) {
    this.#config = config;
    this.#host = host;
    this.#stats = stats;
    this.#env = env;
    this.#activeGauge = stats.gauge('outlier_detection_ejections_active', 'outlier_detection.ejections_active');
  }

  /** Endpoints ejected now. */
  get ejected(): number {
    return this.#out.size;
  }

  /** An answer came from the endpoint. */
  recordResponse(endpoint: UpstreamEndpoint, status: number): void {
    const state = endpoint.outlier;
    if (status < 500) {
      state.clear(Run.All5xx);
      state.clear(Run.GatewayFailures);
      return;
    }
    const config = this.#config;
    if (status >= 502 && status <= 504) {
      if (reached(state.add(Run.GatewayFailures), config.consecutiveGatewayFailure)) {
        this.#detected(endpoint, 'consecutive_gateway_failure', config.consecutiveGatewayFailure);
        state.clear(Run.GatewayFailures);
      }
    } else {
      state.clear(Run.GatewayFailures);
    }
    if (reached(state.add(Run.All5xx), config.consecutive5xx)) {
      this.#detected(endpoint, 'consecutive_5xx', config.consecutive5xx);
      state.clear(Run.All5xx);
    }
  }

  /**
   * No answer: connect failure, reset, or timeout. Counted apart when `split_external_local_origin_errors` is on,
   * else as a 503 (or, for a timeout, 504: both are gateway failures).
   */
  recordLocalOriginFailure(endpoint: UpstreamEndpoint): void {
    const config = this.#config;
    if (!config.splitExternalLocalOriginErrors) {
      this.recordResponse(endpoint, 503);
      return;
    }
    const state = endpoint.outlier;
    if (reached(state.add(Run.LocalOriginFailures), config.consecutiveLocalOriginFailure)) {
      this.#detected(endpoint, 'consecutive_local_origin_failure', config.consecutiveLocalOriginFailure);
      state.clear(Run.LocalOriginFailures);
    }
  }

  /** The endpoint could be reached. */
  recordSuccessLocalOrigin(endpoint: UpstreamEndpoint): void {
    endpoint.outlier.clear(Run.LocalOriginFailures);
  }

  /** An endpoint joined that may carry an ejection from before a config change, or from another worker. */
  adopt(endpoint: UpstreamEndpoint): void {
    this.#share(endpoint);
    const { outlier } = endpoint;
    if (outlier.ejected) this.#out.add(endpoint);
    this.#show();
    if (outlier.ejected || outlier.ejections > 0) this.#watch(endpoint);
  }

  /** Another worker has ejected it. */
  follow(endpoint: UpstreamEndpoint): void {
    if (!endpoint.outlier.ejected || this.#out.has(endpoint)) return;
    this.adopt(endpoint);
    this.#host.onHealthChange(endpoint);
  }

  /** An endpoint goes to another cluster object. */
  forget(endpoint: UpstreamEndpoint): void {
    this.#troubled.delete(endpoint);
    this.#out.delete(endpoint);
    this.#show();
  }

  /** An endpoint left the cluster. */
  left(endpoint: UpstreamEndpoint): void {
    this.forget(endpoint);
    if (endpoint.outlier instanceof SharedOutlierState) endpoint.outlier.reset();
  }

  /** Stops watching; whoever takes the endpoints over takes their ejections over too. */
  close(): void {
    this.#env.wheel.release(this.#sweepTimer);
    this.#troubled.clear();
    this.#out.clear();
    this.#show();
  }

  /** Counts with other workers, where there are any. */
  #share(endpoint: UpstreamEndpoint): void {
    const shared = this.#env.workers ?? null;
    if (shared === null || endpoint.outlier instanceof SharedOutlierState) return;
    endpoint.outlier = new SharedOutlierState(shared.counts, this.#host.name, endpoint.address);
  }

  /** How many are ejected at this moment, by whichever worker. */
  #countEjected(): number {
    if ((this.#env.workers ?? null) === null) return this.#out.size;
    let count = 0;
    for (const { outlier } of this.#host.endpoints()) if (outlier.ejected) count++;
    return count;
  }

  #detected(endpoint: UpstreamEndpoint, kind: Kind, run: number): void {
    const state = endpoint.outlier;
    if (state.ejected || !endpoint.present) return;
    this.#count(`ejections_detected_${kind}`);
    const reason = `${run} ${REASONS[kind]} in a row`;
    const config = this.#config;
    const { total } = this.#host;
    const active = this.#countEjected();
    const share = (100 * (active + 1)) / Math.max(1, total);
    const allowed = config.maxEjectionPercent > 0 && (active === 0 || share <= config.maxEjectionPercent);
    if (!allowed) {
      this.#count('ejections_overflow');
      this.#env.log.warn('endpoint not ejected: max_ejection_percent is reached', {
        ...this.#facts(endpoint, reason),
        max_ejection_percent: config.maxEjectionPercent,
      });
      return;
    }
    const enforcing = this.#enforcing(kind);
    if (enforcing < 100 && this.#env.random.int(100) >= enforcing) {
      this.#env.log.info('endpoint would be ejected, but this is not enforced', this.#facts(endpoint, reason));
      return;
    }
    this.#eject(endpoint, kind, reason);
  }

  #eject(endpoint: UpstreamEndpoint, kind: Kind, reason: string): void {
    const { clock, random, log } = this.#env;
    const config = this.#config;
    const state = endpoint.outlier;
    // The multiplier stops growing where it no longer makes a difference.
    const grows = state.ejections * config.baseEjectionTimeMs < config.maxEjectionTimeMs + config.baseEjectionTimeMs;
    const ejections = state.ejections + (grows ? 1 : 0);
    const jitter = config.maxEjectionTimeJitterMs > 0 ? random.int(Math.floor(config.maxEjectionTimeJitterMs) + 1) : 0;
    const lasts = Math.min(config.baseEjectionTimeMs * ejections, config.maxEjectionTimeMs) + jitter;
    if (!state.eject(clock.now() + lasts)) {
      this.follow(endpoint);
      return;
    }
    state.ejections = ejections;
    this.#out.add(endpoint);
    this.#show();
    this.#count('ejections_enforced_total');
    this.#count(`ejections_enforced_${kind}`);
    this.#watch(endpoint);
    log.warn('endpoint ejected', { ...this.#facts(endpoint, reason), for_ms: lasts });
    this.#host.onHealthChange(endpoint);
    this.#env.workers?.tellEjected(this.#host.name, endpoint.address);
  }

  #sweep(): void {
    const now = this.#env.clock.now();
    for (const endpoint of [...this.#troubled]) {
      const state = endpoint.outlier;
      if (!this.#out.has(endpoint)) {
        state.ejections--;
        if (state.ejections <= 0) this.#troubled.delete(endpoint);
      } else if (!state.ejected || state.ejectedUntil <= now) {
        this.#unejected(endpoint);
      }
    }
    if (this.#troubled.size > 0) this.#env.wheel.arm(this.#sweepTimer, this.#config.intervalMs);
  }

  #unejected(endpoint: UpstreamEndpoint): void {
    const first = clearEjection(endpoint);
    this.#out.delete(endpoint);
    this.#show();
    if (first) this.#env.log.info('endpoint returned', this.#facts(endpoint, 'its ejection time is over'));
    this.#host.onHealthChange(endpoint);
  }

  #watch(endpoint: UpstreamEndpoint): void {
    this.#troubled.add(endpoint);
    if (!this.#sweepTimer.isArmed) this.#env.wheel.arm(this.#sweepTimer, this.#config.intervalMs);
  }

  #enforcing(kind: Kind): number {
    const config = this.#config;
    if (kind === 'consecutive_5xx') return config.enforcingConsecutive5xx;
    if (kind === 'consecutive_gateway_failure') return config.enforcingConsecutiveGatewayFailure;
    return config.enforcingConsecutiveLocalOriginFailure;
  }

  #show(): void {
    // A difference, because a successor of the cluster may already count into the same gauge.
    this.#stats.store.add(this.#activeGauge, this.#out.size - this.#shown);
    this.#shown = this.#out.size;
  }

  #count(name: string): void {
    this.#stats.store.inc(this.#stats.counter(`outlier_detection_${name}`, `outlier_detection.${name}`));
  }

  #facts(endpoint: UpstreamEndpoint, reason: string): Record<string, string | number | undefined> {
    return {
      cluster: this.#host.name,
      endpoint: endpoint.address,
      workload: endpoint.workload === '' ? undefined : endpoint.workload,
      reason,
      ejected: `${this.#out.size}/${this.#host.total}`,
    };
  }
}

const REASONS: Readonly<Record<Kind, string>> = {
  consecutive_5xx: 'responses with a 5xx status',
  consecutive_gateway_failure: 'gateway failures (502, 503 or 504, or no answer)',
  consecutive_local_origin_failure: 'failures to connect or to get an answer',
};

/** A threshold of 0 is never reached. */
function reached(count: number, threshold: number): boolean {
  return threshold > 0 && count >= threshold;
}

/**
 * Lets an endpoint back in with clean counts, so that one more error does not throw it out again; false: another
 * worker has let it in.
 */
export function clearEjection(endpoint: UpstreamEndpoint): boolean {
  const state = endpoint.outlier;
  const first = state.readmit();
  state.clear(Run.All5xx);
  state.clear(Run.GatewayFailures);
  state.clear(Run.LocalOriginFailures);
  return first;
}
