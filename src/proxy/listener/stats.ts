import type { StatScope, StatStore } from '../telemetry/metrics/store.ts';

/** Slots of Envoy's `listener.<address>.*` stats; dots of the address stay, colons become underscores. */
export class ListenerStats {
  readonly #store: StatStore;
  readonly #scope: StatScope;
  readonly #total: number;
  readonly #active: number;
  readonly #destroyed: number;
  readonly #lengthMs: number;
  readonly #waiting: number;
  readonly #name: (stat: string) => readonly [string, Record<string, string>, string];
  #released = false;

  /** `prefix`: the listener's `stat_prefix`, by default its address as in `127.0.0.1_8080`. */
  constructor(store: StatStore, prefix: string) {
    this.#store = store;
    const clean = prefix.replaceAll(':', '_');
    const scope = store.scope(`listener.${clean}`);
    this.#scope = scope;
    const labels = { envoy_listener_address: clean };
    const name = (stat: string) => [`envoy_listener_${stat}`, labels, `listener.${clean}.${stat}`] as const;
    this.#total = scope.counter(...name('downstream_cx_total'));
    this.#active = scope.gauge(...name('downstream_cx_active'));
    this.#destroyed = scope.counter(...name('downstream_cx_destroy'));
    this.#lengthMs = scope.histogram(...name('downstream_cx_length_ms'));
    this.#waiting = scope.gauge(...name('downstream_pre_cx_active'));
    this.#name = name;
  }

  accepted(): void {
    this.#store.inc(this.#total);
    this.#store.inc(this.#active);
  }
  /** `ms` after it was accepted. */
  closed(ms: number): void {
    this.#store.add(this.#active, -1);
    this.#store.inc(this.#destroyed);
    this.#store.observe(this.#lengthMs, ms);
  }
  /** A connection waits for listener filters (+1) or no longer (-1). */
  waiting(by: 1 | -1): void {
    this.#store.add(this.#waiting, by);
  }
  count(event: ListenerEvent): void {
    this.#store.inc(this.#scope.counter(...this.#name(event)));
  }

  /** The listener is gone: its series follow when its last connection has. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#scope.release(() => this.#store.value(this.#active) > 0);
  }
}

/** Rare: their slots are made when the first of them happens. */
export type ListenerEvent =
  | 'no_filter_chain_match'
  | 'downstream_cx_overflow'
  | 'downstream_global_cx_overflow'
  | 'downstream_cx_overload_reject'
  | 'downstream_pre_cx_timeout'
  | 'downstream_listener_filter_remote_close'
  | 'downstream_listener_filter_error'
  /** Ours: too many waited for listener filters, and the one that had waited longest was closed. */
  | 'downstream_pre_cx_overflow'
  /** Ours: the server spoke before the client, and the connection is TCP. */
  | 'protocol_detection_server_first'
  /** Ours: what was seen is not what was declared. */
  | 'protocol_detection_mismatch';
