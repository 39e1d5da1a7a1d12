/** One operation of RFC 6902; only what injection needs. `path` is a JSON Pointer (RFC 6901) from the pod. */
export interface PatchOperation {
  readonly op: 'add' | 'replace';
  readonly path: string;
  readonly value: unknown;
}

export type PatchPath = readonly (string | number)[];

/** `['spec', 'containers', 0]` → `/spec/containers/0`. */
export function pointer(path: PatchPath): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

export function pointerParts(text: string): string[] {
  return text
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The value after the operations; the value given stays as it is. Throws where a path leads nowhere. */
export function applyPatch(value: unknown, operations: readonly PatchOperation[]): unknown {
  let root = structuredClone(value);
  for (const { op, path, value: given } of operations) {
    const parts = pointerParts(path);
    const last = parts.pop();
    const added = structuredClone(given);
    if (last === undefined) {
      root = added;
      continue;
    }
    const parent = parts.reduce<unknown>((node, part) => member(node, part, path), root);
    if (Array.isArray(parent)) {
      const at = last === '-' ? parent.length : Number(last);
      if (!Number.isInteger(at) || at < 0 || at > parent.length || (op === 'replace' && at === parent.length))
        throw new Error(`${path}: no such place in the list`);
      parent.splice(at, op === 'replace' ? 1 : 0, added);
    } else if (typeof parent === 'object' && parent !== null) {
      if (op === 'replace' && !Object.hasOwn(parent, last)) throw new Error(`${path}: nothing to replace`);
      (parent as Record<string, unknown>)[last] = added;
    } else {
      throw new Error(`${path}: its parent is no object`);
    }
  }
  return root;
}

function member(node: unknown, part: string, path: string): unknown {
  if (Array.isArray(node)) return node[Number(part)];
  if (typeof node === 'object' && node !== null && Object.hasOwn(node, part))
    return (node as Record<string, unknown>)[part];
  throw new Error(`${path}: there is no ${part}`);
}
