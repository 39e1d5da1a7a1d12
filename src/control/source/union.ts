import { type ChangeListener, type ConfigSource, type ConfigState, objectKey } from './collection.ts';

/** Several sources as one. Of an object that two of them have, the first source's counts. */
export class SourceUnion implements ConfigSource {
  readonly #sources: readonly ConfigSource[];
  #state: ConfigState | null = null;

  constructor(sources: readonly ConfigSource[]) {
    this.#sources = sources;
  }

  get state(): ConfigState {
    this.#state ??= {
      objects: this.#sources.flatMap(({ state }) => state.objects),
      findings: this.#sources.flatMap(({ state }) => state.findings),
    };
    return this.#state;
  }

  async start(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.start()));
    this.#state = null;
  }

  onChange(listener: ChangeListener): () => void {
    const stops = this.#sources.map((source, at) =>
      source.onChange((scope, changes) => {
        this.#state = null;
        // What another source has too may count or not: that is for a look at everything.
        const shared = changes?.some(({ before, after }) => {
          const object = after ?? before;
          return object !== null && this.#elsewhere(objectKey(object), at);
        });
        if (changes === undefined || shared) listener(scope);
        else listener(scope, changes);
      }),
    );
    return () => {
      for (const stop of stops) stop();
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  #elsewhere(key: string, at: number): boolean {
    // Files, which are few, tell no changes of their own: what is looked through here is them.
    return this.#sources.some(
      (source, i) => i !== at && source.state.objects.some((object) => objectKey(object) === key),
    );
  }
}
