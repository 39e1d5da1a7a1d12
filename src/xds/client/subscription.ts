import type { HeldResource } from './resource-decoder.ts';

/** Everything the server has, for this node. */
export const WILDCARD = '*';

/** How one type stands with the server: a view for `remora status` and the admin's config dump. */
export interface TypeStatus {
  readonly typeUrl: string;
  readonly subscribed: readonly string[];
  readonly resources: number;
  /** The last version that was accepted whole; '' none. */
  readonly version: string;
  readonly lastAck: { readonly version: string; readonly at: number } | null;
  readonly lastNack: { readonly version: string; readonly at: number; readonly reason: string } | null;
}

/**
 * One resource type: what is wanted of it, what is held, and where the conversation stands. Wanted and
 * held outlive streams; `nonce`, `sent` and `undeclared` belong to the present one.
 */
export class Subscription {
  readonly typeUrl: string;
  wanted: ReadonlySet<string> = new Set();
  readonly held = new Map<string, HeldResource>();
  /** Last version accepted whole. */
  version = '';
  /** The server has answered for this type at least once since the process started. */
  answered = false;
  lastAck: TypeStatus['lastAck'] = null;
  lastNack: TypeStatus['lastNack'] = null;

  /** Last nonce seen on this stream. */
  nonce = '';
  /** What this stream has been told that we want; null before the first request. */
  sent: ReadonlySet<string> | null = null;
  /** Held when the stream began but not told to it (delta): gone, if its first answer does not bring them. */
  readonly undeclared = new Set<string>();

  constructor(typeUrl: string) {
    this.typeUrl = typeUrl;
  }
  get wildcard(): boolean {
    return this.wanted.has(WILDCARD);
  }
  wants(name: string): boolean {
    return this.wanted.has(WILDCARD) || this.wanted.has(name);
  }
  /** Forgets what belonged to the stream that ended. */
  disconnect(): void {
    this.nonce = '';
    this.sent = null;
    this.undeclared.clear();
  }
  /** Lets go of what is no longer wanted; returns the names. */
  dropUnwanted(): string[] {
    const dropped: string[] = [];
    for (const name of this.held.keys()) if (!this.wants(name)) dropped.push(name);
    for (const name of dropped) this.held.delete(name);
    return dropped;
  }
  status(): TypeStatus {
    return {
      typeUrl: this.typeUrl,
      subscribed: [...this.wanted],
      resources: this.held.size,
      version: this.version,
      lastAck: this.lastAck,
      lastNack: this.lastNack,
    };
  }
}

export function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const name of a) if (!b.has(name)) return false;
  return true;
}
