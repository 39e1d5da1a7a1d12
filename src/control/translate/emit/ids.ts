/** Small numbers for objects, by identity. */
export class Ids {
  readonly #ids = new WeakMap<object, number>();
  #last = 0;

  of(object: object | null): number {
    if (object === null) return 0;
    let id = this.#ids.get(object);
    if (id === undefined) {
      id = ++this.#last;
      this.#ids.set(object, id);
    }
    return id;
  }
}
