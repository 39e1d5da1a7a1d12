/** Remembers what was made for as long as it is asked for: what two turns did not ask for is forgotten. */
export class Generations<T> {
  #before = new Map<string, T>();
  #now = new Map<string, T>();

  /** A new generation begins. */
  turn(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }

  get(key: string, make: () => T): T {
    let value = this.peek(key);
    if (value === undefined) {
      value = make();
      this.#now.set(key, value);
    }
    return value;
  }

  /** What is there, kept for the present generation. */
  peek(key: string): T | undefined {
    const now = this.#now.get(key);
    if (now !== undefined) return now;
    const before = this.#before.get(key);
    if (before !== undefined) this.#now.set(key, before);
    return before;
  }

  /** Of this generation only. */
  current(): Iterable<readonly [string, T]> {
    return this.#now;
  }

  set(key: string, value: T): void {
    this.#now.set(key, value);
  }
}
