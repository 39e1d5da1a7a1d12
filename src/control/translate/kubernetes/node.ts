import type { Decoded } from '../decoded.ts';
import { localityOf } from './pod.ts';

/** Where nodes stand, by their names. */
export class NodeIndex {
  /** `region/zone/subzone` by name; without nodes that nobody knows it of. */
  readonly localities: ReadonlyMap<string, string>;
  readonly #labels: ReadonlyMap<string, Readonly<Record<string, string>>>;

  constructor(nodes: readonly Decoded<'Node'>[]) {
    this.#labels = new Map(nodes.map(({ object }) => [object.name, object.labels]));
    const localities = [...this.#labels].map(([name, labels]) => [name, localityOf({}, '', labels)] as const);
    this.localities = new Map(localities.filter(([, locality]) => locality !== ''));
  }
  /** Labels of the node; none for a name that is not known. */
  labels(name: string | undefined): Readonly<Record<string, string>> {
    return (name === undefined ? undefined : this.#labels.get(name)) ?? NONE;
  }
}

const NONE: Readonly<Record<string, string>> = {};
