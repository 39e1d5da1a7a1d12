import type { Decoded } from '../decoded.ts';

/** Where nodes stand, by their names. */
export class NodeIndex {
  readonly #labels: ReadonlyMap<string, Readonly<Record<string, string>>>;

  constructor(nodes: readonly Decoded<'Node'>[]) {
    this.#labels = new Map(nodes.map(({ object }) => [object.name, object.labels]));
  }
  /** Labels of the node; none for a name that is not known. */
  labels(name: string | undefined): Readonly<Record<string, string>> {
    return (name === undefined ? undefined : this.#labels.get(name)) ?? NONE;
  }
}

const NONE: Readonly<Record<string, string>> = {};
