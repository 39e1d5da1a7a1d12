import type { StatScope, StatStore } from '../telemetry/metrics/store.ts';

/** Slots of Envoy's `tcp.<stat_prefix>.*` stats; `downstream_cx_active` is ours. */
export class TcpStats {
  readonly store: StatStore;
  readonly #scope: StatScope;
  readonly #total: number;
  readonly #active: number;
  readonly received: number;
  readonly sent: number;
  readonly noRoute: number;
  readonly idleTimeouts: number;
  readonly maxDurations: number;
  readonly pausedReading: number;
  readonly resumedReading: number;
  readonly #flushes: number;
  readonly #flushing: number;

  constructor(store: StatStore, prefix: string) {
    this.store = store;
    const scope = store.scope(`tcp.${prefix}`);
    this.#scope = scope;
    const labels = { envoy_tcp_prefix: prefix };
    const name = (stat: string) => [`envoy_tcp_${stat}`, labels, `tcp.${prefix}.${stat}`] as const;
    this.#total = scope.counter(...name('downstream_cx_total'));
    this.#active = scope.gauge(...name('downstream_cx_active'));
    this.received = scope.counter(...name('downstream_cx_rx_bytes_total'));
    this.sent = scope.counter(...name('downstream_cx_tx_bytes_total'));
    this.noRoute = scope.counter(...name('downstream_cx_no_route'));
    this.idleTimeouts = scope.counter(...name('idle_timeout'));
    this.maxDurations = scope.counter(...name('max_downstream_connection_duration'));
    this.pausedReading = scope.counter(...name('downstream_flow_control_paused_reading_total'));
    this.resumedReading = scope.counter(...name('downstream_flow_control_resumed_reading_total'));
    this.#flushes = scope.counter(...name('upstream_flush_total'));
    this.#flushing = scope.gauge(...name('upstream_flush_active'));
  }

  opened(): void {
    this.store.inc(this.#total);
    this.store.inc(this.#active);
  }
  closed(): void {
    this.store.add(this.#active, -1);
  }
  /** The client is gone, and what it sent still goes to the server. */
  flushStarted(): void {
    this.store.inc(this.#flushes);
    this.store.inc(this.#flushing);
  }
  flushEnded(): void {
    this.store.add(this.#flushing, -1);
  }

  /** No new connection comes: the series go when the last one has. */
  release(): void {
    const { store } = this;
    this.#scope.release(() => store.value(this.#active) > 0 || store.value(this.#flushing) > 0);
  }
}
