/** A stored key and what belongs to it; `above` is the nearest stored key that is a prefix of this one. */
export interface Entry<T> {
  readonly key: string;
  value: T;
  readonly above: Entry<T> | null;
}

class Node<T> {
  /** The characters on the edge that leads here; the first one is the parent's branch. */
  readonly edge: string;
  entry: Entry<T> | null = null;
  /** Children by their branch character, counted from `lowest`. */
  children: (Node<T> | null)[] = [];
  lowest = 0;

  constructor(edge: string) {
    this.edge = edge;
  }
}

/**
 * A compressed tree over keys that answers which keys are prefixes of a text, in time that depends on the
 * text and not on the number of keys. Immutable after construction.
 *
 * `fold` ignores the case of ASCII letters in the text (keys must be lower case); `reverse` reads key and text
 * from their ends, so that the tree answers for suffixes.
 */
export class PrefixTree<T> {
  readonly #root = new Node<T>('');
  readonly #fold: boolean;
  readonly #reverse: boolean;

  constructor(values: ReadonlyMap<string, T>, options: { fold?: boolean; reverse?: boolean } = {}) {
    this.#fold = options.fold ?? false;
    this.#reverse = options.reverse ?? false;
    // Shorter keys first, so that the keys above a key are there when it is put in.
    const keys = [...values.keys()].sort((a, b) => a.length - b.length);
    for (const key of keys) this.#insert(key, values.get(key)!);
  }

  /** The longest stored key that the first `end` characters of `text` begin with (or end with, in reverse). */
  deepest(text: string, end: number): Entry<T> | null {
    const plain = !this.#fold && !this.#reverse;
    let node = this.#root;
    let found = node.entry;
    let at = 0;
    while (at < end) {
      const next = childOf(node, this.#code(text, at, end));
      if (next === null) return found;
      const edge = next.edge;
      if (at + edge.length > end) return found;
      if (edge.length > 1 && !(plain ? text.startsWith(edge, at) : this.#follows(edge, text, at, end))) return found;
      at += edge.length;
      node = next;
      if (node.entry !== null) found = node.entry;
    }
    return found;
  }

  /** Whether an edge's characters stand at `at`; the first one is known to. */
  #follows(edge: string, text: string, at: number, end: number): boolean {
    for (let i = 1; i < edge.length; i++) if (edge.charCodeAt(i) !== this.#code(text, at + i, end)) return false;
    return true;
  }

  #code(text: string, at: number, end: number): number {
    const code = text.charCodeAt(this.#reverse ? end - 1 - at : at);
    return this.#fold && code >= 0x41 && code <= 0x5a ? code | 0x20 : code;
  }

  #insert(key: string, value: T): void {
    const text = this.#reverse ? [...key].reverse().join('') : key;
    let node = this.#root;
    let above: Entry<T> | null = null;
    let at = 0;
    for (;;) {
      if (at === text.length) {
        node.entry = { key, value, above };
        return;
      }
      if (node.entry !== null) above = node.entry;
      const next = childOf(node, text.charCodeAt(at));
      if (next === null) {
        const leaf = new Node<T>(text.slice(at));
        leaf.entry = { key, value, above };
        attach(node, leaf);
        return;
      }
      const shared = sharedLength(next.edge, text, at);
      if (shared === next.edge.length) {
        node = next;
      } else {
        const middle = new Node<T>(next.edge.slice(0, shared));
        const lower = new Node<T>(next.edge.slice(shared));
        lower.entry = next.entry;
        lower.children = next.children;
        lower.lowest = next.lowest;
        attach(middle, lower);
        attach(node, middle);
        node = middle;
      }
      at += shared;
    }
  }
}

function childOf<T>(node: Node<T>, code: number): Node<T> | null {
  const at = code - node.lowest;
  // Past the ends of an array a read is slow, so it is not left to it.
  return at >= 0 && at < node.children.length ? node.children[at]! : null;
}

/** Adds a child, or puts it in the place of the one with the same first character. */
function attach<T>(node: Node<T>, child: Node<T>): void {
  const code = child.edge.charCodeAt(0);
  const { children } = node;
  if (children.length === 0) node.lowest = code;
  while (code < node.lowest) {
    children.unshift(null);
    node.lowest--;
  }
  while (code - node.lowest >= children.length) children.push(null);
  children[code - node.lowest] = child;
}

function sharedLength(edge: string, text: string, at: number): number {
  const most = Math.min(edge.length, text.length - at);
  let length = 0;
  while (length < most && edge.charCodeAt(length) === text.charCodeAt(at + length)) length++;
  return length;
}
