import type { SecretReference, TlsSecret } from '../../model/tls.ts';

/** The secrets of the bootstrap and of discovery by name, and those who want to hear of them. */
export class SecretStore {
  readonly #given: ReadonlyMap<string, TlsSecret>;
  #discovered: ReadonlyMap<string, TlsSecret> = new Map();
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(given: Iterable<TlsSecret> = []) {
    this.#given = new Map(Array.from(given, (secret) => [secret.name, secret]));
  }

  /** undefined: it has not come yet. */
  get({ name, from }: SecretReference): TlsSecret | undefined {
    return (from === 'bootstrap' ? this.#given : this.#discovered).get(name);
  }

  /** Puts what discovery has now in force. One that it took back stays: a certificate is better than none. */
  update(discovered: ReadonlyMap<string, TlsSecret>): void {
    const before = this.#discovered;
    const now = new Map(before);
    const changed: string[] = [];
    for (const [name, secret] of discovered) {
      if (before.get(name) === secret) continue;
      now.set(name, secret);
      changed.push(name);
    }
    for (const name of before.keys()) if (!discovered.has(name) && !this.#listeners.has(name)) now.delete(name);
    this.#discovered = now;
    for (const name of changed) for (const listener of [...(this.#listeners.get(name) ?? [])]) listener();
  }

  /** Calls back after a secret of discovery changed, until the returned function is called. */
  subscribe({ name, from }: SecretReference, listener: () => void): () => void {
    if (from === 'bootstrap') return () => {};
    let listeners = this.#listeners.get(name);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(name, listeners);
    }
    const own = listeners;
    own.add(listener);
    return () => {
      own.delete(listener);
      if (own.size === 0 && this.#listeners.get(name) === own) this.#listeners.delete(name);
    };
  }
}
