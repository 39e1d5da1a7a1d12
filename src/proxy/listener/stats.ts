import type { StatStore } from '../telemetry/metrics/store.ts';

/** Slots of Envoy's `listener.<name>.*` stats; rare ones are made when the event first happens. */
export class ListenerStats {
  readonly #store: StatStore;
  readonly #name: string;
  readonly #total: number;
  readonly #destroyed: number;
  readonly #active: number;
  readonly #waiting: number;

  constructor(store: StatStore, name: string) {
    this.#store = store;
    this.#name = name;
    this.#total = this.#counter('downstream_cx_total');
    this.#destroyed = this.#counter('downstream_cx_destroy');
    this.#active = this.#gauge('downstream_cx_active');
    this.#waiting = this.#gauge('downstream_pre_cx_active');
  }

  opened(): void {
    this.#store.inc(this.#total);
    this.#store.inc(this.#active);
  }
  closed(): void {
    this.#store.inc(this.#destroyed);
    this.#store.add(this.#active, -1);
  }
  /** A connection waits for listener filters (+1) or no longer (-1). */
  waiting(by: 1 | -1): void {
    this.#store.add(this.#waiting, by);
  }
  count(event: ListenerEvent): void {
    this.#store.inc(this.#counter(event));
  }

  #counter(name: string): number {
    const { labels, dotted } = this.#at(name);
    return this.#store.counter(`envoy_listener_${name}`, labels, dotted);
  }
  #gauge(name: string): number {
    const { labels, dotted } = this.#at(name);
    return this.#store.gauge(`envoy_listener_${name}`, labels, dotted);
  }
  #at(name: string): { labels: Record<string, string>; dotted: string } {
    return { labels: { envoy_listener_address: this.#name }, dotted: `listener.${this.#name}.${name}` };
  }
}

export type ListenerEvent =
  | 'no_filter_chain_match'
  | 'downstream_cx_overflow'
  | 'downstream_pre_cx_timeout'
  | 'downstream_listener_filter_remote_close'
  | 'downstream_listener_filter_error'
  /** Ours: too many waited for listener filters, and the one that had waited longest was closed. */
  | 'downstream_pre_cx_overflow'
  /** Ours: the server spoke before the client, and the connection is TCP. */
  | 'protocol_detection_server_first'
  /** Ours: what was seen is not what was declared. */
  | 'protocol_detection_mismatch';
