/**
 * A named set of implementations made from one explicit list (never by import side effect).
 * A duplicate name is a programming error and throws at start.
 */
export class Registry<T> {
  readonly #entries = new Map<string, T>();
  readonly #kind: string;

  constructor(kind: string, entries: Iterable<readonly [name: string, entry: T]>) {
    this.#kind = kind;
    for (const [name, entry] of entries) {
      if (this.#entries.has(name)) throw new Error(`${kind} ${JSON.stringify(name)} is registered twice`);
      this.#entries.set(name, entry);
    }
  }
  get kind(): string {
    return this.#kind;
  }
  get(name: string): T | undefined {
    return this.#entries.get(name);
  }
  names(): string[] {
    return [...this.#entries.keys()];
  }
}
