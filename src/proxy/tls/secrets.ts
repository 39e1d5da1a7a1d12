import type { SecretReference, TlsSecret } from '../../model/tls.ts';

/** The secrets of the bootstrap and of discovery by name, and those who want to hear of them. */
export class SecretStore {
  readonly #given: ReadonlyMap<string, TlsSecret>;
  #discovered: ReadonlyMap<string, TlsSecret> = new Map();
  /** Of this process's own identity. */
  #own: ReadonlyMap<string, TlsSecret> = new Map();
  /** By where they come from and their name. */
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(given: Iterable<TlsSecret> = []) {
    this.#given = new Map(Array.from(given, (secret) => [secret.name, secret]));
  }

  /** undefined: it has not come yet. */
  get({ name, from }: SecretReference): TlsSecret | undefined {
    return (from === 'bootstrap' ? this.#given : from === 'ads' ? this.#discovered : this.#own).get(name);
  }

  /** Puts this process's own secrets in force, all at once. */
  updateOwn(secrets: ReadonlyMap<string, TlsSecret>): void {
    const before = this.#own;
    this.#own = secrets;
    for (const [name, secret] of secrets) if (before.get(name) !== secret) this.#tell({ name, from: 'agent' });
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
    for (const name of before.keys())
      if (!discovered.has(name) && !this.#listeners.has(`ads ${name}`)) now.delete(name);
    this.#discovered = now;
    for (const name of changed) this.#tell({ name, from: 'ads' });
  }

  #tell({ name, from }: SecretReference): void {
    for (const listener of [...(this.#listeners.get(`${from} ${name}`) ?? [])]) listener();
  }

  /** Calls back after a secret of discovery, or of this process, changed, until the returned function is called. */
  subscribe({ name, from }: SecretReference, listener: () => void): () => void {
    if (from === 'bootstrap') return () => {};
    const key = `${from} ${name}`;
    let listeners = this.#listeners.get(key);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(key, listeners);
    }
    const own = listeners;
    own.add(listener);
    return () => {
      own.delete(listener);
      if (own.size === 0 && this.#listeners.get(key) === own) this.#listeners.delete(key);
    };
  }
}
