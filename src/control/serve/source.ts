import type { ProxyNode } from './node.ts';
import type { ProxySnapshot } from './snapshot.ts';

/** `endpoints`: only endpoints changed, which goes out at once. `config`: anything else, debounced. */
export type ChangeScope = 'endpoints' | 'config';

/** Where snapshots come from. Translation implements it; the server asks often, so the source caches. */
export interface SnapshotSource {
  /** Counts up with every change of what people wrote; absent: always 0. */
  readonly epoch?: number;
  /** Cheap when nothing changed, and then the same object. Types that did not change keep their map. */
  snapshotFor(node: ProxyNode): ProxySnapshot;
  /** Calls `cb` after each change until the returned function is called. */
  onChange(cb: (scope: ChangeScope) => void): () => void;
}
