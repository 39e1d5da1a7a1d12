import { Watch } from '../../base/watch.ts';
import type { AdsMode } from './delta.ts';
import type { ProxyNode } from './node.ts';
import type { Session } from './session.ts';

/** One type as a proxy has it. */
export interface TypeSync {
  readonly typeUrl: string;
  readonly state: 'synced' | 'pushing' | 'rejected' | 'waiting';
  /** What it subscribes to; `*` for everything. */
  readonly subscribed: readonly string[];
  readonly resources: number;
  readonly acked: { readonly version: string; readonly at: number } | null;
  readonly nacked: { readonly version: string; readonly at: number; readonly reason: string } | null;
  /** Wall time of the push that waits for an answer. */
  readonly pushedAt: number | null;
}

export interface ConnectedProxy {
  readonly id: number;
  readonly node: ProxyNode;
  readonly peer: string;
  readonly mode: AdsMode;
  readonly connectedAt: number;
  /** Version of the snapshot it is to have, and of the last one it has ACKed whole. */
  readonly target: string;
  readonly applied: string;
  readonly types: readonly TypeSync[];
}

/** How far one resource, or everything, has come. */
export interface Applied {
  readonly applied: number;
  readonly rejected: number;
  readonly pending: number;
  /** Proxies it concerns. */
  readonly of: number;
}

export interface ClientEntry {
  readonly id: number;
  readonly node: ProxyNode;
  readonly peer: string;
  readonly mode: AdsMode;
  readonly connectedAt: number;
  readonly session: Session;
}

/** The proxies that are connected now, for `remora status` and `applied by n of m`. */
export class Clients {
  readonly #entries = new Map<number, ClientEntry>();
  /** Counts up when a proxy comes or goes, and when one has answered a push. */
  readonly changes = new Watch(0);

  get size(): number {
    return this.#entries.size;
  }
  add(entry: ClientEntry): void {
    this.#entries.set(entry.id, entry);
    this.answered();
  }
  delete(id: number): void {
    if (this.#entries.delete(id)) this.answered();
  }
  answered(): void {
    this.changes.set(this.changes.value + 1);
  }

  list(): ConnectedProxy[] {
    return [...this.#entries.values()].map(({ session, ...entry }) => ({
      ...entry,
      target: session.target.version,
      applied: session.applied,
      types: typesOf(session),
    }));
  }

  /** How many proxies have all of their present snapshot. */
  applied(): Applied {
    const count = { applied: 0, rejected: 0, pending: 0, of: this.#entries.size };
    for (const { session } of this.#entries.values()) {
      if (session.applied === session.target.version) count.applied++;
      else if ([...session.types.values()].some((state) => state.nacked !== null)) count.rejected++;
      else count.pending++;
    }
    return count;
  }

  /** How many proxies run by the config of that epoch of the source, or a later one. */
  appliedSince(epoch: number): Applied {
    const count = { applied: 0, rejected: 0, pending: 0, of: this.#entries.size };
    for (const { session } of this.#entries.values()) {
      if (session.epoch >= epoch) count.applied++;
      else if ([...session.types.values()].some((state) => state.nacked !== null)) count.rejected++;
      else count.pending++;
    }
    return count;
  }

  /** How many of the proxies that are to have this resource have its present version. */
  appliedOf(typeUrl: string, name: string): Applied {
    const count = { applied: 0, rejected: 0, pending: 0, of: 0 };
    for (const { session } of this.#entries.values()) {
      const wanted = session.wanted(typeUrl).get(name);
      const state = session.types.get(typeUrl);
      if (wanted === undefined || state === undefined || !state.subscribes(name)) continue;
      count.of++;
      const sent = state.sent.get(name);
      if (sent?.version !== wanted.version || state.inFlight?.names.includes(name)) count.pending++;
      else if (sent.refused) count.rejected++;
      else count.applied++;
    }
    return count;
  }
}

function typesOf(session: Session): TypeSync[] {
  return [...session.types.values()].map((state) => ({
    typeUrl: state.typeUrl,
    state:
      state.inFlight !== null
        ? 'pushing'
        : state.nacked !== null
          ? 'rejected'
          : state.acked !== null || state.sent.size > 0
            ? 'synced'
            : 'waiting',
    subscribed: [...(state.wildcard ? ['*'] : []), ...state.names],
    resources: state.sent.size,
    acked: state.acked,
    nacked: state.nacked,
    pushedAt: state.inFlight?.at ?? null,
  }));
}
