import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/random.ts';
import { type TimerWheel, WheelTimer } from '../../base/timer-wheel.ts';
import type { OutlierDetection } from '../../model/cluster.ts';
import type { UpstreamEndpoint } from './endpoint.ts';
import type { ClusterStats } from './stats.ts';

/** What the detector asks of the cluster it watches. */
export interface OutlierHost {
  readonly name: string;
  /** All endpoints, the ejected included. */
  readonly total: number;
  onHealthChange(endpoint: UpstreamEndpoint): void;
}

interface OutlierEnvironment {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly log: Logger;
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
  #active = 0;

  constructor(config: OutlierDetection, host: OutlierHost, stats: ClusterStats, env: OutlierEnvironment) {
    this.#config = config;
    this.#host = host;
    this.#stats = stats;
    this.#env = env;
    this.#activeGauge = stats.gauge('outlier_detection_ejections_active', 'outlier_detection.ejections_active');
  }

  /** Endpoints ejected now. */
  get ejected(): number {
    return this.#active;
  }

  /** An answer came from the endpoint. */
  recordResponse(endpoint: UpstreamEndpoint, status: number): void {
    const state = endpoint.outlier;
    if (status < 500) {
      state.consecutive5xx = 0;
      state.consecutiveGatewayFailure = 0;
      return;
    }
    const config = this.#config;
    if (status >= 502 && status <= 504) {
      if (++state.consecutiveGatewayFailure === config.consecutiveGatewayFailure) {
        this.#detected(endpoint, 'consecutive_gateway_failure', config.consecutiveGatewayFailure);
        state.consecutiveGatewayFailure = 0;
      }
    } else {
      state.consecutiveGatewayFailure = 0;
    }
    if (++state.consecutive5xx === config.consecutive5xx) {
      this.#detected(endpoint, 'consecutive_5xx', config.consecutive5xx);
      state.consecutive5xx = 0;
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
    if (++state.consecutiveLocalOriginFailure === config.consecutiveLocalOriginFailure) {
      this.#detected(endpoint, 'consecutive_local_origin_failure', config.consecutiveLocalOriginFailure);
      state.consecutiveLocalOriginFailure = 0;
    }
  }

  /** The endpoint could be reached. */
  recordSuccessLocalOrigin(endpoint: UpstreamEndpoint): void {
    endpoint.outlier.consecutiveLocalOriginFailure = 0;
  }

  /** An endpoint joined that may carry an ejection from before a config change. */
  adopt(endpoint: UpstreamEndpoint): void {
    const { outlier } = endpoint;
    if (outlier.ejected) this.#setActive(this.#active + 1);
    if (outlier.ejected || outlier.ejections > 0) this.#watch(endpoint);
  }

  /** An endpoint left the cluster. */
  forget(endpoint: UpstreamEndpoint): void {
    this.#troubled.delete(endpoint);
    if (endpoint.outlier.ejected) this.#setActive(this.#active - 1);
  }

  /** Stops watching; whoever takes the endpoints over takes their ejections over too. */
  close(): void {
    this.#env.wheel.release(this.#sweepTimer);
    this.#troubled.clear();
    this.#setActive(0);
  }

  #detected(endpoint: UpstreamEndpoint, kind: Kind, run: number): void {
    const state = endpoint.outlier;
    if (state.ejected || !endpoint.present) return;
    this.#count(`ejections_detected_${kind}`);
    const reason = `${run} ${REASONS[kind]} in a row`;
    const config = this.#config;
    const { total } = this.#host;
    const share = (100 * (this.#active + 1)) / Math.max(1, total);
    const allowed = config.maxEjectionPercent > 0 && (this.#active === 0 || share <= config.maxEjectionPercent);
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
    if (state.ejections * config.baseEjectionTimeMs < config.maxEjectionTimeMs + config.baseEjectionTimeMs) {
      state.ejections++;
    }
    const jitter = config.maxEjectionTimeJitterMs > 0 ? random.int(Math.floor(config.maxEjectionTimeJitterMs) + 1) : 0;
    const lasts = Math.min(config.baseEjectionTimeMs * state.ejections, config.maxEjectionTimeMs) + jitter;
    state.ejected = true;
    state.ejectedUntil = clock.now() + lasts;
    this.#setActive(this.#active + 1);
    this.#count('ejections_enforced_total');
    this.#count(`ejections_enforced_${kind}`);
    this.#watch(endpoint);
    log.warn('endpoint ejected', { ...this.#facts(endpoint, reason), for_ms: lasts });
    this.#host.onHealthChange(endpoint);
  }

  #sweep(): void {
    const now = this.#env.clock.now();
    for (const endpoint of [...this.#troubled]) {
      const state = endpoint.outlier;
      if (!state.ejected) {
        state.ejections--;
        if (state.ejections <= 0) this.#troubled.delete(endpoint);
      } else if (state.ejectedUntil <= now) {
        this.#unejected(endpoint);
      }
    }
    if (this.#troubled.size > 0) this.#env.wheel.arm(this.#sweepTimer, this.#config.intervalMs);
  }

  #unejected(endpoint: UpstreamEndpoint): void {
    clearEjection(endpoint);
    this.#setActive(this.#active - 1);
    this.#env.log.info('endpoint returned', this.#facts(endpoint, 'its ejection time is over'));
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

  #setActive(active: number): void {
    // A difference, because a successor of the cluster may already count into the same gauge.
    this.#stats.store.add(this.#activeGauge, active - this.#active);
    this.#active = active;
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
      ejected: `${this.#active}/${this.#host.total}`,
    };
  }
}

const REASONS: Readonly<Record<Kind, string>> = {
  consecutive_5xx: 'responses with a 5xx status',
  consecutive_gateway_failure: 'gateway failures (502, 503 or 504, or no answer)',
  consecutive_local_origin_failure: 'failures to connect or to get an answer',
};

/** Lets an endpoint back in with clean counts, so that one more error does not throw it out again. */
export function clearEjection(endpoint: UpstreamEndpoint): void {
  const state = endpoint.outlier;
  state.ejected = false;
  state.ejectedUntil = 0;
  state.consecutive5xx = 0;
  state.consecutiveGatewayFailure = 0;
  state.consecutiveLocalOriginFailure = 0;
}
