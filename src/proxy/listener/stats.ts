import type { StatScope, StatStore } from '../telemetry/metrics/store.ts';

/** Slots of Envoy's `listener.<address>.*` stats; dots of the address stay, colons become underscores. */
export class ListenerStats {
  readonly #store: StatStore;
  readonly #scope: StatScope;
  readonly #total: number;
  readonly #active: number;
  readonly #destroyed: number;
  readonly #lengthMs: number;
  readonly #noChain: number;
  readonly #overflow: number;
  readonly #rejected: number;
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
    this.#noChain = scope.counter(...name('no_filter_chain_match'));
    this.#overflow = scope.counter(...name('downstream_global_cx_overflow'));
    this.#rejected = scope.counter(...name('downstream_cx_overload_reject'));
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
  /** Refused: the process has as many connections as it may. */
  overflowed(): void {
    this.#store.inc(this.#overflow);
  }
  /** Refused by the overload manager. */
  rejected(): void {
    this.#store.inc(this.#rejected);
  }
  noChain(): void {
    this.#store.inc(this.#noChain);
  }

  /** The listener is gone: its series follow when its last connection has. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#scope.release(() => this.#store.value(this.#active) > 0);
  }
}
