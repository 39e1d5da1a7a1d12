/**
 * Remembers what was made from which inputs, from one translation to the next: where none of the inputs changed (by
 * identity) the very same output is given again, so that whoever compares outputs by identity sees what changed.
 */
export class Memo {
  readonly #before: ReadonlyMap<string, Entry>;
  readonly #now = new Map<string, Entry>();

  constructor(before?: Memo) {
    this.#before = before === undefined ? new Map() : before.#now;
  }

  /** `key` names the output within one translation; `inputs` is everything that it is made from. */
  get<T>(key: string, inputs: readonly unknown[], make: () => T): T {
    const before = this.#before.get(key);
    const same = before?.inputs.length === inputs.length && before.inputs.every((input, i) => input === inputs[i]);
    const output = same ? (before?.output as T) : make();
    this.#now.set(key, { inputs, output });
    return output;
  }

  /** What was got for the key this time or last; undefined for one that is not known. */
  peek(key: string): unknown {
    return (this.#now.get(key) ?? this.#before.get(key))?.output;
  }

  /** As if `output` had been made from `inputs` this time. */
  put(key: string, inputs: readonly unknown[], output: unknown): void {
    this.#now.set(key, { inputs, output });
  }
}

interface Entry {
  readonly inputs: readonly unknown[];
  readonly output: unknown;
}
