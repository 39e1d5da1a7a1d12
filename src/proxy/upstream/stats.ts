import type { Labels, StatScope, StatStore } from '../telemetry/metrics/store.ts';

/** Counters of events so rare that their slot is made when the first of them happens. Envoy's names. */
export type RareEvent =
  | 'upstream_cx_close_notify'
  | 'upstream_cx_connect_attempts_exceeded'
  | 'upstream_cx_destroy_local'
  | 'upstream_cx_destroy_remote'
  | 'upstream_cx_destroy_with_active_rq'
  | 'upstream_cx_destroy_local_with_active_rq'
  | 'upstream_cx_destroy_remote_with_active_rq'
  | 'upstream_cx_idle_timeout'
  | 'upstream_cx_max_duration_reached'
  | 'upstream_cx_max_requests'
  | 'upstream_cx_none_healthy'
  | 'upstream_cx_protocol_error'
  | 'upstream_rq_cancelled'
  | 'upstream_rq_max_duration_reached'
  | 'upstream_rq_pending_failure_eject'
  | 'upstream_rq_per_try_idle_timeout'
  | 'upstream_rq_retry_backoff_exponential'
  | 'upstream_rq_retry_backoff_ratelimited'
  | 'upstream_rq_rx_reset'
  | 'upstream_rq_tx_reset'
  | 'upstream_rq_dropped'
  | 'upstream_rq_drop_overload'
  | 'upstream_internal_redirect_succeeded_total'
  | 'upstream_internal_redirect_failed_total'
  | 'retry_or_shadow_abandoned'
  | 'remora_replay_buffer_overflow'
  | 'remora_reuse_race_retry'
  | 'original_dst_host_invalid'
  | 'update_attempt'
  | 'update_success'
  | 'update_failure'
  | 'update_empty'
  | 'update_no_rebuild';

/**
 * Slots of one cluster's numbers under Envoy's names (docs: configuration/upstream/cluster_manager/cluster_stats).
 * Slots of what a request or a dashboard touches are made with the cluster; status codes and rare events on first use.
 */
export class ClusterStats {
  readonly store: StatStore;
  readonly #scope: StatScope;
  readonly #labels: Labels;
  readonly #statName: string;
  /** Clusters that count here: one, or two while one takes over from the other. */
  #users = 0;

  readonly upstreamCxTotal: number;
  readonly upstreamCxHttp1Total: number;
  readonly upstreamCxActive: number;
  readonly upstreamCxConnectFail: number;
  readonly upstreamCxConnectTimeout: number;
  readonly upstreamCxOverflow: number;
  readonly upstreamCxDestroy: number;
  readonly upstreamCxRxBytesTotal: number;
  readonly upstreamCxTxBytesTotal: number;
  readonly upstreamPausedReading: number;
  readonly upstreamResumedReading: number;
  /** Histogram, ms. */
  readonly upstreamCxConnectMs: number;
  /** Histogram, ms. */
  readonly upstreamCxLengthMs: number;

  readonly upstreamRqTotal: number;
  readonly upstreamRqActive: number;
  readonly upstreamRqCompleted: number;
  readonly upstreamRqPendingTotal: number;
  readonly upstreamRqPendingActive: number;
  readonly upstreamRqPendingOverflow: number;
  readonly upstreamRqTimeout: number;
  readonly upstreamRqPerTryTimeout: number;
  readonly upstreamRqRetry: number;
  readonly upstreamRqRetrySuccess: number;
  readonly upstreamRqRetryOverflow: number;
  readonly upstreamRqRetryLimitExceeded: number;
  /** Histogram, ms. */
  readonly upstreamRqTime: number;

  readonly membershipTotal: number;
  readonly membershipHealthy: number;
  readonly membershipDegraded: number;
  readonly membershipExcluded: number;
  readonly membershipChange: number;
  readonly lbHealthyPanic: number;

  /** Slot + 1 by status code; 0 while the code has not occurred. */
  readonly #byCode = new Int32Array(600);
  /** Slot + 1 by class, 1xx to 5xx. */
  readonly #byClass = new Int32Array(6);
  /** The same of responses that a retry follows. */
  #retriedByCode: Int32Array | null = null;
  #retriedByClass: Int32Array | null = null;

