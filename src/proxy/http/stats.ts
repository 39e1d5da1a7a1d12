import type { StatStore, Stats } from '../telemetry/metrics/store.ts';

/** Counters of events so rare that their slot is made when the first of them happens. Envoy's names, but for our own. */
export type RareHttpEvent =
  | 'passthrough_internal_redirect_bad_location'
  | 'passthrough_internal_redirect_unsafe_scheme'
  | 'passthrough_internal_redirect_too_many_redirects'
  | 'passthrough_internal_redirect_no_route'
  | 'passthrough_internal_redirect_predicate'
  | 'remora_faults';

/** Slots of Envoy's `http.<stat_prefix>.*` stats. */
export class HttpStats {
  readonly #store: StatStore;
  readonly #scope: Stats;
  readonly #prefix: string;
  readonly #requests: number;
  readonly #active: number;
  readonly #time: number;
  readonly #byClass: readonly number[];
  readonly connectionsTotal: number;
  readonly connectionsActive: number;
  readonly protocolErrors: number;
  readonly idleTimeouts: number;
  readonly requestTimeouts: number;
  readonly headerTimeouts: number;
  readonly drained: number;
  readonly overloadShed: number;
  readonly overloadKeepAlive: number;
  readonly rejectedByIpDetection: number;
  readonly #noRoute: number;
  readonly #noCluster: number;
  readonly #resetByClient: number;
  /** Made with the first connection by TLS. */
  #secured: { readonly total: number; readonly active: number } | null = null;

  /** `stats`: where the series are made. */
  constructor(stats: Stats, prefix: string) {
    this.#store = stats.root;
    this.#scope = stats;
    this.#prefix = prefix;
    const labels = { envoy_http_conn_manager_prefix: prefix };
    const counter = (name: string, extra: Record<string, string> = {}, dotted = name): number =>
      stats.counter(`envoy_http_${name}`, { ...extra, ...labels }, `http.${prefix}.${dotted}`);
    this.#requests = counter('downstream_rq_total');
    this.#active = stats.gauge('envoy_http_downstream_rq_active', labels, `http.${prefix}.downstream_rq_active`);
    this.#time = stats.histogram('envoy_http_downstream_rq_time', labels, `http.${prefix}.downstream_rq_time`);
    this.#byClass = [1, 2, 3, 4, 5].map((digit) =>
      counter('downstream_rq_xx', { envoy_response_code_class: String(digit) }, `downstream_rq_${digit}xx`),
    );
    this.connectionsTotal = counter('downstream_cx_total');
    this.connectionsActive = stats.gauge(
      'envoy_http_downstream_cx_active',
      labels,
      `http.${prefix}.downstream_cx_active`,
    );
    this.protocolErrors = counter('downstream_cx_protocol_error');
    this.idleTimeouts = counter('downstream_rq_idle_timeout');
    this.requestTimeouts = counter('downstream_rq_timeout');
    this.headerTimeouts = counter('downstream_rq_header_timeout');
    this.drained = counter('downstream_cx_drain_close');
    this.overloadShed = counter('downstream_rq_overload_close');
    this.overloadKeepAlive = counter('downstream_cx_overload_disable_keepalive');
    this.rejectedByIpDetection = counter('downstream_rq_rejected_via_ip_detection');
    this.#resetByClient = counter('downstream_rq_rx_reset');
    this.#noRoute = counter('no_route');
    this.#noCluster = counter('no_cluster');
  }

  /** A connection or request under this prefix is under way. */
  get busy(): boolean {
    return this.#store.value(this.connectionsActive) > 0 || this.#store.value(this.#active) > 0;
  }

  #makeSecured(): { readonly total: number; readonly active: number } {
    const labels = { envoy_http_conn_manager_prefix: this.#prefix };
    const name = (stat: string) => [`envoy_http_${stat}`, labels, `http.${this.#prefix}.${stat}`] as const;
    return {
      total: this.#scope.counter(...name('downstream_cx_ssl_total')),
      active: this.#scope.gauge(...name('downstream_cx_ssl_active')),
    };
  }

  /** `secured`: by TLS. */
  opened(secured: boolean): void {
    this.#store.inc(this.connectionsTotal);
    this.#store.inc(this.connectionsActive);
    if (!secured) return;
    this.#secured ??= this.#makeSecured();
    this.#store.inc(this.#secured.total);
    this.#store.inc(this.#secured.active);
  }
  closed(secured: boolean): void {
    this.#store.add(this.connectionsActive, -1);
    if (secured && this.#secured !== null) this.#store.add(this.#secured.active, -1);
  }
  started(): void {
    this.#store.inc(this.#requests);
    this.#store.inc(this.#active);
  }
  /** `status` 0: the client went away before an answer. */
  ended(status: number, durationMs: number): void {
    this.#store.add(this.#active, -1);
    this.#store.observe(this.#time, durationMs);
    const slot = this.#byClass[((status / 100) | 0) - 1];
    if (slot === undefined) this.#store.inc(this.#resetByClient);
    else this.#store.inc(slot);
  }
  count(slot: number): void {
    this.#store.inc(slot);
  }
  rare(event: RareHttpEvent): void {
    const labels = { envoy_http_conn_manager_prefix: this.#prefix };
    this.#store.inc(this.#scope.counter(`envoy_http_${event}`, labels, `http.${this.#prefix}.${event}`));
  }
  noRoute(): void {
    this.#store.inc(this.#noRoute);
  }
  noCluster(): void {
    this.#store.inc(this.#noCluster);
  }
}
