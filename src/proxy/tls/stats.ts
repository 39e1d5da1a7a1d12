import type { StatStore } from '../telemetry/metrics/store.ts';

/** Envoy's `ssl.*` counters of a listener or a cluster (source/common/tls/stats.h). */
const NAMES = [
  'connection_error',
  'handshake',
  'session_reused',
  'no_certificate',
  'fail_verify_no_cert',
  'fail_verify_error',
  'fail_verify_san',
  'fail_verify_cert_hash',
] as const;

export type TlsStat = (typeof NAMES)[number];

export class TlsStats {
  readonly #store: StatStore;
  readonly #slots: ReadonlyMap<TlsStat, number>;
  readonly #side: 'listener' | 'cluster';
  readonly #name: string;
  readonly #byFact = new Map<string, number>();

  constructor(store: StatStore, side: 'listener' | 'cluster', name: string) {
    this.#store = store;
    this.#side = side;
    this.#name = name;
    this.#slots = new Map(NAMES.map((stat) => [stat, this.#counter(`ssl_${stat}`, `ssl.${stat}`, {})]));
  }

  count(stat: TlsStat): void {
    this.#store.inc(this.#slots.get(stat)!);
  }

  /** A handshake, with what was agreed on in it. */
  handshake(version: string, cipher: string, reused: boolean): void {
    this.count('handshake');
    if (reused) this.count('session_reused');
    this.#countFact('versions', version);
    this.#countFact('ciphers', cipher);
  }

  /** A connection came, or was to be made, before its secrets had. */
  secretsNotReady(): void {
    const stat =
      this.#side === 'listener' ? 'downstream_context_secrets_not_ready' : 'upstream_context_secrets_not_ready';
    const dotted =
      this.#side === 'listener' ? `server_ssl_socket_factory.${stat}` : `client_ssl_socket_factory.${stat}`;
    this.#store.inc(this.#counter(stat, dotted, {}));
  }

  /** A client took longer than `transport_socket_connect_timeout`. */
  handshakeTimeout(): void {
    const stat = 'downstream_cx_transport_socket_connect_timeout';
    this.#store.inc(this.#counter(stat, stat, {}));
  }

  /** The names are OpenSSL's, so there are few. */
  #countFact(kind: 'versions' | 'ciphers', value: string): void {
    const key = `${kind}.${value}`;
    let slot = this.#byFact.get(key);
    if (slot === undefined) {
      const label = kind === 'versions' ? { envoy_ssl_version: value } : { envoy_ssl_cipher: value };
      slot = this.#counter(`ssl_${kind}`, `ssl.${key}`, label);
      this.#byFact.set(key, slot);
    }
    this.#store.inc(slot);
  }

  #counter(name: string, dotted: string, labels: Record<string, string>): number {
    const own = this.#side === 'listener' ? { envoy_listener_address: this.#name } : { envoy_cluster_name: this.#name };
    return this.#store.counter(
      `envoy_${this.#side}_${name}`,
      { ...own, ...labels },
      `${this.#side}.${this.#name}.${dotted}`,
    );
  }
}
