import type { EmitNode } from './scope.ts';

const keys = new WeakMap<EmitNode, string>();

/** All of a proxy that what is emitted for it may depend on. */
export function proxyKey(node: EmitNode): string {
  let key = keys.get(node);
  if (key === undefined) {
    const { REMORA = null, DNS_CAPTURE = null, DNS_AUTO_ALLOCATE = null } = node.metadata ?? {};
    key = JSON.stringify([node.key, REMORA, DNS_CAPTURE, DNS_AUTO_ALLOCATE]);
    keys.set(node, key);
  }
  return key;
}
