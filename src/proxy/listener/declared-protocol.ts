import type { Logger } from '../../base/log.ts';
import { SharedCount, type SharedCounts } from '../../base/shared-counts.ts';
import { formatAddress } from '../../model/address.ts';
import type { DeclaredProtocol, Listener } from '../../model/listener.ts';
import type { ConnectionFacts } from './listener-filters.ts';

/** Objects that are remembered as said: of more, who comes first is said again. */
const MAX_SAID = 1000;

/**
 * Holds what connections are seen to speak against what somebody declared (pains row 23): what is seen holds, is counted,
 * and is said once for each object.
 */
export class DeclaredProtocols {
  readonly #log: Logger;
  readonly #count: () => void;
  /** What workers have in common; null: this thread is the only one. */
  readonly #shared: SharedCounts | null;
  /** Objects by name, and what tells other workers so; null there are none. */
  readonly #said = new Map<string, SharedCount | null>();

  constructor(log: Logger, shared: SharedCounts | null, count: () => void) {
    this.#log = log;
    this.#shared = shared;
    this.#count = count;
  }

  compare(seen: 'http' | 'tcp', ofChain: DeclaredProtocol | null, listener: Listener, facts: ConnectionFacts): void {
    const ofListener = listener.protocolDetection;
    const declared = ofChain?.protocol ?? ofListener;
    if (declared === null || declared === 'auto' || declared === seen) return;
    this.#count();
    const by = ofChain?.by ?? `listener ${listener.name}`;
    if (this.#said.has(by)) return;
    if (this.#said.size >= MAX_SAID) this.#said.clear();
    const shared = this.#shared === null ? null : new SharedCount(this.#shared.counters(`declared ${by}`, 1));
    this.#said.set(by, shared);
    if (shared !== null && !shared.takeBelow(1)) return;
    const { host, port } = facts.local;
    const what = `declared ${declared}, but a connection to ${formatAddress({ host, port })} is ${seen}`;
    this.#log.warn(`${by}: ${what}: what is seen holds; correct appProtocol or the port's name`);
  }
}