  constructor(store: StatStore, statName: string) {
    this.store = store;
    this.#scope = store.scope();
    this.#statName = statName;
    this.#labels = { envoy_cluster_name: statName };

    this.upstreamCxTotal = this.counter('upstream_cx_total');
    this.upstreamCxHttp1Total = this.counter('upstream_cx_http1_total');
    this.upstreamCxActive = this.gauge('upstream_cx_active');
    this.upstreamCxConnectFail = this.counter('upstream_cx_connect_fail');
    this.upstreamCxConnectTimeout = this.counter('upstream_cx_connect_timeout');
    this.upstreamCxOverflow = this.counter('upstream_cx_overflow');
    this.upstreamCxDestroy = this.counter('upstream_cx_destroy');
    this.upstreamCxRxBytesTotal = this.counter('upstream_cx_rx_bytes_total');
    this.upstreamCxTxBytesTotal = this.counter('upstream_cx_tx_bytes_total');
    this.upstreamPausedReading = this.counter('upstream_flow_control_paused_reading_total');
    this.upstreamResumedReading = this.counter('upstream_flow_control_resumed_reading_total');
    this.upstreamCxConnectMs = this.histogram('upstream_cx_connect_ms');
    this.upstreamCxLengthMs = this.histogram('upstream_cx_length_ms');

    this.upstreamRqTotal = this.counter('upstream_rq_total');
    this.upstreamRqActive = this.gauge('upstream_rq_active');
    this.upstreamRqCompleted = this.counter('upstream_rq_completed');
    this.upstreamRqPendingTotal = this.counter('upstream_rq_pending_total');
    this.upstreamRqPendingActive = this.gauge('upstream_rq_pending_active');
    this.upstreamRqPendingOverflow = this.counter('upstream_rq_pending_overflow');
    this.upstreamRqTimeout = this.counter('upstream_rq_timeout');
    this.upstreamRqPerTryTimeout = this.counter('upstream_rq_per_try_timeout');
    this.upstreamRqRetry = this.counter('upstream_rq_retry');
    this.upstreamRqRetrySuccess = this.counter('upstream_rq_retry_success');
    this.upstreamRqRetryOverflow = this.counter('upstream_rq_retry_overflow');
    this.upstreamRqRetryLimitExceeded = this.counter('upstream_rq_retry_limit_exceeded');
    this.upstreamRqTime = this.histogram('upstream_rq_time');

    this.membershipTotal = this.gauge('membership_total');
    this.membershipHealthy = this.gauge('membership_healthy');
    this.membershipDegraded = this.gauge('membership_degraded');
    this.membershipExcluded = this.gauge('membership_excluded');
    this.membershipChange = this.counter('membership_change');
    this.lbHealthyPanic = this.counter('lb_healthy_panic');
  }

  // === what the forwarder and the pools report ===

  /** An attempt is on a connection: Envoy counts attempts, not requests. */
  attemptStarted(): void {
    this.store.inc(this.upstreamRqTotal);
    this.store.add(this.upstreamRqActive, 1);
  }
  attemptEnded(): void {
    this.store.add(this.upstreamRqActive, -1);
  }
  /** `max_requests` is reached. Envoy counts it under the same name as a refused pending request. */
  requestOverflow(): void {
    this.store.inc(this.upstreamRqPendingOverflow);
    this.countStatus(503);
  }
  /** A request waits for a connection, until {@link pendingEnded}. */
  pendingStarted(): void {
    this.store.inc(this.upstreamRqPendingTotal);
    this.store.add(this.upstreamRqPendingActive, 1);
  }
  pendingEnded(): void {
    this.store.add(this.upstreamRqPendingActive, -1);
  }
  pendingOverflow(): void {
    this.store.inc(this.upstreamRqPendingOverflow);
    this.countStatus(503);
  }
  connectionOpened(http1: boolean): void {
    this.store.inc(this.upstreamCxTotal);
    if (http1) this.store.inc(this.upstreamCxHttp1Total);
    this.store.add(this.upstreamCxActive, 1);
  }
  connected(ms: number): void {
    this.store.observe(this.upstreamCxConnectMs, ms);
  }
  /** Its socket closed, `ms` after it was asked for; bytes as counted by the socket. */
  connectionClosed(ms: number, received: number, sent: number): void {
    const { store } = this;
    store.observe(this.upstreamCxLengthMs, ms);
    store.add(this.upstreamCxRxBytesTotal, received);
    store.add(this.upstreamCxTxBytesTotal, sent);
    store.add(this.upstreamCxActive, -1);
    store.inc(this.upstreamCxDestroy);
  }
  connectFailed(timedOut: boolean): void {
    this.store.inc(this.upstreamCxConnectFail);
    if (timedOut) this.store.inc(this.upstreamCxConnectTimeout);
  }
  connectionOverflow(): void {
    this.store.inc(this.upstreamCxOverflow);
  }
  noneHealthy(): void {
    this.count('upstream_cx_none_healthy');
    this.countStatus(503);
  }
  timedOut(perTry: boolean): void {
    this.store.inc(perTry ? this.upstreamRqPerTryTimeout : this.upstreamRqTimeout);
  }
  retried(): void {
    this.store.inc(this.upstreamRqRetry);
  }
  retrySucceeded(): void {
    this.store.inc(this.upstreamRqRetrySuccess);
  }
  retryOverflow(): void {
    this.store.inc(this.upstreamRqRetryOverflow);
  }
  retryLimitExceeded(): void {
    this.store.inc(this.upstreamRqRetryLimitExceeded);
  }
  /** No retry, because the request's body was no longer there to be sent again. */
  retryAbandoned(): void {
    this.count('retry_or_shadow_abandoned');
  }
  /** A body outgrew the retry buffer: the request can no longer be retried, should it come to that. */
  replayBufferOverflow(): void {
    this.count('remora_replay_buffer_overflow');
  }
  /** A request met a kept-alive connection that was just being closed, and was sent again on another. */
  raceRetried(): void {
    this.count('remora_reuse_race_retry');
  }

  /** A response came whole, `ms` after its request had. */
  responseTime(ms: number): void {
    this.store.observe(this.upstreamRqTime, ms);
  }

  /** Counts the final response of a request under its code and class, and as completed. */
  countStatus(status: number): void {
    const { store } = this;
    store.inc(this.upstreamRqCompleted);
    if (status < 100 || status > 599) return;
    const byCode = this.#byCode[status]!;
    store.inc((byCode !== 0 ? byCode : this.#codeSlot(this.#byCode, '', status)) - 1);
    const digit = (status / 100) | 0;
    const byClass = this.#byClass[digit]!;
    store.inc((byClass !== 0 ? byClass : this.#classSlot(this.#byClass, '', digit)) - 1);
  }

  /** Counts a response that a retry follows, which Envoy keeps apart under `retry.`. */
  countRetriedStatus(status: number): void {
    const { store } = this;
    store.inc(this.counter('retry_upstream_rq_completed', 'retry.upstream_rq_completed'));
    if (status < 100 || status > 599) return;
    this.#retriedByCode ??= new Int32Array(600);
    this.#retriedByClass ??= new Int32Array(6);
    store.inc((this.#retriedByCode[status] || this.#codeSlot(this.#retriedByCode, 'retry', status)) - 1);
    const digit = (status / 100) | 0;
    store.inc((this.#retriedByClass[digit] || this.#classSlot(this.#retriedByClass, 'retry', digit)) - 1);
  }

  // === life ===

  /** A cluster counts here from now on. */
  retain(): void {
    this.#users++;
  }
  /** A cluster ended. With the last its series go, once nothing is `busy` counting in them. */
  release(busy: () => boolean): void {
    if (--this.#users === 0) this.#scope.release(busy);
  }

  /** The cluster is gone: its gauges must not go on saying what it had. */
  clearMembership(): void {
    this.store.set(this.membershipTotal, 0);
    this.store.set(this.membershipHealthy, 0);
    this.store.set(this.membershipDegraded, 0);
  }

  /** Counts a rare event by its name. */
  count(event: RareEvent, by = 1): void {
    this.store.add(this.counter(event), by);
  }

  /** A counter `envoy_cluster_<name>` of this cluster; `dotted` where Envoy's dotted name has more parts. */
  counter(name: string, dotted: string = name): number {
    return this.#scope.counter(`envoy_cluster_${name}`, this.#labels, this.#dotted(dotted));
  }
  gauge(name: string, dotted: string = name): number {
    return this.#scope.gauge(`envoy_cluster_${name}`, this.#labels, this.#dotted(dotted));
  }
  histogram(name: string): number {
    return this.#scope.histogram(`envoy_cluster_${name}`, this.#labels, this.#dotted(name));
  }

  #dotted(name: string): string {
    return `cluster.${this.#statName}.${name}`;
  }

  #codeSlot(slots: Int32Array, group: '' | 'retry', status: number): number {
    const labels = { envoy_response_code: String(status), ...this.#labels };
    const [name, dotted] = group === '' ? ['', ''] : [`${group}_`, `${group}.`];
    const slot = this.#scope.counter(
      `envoy_cluster_${name}upstream_rq`,
      labels,
      this.#dotted(`${dotted}upstream_rq_${status}`),
    );
    slots[status] = slot + 1;
    return slot + 1;
  }

  #classSlot(slots: Int32Array, group: '' | 'retry', digit: number): number {
    const labels = { envoy_response_code_class: String(digit), ...this.#labels };
    const [name, dotted] = group === '' ? ['', ''] : [`${group}_`, `${group}.`];
    const slot = this.#scope.counter(
      `envoy_cluster_${name}upstream_rq_xx`,
      labels,
      this.#dotted(`${dotted}upstream_rq_${digit}xx`),
    );
    slots[digit] = slot + 1;
    return slot + 1;
  }
}
